/** Updates the metrics of a pace, once for each request to the store. */
import { type Context, Result } from "effect"
import type { StorageError } from "../domain/StorageError.ts"
import type { DeleteOutcome } from "../storage/Storage.ts"
import * as Metrics from "./Metrics.ts"

/** What {@link make} returns. */
export interface PaceMetrics {
  /** So many delete requests may be in flight now. */
  readonly concurrency: (window: number) => void
  readonly slowed: (trouble: "Throttled" | "Unavailable") => void
  readonly waited: (cause: "ceiling" | "store", millis: number) => void
  readonly answered: (outcome: Result.Result<DeleteOutcome, StorageError>, millis: number) => void
}

/** Returns the updates to the metrics of `context`, and shows the ceiling of requests in flight. */
export const make = (concurrencyMax: number, context: Context.Context<never>): PaceMetrics => {
  Metrics.paceConcurrencyMax.of().updateUnsafe(concurrencyMax, context)
  return {
    concurrency: (window) => Metrics.paceConcurrency.of().updateUnsafe(window, context),
    slowed: (trouble) =>
      Metrics.paceSlowed
        .of({ reason: trouble === "Throttled" ? "throttled" : "unavailable" })
        .updateUnsafe(1, context),
    waited: (cause, millis) => Metrics.paceWaited.of({ cause }).updateUnsafe(millis / 1000, context),
    answered: (outcome, millis) =>
      Metrics.deleteRequests.of({ result: resultOf(outcome) }).updateUnsafe(millis / 1000, context)
  }
}

const resultOf = (outcome: Result.Result<DeleteOutcome, StorageError>) => {
  if (Result.isFailure(outcome)) return "failed"
  return outcome.success.failed.length === 0 ? "ok" : "partial"
}
