/** What a sweep did: plain, encodable data. Failures are part of it, because a sweep itself never fails. */
import { Schema } from "effect"

const Count = Schema.Int
const Counts = Schema.Record(Schema.String, Count)

/**
 * Why a phase ended before its work did.
 *
 * - `count`, `time`: the sweep's own bounds (GC_SWEEP_MAX_DELETES; GC_SWEEP_MAX_DURATION and GC_WINDOW)
 * - `stopped`: the process was asked to stop
 * - `failure`: see `error`
 */
export const StoppedBy = Schema.Literals(["count", "time", "stopped", "failure"])
export type StoppedBy = typeof StoppedBy.Type

/** One phase of a sweep. `eligible` of a dry run is what a sweep would have tried to delete. */
export const PhaseReport = Schema.Struct({
  /**
   * Examined: chunks of idle upload sessions, staged objects, uploads in parts and objects listed, untagged manifests whose
   * grace is over, blobs scanned, journal rows claimed.
   */
  seen: Count,
  /**
   * Found to be garbage whose waits are over; of leftovers, those journaled, which go when their quarantine is over; of
   * manifests, those whose rows are gone: an orphans' phase finds their blobs.
   */
  eligible: Count,
  /** Objects, and uploads in parts, that the store confirmed gone. */
  deleted: Count,
  /** Their recorded size, absent ones included; in a dry run, the size of what is eligible. */
  bytes: Schema.Finite,
  /**
   * Examined and kept, by reason, e.g. `grace`, `quarantine`, `referenced`, `in use`; `dropped`: only the row
   * is gone.
   */
  kept: Counts,
  /** Not deleted although eligible, by the store's code or the error's reason. */
  failed: Counts,
  stoppedBy: Schema.NullOr(StoppedBy),
  /** The error that ended the phase. The other phases ran all the same. */
  error: Schema.NullOr(Schema.Struct({ tag: Schema.String, message: Schema.String })),
  /** A dry run's first few candidates: keys or digests. */
  sample: Schema.Array(Schema.String),
  durationMillis: Schema.Finite
})
export type PhaseReport = typeof PhaseReport.Type

/** What waits for a later sweep. */
export const Left = Schema.Struct({
  /** Orphans within their grace period. */
  waiting: Count,
  /** Condemned, within quarantine. */
  condemned: Count,
  condemnedBytes: Schema.Finite,
  /** Journal rows still to be deleted. */
  journaled: Count,
  /** Uploads announced and not finished. */
  intents: Count,
  /** Upload sessions that are open or being finished. */
  sessions: Count,
  /** Pins on blobs: answers "it exists" whose references are still to come, and restored blobs. */
  pins: Count,
  /** Journal rows given up on; `artifact-gc journal --retry` puts them back. */
  deadLetters: Count,
  /**
   * When the next thing that is known to wait becomes due, ISO 8601. Untagged manifests are not looked at for
   * it.
   */
  nextDueAt: Schema.NullOr(Schema.String)
})
export type Left = typeof Left.Type

/** What a guard found. `allowed`: a setting lets it pass. */
export const GuardFinding = Schema.Struct({
  guard: Schema.Literals(["schema", "clock", "settings", "store", "breaker"]),
  decision: Schema.Literals(["refused", "allowed"]),
  message: Schema.String
})
export type GuardFinding = typeof GuardFinding.Type

/** What deleting does in this store; `markers` frees no byte. See `StoreTraits`. */
export const StoreReport = Schema.Struct({
  versioning: Schema.Literals(["off", "on", "suspended"]),
  objectLock: Schema.Boolean,
  deletes: Schema.Literals(["objects", "markers", "versions"])
})
export type StoreReport = typeof StoreReport.Type

/** The outcome of one activation. */
export const SweepReport = Schema.Struct({
  /** Names this sweep, e.g. to restore what it condemned. Sorts as sweeps began. */
  sweep: Schema.String,
  /** ISO 8601, by the collector's clock. */
  startedAt: Schema.String,
  durationMillis: Schema.Finite,
  dryRun: Schema.Boolean,
  /**
   * - `complete`: everything that was due is gone
   * - `bounded`: a bound or a stop ended it early; the next sweep goes on where this one ended
   * - `failed`: something that should be gone is not; see `failed` and `error` of the phases
   * - `refused`: a guard allowed no collecting, or no purging; see `guards`
   */
  outcome: Schema.Literals(["complete", "bounded", "failed", "refused"]),
  /** Empty when no guard had anything to say. */
  guards: Schema.Array(GuardFinding),
  /** Null when the store could not say. */
  store: Schema.NullOr(StoreReport),
  /** By name, in the order in which they ran. Beside a registry `manifests` is among them. */
  phases: Schema.StructWithRest(
    Schema.Struct({
      uploads: PhaseReport,
      multiparts: PhaseReport,
      suspects: PhaseReport,
      orphans: PhaseReport,
      leftovers: PhaseReport,
      journal: PhaseReport
    }),
    [Schema.Record(Schema.String, PhaseReport)]
  ),
  totals: Schema.Struct({
    eligible: Count,
    deleted: Count,
    bytes: Schema.Finite,
    /** Of `bytes`, what the store gave back: none where deleting leaves markers. */
    reclaimedBytes: Schema.Finite,
    failed: Count
  }),
  /** Null when the database could not say. */
  left: Schema.NullOr(Left)
})
export type SweepReport = typeof SweepReport.Type

/** A phase that has done nothing yet. */
export const emptyPhase: PhaseReport = {
  seen: 0,
  eligible: 0,
  deleted: 0,
  bytes: 0,
  kept: {},
  failed: {},
  stoppedBy: null,
  error: null,
  sample: [],
  durationMillis: 0
}

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((a, b) => a + b, 0)

/** The phases' sums. */
export const totalsOf = (phases: SweepReport["phases"], store: StoreReport | null): SweepReport["totals"] => {
  const all = Object.values(phases)
  const total = (of: (phase: PhaseReport) => number) => all.reduce((n, phase) => n + of(phase), 0)
  return {
    eligible: total((p) => p.eligible),
    deleted: total((p) => p.deleted),
    bytes: total((p) => p.bytes),
    reclaimedBytes: store?.deletes === "markers" ? 0 : total((p) => p.bytes),
    failed: total((p) => sum(p.failed))
  }
}

/** Tags of the errors by which guards refuse. */
const refusals: ReadonlySet<string> = new Set([
  "SchemaRefused",
  "ClockRefused",
  "SettingsRefused",
  "StoreRefused",
  "BreakerOpen"
])

/** The worst of what the phases say. */
export const outcomeOf = (phases: SweepReport["phases"]): SweepReport["outcome"] => {
  const all = Object.values(phases)
  if (all.some((p) => p.error !== null && refusals.has(p.error.tag))) return "refused"
  if (all.some((p) => p.error !== null || sum(p.failed) > 0)) return "failed"
  return all.some((p) => p.stoppedBy !== null) ? "bounded" : "complete"
}
