/** What an audit tells a watching person while it works. Nobody watches by default. */
import { Context, Effect } from "effect"

export interface AuditProgressEvent {
  readonly phase: "audit" | "repair"
  /** Objects listed and rows of blobs read so far. */
  readonly objects: number
  readonly rows: number
  readonly findings: number
  /** Bytes read to compute digests. */
  readonly bytesRead: number
  /** About how many rows there are in all; null where nobody knows. */
  readonly expectedRows: number | null
}

export class AuditProgress extends Context.Reference<{
  /** Whether an expectation is worth a query. */
  readonly watched: boolean
  readonly report: (event: AuditProgressEvent) => Effect.Effect<void>
}>("artifact-gc/audit/Progress", {
  defaultValue: () => ({ watched: false, report: () => Effect.void })
}) {}
