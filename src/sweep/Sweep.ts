/**
 * One activation of the collector: the guards, then the phases in their order, in bounded batches.
 *
 * A sweep never fails. What failed is in its report, and each phase runs whatever happened to the one before, unless a
 * guard refuses: then nothing at all is deleted.
 */
import { Clock, Context, Duration, Effect, Exit, Layer, Random } from "effect"
import { type Backlog, CollectorDatabase } from "../database/Database.ts"
import { type Left, outcomeOf, type SweepReport, totalsOf } from "../domain/SweepReport.ts"
import { drawProcessName } from "../platform/processName.ts"
import { Storage } from "../storage/Storage.ts"
import * as AskSources from "./AskSources.ts"
import * as Bounds from "./Bounds.ts"
import { collectorPhases } from "./CollectorPhases.ts"
import * as Deletion from "./Deletion.ts"
import * as OddRows from "./OddRows.ts"
import * as Pace from "./Pace.ts"
import type { Phase } from "./Phase.ts"
import type { SweepContext } from "./PhaseContext.ts"
import { describe } from "./PhaseCounts.ts"
import { suspects } from "./phases/Suspects.ts"
import { emptyMemory, type Memory } from "./preflight/Guard.ts"
import * as Preflight from "./preflight/Preflight.ts"
import type { ReferenceSource } from "./ReferenceSource.ts"
import * as RunPhases from "./RunPhases.ts"
import { defaultSettings, type SweepSettings } from "./Settings.ts"
import * as SweepMetrics from "./SweepMetrics.ts"
import * as VerifySuspects from "./VerifySuspects.ts"

/** How one sweep differs from the default. */
export interface SweepOptions {
  /** Reports what a sweep would delete now, and changes nothing. Default false. */
  readonly dryRun?: boolean
  /** Asked between batches. Once it answers true, the sweep ends after the batch in hand. Default: never. */
  readonly stopping?: Effect.Effect<boolean>
  /** Milliseconds since the epoch. No batch begins at or after this instant. Default: no limit. */
  readonly until?: number
}

/** The services that a phase needs. */
export type ServicesOf<P> = P extends Phase<infer R> ? R : never

/** The services that a reference source needs. */
export type ServicesOfSource<S> = S extends ReferenceSource<infer R> ? R : never

/** What a collector is built from: settings of the sweep, its phases, and references that are kept elsewhere. */
export interface LayerOptions<P, S = never> extends Partial<SweepSettings> {
  /**
   * The phases, in the order in which they run. Default: `collectorPhases`, those of a collector without a registry.
   */
  readonly phases?: ReadonlyArray<P>
  /**
   * References that are kept elsewhere. A blob is deleted only if none of these sources holds it. The collector remembers
   * their names: a sweep without one of them refuses, because it would delete what that source holds. Default: none.
   */
  readonly sources?: ReadonlyArray<S>
}

/**
 * The collector. `Sweep.layer` takes its settings and its phases: those of every collector by default,
 * `RegistryPhases.registryPhases` beside a registry. `once` runs one sweep, `Collector.reports` runs them on a schedule.
 */
export class Sweep extends Context.Service<
  Sweep,
  {
    /** The settings in force, with defaults filled in. */
    readonly settings: SweepSettings
    /**
     * Runs one sweep and returns its report, which holds every failure. Safe to run on any number of replicas at once, to
     * interrupt at any point, and to repeat. Leaves a transaction that the caller has open on the same client.
     */
    readonly once: (options?: SweepOptions) => Effect.Effect<SweepReport>
    /**
     * Verifies suspects as their writers insert them, until it is interrupted. Never fails. Runs beside sweeps:
     * `Collector.reports` forks it. A sweep by itself verifies those that it finds.
     */
    readonly verifying: Effect.Effect<never>
    /**
     * Tells the other collectors of this catalogue that this one has stopped, so that they need not agree with its
     * settings. A collector that never says so is forgotten `presence` after its last sweep. Takes 3 seconds at most, and
     * never fails.
     */
    readonly leave: Effect.Effect<void>
  }
