/** Updates the metrics of one phase. Each update is synchronous, and made where the phase's report grows. */
import { Effect } from "effect"
import { StorageFailure } from "../domain/StorageError.ts"
import type { PhaseReport } from "../domain/SweepReport.ts"
import { type DeleteFailureReason, fromFailure } from "../storage/DeleteFailure.ts"
import type { DeleteFailure } from "../storage/Storage.ts"
import * as Metrics from "./Metrics.ts"

/** What {@link make} returns. */
export interface PhaseMetrics {
  readonly seen: (count: number) => void
  readonly eligible: (count: number) => void
  readonly deleted: (count: number, bytes: number) => void
  readonly kept: (reason: string, count: number) => void
  /** Counts by the reason of a report. One that no store gives is `unknown`. */
  readonly failed: (reason: string, count: number) => void
  /** Counts the keys of one answer. Their codes are the store's own and have no bound, so their reasons count. */
  readonly undeleted: (failures: ReadonlyArray<DeleteFailure>) => void
  readonly ended: (durationMillis: number, error: PhaseReport["error"]) => void
}

const ignored = () => {}

const none: PhaseMetrics = {
  seen: ignored,
  eligible: ignored,
  deleted: ignored,
  kept: ignored,
  failed: ignored,
  undeleted: ignored,
  ended: ignored
}

/** Returns the updates of the phase `phase`. Those of a dry run do nothing. */
export const make = (phase: string, dryRun: boolean): Effect.Effect<PhaseMetrics> =>
  dryRun
    ? Effect.succeed(none)
    : Effect.contextWith((context) => {
        const failed = (reason: Metrics.FailureReason, count: number) => {
          if (count > 0) Metrics.phaseFailures.of({ phase, reason }).updateUnsafe(count, context)
        }
        return Effect.succeed({
          seen: (count) => Metrics.phaseSeen.of({ phase }).updateUnsafe(count, context),
          eligible: (count) => Metrics.phaseEligible.of({ phase }).updateUnsafe(count, context),
          deleted: (count, bytes) => {
            Metrics.phaseDeleted.of({ phase }).updateUnsafe(count, context)
            Metrics.phaseDeletedBytes.of({ phase }).updateUnsafe(bytes, context)
          },
          kept: (reason, count) => {
            if (count > 0) Metrics.phaseKept.of({ phase, reason }).updateUnsafe(count, context)
          },
          failed: (reason, count) => failed(reasonOf(reason), count),
          undeleted: (failures) => {
            for (const [reason, count] of countsOf(failures)) failed(nameOf(reason), count)
          },
          ended: (durationMillis, error) => {
            Metrics.phaseDuration.of({ phase }).updateUnsafe(durationMillis / 1000, context)
            if (error !== null) Metrics.phaseErrors.of({ phase, error: error.tag }).updateUnsafe(1, context)
          }
        } satisfies PhaseMetrics)
      })

const countsOf = (failures: ReadonlyArray<DeleteFailure>): ReadonlyMap<DeleteFailureReason, number> => {
  const counts = new Map<DeleteFailureReason, number>()
  for (const { reason } of failures) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  return counts
}

const nameOf = (reason: DeleteFailureReason): Metrics.FailureReason =>
  reason === "timedOut" ? "timed_out" : reason

const isStorageFailure = (reason: string): reason is StorageFailure =>
  (StorageFailure.literals as ReadonlyArray<string>).includes(reason)

/** Reasons of the collector itself. */
const own: Readonly<Record<string, Metrics.FailureReason>> = {
  "refused by the database": "refused_by_database",
  "object missing": "object_missing"
}

/** Returns the value of the label for a reason of a report. */
export const reasonOf = (reason: string): Metrics.FailureReason =>
  isStorageFailure(reason) ? nameOf(fromFailure(reason)) : (own[reason] ?? "unknown")

/** Returns the value of the label for a reason of a store. */
export const reasonOfKey = nameOf
