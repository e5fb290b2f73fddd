/** Blobs that nothing refers to: scanned, condemned, purged, restored. */
import type { Option } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Orphan } from "../../domain/Orphan.ts"
import type { Result } from "./Result.ts"

/** A table whose rows keep blobs alive, as found in the catalogue's foreign keys. */
export interface ReferenceTable {
  /** `schema.table` */
  readonly table: string
  readonly column: string
  readonly constraint: string
}

/** A run of consecutive blobs: those whose digest is greater than `after` and at most `upTo`. */
export interface Slice {
  /** Null: from the first blob on. */
  readonly after: Digest | null
  /** Null: to the last blob. */
  readonly upTo: Digest | null
  /** How many blobs it held when it was read. */
  readonly blobs: number
}

/** A slice handed to one collector of those that share the scan. Passes over the catalogue are numbered. */
export interface ClaimedSlice extends Slice {
  readonly pass: number
}

/** Where a collector began, so that it can stop when all have come round to it. */
export interface ScanEnd {
  readonly pass: number
  readonly after: Digest | null
}

/** A blob whose row is gone and whose key is journaled. */
export interface PurgedBlob {
  readonly digest: Digest
  readonly key: ObjectKey
  readonly sizeBytes: number
}

export interface PurgeRequest {
  readonly now: number
  /** Orphans condemned at or before this instant. */
  readonly condemnedCutoff: number
  /** Orphans first seen at or before this instant: a grace period that was raised holds for the condemned too. */
  readonly seenCutoff: number
  /** Blobs used after this instant are kept and their condemnation is cleared. */
  readonly usedCutoff: number
  readonly limit: number
  /** Where the previous page of this sweep ended, so that blobs found busy are not tried again at once. */
  readonly after: PurgeCursor | null
  /** When the objects may be deleted. */
  readonly deleteNotBefore: number
  /** Until when no other collector deletes them; null leaves them to whoever comes first. */
  readonly leaseUntil: number | null
}

export interface PurgeCursor {
  readonly condemnedAt: number
  readonly digest: Digest
}

export interface PurgePage {
  readonly purged: ReadonlyArray<PurgedBlob>
  /** Condemned, but referenced or used again: condemnation cleared. */
  readonly absolved: number
  /** Locked by a transaction in flight, left condemned for the next sweep. */
  readonly busy: number
  /** Null when no condemned orphan is left to look at. */
  readonly next: PurgeCursor | null
}

/** A condemned orphan, for people who may want it back. */
export interface CondemnedBlob {
  readonly digest: Digest
  readonly key: ObjectKey
  readonly sizeBytes: number
  readonly seenAt: number
  readonly condemnedAt: number
  /** The sweep that condemned it (`SweepReport.sweep`). */
  readonly sweep: string
}

/** The id of the pin by which `restore` keeps a blob: one for each, so that restoring twice pins it once. */
export const restorePin = (digest: Digest): string => `restored:${digest}`

/** Which condemned blobs are meant. */
export type CondemnedSelection =
  | { readonly _tag: "All" }
  | { readonly _tag: "Sweep"; readonly sweep: string }
  | { readonly _tag: "Digests"; readonly digests: ReadonlyArray<Digest> }

/** What the collector does with blobs that nothing refers to. */
export interface Orphans {
  /**
   * The next slice of the scan that all collectors of this catalogue share, of at most `limit` blobs. A collector
   * that dies with a slice in hand delays it by one pass. None when the scan has come round to `end`.
   */
  readonly claimSlice: (limit: number, end: ScanEnd | null) => Result<Option.Option<ClaimedSlice>>
  /** The slice that follows `after`, without claiming anything: for dry runs. */
  readonly readSlice: (after: Digest | null, limit: number) => Result<Slice>
  /** The blobs of a slice that no reference table points at, in digest order. */
  readonly find: (slice: Slice) => Result<ReadonlyArray<Orphan>>
  /**
   * Writes down what `find` and the waits said of a slice: first sightings and condemnations at `now`. What was purged
   * since `find` looked gets no sighting. Sightings of blobs in the slice that are not among `seen` are cleared, unless
   * `clear` is false; how many is the answer. Advisory: `purge` checks all again under lock.
   *
   * Where references are watched they must not be cleared so: a sighting that a review made since `find` looked is all that
   * is left of its candidate.
   */
  readonly record: (
    slice: Slice,
    marks: {
      readonly now: number
      readonly seen: ReadonlyArray<Digest>
      readonly condemned: ReadonlyArray<Digest>
      /** The id of the sweep, kept with what it condemns. */
      readonly sweep: string
      /** Default true. */
      readonly clear?: boolean
    }
  ) => Result<number>
  /**
   * Purges a page of condemned orphans: locks their rows, checks in a second statement (a later snapshot) that still
   * nothing refers to them, deletes the rows and journals the keys, all in one transaction. Rows that somebody holds
   * are passed over. Fails with `SchemaChanged` when a foreign key to blobs appeared since `inspect`.
   */
  readonly purge: (request: PurgeRequest) => Result<PurgePage>
  /** Condemned orphans in digest order, after `after`. What was referenced meanwhile may be among them. */
  readonly condemned: (
    selection: CondemnedSelection,
    after: Digest | null,
    limit: number
  ) => Result<ReadonlyArray<CondemnedBlob>>
  /**
   * Ends the condemnation of those of `digests` that live, and pins each until `pinUntil`, so that there is time to
   * refer to them again; answers those restored. A blob that is being purged is waited for, and then is not among them.
   */
  readonly restore: (
    now: number,
    digests: ReadonlyArray<Digest>,
    pinUntil: number
  ) => Result<ReadonlySet<Digest>>
}
