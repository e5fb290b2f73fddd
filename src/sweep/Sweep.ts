/**
 * One activation of the collector: the guards, then the phases in their order, in bounded batches.
 *
 * A sweep never fails. What failed is in its report, and each phase runs whatever happened to the one before, unless a
 * guard refuses: then nothing at all is deleted.
 */
import { Clock, Context, Duration, Effect, Exit, Layer, Random } from "effect"
import { CollectorDatabase, type Orders, type Pause } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { SettingsInvalid } from "../domain/SettingsInvalid.ts"
import { outcomeOf, type SweepReport, totalsOf } from "../domain/SweepReport.ts"
import { drawProcessName } from "../platform/processName.ts"
import { Storage } from "../storage/Storage.ts"
import * as Activity from "./Activity.ts"
import * as AskSources from "./AskSources.ts"
import { backlogOf, leftOf } from "./Backlogs.ts"
import * as Bounds from "./Bounds.ts"
import { collectorPhases } from "./CollectorPhases.ts"
import * as Deletion from "./Deletion.ts"
import * as OddRows from "./OddRows.ts"
import * as Pace from "./Pace.ts"
import * as Pausing from "./Pausing.ts"
import type { Phase } from "./Phase.ts"
import type { SweepContext } from "./PhaseContext.ts"
import { suspects } from "./phases/Suspects.ts"
import { emptyMemory } from "./preflight/Guard.ts"
import * as Preflight from "./preflight/Preflight.ts"
import type { ReferenceSource } from "./ReferenceSource.ts"
import { remember } from "./Remember.ts"
import * as RunPhases from "./RunPhases.ts"
import { controls, inForce, leave, type Self, takeUp, waits } from "./Self.ts"
import { type Checked, check, defaultSettings, type SettingsInput, type SweepSettings } from "./Settings.ts"
import * as SweepMetrics from "./SweepMetrics.ts"
import type {
  LayerOptions,
  Parts,
  PauseOptions,
  ServicesOf,
  ServicesOfSource,
  SweepOptions
} from "./SweepOptions.ts"
import * as VerifySuspects from "./VerifySuspects.ts"
import { forgets, presenceFor } from "./When.ts"

export type {
  LayerOptions,
  Parts,
  PauseOptions,
  ServicesOf,
  ServicesOfSource,
  SweepOptions
} from "./SweepOptions.ts"

/**
 * The collector. `Sweep.layer` takes its settings and its phases: those of every collector by default,
 * `RegistryPhases.registryPhases` beside a registry. `once` runs one sweep, `Collector.layer` runs them on a schedule.
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
     * `Collector` forks it. A sweep by itself verifies those that it finds.
     */
    readonly verifying: Effect.Effect<never>
    /** Returns the pause that is in force for all collectors of this catalogue; null without one. */
    readonly paused: Effect.Effect<Pause | null, DatabaseError>
    /**
     * Returns the pause and the changed settings that are in force for all collectors of this catalogue. A sweep takes the
     * changed ceilings up by itself, and `Collector` the schedule.
     */
    readonly orders: Effect.Effect<Orders, DatabaseError>
    /**
     * Pauses all collectors of this catalogue, in every process. Success means that it is recorded: no sweep begins from
     * now on, and those under way end after the batch in hand, within 5 seconds. Suspects are not verified either, because
     * that deletes rows whose object is missing. Replaces an earlier pause.
     */
    readonly pause: (reason: string, options?: PauseOptions) => Effect.Effect<void, DatabaseError>
    /** Ends the pause in every process. Returns the one that was in force; null without one. */
    readonly resume: Effect.Effect<Pause | null, DatabaseError>
    /**
     * Says that sweeps of this process begin at most `wait` after the previous one ended, so that the other collectors
     * know it in between: `presence` follows, unless it was given. `Collector` says it of its schedule. A host with a
     * schedule of its own says it once, or gives `presence`. Fails with `SettingsInvalid` where `presence` was given and
     * is shorter.
     */
    readonly scheduled: (wait: Duration.Input) => Effect.Effect<void, SettingsInvalid>
    /** Tells other processes that this collector sweeps again at `dueAt`, in milliseconds since the epoch. Never fails. */
    readonly waits: (dueAt: number) => Effect.Effect<void>
    /**
     * Tells the other collectors of this catalogue that this one has stopped, so that they need not agree with its
     * settings. The end of the layer's scope does the same. A collector that is killed is forgotten `presence` after its
     * last sweep. Takes 3 seconds at most, and never fails.
     */
    readonly leave: Effect.Effect<void>
  }
