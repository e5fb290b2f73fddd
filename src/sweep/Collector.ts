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
import type { SettingsInvalid } from "../domain/SettingsInvalid.ts"
import type { SweepReport } from "../domain/SweepReport.ts"
import * as Loop from "./collector/Loop.ts"
import * as Options from "./collector/Options.ts"
import type { ProgressEvent } from "./Progress.ts"
import { Sweep } from "./Sweep.ts"
import { longestWait } from "./When.ts"

export type { LayerOptions, ScheduleOptions } from "./collector/Options.ts"

/** How the sweeps of a stream are scheduled, and what ends it. */
export interface StreamOptions extends Options.ScheduleOptions {
  /**
   * Completes when the collector is to stop: the batch in hand is finished, no other begins, and the stream ends.
   * Default: never.
   */
  readonly stop?: Effect.Effect<void> | undefined
}

/** What a collector does at the moment. Instants are ISO 8601. */
export interface Status {
  /** `stopped` after its scope began to close. */
  readonly activity: "waiting" | "sweeping" | "stopped"
  /** The sweep under way; null without one. */
  readonly sweep: {
    readonly startedAt: string
    /** How far each phase is that has begun, in the order in which they began. */
    readonly phases: ReadonlyArray<ProgressEvent>
  } | null
  /** The report of the last sweep of this collector; null before the first has ended. */
  readonly last: SweepReport | null
  /** When the next sweep is due, jitter and window included; null during a sweep and after the end. */
  readonly nextDueAt: string | null
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
    readonly sweepNow: Effect.Effect<SweepReport>
    /** Returns what the collector does now. */
    readonly status: Effect.Effect<Status>
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
        sweepNow: loop.sweepNow,
        status: Effect.map(loop.activity, (activity) => statusOf(activity, last)),
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
  return yield* Loop.make(schedule)
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

const statusOf = (activity: Loop.Activity, last: SweepReport | null): Status => ({
  activity: activity._tag,
  sweep:
    activity._tag === "sweeping"
      ? { startedAt: iso(activity.since), phases: [...activity.progress.values()] }
      : null,
  last,
  nextDueAt: activity._tag === "waiting" ? iso(activity.until) : null
})
