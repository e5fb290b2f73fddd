/** Adds the report of a sweep to the history. */
import { Duration, Effect } from "effect"
import { CollectorDatabase } from "../database/Database.ts"
import type { SweepReport } from "../domain/SweepReport.ts"
import { describe } from "./PhaseCounts.ts"
import type { SweepSettings } from "./Settings.ts"

/**
 * Records a sweep of `collector` that began at `startedAt` and ends at `endedAt`, and says when the next is due. Never
 * fails: without its row a sweep is as good, and its report is in the log.
 */
export const remember = Effect.fnUntraced(function* (
  collector: string,
  report: SweepReport,
  startedAt: number,
  endedAt: number,
  nextDueAt: number | null,
  { history: kept }: Pick<SweepSettings, "history">
) {
  const { history } = yield* CollectorDatabase
  // The clock of a refused sweep may be wrong, and must not end what others reported.
  const keepSince = report.outcome === "refused" ? 0 : endedAt - Duration.toMillis(kept)
  yield* history
    .record({ sweep: report.sweep, collector, startedAt, endedAt, report }, keepSince, {
      at: endedAt,
      sweep: null,
      nextDueAt
    })
    .pipe(
      Effect.catchCause((cause) =>
        Effect.logWarning(
          `The report of sweep ${report.sweep} is missing in the history (${describe(cause).message}). What it deleted stays deleted, and the next sweep is recorded again. Its log has the report.`
        )
      )
    )
})
