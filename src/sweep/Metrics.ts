/**
 * The metrics of sweeps. They are updated beside the spans, a batch at a time, and never by dry runs.
 *
 * Several collectors in one process share the series, unless the host gives each its own attributes with
 * `Metric.CurrentMetricAttributes`.
 */
import { counter, gauge, histogram } from "../domain/DeclaredMetric.ts"
import { GuardFinding, SweepReport } from "../domain/SweepReport.ts"

const phase = "the phase, as in the report"

/** How sweeps end. */
const outcome = SweepReport.fields.outcome.literals

/** Why keys are still there, in words that are the same for every store. */
export const failureReasons = [
  "throttled",
  "unavailable",
  "timed_out",
  "denied",
  "locked",
  "missing",
  "rejected",
  "internal",
  "unconfirmed",
  "refused_by_database",
  "object_missing",
  "unknown"
] as const

/** Why a key is still there. */
export type FailureReason = (typeof failureReasons)[number]

/** Sweeps that ended. */
export const sweeps = counter({
  name: "artifact_gc_sweeps_total",
  labels: { outcome },
  help: "Sweeps that ended, by outcome.",
  look: "`failed` or `refused` that rises: the log of the sweep names the error and the next step. `bounded` at every sweep: garbage grows faster than the bounds allow."
})

/** How long sweeps take. */
export const sweepDuration = histogram({
  name: "artifact_gc_sweep_duration_seconds",
  unit: "seconds",
  boundaries: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800, 3600, 7200],
  help: "Duration of sweeps.",
  look: "A rise without more deletions: the scan is slow, see artifact_gc_phase_duration_seconds_total."
})

/** Sweeps under way. */
export const sweepsRunning = gauge({
  name: "artifact_gc_sweeps_running",
  help: "Sweeps of this process that are under way.",
  look: "1 for longer than GC_SWEEP_MAX_DURATION: the sweep is stuck in a call to the database or the store."
})

/** When sweeps last ended. */
export const lastSweep = gauge({
  name: "artifact_gc_last_sweep_timestamp_seconds",
  unit: "seconds",
  labels: { outcome },
  help: "When the last sweep with this outcome ended, as Unix time.",
  look: '`time() - max(artifact_gc_last_sweep_timestamp_seconds{outcome=~"complete|bounded"})` above a few intervals: nothing is collected.'
})

/** How long phases ran. */
export const phaseDuration = counter({
  name: "artifact_gc_phase_duration_seconds_total",
  unit: "seconds",
  labels: { phase },
  help: "Time that phases took.",
  look: "Shows which phase a slow sweep spends its time in."
})

/** What phases examined. */
export const phaseSeen = counter({
  name: "artifact_gc_phase_seen_total",
  labels: { phase },
  help: "Items that phases examined: blobs, sightings, objects, chunks, journal rows.",
  look: "Flat while sweeps run: the phase finds nothing to look at, which is normal on a quiet catalogue."
})

/** What phases found due. */
export const phaseEligible = counter({
  name: "artifact_gc_phase_eligible_total",
  labels: { phase },
  help: "Garbage whose waits were over.",
  look: "Above artifact_gc_phase_deleted_total for long: see the failures of the phase."
})

/** What phases deleted. */
export const phaseDeleted = counter({
  name: "artifact_gc_phase_deleted_total",
  labels: { phase },
  help: "Objects and uploads in parts whose deletion the store confirmed.",
  look: "Flat for days although images are deleted: see queues, guards and breakers."
})

/** The bytes that phases deleted. */
export const phaseDeletedBytes = counter({
  name: "artifact_gc_phase_deleted_bytes_total",
  unit: "bytes",
  labels: { phase },
  help: "Recorded size of the deleted objects.",
  look: "The space that came back. In a bucket with versions, only if S3_VERSIONED_DELETE is `versions`."
})

/** What phases kept. */
export const phaseKept = counter({
  name: "artifact_gc_phase_kept_total",
  labels: { phase, reason: "the reason, as in the report" },
  help: "Items that phases examined and kept, by reason.",
  look: "Explains why little is deleted: `grace` and `quarantine` are waits, `held` are pins, `busy` are locks of writers."
})

/** What phases could not delete. */
export const phaseFailures = counter({
  name: "artifact_gc_phase_failures_total",
  labels: { phase, reason: failureReasons },
  help: "Items that were due and not deleted, by reason.",
  look: "`denied` and `missing`: credentials or bucket. `locked`: retention. `throttled` and `unavailable`: the store. The report has the store's own code."
})

/** Errors that ended phases. */
export const phaseErrors = counter({
  name: "artifact_gc_phase_errors_total",
  labels: { phase, error: "the tag of the error, as in the report" },
  help: "Errors that ended a phase early.",
  look: "Each is in the log with its next step. The other phases ran."
})

/** Keys that wait for another attempt. */
export const postponed = counter({
  name: "artifact_gc_journal_postponed_total",
  labels: { reason: failureReasons },
  help: "Journaled keys that were postponed because their deletion failed.",
  look: "Rises while the store is in trouble. The keys are tried again by themselves."
})

/** Keys that were tried again. */
export const retried = counter({
  name: "artifact_gc_journal_retried_total",
  help: "Journaled keys whose deletion was tried again after a failure of the key itself.",
  look: "Rises with few keys and no deletions: these keys become dead letters."
})

