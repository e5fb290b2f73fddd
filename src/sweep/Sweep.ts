/**
 * One activation of the collector: upload sessions and staged uploads, uploads in parts, suspects, untagged manifests,
 * orphaned blobs, leftovers, journal, in this order, in bounded batches.
 *
 * A sweep never fails. What failed is in its report, and each phase runs whatever became of the one before, save
 * when a guard refuses: then nothing at all is deleted.
 */
import { Clock, Context, Duration, Effect, Exit, Layer, Random } from "effect"
import { type Backlog, Database } from "../database/Database.ts"
import {
  emptyPhase,
  type Left,
  outcomeOf,
  type PhaseReport,
  type SweepReport,
  totalsOf
} from "../domain/SweepReport.ts"
import * as Manifests from "../oci/phases/Manifests.ts"
import { drawProcessName } from "../platform/processName.ts"
import { Storage } from "../storage/Storage.ts"
import * as Bounds from "./Bounds.ts"
import * as Deletion from "./Deletion.ts"
import * as Pace from "./Pace.ts"
import { describe, phase } from "./PhaseCounts.ts"
import * as Journal from "./phases/Journal.ts"
import * as Leftovers from "./phases/Leftovers.ts"
import * as Multiparts from "./phases/Multiparts.ts"
import * as Orphans from "./phases/Orphans.ts"
import * as Uploads from "./phases/StagedUploads.ts"
import * as Adoption from "./phases/Suspects.ts"
import * as Guards from "./preflight/Preflight.ts"
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
  static readonly layer = (
    settings: Partial<SweepSettings> = {}
  ): Layer.Layer<Sweep, never, Database | Storage> =>
    Layer.effect(
      Sweep,
      Effect.gen(function* () {
        const all = withSmallBatches({ ...defaultSettings, ...settings })
        // These two alone: clock, tracer and progress are those of whoever runs a sweep.
        const services = Context.pick(Database, Storage)(yield* Effect.context<Database | Storage>())
        const self = { id: all.collectorId ?? drawProcessName(), swept: false }
        return Sweep.of({
          settings: all,
          once: (options = {}) => Effect.provideContext(once(all, self, options), services),
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

const once = Effect.fn("Sweep.once")(function* (settings: SweepSettings, self: Self, options: SweepOptions) {
  const database = yield* Database
  const startedAt = yield* Clock.currentTimeMillis
  const sweep = yield* nameOf(startedAt)
  const dryRun = options.dryRun ?? false
  const bounds = yield* Bounds.make(
    settings,
    options.stopping ?? Effect.succeed(false),
    options.until ?? Number.POSITIVE_INFINITY
  )
  if (!dryRun) self.swept = true
  const { error, findings, store } = yield* Guards.judge(settings, self.id, startedAt, dryRun)
  const phases = error === null ? yield* runPhases(settings, bounds, dryRun, sweep) : refused(error)
  const finishedAt = yield* Clock.currentTimeMillis
  const backlog = yield* Effect.exit(database.backlog(finishedAt))
  const report: SweepReport = {
    sweep,
    startedAt: new Date(startedAt).toISOString(),
    durationMillis: finishedAt - startedAt,
    dryRun,
    outcome: outcomeOf(phases),
    guards: [...findings, ...Guards.breakerFindings(phases)],
    store,
    phases,
    totals: totalsOf(phases, store),
    left: Exit.isSuccess(backlog) ? leftOf(settings, backlog.value) : null
  }
  return report
})

/** Longest that a database in trouble may hold up the end of a process. */
const leaveWithin = Duration.seconds(3)

const leave = (self: Self) =>
  Effect.gen(function* () {
    if (!self.swept) return
    const { peers } = yield* Database
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

const runPhases = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds.Bounds,
  dryRun: boolean,
  sweep: string
) {
  const pace = yield* Pace.make(settings)
  const deletion = yield* Deletion.make(settings, pace)
  const uploads = yield* phase("uploads", dryRun, (tally) =>
    Uploads.collect(settings, bounds, deletion, pace, tally, dryRun)
  )
  const multiparts = yield* phase("multiparts", dryRun, (tally) =>
    Multiparts.collect(settings, bounds, pace, tally, dryRun)
  )
  const suspects = yield* phase("suspects", dryRun, (tally) =>
    dryRun ? Adoption.plan(settings, tally) : Adoption.collect(settings, bounds, tally)
  )
  const manifests = yield* phase("manifests", dryRun, (tally) =>
    dryRun ? Manifests.plan(settings, tally) : Manifests.collect(settings, bounds, tally)
  )
  const orphans = yield* phase("orphans", dryRun, (tally) =>
    dryRun ? Orphans.plan(settings, bounds, tally) : Orphans.collect(settings, bounds, deletion, tally, sweep)
  )
  const leftovers = yield* phase("leftovers", dryRun, (tally) =>
    dryRun ? Leftovers.plan(settings, bounds, tally) : Leftovers.collect(settings, bounds, pace, tally)
  )
  const journal = yield* phase("journal", dryRun, (tally) =>
    dryRun ? Journal.plan(tally) : Journal.collect(settings, bounds, deletion, tally)
  )
  return { uploads, multiparts, suspects, manifests, orphans, leftovers, journal }
})

const refused = (error: NonNullable<PhaseReport["error"]>): SweepReport["phases"] => {
  const report: PhaseReport = { ...emptyPhase, stoppedBy: "failure", error }
  return {
    uploads: report,
    multiparts: report,
    suspects: report,
    manifests: report,
    orphans: report,
    leftovers: report,
    journal: report
  }
}

const leftOf = (settings: SweepSettings, backlog: Backlog): Left => {
  const after = (instant: number | null, wait: Duration.Duration) =>
    instant === null ? [] : [instant + Duration.toMillis(wait)]
  const due = [
    ...after(backlog.oldestSeenAt, settings.grace),
    ...after(backlog.oldestCondemnedAt, settings.quarantine),
    ...after(backlog.nextJournalAt, Duration.zero),
    ...after(backlog.oldestActivityAt, settings.uploadGrace)
  ]
  return {
    waiting: backlog.waiting,
    condemned: backlog.condemned,
    condemnedBytes: backlog.condemnedBytes,
    journaled: backlog.journaled,
    intents: backlog.intents,
    sessions: backlog.sessions,
    pins: backlog.pins,
    deadLetters: backlog.deadLetters,
    nextDueAt: due.length === 0 ? null : new Date(Math.min(...due)).toISOString()
  }
}
