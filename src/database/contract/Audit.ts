/** What the audit reads. */
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/** A key that the database knows, and by what. */
export interface KnownKey {
  readonly key: ObjectKey
  /** `chunk`: an upload session's. */
  readonly owner: "blob" | "chunk" | "intent" | "journal"
  /** Both null where the owner does not know it. */
  readonly digest: Digest | null
  readonly sizeBytes: number | null
}

/** Rows that refer to a blob. */
export interface Referrer {
  readonly table: string
  readonly column: string
  readonly rows: number
  /** The primary keys of the first few, as text, columns by space; where there is none, what PostgreSQL calls the row (ctid). */
  readonly sample: ReadonlyArray<string>
}

/** Reading for the audit. Nothing here changes anything. */
export interface Audit {
  /**
   * What the database knows of keys after `after` that start with `prefix`, in the order of their UTF-8
   * bytes. Of a key with several owners the blob comes first; a page may end between them.
   */
  readonly page: (prefix: string, after: ObjectKey | null, limit: number) => Result<ReadonlyArray<KnownKey>>
  /** What the database knows of these keys now. */
  readonly lookup: (keys: ReadonlyArray<ObjectKey>) => Result<ReadonlyArray<KnownKey>>
  /** Who refers to a blob, table by table; only tables that do. */
  readonly referrers: (digest: Digest) => Result<ReadonlyArray<Referrer>>
  /** About how many blobs there are: the planner's estimate, zero where it has none. */
  readonly estimate: Result<number>
  /**
   * The statement that makes the index by which `page` reads blobs in key order; null where there is one. Without it
   * every page sorts the whole table.
   */
  readonly missingIndex: Result<string | null>
}
