/** Updates the metrics of one phase. Each update is synchronous, and made where the phase's report grows. */
import type { Context } from "effect"
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

/** Returns the updates of the phase `phase`, to the metrics of `context`. Those of a dry run do nothing. */
export const make = (phase: string, dryRun: boolean, context: Context.Context<never>): PhaseMetrics =>
  dryRun ? none : new Updates(phase, context)

/** A class, because each phase of each sweep makes one. */
class Updates implements PhaseMetrics {
  readonly #phase: string
  readonly #context: Context.Context<never>

  constructor(phase: string, context: Context.Context<never>) {
    this.#phase = phase
    this.#context = context
  }

  seen(count: number): void {
    Metrics.phaseSeen.of({ phase: this.#phase }).updateUnsafe(count, this.#context)
  }

  eligible(count: number): void {
    Metrics.phaseEligible.of({ phase: this.#phase }).updateUnsafe(count, this.#context)
  }

  deleted(count: number, bytes: number): void {
    const phase = this.#phase
    Metrics.phaseDeleted.of({ phase }).updateUnsafe(count, this.#context)
    Metrics.phaseDeletedBytes.of({ phase }).updateUnsafe(bytes, this.#context)
  }

  kept(reason: string, count: number): void {
    if (count > 0) Metrics.phaseKept.of({ phase: this.#phase, reason }).updateUnsafe(count, this.#context)
  }

  failed(reason: string, count: number): void {
    this.#failed(reasonOf(reason), count)
  }

  undeleted(failures: ReadonlyArray<DeleteFailure>): void {
    for (const [reason, count] of countsOf(failures)) this.#failed(nameOf(reason), count)
  }

  ended(durationMillis: number, error: PhaseReport["error"]): void {
    const phase = this.#phase
    Metrics.phaseDuration.of({ phase }).updateUnsafe(durationMillis / 1000, this.#context)
    if (error !== null) Metrics.phaseErrors.of({ phase, error: error.tag }).updateUnsafe(1, this.#context)
  }

  #failed(reason: Metrics.FailureReason, count: number): void {
    if (count > 0) Metrics.phaseFailures.of({ phase: this.#phase, reason }).updateUnsafe(count, this.#context)
  }
}

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
