/** The loop of a collector: waits until a sweep is due or asked for, sweeps, and stops when it is told to. */
import { Cause, Clock, Deferred, Duration, Effect, Latch } from "effect"
import type { Orders, Pause } from "../../database/Database.ts"
import type { SweepReport } from "../../domain/SweepReport.ts"
import { askEvery } from "../Pausing.ts"
import { Progress, type ProgressEvent } from "../Progress.ts"
import { pausedBy } from "../preflight/PauseGuard.ts"
import { Sweep } from "../Sweep.ts"
import * as Window from "../Window.ts"
import type { Schedule } from "./Options.ts"
import * as Timetable from "./Timetable.ts"

/** What a collector does. Instants are milliseconds since the epoch. */
export type Activity =
  | { readonly _tag: "paused"; readonly pause: Pause }
  | { readonly _tag: "waiting"; readonly until: number }
  | {
      readonly _tag: "sweeping"
      readonly since: number
      /** How far each phase is that has begun. */
      readonly progress: ReadonlyMap<string, ProgressEvent>
    }
  | { readonly _tag: "stopped" }

/** A running collector, as its parts see it. */
export interface Loop {
  /** Waits for the next sweep, runs it and returns its report. Ends with `Done` once the loop is stopped. */
  readonly next: Effect.Effect<SweepReport, Cause.Done>
  /** Lets the batch in hand finish and begins no other. */
  readonly stop: Effect.Effect<void>
  /** Runs a sweep as soon as none is under way, at any hour, and returns its report. Is interrupted by `stop`. */
  readonly sweepNow: (evenIfPaused: boolean) => Effect.Effect<SweepReport>
  /** Asks at once whether the catalogue is paused. */
  readonly look: Effect.Effect<void>
  /** What it does now. */
  readonly activity: Effect.Effect<Activity>
  /** Returns when the next sweep is due, in milliseconds since the epoch; null while one runs, or none is to. */
  readonly dueAt: () => number | null
}

/** Waits are cut into pieces, so that a clock that is set is noticed within this time. */
const longestSleep = Duration.toMillis(Duration.days(1))

/** Returns the loop of a collector that sweeps with `sweep`. Nothing runs before its `next` does. */
export const make = Effect.fnUntraced(function* (given: Schedule) {
  const sweep = yield* Sweep
  const stopped = yield* Deferred.make<void>()
  const bell = yield* Latch.make()
  const timetable = yield* Timetable.make(given)
  let asked: Array<Deferred.Deferred<SweepReport>> = []
  let isForced = false
  let activity: Activity = { _tag: "waiting", until: yield* Clock.currentTimeMillis }

  /** Waits until a sweep is due or asked for. */
  const waiting = Effect.gen(function* () {
    timetable.wait(yield* Clock.currentTimeMillis)
    while (asked.length === 0) {
      const now = yield* Clock.currentTimeMillis
      const { at, pause } = yield* looked(sweep, timetable, now)
      yield* tellPause(activity, pause)
      if (at <= now && pause === null) break
      activity = pause === null ? { _tag: "waiting", until: at } : { _tag: "paused", pause }
      const wait = pause === null ? Math.min(at, timetable.looksAt()) - now : Duration.toMillis(askEvery)
      yield* Effect.raceFirst(Effect.sleep(Math.min(wait, longestSleep)), bell.await)
      yield* bell.close
    }
    timetable.begin()
  })

  const sweeping = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const answers = asked
    const evenIfPaused = isForced
    asked = []
    isForced = false
    const progress = new Map<string, ProgressEvent>()
    activity = { _tag: "sweeping", since: now, progress }
    const { window } = timetable.schedule()
    // A window that closed in this instant leaves the sweep no time, and its report says so.
    const until =
      window === undefined || answers.length > 0 ? undefined : (Window.closesAt(window, now) ?? now)
    const report = yield* sweep
      .once({
        stopping: Deferred.isDone(stopped),
        evenIfPaused,
        nextDueAt: timetable.next,
        ...(until === undefined ? {} : { until })
      })
      .pipe(
        observed(progress),
        Effect.onExit(
          Effect.fnUntraced(function* (exit) {
            activity = { _tag: "waiting", until: yield* Clock.currentTimeMillis }
            yield* Effect.forEach(answers, (answer) => Deferred.done(answer, exit), { discard: true })
          })
        )
      )
    return report
  })

  const ended = Effect.flatMap(Deferred.await(stopped), () => Cause.done())
  const loop: Loop = {
    // Cuts waits short, and lets a running sweep finish.
    next: Effect.andThen(Effect.raceFirst(ended, waiting), sweeping),
    stop: Effect.gen(function* () {
      yield* Deferred.succeed(stopped, undefined)
      const unanswered = asked
      asked = []
      yield* Effect.forEach(unanswered, Deferred.interrupt, { discard: true })
    }),
    sweepNow: Effect.fnUntraced(function* (evenIfPaused) {
      if (yield* Deferred.isDone(stopped)) return yield* Effect.interrupt
      const answer = yield* Deferred.make<SweepReport>()
      asked.push(answer)
      isForced ||= evenIfPaused
      yield* bell.open
      return yield* Deferred.await(answer)
    }),
    look: bell.open,
    dueAt: () => (activity._tag === "waiting" && !Deferred.isDoneUnsafe(stopped) ? activity.until : null),
    activity: Effect.map(Deferred.isDone(stopped), (isStopped) =>
      isStopped && activity._tag !== "sweeping" ? { _tag: "stopped" } : activity
    )
  }
  return loop
})

/**
 * Looks for orders if a sweep is due, or if it is time to look. Returns when the next sweep may begin, and the pause that
 * is in force then.
 */
const looked = Effect.fnUntraced(function* (
  sweep: Sweep["Service"],
  timetable: Timetable.Timetable,
  now: number
) {
  const at = yield* timetable.next(now)
  if (at > now && timetable.looksAt() > now) return { at, pause: null }
  const orders = yield* ordersOf(sweep)
  const isChanged = yield* timetable.heed(orders, now)
  const next = isChanged ? yield* timetable.next(now) : at
  if (isChanged) yield* sweep.waits(next)
  return { at: next, pause: next <= now ? (orders?.pause ?? null) : null }
})

/** Returns what operators ordered. Without an answer null: the sweep meets the trouble itself, and its report says so. */
const ordersOf = (sweep: Sweep["Service"]): Effect.Effect<Orders | null> =>
  Effect.catchCause(sweep.orders, () => Effect.succeed(null))

/** Logs a pause when the collector meets it, and when it is over. */
const tellPause = (before: Activity, pause: Pause | null): Effect.Effect<void> => {
  if ((before._tag === "paused") === (pause !== null)) return Effect.void
  return Effect.logInfo(pause === null ? "Collection is resumed." : pausedBy(pause).message)
}

/** Notes how far each phase is, beside the caller's own `Progress`. */
const observed =
  (progress: Map<string, ProgressEvent>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Progress, ({ report, watched }) =>
      Effect.provideService(effect, Progress, {
        watched,
        report: (event) =>
          Effect.suspend(() => {
            progress.set(event.phase, event)
            return report(event)
          })
      })
    )
