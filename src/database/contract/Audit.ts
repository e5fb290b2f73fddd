/** What the audit reads. */
import type { AuditSummary } from "../../domain/AuditReport.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Stock } from "./Breakers.ts"
import type { Result } from "./Result.ts"

/** A key that the database knows, and its owner. */
export interface KnownKey {
  readonly key: ObjectKey
  /** `chunk`: a staged chunk of an upload session. */
  readonly owner: "blob" | "chunk" | "intent" | "journal"
  /** Null where the owner does not know it. */
  readonly digest: Digest | null
  /** Null where the owner does not know it. */
  readonly sizeBytes: number | null
}

/** Rows of one table that refer to a blob. */
export interface Referrer {
  readonly table: string
  readonly column: string
  /** How many rows there are. */
  readonly rows: number
  /**
   * The primary keys of the first few as text, columns by space. Without a primary key it is PostgreSQL's
   * own name of the row (ctid).
   */
  readonly sample: ReadonlyArray<string>
}

/** An audit that compared all keys, without a stop or a failure. */
export interface EndedAudit {
  readonly endedAt: number
  readonly summary: AuditSummary
}

/** The last audit as it was recorded. */
export interface RecordedAudit {
  readonly endedAt: number
  /** The summary, as some version of this program wrote it. Decode it before use. */
  readonly summary: unknown
}

/** Reading for the audit. No verb but `record` changes anything. */
export interface Audit {
  /**
   * Returns what the database knows of keys after `after` that start with `prefix`, in the order of their
   * UTF-8 bytes. Of a key with several owners the blob is first. A page may end between them.
   */
  readonly page: (prefix: string, after: ObjectKey | null, limit: number) => Result<ReadonlyArray<KnownKey>>
  /** Returns what the database knows of these keys now. */
  readonly lookup: (keys: ReadonlyArray<ObjectKey>) => Result<ReadonlyArray<KnownKey>>
  /** Returns the tables that refer to a blob. */
  readonly referrers: (digest: Digest) => Result<ReadonlyArray<Referrer>>
  /** Returns about how many blobs there are: the planner's estimate, zero where it has none. */
  readonly estimate: Result<number>
  /**
   * Returns how many blobs there are, and their bytes. Exact up to about a million blobs, and beyond that the planner's
   * estimate. Is not repeated, and fails if it takes longer than `withinMillis`.
   */
  readonly stock: (withinMillis: number) => Result<Stock>
  /**
   * Returns the statement that creates the index by which `page` reads blobs in key order, or null if there
   * is one. Without that index every page sorts the whole table.
   */
  readonly missingIndex: Result<string | null>
  /** Records an audit in the place of the last one. Does nothing if the last one ended later. */
  readonly record: (audit: EndedAudit) => Result<void>
  /** Returns the last audit that was recorded, or null. */
  readonly last: Result<RecordedAudit | null>
}