>()("artifact-gc/sweep/Sweep") {
  /**
   * Builds a collector over the given services. Settings that are not named take {@link defaultSettings}. The layer
   * requires the services of its phases and sources.
   */
  static readonly layer = <
    P extends Phase<unknown> = (typeof collectorPhases)[number],
    S extends ReferenceSource<unknown> = ReferenceSource
  >({
    phases,
    sources = [],
    ...settings
  }: LayerOptions<P, S> = {}): Layer.Layer<
    Sweep,
    never,
    ServicesOf<P> | ServicesOfSource<S> | CollectorDatabase | Storage
  > =>
    Layer.effect(
      Sweep,
      Effect.gen(function* () {
        const all = withSmallBatches({ ...defaultSettings, ...settings })
        const list = (phases ?? collectorPhases) as ReadonlyArray<Phase<ServicesOf<P>>>
        const context = yield* Effect.context<
          ServicesOf<P> | ServicesOfSource<S> | CollectorDatabase | Storage
        >()
        const asked = sources as ReadonlyArray<ReferenceSource<ServicesOfSource<S>>>
        // The services alone: clock, tracer and progress are the caller's.
        const services = Context.pick(
          CollectorDatabase,
          Storage,
          ...list.flatMap(({ requires }) => requires)
        )(context)
        const self: Self = {
          id: all.collectorId ?? drawProcessName(),
          registered: false,
          passedAt: null,
          memory: emptyMemory(),
          sources: asked.map(AskSources.bind(context))
        }
        return Sweep.of({
          settings: all,
          once: (options = {}) => Effect.provideContext(once(all, list, self, options), services),
          verifying: Effect.provideContext(verifying(all, list, self), services),
          leave: Effect.provideContext(leave(self), services)
        })
      })
    )
}

/** Into how many requests a second's keys are divided where there is a ceiling. */
const batchesPerSecond = 10

/**
 * Limits a batch to a tenth of a second's keys where there is a ceiling. Larger batches would keep the ceiling in bursts,
 * in the database even more than in the store, because pages are purged ahead. Where requests have a ceiling too, batches
 * are larger accordingly.
 */
const withSmallBatches = (settings: SweepSettings): SweepSettings => {
  const { batchMax, keysPerSecondMax, requestsPerSecondMax } = settings
  if (keysPerSecondMax === null) return settings
  const perBatch = keysPerSecondMax / Math.min(batchesPerSecond, requestsPerSecondMax ?? batchesPerSecond)
  return { ...settings, batchMax: Math.min(batchMax, Math.max(1, Math.floor(perBatch))) }
}

/** This collector among others. */
interface Self {
  readonly id: string
  /** The others may know of it. */
  registered: boolean
  /** When the guards last let a sweep begin; null if they refused since. */
  passedAt: number | null
  readonly memory: Memory
  readonly sources: ReadonlyArray<ReferenceSource>
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
  yield* Effect.annotateCurrentSpan({ sweep })
  const dryRun = options.dryRun ?? false
  const bounds = yield* Bounds.make(
    settings,
    options.stopping ?? Effect.succeed(false),
    options.until ?? Number.POSITIVE_INFINITY
  )
  const sources = AskSources.make(self.sources)
  const { error, findings, lost, store } = yield* Preflight.judge({
    settings,
    id: self.id,
    sources: self.sources,
    now: startedAt,
    dryRun,
    memory: self.memory,
    tellRegistered: () => {
      self.registered = true
    }
  }).pipe(Effect.annotateLogs({ sweep }))
  if (!dryRun) self.passedAt = error === null ? startedAt : null
  const odd = OddRows.make()
  const reports =
    error === null
      ? yield* runPhases(phases, { settings, bounds, dryRun, sweep, lost, odd, sources })
      : RunPhases.refused(phases, error)
  const finishedAt = yield* Clock.currentTimeMillis
  const backlog = yield* Effect.exit(Effect.all([database.backlog(finishedAt), backlogOf(settings, phases)]))
  const report: SweepReport = {
    sweep,
    startedAt: new Date(startedAt).toISOString(),
    durationMillis: finishedAt - startedAt,
    dryRun,
    outcome: outcomeOf(reports),
    guards: [...findings, ...odd.findings(), ...sources.findings(), ...Preflight.breakerFindings(reports)],
    store,
    phases: reports,
    totals: totalsOf(reports, store),
    left: Exit.isSuccess(backlog) ? leftOf(settings, ...backlog.value) : null
  }
  yield* SweepMetrics.ended(report, settings, Exit.isSuccess(backlog) ? backlog.value : null)
  return report
}, SweepMetrics.running)

