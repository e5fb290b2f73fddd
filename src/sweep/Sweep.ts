/**
 * One activation of the collector: the guards, then the phases in their order, in bounded batches.
 *
 * A sweep never fails. What failed is in its report, and each phase runs whatever happened to the one before, unless a
 * guard refuses: then nothing at all is deleted.
 */
import { Clock, Context, Duration, Effect, Exit, Layer, Random } from "effect"
import { type Backlog, type BlobDatabase, CollectorDatabase } from "../database/Database.ts"
import { type Left, outcomeOf, type SweepReport, totalsOf } from "../domain/SweepReport.ts"
import { drawProcessName } from "../platform/processName.ts"
import { Storage } from "../storage/Storage.ts"
import * as Bounds from "./Bounds.ts"
import { collectorPhases } from "./CollectorPhases.ts"
import * as Deletion from "./Deletion.ts"
import * as Pace from "./Pace.ts"
import type { Phase } from "./Phase.ts"
import type { SweepContext } from "./PhaseContext.ts"
import { describe } from "./PhaseCounts.ts"
import * as Preflight from "./preflight/Preflight.ts"
import * as RunPhases from "./RunPhases.ts"
import { defaultSettings, type SweepSettings } from "./Settings.ts"

export interface SweepOptions {
  /** Reads and reports what a sweep would delete now, and changes nothing. Default false. */
  readonly dryRun?: boolean
  /** Asked between batches; when it says true the sweep ends after the batch in hand. Default: never. */
  readonly stopping?: Effect.Effect<boolean>
  /** No batch begins at or after this instant, as if the sweep had lasted its longest. Default: none such. */
  readonly until?: number
}

export class Sweep extends Context.Service<
  Sweep,
  {
    readonly settings: SweepSettings
    /**
     * Runs one sweep. Safe to run on any number of replicas at once, to interrupt at any point, and to repeat.
     */
    readonly once: (options?: SweepOptions) => Effect.Effect<SweepReport>
    /**
     * Tells the other collectors of this catalogue that this one sweeps no more, so that they need not agree with its
     * settings any longer. What never says so is forgotten `presence` after its last sweep. Takes a few seconds at the
     * most, and never fails.
     */
    readonly leave: Effect.Effect<void>
  }
>()("artifact-gc/sweep/Sweep") {
  /** A sweep over the given services. Unnamed settings take {@link defaultSettings}. */
  static readonly layer: {
    (settings?: Partial<SweepSettings>): Layer.Layer<Sweep, never, BlobDatabase | CollectorDatabase | Storage>
    <R>(
      settings: Partial<SweepSettings>,
      phases: ReadonlyArray<Phase<R>>
    ): Layer.Layer<Sweep, never, R | CollectorDatabase | Storage>
  } = <R = BlobDatabase>(
    settings: Partial<SweepSettings> = {},
    phases: ReadonlyArray<Phase<R | CollectorDatabase | Storage>> = collectorPhases as ReadonlyArray<
      Phase<R | CollectorDatabase | Storage>
    >
  ): Layer.Layer<Sweep, never, R | CollectorDatabase | Storage> =>
    Layer.effect(
      Sweep,
      Effect.gen(function* () {
        const all = withSmallBatches({ ...defaultSettings, ...settings })
        // The services alone: clock, tracer and progress are the caller's.
        const services = Context.pick(
          CollectorDatabase,
          Storage,
          ...phases.flatMap(({ requires }) => requires)
        )(yield* Effect.context<R | CollectorDatabase | Storage>())
        const self = { id: all.collectorId ?? drawProcessName(), swept: false }
        return Sweep.of({
          settings: all,
          once: (options = {}) => Effect.provideContext(once(all, phases, self, options), services),
          leave: Effect.provideContext(leave(self), services)
        })
      })
    )
}

/** Requests into which a second's keys are divided where there is a ceiling. */
const batchesPerSecond = 10

/**
 * Below a ceiling of keys a second, a batch is no more than a tenth of a second's: else the ceiling would be kept in bursts,
 * in the database even more than in the store, since as many pages as may be in flight are purged ahead. Where the
 * requests have a ceiling too, it is as much more.
 */
const withSmallBatches = (settings: SweepSettings): SweepSettings => {
  const { batchMax, keysPerSecondMax, requestsPerSecondMax } = settings
  if (keysPerSecondMax === null) return settings
  const perBatch = keysPerSecondMax / Math.min(batchesPerSecond, requestsPerSecondMax ?? batchesPerSecond)
  return { ...settings, batchMax: Math.min(batchMax, Math.max(1, Math.floor(perBatch))) }
}