>()("artifact-gc/sweep/Sweep") {
  /**
   * Builds a collector over the given services. Settings that are not named take {@link defaultSettings}; durations may be
   * written as `"2 hours"`. The layer requires the services of its phases and sources. Fails with `SettingsInvalid`, which
   * lists every value that the program would refuse in its environment, too. When the layer's scope closes, the other
   * collectors are told that this one has left.
   */
  static readonly layer = <
    P extends Phase<unknown> = (typeof collectorPhases)[number],
    S extends ReferenceSource<unknown> = ReferenceSource
  >({
    phases,
    sources,
    ...settings
  }: LayerOptions<P, S> = {}): Layer.Layer<
    Sweep,
    SettingsInvalid,
    ServicesOf<P> | ServicesOfSource<S> | CollectorDatabase | Storage
  > =>
    Layer.effect(
      Sweep,
      Effect.flatMap(check(settings as SettingsInput), (checked) => make(checked, { phases, sources }))
    )

  /**
   * Builds a collector with settings that were checked already, or that no check would pass: tests have waits of
   * milliseconds. Values that do not fit together can lose what is referenced. `presence` counts as given unless
   * `presenceFollows`: then it follows the schedule.
   */
  static readonly layerUnchecked = <
    P extends Phase<unknown> = (typeof collectorPhases)[number],
    S extends ReferenceSource<unknown> = ReferenceSource
  >({
    phases,
    sources,
    presenceFollows = false,
    ...settings
  }: Partial<SweepSettings> & Parts<P, S> & { readonly presenceFollows?: boolean } = {}): Layer.Layer<
    Sweep,
    never,
    ServicesOf<P> | ServicesOfSource<S> | CollectorDatabase | Storage
  > => {
    const checked = {
      settings: { ...defaultSettings, ...settings },
      givesPresence: settings.presence !== undefined && !presenceFollows
    }
    return Layer.effect(Sweep, make(checked, { phases, sources }))
  }
}

/** Returns the service. It leaves when the scope closes. */
const make = Effect.fnUntraced(function* <P extends Phase<unknown>, S extends ReferenceSource<unknown>>(
  { givesPresence, settings }: Checked,
  { phases, sources = [] }: Parts<P, S>
) {
  const list = (phases ?? collectorPhases) as ReadonlyArray<Phase<ServicesOf<P>>>
  const asked = sources as ReadonlyArray<ReferenceSource<ServicesOfSource<S>>>
  const context = yield* Effect.context<ServicesOf<P> | ServicesOfSource<S> | CollectorDatabase | Storage>()
  // The services alone: clock, tracer and progress are the caller's.
  const services = Context.pick(
    CollectorDatabase,
    Storage,
    ...list.flatMap(({ requires }) => requires)
  )(context)
  const self: Self = {
    id: settings.collectorId ?? drawProcessName(),
    settings,
    changes: {},
    registered: false,
    passedAt: null,
    memory: emptyMemory(),
    sources: asked.map(AskSources.bind(context))
  }
  const leaving = Effect.provideContext(leave(self), services)
  yield* Effect.addFinalizer(() => leaving)
  return Sweep.of({
    get settings() {
      return inForce(self)
    },
    once: (options = {}) => Effect.provideContext(once(list, self, options), services),
    verifying: Effect.provideContext(verifying(list, self), services),
    scheduled: (wait) =>
      Effect.suspend(() => {
        const { maxDuration, presence } = self.settings
        const between = Duration.fromInputUnsafe(wait)
        if (!givesPresence) self.settings = { ...self.settings, presence: presenceFor(between, maxDuration) }
        else if (forgets(presence, between, maxDuration)) {
          return Effect.fail(new SettingsInvalid({ problems: [forgetting] }))
        }
        return Effect.void
      }),
    waits: (dueAt) => Effect.provideContext(waits(self, dueAt), services),
    ...controls(self, Context.get(services, CollectorDatabase)),
    leave: leaving
  })
})

const forgetting =
  "presence: must not be less than the time from one sweep to the next and maxDuration together, or collectors would forget each other"

