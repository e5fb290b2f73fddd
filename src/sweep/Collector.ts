/** The service: sweeps on a schedule until it is asked to stop. */
import { type Cron, Duration, Effect, Random, Schedule, Stream } from "effect"
import type { SweepReport } from "../domain/SweepReport.ts"
import { Sweep } from "./Sweep.ts"

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
  /**
   * Completes when the collector shall stop: the batch in hand is finished, no other begins, the stream ends.
   * Default: never.
   */
  readonly stop?: Effect.Effect<void>
}

/** An element whenever a sweep is due, after its wait. A pre-parsed cron expression cannot fail to parse. */
const ticks = ({ when, jitter }: CollectorOptions): Stream.Stream<unknown> => {
  const jittered = Schedule.modifyDelay(({ duration }: { readonly duration: Duration.Duration }) =>
    Effect.map(Random.next, (random) => Duration.sum(duration, Duration.times(jitter, random)))
  )
  return when._tag === "interval"
    ? Stream.concat(Stream.succeed("at once"), Stream.fromSchedule(jittered(Schedule.spaced(when.interval))))
    : Stream.orDie(Stream.fromSchedule(jittered(Schedule.cron(when.cron))))
}

/**
 * The reports of the sweeps, as they end. Sweeps of one collector never overlap, and none ends the stream; only
 * `stop` does. Consume it slowly and the sweeps wait.
 */
export const reports = (options: CollectorOptions): Stream.Stream<SweepReport, never, Sweep> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const sweep = yield* Sweep
      const stop = options.stop ?? Effect.never
      let stopping = false
      const watch = Effect.andThen(
        stop,
        Effect.sync(() => {
          stopping = true
        })
      )
      yield* Effect.forkScoped(watch)
      const once = sweep.once({ stopping: Effect.sync(() => stopping) })
      return ticks(options).pipe(
        // On the ticks alone: a wait is cut short, a sweep under way comes to its own end.
        Stream.interruptWhen(stop),
        Stream.mapEffect(() => once)
      )
    })
  )
