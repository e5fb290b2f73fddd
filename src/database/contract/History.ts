/** The sweeps of the last months, as their collectors reported them. */
import type { SweepReport } from "../../domain/SweepReport.ts"
import type { PeerActivity } from "./Peers.ts"
import type { Result } from "./Result.ts"

/** A sweep that has ended. */
export interface HistoryEntry {
  /** The place in the order in which sweeps ended. Later ones have larger numbers. */
  readonly id: number
  /** The name of the sweep, as in its report. */
  readonly sweep: string
  /** The collector that swept. */
  readonly collector: string
  readonly startedAt: number
  readonly endedAt: number
  /** How it ended, as in its report. Another version may have written a word that this one does not know. */
  readonly outcome: string
  /** The report, as some version of this program wrote it. Decode it before use. */
  readonly report: unknown
}

/** A sweep that ends now. */
export interface EndedSweep extends Omit<HistoryEntry, "id" | "outcome" | "report"> {
  readonly report: SweepReport
}

/** The most reports that are kept, whatever their age: about 60 MB. */
export const historyMax = 20_000

/** Reports that one sweep deletes at most. Each adds one, so a shorter GC_HISTORY takes effect over several sweeps. */
export const historyBatch = 100

/** The reports of sweeps. */
export interface History {
  /**
   * Adds a sweep, and tells the other collectors what its collector does now. Deletes up to
   * {@link historyBatch} of the oldest reports that ended before `keepSince`, or are not among the last
   * {@link historyMax}.
   */
  readonly record: (sweep: EndedSweep, keepSince: number, activity: PeerActivity) => Result<void>
  /**
   * Returns up to `limit` sweeps that ended at `since` or later, the newest first. `before` continues a page:
   * the id of its last entry; null begins with the newest.
   */
  readonly page: (since: number, before: number | null, limit: number) => Result<ReadonlyArray<HistoryEntry>>
}
