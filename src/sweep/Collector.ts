/** The service: sweeps on a schedule until it is asked to stop. */
import { Cause, Clock, type Cron, Deferred, Duration, Effect, Random, Schedule, Stream } from "effect"
import type { SweepReport } from "../domain/SweepReport.ts"
import { Sweep } from "./Sweep.ts"
import * as Window from "./Window.ts"

/**
 * When to sweep.
 *
 * - `interval`: at once, then this long after the previous sweep ended
 * - `cron`: at the times of the expression, in its time zone. Times that fall inside a running sweep are skipped.
 */
export type When =
  | { readonly _tag: "interval"; readonly interval: Duration.Duration }
  | { readonly _tag: "cron"; readonly cron: Cron.Cron }

/** How a collector sweeps. */
export interface CollectorOptions {
  /** When sweeps are due. */
  readonly when: When
  /** Each wait is longer by a random time up to this, so that replicas started together drift apart. */
  readonly jitter: Duration.Duration
  /** Sweeps that are due outside of it wait until it opens. A running sweep ends when it closes. Default: always open. */
  readonly window?: Window.Window | undefined
  /**
   * Completes when the collector is to stop: the batch in hand is finished, no other begins, and the stream ends.
   * Default: never.
   */
  readonly stop?: Effect.Effect<void>
}

/** Emits whenever a sweep is due, after its wait. A parsed cron expression cannot fail to parse. */
const ticks = ({ when, jitter, window }: CollectorOptions): Stream.Stream<unknown> => {
  const opening =
    window === undefined
      ? Effect.void
      : Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sleep(Window.opensIn(window, now)))

  const jittered = Schedule.modifyDelay(({ duration }: { readonly duration: Duration.Duration }) =>
    Effect.map(Random.next, (random) => Duration.sum(duration, Duration.times(jitter, random)))
  )
  const due =
    when._tag === "interval"
      ? Stream.concat(
          Stream.succeed("at once"),
          Stream.fromSchedule(jittered(Schedule.spaced(when.interval)))
        )
      : Stream.orDie(Stream.fromSchedule(jittered(Schedule.cron(when.cron))))
  return Stream.mapEffect(due, () => opening)
}

/** Runs a sweep, which ends when the window closes. */
const onceWithin = (
  sweep: Sweep["Service"],
  window: Window.Window | undefined,
  stopping: Effect.Effect<boolean>
): Effect.Effect<SweepReport> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    window === undefined
      ? sweep.once({ stopping })
      : // A window that closed in this instant leaves the sweep no time, and its report says so.
        sweep.once({ stopping, until: Window.closesAt(window, now) ?? now })
  )

/**
 * Emits the reports of the sweeps as they end. Sweeps of one collector never overlap, and no failed sweep ends the stream.
 * Between and beside them it verifies suspects as their writers insert them, at any hour.
 * Only `stop` does, and the collector then tells the others that it has left. A slow consumer makes the sweeps wait.
 */
export const reports = (options: CollectorOptions): Stream.Stream<SweepReport, never, Sweep> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const sweep = yield* Sweep
      const stopped = yield* Deferred.make<void>()
      const watch = Effect.andThen(options.stop ?? Effect.never, Deferred.succeed(stopped, undefined))
      yield* Effect.forkScoped(watch, { startImmediately: true })
      // Writers wait for it, so it knows no schedule and no window.
      yield* Effect.forkScoped(sweep.verifying)
      const ended = Effect.flatMap(Deferred.await(stopped), () => Cause.done())
      const once = onceWithin(sweep, options.window, Deferred.isDone(stopped))
      // Cuts waits short and lets a running sweep finish. `Stream.interruptWhen` pulls ahead, so that the next wait would
      // begin together with the sweep.
      const due = Stream.transformPull(ticks(options), (wait) =>
        Effect.succeed(Effect.raceFirst(ended, wait))
      )
      return Stream.onEnd(
        Stream.mapEffect(due, () => once),
        sweep.leave
      )
    })
  )
