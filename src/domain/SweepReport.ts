/** The report of a sweep: plain, encodable data. It includes failures, because a sweep itself never fails. */
import { Schema } from "effect"
import { isRefusal, SweepErrorTag } from "./SweepError.ts"

export { isRefusal, type Refusal, type SweepError, SweepErrorTag } from "./SweepError.ts"

const Count = Schema.Int
const Counts = Schema.Record(Schema.String, Count)

/**
 * Why a phase ended before its work was done.
 *
 * - `count`, `time`: the sweep's own bounds (GC_SWEEP_MAX_DELETES; GC_SWEEP_MAX_DURATION and GC_WINDOW)
 * - `stopped`: the process was asked to stop
 * - `failure`: see `error`
 */
export const StoppedBy = Schema.Literals(["count", "time", "stopped", "failure"])
export type StoppedBy = typeof StoppedBy.Type

/** The error that ended a phase, as data. */
export const PhaseFailure = Schema.Struct({
  /** Which error it is. The class of this name is exported by `artifact-gc`. */
  tag: SweepErrorTag,
  /** What happened, whether anything was deleted, and what to do. */
  message: Schema.String
})
export type PhaseFailure = typeof PhaseFailure.Type

/** One phase of a sweep. In a dry run, `eligible` counts what a sweep would try to delete. */
export const PhaseReport = Schema.Struct({
  /**
   * Items examined: chunks of idle upload sessions, staged objects, uploads in parts and objects listed,
   * untagged manifests whose grace is over, blobs scanned, journal rows claimed.
   */
  seen: Count,
  /**
   * Garbage whose waits are over. Of leftovers: the journaled ones, which are deleted after their quarantine.
   * Of manifests: those whose rows were deleted; an orphans' phase finds their blobs.
   */
  eligible: Count,
  /** Objects and uploads in parts whose deletion the store confirmed. */
  deleted: Count,
  /**
   * Recorded size of the deleted objects, those included that were absent before: a store's answer does not tell
   * them apart. A finding of the binding guard says how many of a sample are absent. In a dry run: of the
   * eligible ones.
   */
  bytes: Schema.Finite,
  /**
   * Items examined and kept, by reason: `grace`, `quarantine`, `referenced`, `in use` and others. `held`: only
   * a pin keeps them. `dropped`: only the row was deleted.
   */
  kept: Counts,
  /** When the last pin of the blobs `held` ends, ISO 8601. Absent without any. */
  heldUntil: Schema.optionalKey(Schema.String),
  /** Eligible items that were not deleted, by the store's code or the error's reason. */
  failed: Counts,
  /** Why the phase ended early; null if it did not. */
  stoppedBy: Schema.NullOr(StoppedBy),
  /** Error that ended the phase; null without one. The other phases still ran. */
  error: Schema.NullOr(PhaseFailure),
  /** In a dry run: a few keys or digests that would be deleted. */
  sample: Schema.Array(Schema.String),
  /** Garbage that the phase cannot find, and what deletes it; absent if it finds all. */
  unlisted: Schema.optionalKey(Schema.String),
  /** Duration of the phase. */
  durationMillis: Schema.Finite
})
export type PhaseReport = typeof PhaseReport.Type

/** Work that waits for a later sweep. */
export const Left = Schema.Struct({
  /** Orphans within their grace period. */
  waiting: Count,
  /** Condemned blobs, within their quarantine. */
  condemned: Count,
  /** Size of the condemned blobs. */
  condemnedBytes: Schema.Finite,
  /** Journaled keys that are not deleted yet. */
  journaled: Count,
  /** Uploads that are announced and not finished. */
  intents: Count,
  /** Upload sessions that are open or being finished. */
  sessions: Count,
  /** Pins: of blobs that a client was told exist and does not refer to yet, and of restored blobs. */
  pins: Count,
  /** Dead letters; `artifact-gc journal --retry` puts them back. */
  deadLetters: Count,
  /**
   * When the next waiting item becomes due, ISO 8601; null if nothing waits. It does not consider untagged
   * manifests.
   */
  nextDueAt: Schema.NullOr(Schema.String)
})
export type Left = typeof Left.Type

