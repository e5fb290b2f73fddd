/** The service: sweeps on a schedule until it is asked to stop. */
import {
  Array as Arr,
  Context,
  type Duration,
  Effect,
  Fiber,
  Layer,
  PubSub,
  type Scope,
  Stream
} from "effect"
import type { Pause } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { SettingsInvalid } from "../domain/SettingsInvalid.ts"
import type { SweepReport } from "../domain/SweepReport.ts"
import * as Loop from "./collector/Loop.ts"
import * as Options from "./collector/Options.ts"
import type { ProgressEvent } from "./Progress.ts"
import { type PauseOptions, Sweep } from "./Sweep.ts"
import * as SweepMetrics from "./SweepMetrics.ts"
import { longestWait } from "./When.ts"

export type { LayerOptions, ScheduleOptions } from "./collector/Options.ts"
export type { PauseOptions } from "./Sweep.ts"

/** How the sweeps of a stream are scheduled, and what ends it. */
export interface StreamOptions extends Options.ScheduleOptions {
  /**
   * Completes when the collector is to stop: the batch in hand is finished, no other begins, and the stream ends.
   * Default: never.
   */
  readonly stop?: Effect.Effect<void> | undefined
}

/**
 * What this collector does at the moment, without a question to the others. Instants are ISO 8601. The module `Status` reads
 * the state of all collectors of the catalogue.
 */
export interface Status {
  /** `paused`: no sweep begins, in any process. `stopped`: its scope began to close. */
  readonly activity: "waiting" | "sweeping" | "paused" | "stopped"
  /** The sweep under way; null without one. */
  readonly sweep: {
    readonly startedAt: string
    /** How far each phase is that has begun, in the order in which they began. */
    readonly phases: ReadonlyArray<ProgressEvent>
  } | null
  /** The report of the last sweep of this collector; null before the first has ended. */
  readonly last: SweepReport | null
  /** When the next sweep is due, jitter and window included; null during a sweep or a pause and after the end. */
  readonly nextDueAt: string | null
  /** The pause that is in force for all collectors of the catalogue; null without one. */
  readonly pause: {
    readonly since: string
    /** Who paused, and why. */
    readonly by: string
    readonly reason: string
    /** When it ends by itself; null if it lasts until it is ended. */
    readonly until: string | null
  } | null
}

/** How a sweep that is asked for differs from one that is due. */
export interface SweepNowOptions {
  /** Sweeps although the catalogue is paused. Default false: the report is `refused`, and says who paused and why. */
  readonly evenIfPaused?: boolean | undefined
}

/** Reports that a slow subscriber may be behind before it misses the oldest. */
const reportsKept = 64

/**
 * A collector that sweeps on a schedule for as long as its layer's scope is open.
 *
 * ```ts
 * const Gc = Collector.layer({ every: "1 hour" }).pipe(Layer.provide(Sweep.Sweep.layer()))
 * ```
 */
export class Collector extends Context.Service<
  Collector,
  {
    /**
     * Runs a sweep as soon as none is under way, at any hour, and returns its report. The schedule continues from its end.
     * Is interrupted if the collector stops before that sweep began.
     */
    readonly sweepNow: (options?: SweepNowOptions) => Effect.Effect<SweepReport>
    /**
     * Pauses all collectors of this catalogue, in every process, and keeps them paused when processes start anew. Success
     * means that it is recorded: no sweep begins from now on, and those under way end after the batch in hand, within 5
     * seconds. A sweep that is due waits for the end of the pause. Suspects are not verified either. Replaces an earlier
     * pause.
     */
    readonly pause: (reason: string, options?: PauseOptions) => Effect.Effect<void, DatabaseError>
    /** Ends the pause in every process: in this one at once, in others within 5 seconds. */
    readonly resume: Effect.Effect<void, DatabaseError>
    /** Returns what the collector does now. Asks the database whether it is paused. */
    readonly status: Effect.Effect<Status, DatabaseError>
    /** The reports of sweeps that end from now on. A subscriber that is 64 reports behind misses the oldest. */
    readonly reports: Stream.Stream<SweepReport>
  }
>()("artifact-gc/sweep/Collector") {}

/**
 * Sweeps on a schedule while the layer's scope is open. When the scope closes, the batch in hand is finished within
 * `deadline`, and the other collectors are told that this one has left. Fails with `SettingsInvalid`, which lists all
 * that is wrong with the options, before anything begins.
 *
 * Between and beside sweeps it verifies suspects as their writers insert them, at any hour. Any number of replicas may run
 * it on one catalogue: they share the work.
 */
