/** The service: sweeps on a schedule until it is asked to stop. */
import { Cause, Clock, type Cron, Deferred, Duration, Effect, Random, Schedule, Stream } from "effect"
import type { SweepReport } from "../domain/SweepReport.ts"
import { Sweep } from "./Sweep.ts"
import * as Window from "./Window.ts"

/**
 * When to sweep.
 *
 * - `interval`: at once, then this long after the previous sweep ended
 * - `cron`: at the times of the expression, in its time zone; what falls into a running sweep is passed over
 */
export type When =
  | { readonly _tag: "interval"; readonly interval: Duration.Duration }
  | { readonly _tag: "cron"; readonly cron: Cron.Cron }

export interface CollectorOptions {
  readonly when: When
  /** Up to this long is added to each wait, at random, so that replicas started together drift apart. */
  readonly jitter: Duration.Duration
  /** A sweep that is due outside of it waits until it opens, and one that is under way ends when it closes. Default: always. */
  readonly window?: Window.Window | undefined
  /**
   * Completes when the collector shall stop: the batch in hand is finished, no other begins, the stream ends.
   * Default: never.
   */
  readonly stop?: Effect.Effect<void>
}

/** An element whenever a sweep is due, after its wait. A pre-parsed cron expression cannot fail to parse. */
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

/** A sweep, which is over when the window closes. */
const onceWithin = (
  sweep: Sweep["Service"],
  window: Window.Window | undefined,
  stopping: Effect.Effect<boolean>
): Effect.Effect<SweepReport> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    window === undefined
      ? sweep.once({ stopping })
      : // One that closed in the instant in which the sweep was due leaves it no time, and it says so.
        sweep.once({ stopping, until: Window.closesAt(window, now) ?? now })
  )

/**
 * The reports of the sweeps, as they end. Sweeps of one collector never overlap, and none ends the stream; only
 * `stop` does, after which the other collectors know that this one is gone. Consume it slowly and the sweeps wait.
 */
export const reports = (options: CollectorOptions): Stream.Stream<SweepReport, never, Sweep> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const sweep = yield* Sweep
      const stopped = yield* Deferred.make<void>()
      const watch = Effect.andThen(options.stop ?? Effect.never, Deferred.succeed(stopped, undefined))
      yield* Effect.forkScoped(watch, { startImmediately: true })
      const ended = Effect.flatMap(Deferred.await(stopped), () => Cause.done())
      const once = onceWithin(sweep, options.window, Deferred.isDone(stopped))
      // Only the waits are cut short; a sweep under way comes to its own end. `Stream.interruptWhen` would not do: it
      // pulls ahead, so that the next wait would begin together with the sweep.
      const due = Stream.transformPull(ticks(options), (wait) =>
        Effect.succeed(Effect.raceFirst(ended, wait))
      )
      return Stream.onEnd(
        Stream.mapEffect(due, () => once),
        sweep.leave
      )
    })
  )