const once = Effect.fn("Sweep.once")(function* <R>(
  phases: ReadonlyArray<Phase<R>>,
  self: Self,
  options: SweepOptions
) {
  const { settings } = self
  const database = yield* CollectorDatabase
  const startedAt = yield* Clock.currentTimeMillis
  const sweep = yield* nameOf(startedAt)
  yield* Effect.annotateCurrentSpan({ sweep })
  const dryRun = options.dryRun ?? false
  const activity = Activity.make(database.peers, self.id, sweep, startedAt)
  const bounds = yield* Bounds.make(
    settings,
    stoppingOf(options, activity, Pausing.make(database.control, startedAt)),
    options.until ?? Number.POSITIVE_INFINITY
  )
  const sources = AskSources.make(self.sources)
  const { error, findings, lost, orders, store } = yield* Preflight.judge({
    settings,
    id: self.id,
    sources: self.sources,
    now: startedAt,
    dryRun,
    evenIfPaused: options.evenIfPaused ?? false,
    activity: activity.at(startedAt),
    memory: self.memory,
    tellRegistered: () => {
      self.registered = true
    }
  }).pipe(Effect.annotateLogs({ sweep }))
  if (orders !== null) yield* takeUp(self, orders.overrides)
  if (!dryRun) self.passedAt = error === null ? startedAt : null
  const odd = OddRows.make()
  const reports =
    error === null
      ? yield* activity.observed(
          runPhases(
            phases,
            { settings: inForce(self), bounds, dryRun, sweep, lost, odd, sources },
            activity.failed
          )
        )
      : RunPhases.refused(phases, error)
  const finishedAt = yield* Clock.currentTimeMillis
  const backlog = yield* Effect.exit(Effect.zip(database.backlog(finishedAt), backlogOf(settings, phases)))
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
  if (!dryRun) {
    const nextDueAt = yield* options.nextDueAt?.(finishedAt) ?? Effect.succeed(null)
    yield* remember(self.id, report, startedAt, finishedAt, nextDueAt, settings)
  }
  yield* SweepMetrics.ended(report, settings, Exit.isSuccess(backlog) ? backlog.value : null)
  return report
}, SweepMetrics.running)

/** Tells how far a sweep is before it asks whether the catalogue is paused. A dry run leaves no trace. */
const stoppingOf =
  (
    { dryRun = false, evenIfPaused = false, stopping }: SweepOptions,
    activity: Activity.Activity,
    pausing: Bounds.Stopping
  ): Bounds.Stopping =>
  (now) => {
    const tells = dryRun ? null : activity.tell(now)
    const asks = evenIfPaused ? null : pausing(now)
    if (stopping === undefined && tells === null && asks === null) return null
    return Effect.flatMap(stopping ?? Effect.succeed(false), (isStopping) => {
      if (isStopping) return Effect.succeed(true)
      return Effect.andThen(tells ?? Effect.void, asks ?? Effect.succeed(false))
    })
  }

/** Runs the phase of suspects, and nothing else, whenever there are any. */
const verifying = Effect.fnUntraced(function* <R>(phases: ReadonlyArray<Phase<R>>, self: Self) {
  const own = phases.filter(({ name }) => name === suspects.name)
  if (own.length === 0) return yield* Effect.never
  const { control } = yield* CollectorDatabase
  return yield* VerifySuspects.forever({
    paused: Effect.flatMap(Clock.currentTimeMillis, control.paused),
    passedAt: Effect.sync(() => self.passedAt),
    ask: Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const { error } = yield* Preflight.judge({
        settings: self.settings,
        id: self.id,
        sources: self.sources,
        now,
        dryRun: false,
        evenIfPaused: false,
        activity: null,
        memory: self.memory,
        tellRegistered: () => {
          self.registered = true
        }
      })
      self.passedAt = error === null ? now : null
      return error === null
    }),
    run: Effect.gen(function* () {
      const settings = inForce(self)
      const bounds = yield* Bounds.make(settings, () => null, Number.POSITIVE_INFINITY)
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

/** Names sort as sweeps began. Two of one millisecond differ by a random part. */
const nameOf = (startedAt: number) =>
  Effect.map(Random.nextIntBetween(0, 0x10000), (random) => {
    const time = new Date(startedAt).toISOString().replaceAll(/[-:]/g, "")
    return `${time}-${random.toString(16).padStart(4, "0")}`
  })

/** Runs the phases with what they share. */
const runPhases = Effect.fnUntraced(function* <R>(
  phases: ReadonlyArray<Phase<R>>,
  sweep: Pick<SweepContext, "settings" | "bounds" | "dryRun" | "sweep" | "lost" | "odd" | "sources">,
  failed?: Activity.Activity["failed"]
) {
  const pace = yield* Pace.make(sweep.settings)
  const deletion = Deletion.make(sweep.settings, pace, yield* CollectorDatabase, yield* Storage)
  const running = RunPhases.run(phases, { ...sweep, pace, deletion }, failed)
  return yield* Effect.annotateLogs(running, { sweep: sweep.sweep })
})