export const layer = (options: Options.LayerOptions = {}): Layer.Layer<Collector, SettingsInvalid, Sweep> =>
  Layer.effect(
    Collector,
    Effect.gen(function* () {
      const sweep = yield* Sweep
      const { deadline, ...schedule } = yield* Options.layer(options)
      const loop = yield* begun(schedule)
      const ended = yield* PubSub.sliding<SweepReport>(reportsKept)
      let last: SweepReport | null = null
      const told = (report: SweepReport) =>
        Effect.gen(function* () {
          last = report
          yield* PubSub.publish(ended, report)
          yield* options.onReport?.(report) ?? Effect.void
        }).pipe(
          Effect.catchCause((cause) =>
            Effect.logWarning("onReport of the collector failed. Sweeps go on.", cause)
          )
        )
      const fiber = yield* loop.next.pipe(
        Effect.flatMap(told),
        Effect.forever,
        Effect.catchTag("Done", () => Effect.void),
        Effect.forkScoped
      )
      yield* Effect.addFinalizer(() => stopWithin(deadline, loop, fiber))
      return Collector.of({
        sweepNow: ({ evenIfPaused = false } = {}) => loop.sweepNow(evenIfPaused),
        pause: (reason, pauseOptions) => Effect.andThen(sweep.pause(reason, pauseOptions), loop.look),
        resume: Effect.andThen(sweep.resume, loop.look),
        status: Effect.gen(function* () {
          const pause = yield* sweep.paused
          return statusOf(yield* loop.activity, last, pause)
        }),
        reports: Stream.fromPubSub(ended)
      })
    })
  )

/**
 * Emits the reports of the sweeps as they end. Sweeps of one collector never overlap, and no failed sweep ends the stream.
 * Only `stop` does. However the stream ends, the other collectors are told that this one has left. A slow consumer makes
 * the sweeps wait, which is the difference from {@link layer}. Fails with `SettingsInvalid` before anything begins.
 */
export const reports = (options: StreamOptions = {}): Stream.Stream<SweepReport, SettingsInvalid, Sweep> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const loop = yield* begun(yield* Options.schedule(options))
      const watch = Effect.andThen(options.stop ?? Effect.never, loop.stop)
      yield* Effect.forkScoped(watch, { startImmediately: true })
      return Stream.fromPull(Effect.succeed(Effect.map(loop.next, Arr.of)))
    })
  )

/** Makes the loop, and all that runs beside it until the scope closes. */
const begun = Effect.fnUntraced(function* (
  schedule: Options.Schedule
): Effect.fn.Return<Loop.Loop, SettingsInvalid, Sweep | Scope.Scope> {
  const sweep = yield* Sweep
  yield* sweep.scheduled(longestWait(schedule.when, schedule.jitter, schedule.window))
  // Runs last, and also where the scope closes by an interruption.
  yield* Effect.addFinalizer(() => sweep.leave)
  // Writers wait for it, so it knows no schedule and no window.
  yield* Effect.forkScoped(sweep.verifying)
  const loop = yield* Loop.make(schedule)
  yield* SweepMetrics.showLag(loop.dueAt)
  return loop
})

/** Lets the batch in hand finish. What has not finished by the deadline is interrupted by the scope. */
const stopWithin = Effect.fnUntraced(function* (
  deadline: Duration.Duration,
  loop: Loop.Loop,
  fiber: Fiber.Fiber<unknown, unknown>
) {
  yield* loop.stop
  const ended = yield* Effect.timeoutOption(Fiber.await(fiber), deadline)
  if (ended._tag === "None") {
    yield* Effect.logWarning(
      "The deadline has passed: interrupting the current batch of the collector. Keys that were being deleted are retried after their lease ends."
    )
  }
})

const iso = (instant: number): string => new Date(instant).toISOString()

const statusOf = (activity: Loop.Activity, last: SweepReport | null, pause: Pause | null): Status => ({
  activity: pause !== null && activity._tag === "waiting" ? "paused" : activity._tag,
  sweep:
    activity._tag === "sweeping"
      ? { startedAt: iso(activity.since), phases: [...activity.progress.values()] }
      : null,
  last,
  nextDueAt: activity._tag === "waiting" && pause === null ? iso(activity.until) : null,
  pause:
    pause === null
      ? null
      : {
          since: iso(pause.since),
          by: pause.by,
          reason: pause.reason,
          until: pause.until === null ? null : iso(pause.until)
        }
})