/** This collector among others. `swept`: they may know of it. */
interface Self {
  readonly id: string
  swept: boolean
}

const once = Effect.fn("Sweep.once")(function* <R>(
  settings: SweepSettings,
  phases: ReadonlyArray<Phase<R>>,
  self: Self,
  options: SweepOptions
) {
  const database = yield* CollectorDatabase
  const startedAt = yield* Clock.currentTimeMillis
  const sweep = yield* nameOf(startedAt)
  const dryRun = options.dryRun ?? false
  const bounds = yield* Bounds.make(
    settings,
    options.stopping ?? Effect.succeed(false),
    options.until ?? Number.POSITIVE_INFINITY
  )
  if (!dryRun) self.swept = true
  const { error, findings, store } = yield* Preflight.judge(settings, self.id, startedAt, dryRun)
  const reports =
    error === null
      ? yield* runPhases(phases, { settings, bounds, dryRun, sweep })
      : RunPhases.refused(phases, error)
  const finishedAt = yield* Clock.currentTimeMillis
  const backlog = yield* Effect.exit(Effect.all([database.backlog(finishedAt), backlogOf(settings, phases)]))
  const report: SweepReport = {
    sweep,
    startedAt: new Date(startedAt).toISOString(),
    durationMillis: finishedAt - startedAt,
    dryRun,
    outcome: outcomeOf(reports),
    guards: [...findings, ...Preflight.breakerFindings(reports)],
    store,
    phases: reports,
    totals: totalsOf(reports, store),
    left: Exit.isSuccess(backlog) ? leftOf(settings, ...backlog.value) : null
  }
  return report
})

/** Longest that a database in trouble may hold up the end of a process. */
const leaveWithin = Duration.seconds(3)

const leave = (self: Self) =>
  Effect.gen(function* () {
    if (!self.swept) return
    const { peers } = yield* CollectorDatabase
    yield* peers.leave(self.id).pipe(
      Effect.timeout(leaveWithin),
      Effect.catchCause((cause) =>
        Effect.logWarning(
          `Collector ${self.id} has stopped and could not say so (${describe(cause).message}); others with other settings refuse until it is forgotten, GC_PRESENCE after its last sweep.`
        )
      )
    )
  })

/** Begins with the time, and is not drawn twice within a millisecond but by chance. */
const nameOf = (startedAt: number) =>
  Effect.map(Random.nextIntBetween(0, 0x10000), (random) => {
    const time = new Date(startedAt).toISOString().replaceAll(/[-:]/g, "")
    return `${time}-${random.toString(16).padStart(4, "0")}`
  })

/** Runs the phases with what they share. */
const runPhases = Effect.fnUntraced(function* <R>(
  phases: ReadonlyArray<Phase<R>>,
  sweep: Pick<SweepContext, "settings" | "bounds" | "dryRun" | "sweep">
) {
  const pace = yield* Pace.make(sweep.settings)
  const deletion = yield* Deletion.make(sweep.settings, pace)
  return yield* RunPhases.run(phases, { ...sweep, pace, deletion })
})

/** Adds up what waits for the phases, beside the collector's backlog. */
const backlogOf = <R>(settings: SweepSettings, phases: ReadonlyArray<Phase<R>>) =>
  Effect.map(
    Effect.forEach(
      phases,
      ({ backlog }) => backlog?.(settings) ?? Effect.succeed({ sessions: 0, dueAt: null })
    ),
    (backlogs) => ({
      sessions: backlogs.reduce((sum, { sessions }) => sum + sessions, 0),
      dueAt: backlogs.flatMap(({ dueAt }) => dueAt ?? [])
    })
  )

const leftOf = (
  settings: SweepSettings,
  backlog: Backlog,
  others: { readonly sessions: number; readonly dueAt: ReadonlyArray<number> }
): Left => {
  const after = (instant: number | null, wait: Duration.Duration) =>
    instant === null ? [] : [instant + Duration.toMillis(wait)]
  const due = [
    ...after(backlog.oldestSeenAt, settings.grace),
    ...after(backlog.oldestCondemnedAt, settings.quarantine),
    ...after(backlog.nextJournalAt, Duration.zero),
    ...others.dueAt
  ]
  return {
    waiting: backlog.waiting,
    condemned: backlog.condemned,
    condemnedBytes: backlog.condemnedBytes,
    journaled: backlog.journaled,
    intents: backlog.intents,
    sessions: others.sessions,
    pins: backlog.pins,
    deadLetters: backlog.deadLetters,
    nextDueAt: due.length === 0 ? null : new Date(Math.min(...due)).toISOString()
  }
}