/** The finding of a guard. `allowed`: a setting permits it. */
export const GuardFinding = Schema.Struct({
  /** Which guard. */
  guard: Schema.Literals([
    "schema",
    "pause",
    "references",
    "writers",
    "clock",
    "settings",
    "store",
    "binding",
    "age",
    "breaker"
  ]),
  /** Whether the guard refused. */
  decision: Schema.Literals(["refused", "allowed"]),
  /** What it found, and what to do. */
  message: Schema.String
})
export type GuardFinding = typeof GuardFinding.Type

/** What a delete does in this store; `markers` frees no byte. See `StoreTraits`. */
export const StoreReport = Schema.Struct({
  /** Whether the bucket keeps versions. */
  versioning: Schema.Literals(["off", "on", "suspended"]),
  /** Whether objects may be locked against deletion. */
  objectLock: Schema.Boolean,
  /** What a delete removes. */
  deletes: Schema.Literals(["objects", "markers", "versions"])
})
export type StoreReport = typeof StoreReport.Type

/** The outcome of one activation. */
export const SweepReport = Schema.Struct({
  /** Name of this sweep, e.g. to restore what it condemned. Names sort in the order in which sweeps began. */
  sweep: Schema.String,
  /** Beginning of the sweep by the collector's clock, ISO 8601. */
  startedAt: Schema.String,
  /** Duration of the sweep. */
  durationMillis: Schema.Finite,
  /** Whether it only planned, and deleted nothing. */
  dryRun: Schema.Boolean,
  /**
   * How the sweep ended.
   *
   * - `complete`: everything due is deleted
   * - `bounded`: a bound or a stop ended it early; the next sweep continues
   * - `failed`: something due was not deleted; see `failed` and `error` of the phases
   * - `refused`: a guard refused the sweep or its purges; see `guards`
   */
  outcome: Schema.Literals(["complete", "bounded", "failed", "refused"]),
  /** Findings of the guards; empty without any. */
  guards: Schema.Array(GuardFinding),
  /** What a delete does in this store; null if the store did not answer. */
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
  /** The sums of all phases. */
  totals: Schema.Struct({
    eligible: Count,
    deleted: Count,
    bytes: Schema.Finite,
    /** The part of `bytes` that the store freed, at most: none where a delete leaves markers. */
    reclaimedBytes: Schema.Finite,
    failed: Count
  }),
  /** Work for later sweeps; null if the database did not answer. */
  left: Schema.NullOr(Left)
})
export type SweepReport = typeof SweepReport.Type

/** The report of a phase that has done nothing yet. */
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

/** Returns the sums of all phases. */
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

/** Returns the worst outcome of the phases. */
export const outcomeOf = (phases: SweepReport["phases"]): SweepReport["outcome"] => {
  const all = Object.values(phases)
  if (all.some((p) => p.error !== null && isRefusal(p.error.tag))) return "refused"
  if (all.some((p) => p.error !== null || sum(p.failed) > 0)) return "failed"
  return all.some((p) => p.stoppedBy !== null) ? "bounded" : "complete"
}

/** A phase that an error ended. */
export interface FailedPhase extends PhaseFailure {
  /** The name of the phase. */
  readonly phase: string
}

/**
 * Returns the phases that an error ended, in the order in which they ran. Empty if none did. Match the tag, which names
 * an error class of this package:
 *
 * ```ts
 * for (const { phase, tag, message } of SweepReport.errorsOf(report))
 *   if (tag === "BreakerOpen") yield* page(`${phase}: ${message}`)
 * ```
 */
export const errorsOf = ({ phases }: Pick<SweepReport, "phases">): ReadonlyArray<FailedPhase> =>
  Object.entries(phases).flatMap(([phase, { error }]) => (error === null ? [] : [{ phase, ...error }]))