/** Keys that were given up on. */
export const deadLettered = counter({
  name: "artifact_gc_journal_dead_lettered_total",
  help: "Journaled keys that were given up on.",
  look: "`artifact-gc journal` lists them with their errors, `artifact-gc journal --retry` puts them back."
})

/** Work that waits. */
const queue = [
  "orphans",
  "candidates",
  "condemned",
  "journal",
  "dead_letters",
  "intents",
  "sessions",
  "pins"
] as const

/** How much waits. */
export const queueLength = gauge({
  name: "artifact_gc_queue_length",
  labels: { queue },
  help: "Rows that wait for a later sweep, as the last sweep left them.",
  look: "`orphans` and `condemned` are waits. `dead_letters` above 0 needs an operator. A `journal` or `candidates` that grows from sweep to sweep: deletions are slower than arrivals."
})

/** The bytes that wait. */
export const queueBytes = gauge({
  name: "artifact_gc_queue_bytes",
  unit: "bytes",
  labels: { queue: ["condemned", "journal"] },
  help: "Recorded size of what waits for deletion, as the last sweep left it.",
  look: "The space that comes back next."
})

/** How old the oldest is. */
export const queueOldestAge = gauge({
  name: "artifact_gc_queue_oldest_age_seconds",
  unit: "seconds",
  labels: { queue: ["orphans", "condemned", "dead_letters", "sessions"] },
  help: "Age of the oldest row at this moment, 0 if the last sweep left none: since it was seen, condemned, given up on, or last active.",
  look: "`orphans` above GC_GRACE, or `condemned` above GC_QUARANTINE, by more than two intervals: sweeps do not get to them."
})

/** How late the first is. */
export const queueOverdue = gauge({
  name: "artifact_gc_queue_overdue_seconds",
  unit: "seconds",
  labels: { queue: ["orphans", "condemned", "journal", "intents", "sessions", "pins"] },
  help: "How long the first row of the last sweep's backlog has been due at this moment, 0 if none is.",
  look: "The lag of collection. Up to one interval is normal, because a sweep deletes what is due when it runs."
})

/** How late a sweep begins. */
export const scheduleLag = gauge({
  name: "artifact_gc_schedule_lag_seconds",
  unit: "seconds",
  help: "How long the next sweep has been due at this moment; 0 while one runs or none is due.",
  look: "Above a minute: the process is overloaded or stuck. GC_JITTER, hours outside of GC_WINDOW and pauses do not count."
})

/** Which guards refuse. */
export const guardRefusing = gauge({
  name: "artifact_gc_guard_refusing",
  labels: { guard: GuardFinding.fields.guard.literals },
  help: "1 if the guard refused the last sweep or a phase of it, otherwise 0.",
  look: "1: nothing is deleted until the cause is removed. The log names it and the next step."
})

/** Which breakers are open. */
export const breakerOpen = gauge({
  name: "artifact_gc_breaker_open",
  labels: { breaker: "the breaker" },
  help: "1 if the breaker was open when a sweep last looked, otherwise 0.",
  look: "1: `artifact-gc breaker` shows what would be deleted. Confirm it or repair the references."
})

/** How far the clocks are apart. */
export const clockSkew = gauge({
  name: "artifact_gc_clock_skew_seconds",
  unit: "seconds",
  labels: { clock: ["database", "store"] },
  help: "How far the clock of the database or of the store is ahead of this host's.",
  look: "Beyond GC_CLOCK_TOLERANCE on either side, sweeps are refused. Repair time synchronisation."
})

/** Requests that delete, under way at most. */
export const paceConcurrency = gauge({
  name: "artifact_gc_pace_concurrency",
  help: "Delete requests that may be in flight at once, as the store's answers allow.",
  look: "Far below artifact_gc_pace_concurrency_max: the store asks to slow down."
})

/** The ceiling of the above. */
export const paceConcurrencyMax = gauge({
  name: "artifact_gc_pace_concurrency_max",
  help: "The setting GC_DELETE_CONCURRENCY.",
  look: "The upper bound of artifact_gc_pace_concurrency."
})

/** How often the store asked for fewer requests. */
export const paceSlowed = counter({
  name: "artifact_gc_pace_slowed_total",
  labels: { reason: ["throttled", "unavailable"] },
  help: "How often the concurrency was halved, by what the store answered.",
  look: "`throttled`: other clients of the store suffer, too. Set GC_KEYS_PER_SECOND or sweep at night."
})

/** How long requests waited for the pace. */
export const paceWaited = counter({
  name: "artifact_gc_pace_waited_seconds_total",
  unit: "seconds",
  labels: { cause: ["ceiling", "store"] },
  help: "Time that requests to the store waited: for the ceilings of the settings, or after the store asked to slow down.",
  look: "Rises as fast as time: the ceiling, or the store, sets the pace of deletion."
})

/** Requests that delete. */
export const deleteRequests = histogram({
  name: "artifact_gc_delete_request_duration_seconds",
  unit: "seconds",
  labels: { result: ["ok", "partial", "failed"] },
  boundaries: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  help: "Duration of delete requests to the store: all keys deleted, some, or none because the request failed.",
  look: "Its rate is the rate of requests. A rise in duration comes before throttling."
})