/** Runs the phase of suspects, and nothing else, whenever there are any. */
const verifying = Effect.fnUntraced(function* <R>(
  settings: SweepSettings,
  phases: ReadonlyArray<Phase<R>>,
  self: Self
) {
  const own = phases.filter(({ name }) => name === suspects.name)
  if (own.length === 0) return yield* Effect.never
  return yield* VerifySuspects.forever({
    passedAt: Effect.sync(() => self.passedAt),
    ask: Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const { error } = yield* Preflight.judge({
        settings,
        id: self.id,
        sources: self.sources,
        now,
        dryRun: false,
        memory: self.memory,
        tellRegistered: () => {
          self.registered = true
        }
      })
      self.passedAt = error === null ? now : null
      return error === null
    }),
    run: Effect.gen(function* () {
      const bounds = yield* Bounds.make(settings, Effect.succeed(false), Number.POSITIVE_INFINITY)
      const sweep = yield* nameOf(yield* Clock.currentTimeMillis)
      const reports = yield* runPhases(own, {
        settings,
        bounds,
        dryRun: false,
        sweep,
        // The phase journals no leftovers.
        lost: null,
        odd: OddRows.make(),
        // It deletes rows without objects alone, so no reference can keep anything.
        sources: AskSources.make([])
      })
      return reports.suspects
    })
  })
})

/** The longest that a database in trouble may delay the end of a process. */
const leaveWithin = Duration.seconds(3)

const leave = (self: Self) =>
  Effect.gen(function* () {
    if (!self.registered) return
    const { peers } = yield* CollectorDatabase
    yield* peers.leave(self.id).pipe(
      Effect.timeout(leaveWithin),
      Effect.catchCause((cause) =>
        Effect.logWarning(
          `Collector ${self.id} has stopped and could not tell the others (${describe(cause).message}). Nothing more is deleted by it. Collectors with other settings refuse until it is forgotten, GC_PRESENCE after its last sweep.`
        )
      )
    )
  })

/** Names sort as sweeps began. Two of one millisecond differ by a random part. */
const nameOf = (startedAt: number) =>
  Effect.map(Random.nextIntBetween(0, 0x10000), (random) => {
    const time = new Date(startedAt).toISOString().replaceAll(/[-:]/g, "")
    return `${time}-${random.toString(16).padStart(4, "0")}`
  })

/** Runs the phases with what they share. */
const runPhases = Effect.fnUntraced(function* <R>(
  phases: ReadonlyArray<Phase<R>>,
  sweep: Pick<SweepContext, "settings" | "bounds" | "dryRun" | "sweep" | "lost" | "odd" | "sources">
) {
  const pace = yield* Pace.make(sweep.settings)
  const deletion = yield* Deletion.make(sweep.settings, pace)
  const running = RunPhases.run(phases, { ...sweep, pace, deletion })
  return yield* Effect.annotateLogs(running, { sweep: sweep.sweep })
})

/** Adds up what waits for the phases, beside the collector's backlog. */
const backlogOf = <R>(settings: SweepSettings, phases: ReadonlyArray<Phase<R>>) =>
  Effect.map(
    Effect.forEach(
      phases,
      ({ backlog }) => backlog?.(settings) ?? Effect.succeed({ sessions: 0, dueAt: null })
    ),
    (backlogs): SweepMetrics.PhasesBacklog => ({
      sessions: backlogs.reduce((sum, { sessions }) => sum + sessions, 0),
      dueAt: backlogs.flatMap(({ dueAt }) => dueAt ?? []),
      oldestAt: backlogs.flatMap(({ oldestAt }) => oldestAt ?? [])
    })
  )

const leftOf = (settings: SweepSettings, backlog: Backlog, others: SweepMetrics.PhasesBacklog): Left => {
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
