/** The progress of an audit, for a terminal. It is not watched by default. */
import { Context, Effect } from "effect"

/** One report of progress. */
export interface AuditProgressEvent {
  /** Whether the audit or its repair is running. */
  readonly phase: "audit" | "repair"
  /** Objects listed so far. */
  readonly objects: number
  /** Rows of blobs read so far. */
  readonly rows: number
  /** Findings so far; in a repair, journaled objects. */
  readonly findings: number
  /** Bytes read to compute digests. */
  readonly bytesRead: number
  /** Approximate number of all rows; null if unknown. */
  readonly expectedRows: number | null
}

/** Receives the progress of an audit. */
export class AuditProgress extends Context.Reference<{
  /** Whether the expected number of rows is worth a query. */
  readonly watched: boolean
  /** Shows an event. */
  readonly report: (event: AuditProgressEvent) => Effect.Effect<void>
}>("artifact-gc/audit/Progress", {
  defaultValue: () => ({ watched: false, report: () => Effect.void })
}) {}
