/** Orphans: blobs that nothing refers to. They are scanned, condemned, purged, restored. */
import type { Option } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Orphan, OrphanCause } from "../../domain/Orphan.ts"
import type { Result } from "./Result.ts"

/** A table whose rows keep blobs alive, read from the foreign keys to blobs. */
export interface ReferenceTable {
  /** `schema.table` */
  readonly table: string
  readonly column: string
  /** The name of the foreign key. */
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

/** A slice leased to one of the collectors that share the scan. */
export interface ClaimedSlice extends Slice {
  /** The number of the pass over the catalogue. */
  readonly pass: number
}

/** Where a collector began, so that it stops when the scan reaches this position again. */
export interface ScanEnd {
  readonly pass: number
  readonly after: Digest | null
}

/** A blob whose row is deleted and whose key is journaled. */
export interface PurgedBlob {
  readonly digest: Digest
  readonly key: ObjectKey
  readonly sizeBytes: number
  /** Absent where it is unknown. */
  readonly cause?: OrphanCause
}

/** Blobs that only pins keep. */
export interface Held {
  readonly blobs: number
  /** When the last of their pins ends; null without any. */
  readonly until: number | null
}

/** What a purge may delete. */
export interface PurgeRequest {
  readonly now: number
  /** Purges orphans condemned at or before this instant. */
  readonly condemnedCutoff: number
  /**
   * Purges orphans first seen at or before this instant: a grace period that was raised applies to the
   * condemned too.
   */
  readonly seenCutoff: number
  /** Keeps blobs used after this instant and clears their condemnation. */
  readonly usedCutoff: number
  readonly limit: number
  /** Where the previous page of this sweep ended, so that busy blobs are not tried again at once. */
  readonly after: PurgeCursor | null
  /** Purges none but these. Default: all that are due. */
  readonly only?: ReadonlyArray<Digest>
  /** When the objects may be deleted. */
  readonly deleteNotBefore: number
  /** Until when no other collector deletes them; null leaves them to any collector. */
  readonly leaseUntil: number | null
}

/** The part of a purge that decides which orphans are due. */
export type DueRequest = Pick<PurgeRequest, "condemnedCutoff" | "seenCutoff" | "limit" | "after">

/** A condemned orphan whose waits are over. */
export interface DueOrphan {
  readonly digest: Digest
  readonly seenAt: number
  readonly condemnedAt: number
  /** See `Orphan.keptUntil`. */
  readonly keptUntil?: number
}

/** A page of condemned orphans that a purge may take. */
export interface DuePage {
  readonly orphans: ReadonlyArray<DueOrphan>
  /** Where the next page begins; null when this was the last. */
  readonly next: PurgeCursor | null
}

/** A blob that a reference source holds. */
export interface KeptBlob {
  readonly digest: Digest
  /** When the source may be asked about it again. */
  readonly until: number
}

/** A position in the order of condemnation. */
export interface PurgeCursor {
  readonly condemnedAt: number
  readonly digest: Digest
}

/** A blob whose row could not be deleted. */
export interface RefusedBlob {
  readonly digest: Digest
  /** The database's words. */
  readonly detail: string
}

/** What became of a page of condemned orphans. */
export interface PurgePage {
  readonly purged: ReadonlyArray<PurgedBlob>
  /** Orphans that were referenced or used again. Their condemnation is cleared. */
  readonly absolved: number
  /** Orphans that another transaction has locked. They stay condemned for the next sweep. */
  readonly busy: number
  /** Orphans whose deletion the database refused, e.g. by a trigger. They stay condemned. Absent if none. */
  readonly refused?: ReadonlyArray<RefusedBlob>
  /** Where the next page begins; null when no condemned orphan is left. */
  readonly next: PurgeCursor | null
}

/** A condemned orphan, for an operator who may want it back. */
export interface CondemnedBlob {
  readonly digest: Digest
  readonly key: ObjectKey
  readonly sizeBytes: number
  readonly seenAt: number
  readonly condemnedAt: number
  /** The sweep that condemned it (`SweepReport.sweep`). */
  readonly sweep: string
}

/** Returns the id of the pin by which `restore` keeps a blob. Restoring twice pins it once. */
export const restorePin = (digest: Digest): string => `restored:${digest}`

/** Which condemned blobs to list. */
export type CondemnedSelection =
  | { readonly _tag: "All" }
  | { readonly _tag: "Sweep"; readonly sweep: string }
  | { readonly _tag: "Digests"; readonly digests: ReadonlyArray<Digest> }

/** The verbs of orphans. */
export interface Orphans {
  /**
   * Returns the next slice of the scan that all collectors of this catalogue share, of at most `limit`
   * blobs. A collector that dies with a slice delays it by one pass. Returns none when the scan has reached
   * `end`.
   */
  readonly claimSlice: (limit: number, end: ScanEnd | null) => Result<Option.Option<ClaimedSlice>>
  /** Returns the slice that follows `after` without claiming it, for dry runs. */
  readonly readSlice: (after: Digest | null, limit: number) => Result<Slice>
  /** Returns the blobs of a slice that no table refers to, in digest order. */
  readonly find: (slice: Slice) => Result<ReadonlyArray<Orphan>>
  /**
   * Counts the blobs to which nothing refers and which a pin keeps beyond `now`. With `settles`, a pin
   * loses its cause once something refers to its blob.
   */
  readonly held: (now: number, settles: boolean) => Result<Held>
  /**
   * Records first sightings and condemnations of a slice at `now`. A blob that was purged since `find` gets
   * no sighting. Clears sightings of blobs in the slice that are not among `seen`, unless `clear` is false,
   * and returns how many. Advisory: `purge` checks everything again under lock.
   *
   * Do not clear where references are watched: a sighting that a review made since `find` is all that is
   * left of its candidate.
   */
  readonly record: (
    slice: Slice,
    marks: {
      readonly now: number
      readonly seen: ReadonlyArray<Digest>
      readonly condemned: ReadonlyArray<Digest>
      /** The id of the sweep, kept with the orphans that it condemns. */
      readonly sweep: string
      /** Default true. */
      readonly clear?: boolean
    }
  ) => Result<number>
  /**
   * Moves the sightings and condemnations of `digests` that lie after `now` to `now`. Skips those that another
   * transaction holds, and returns how many it moved.
   */
  readonly redate: (now: number, digests: ReadonlyArray<Digest>) => Result<number>
  /**
   * Returns the page of condemned orphans that `purge` would take next, and locks nothing. A page is smaller than `limit`
   * where there are many reference tables. Some may have been referenced meanwhile.
   */
  readonly due: (request: DueRequest) => Result<DuePage>
  /**
   * Ends the condemnation of blobs that a reference source holds, and begins their sighting anew at `now`. The sighting
   * loses its cause. From now on the catalogue counts as one that had references (`references.everHeld`). Skips sightings
   * that another transaction holds, and returns how many it kept.
   */
  readonly keep: (now: number, kept: ReadonlyArray<KeptBlob>) => Result<number>
  /**
   * Purges a page of condemned orphans in one transaction: locks their rows, checks in a second statement
   * (a later snapshot) that still nothing refers to them, deletes the rows and journals the keys. Skips
   * rows that another transaction holds. Fails with `SchemaChanged` if the foreign keys to blobs changed
   * since `inspect`. A row that the database refuses to delete does not keep the others of its page. A page is
   * smaller than `limit` where there are many reference tables.
   */
  readonly purge: (request: PurgeRequest) => Result<PurgePage>
  /** Returns condemned orphans after `after`, in digest order. Some may have been referenced meanwhile. */
  readonly condemned: (
    selection: CondemnedSelection,
    after: Digest | null,
    limit: number
  ) => Result<ReadonlyArray<CondemnedBlob>>
  /**
   * Ends the condemnation of those of `digests` that are live, and pins each until `pinUntil`, so that
   * there is time to refer to them again. Returns those restored. Waits for a purge in flight, whose blobs
   * are not among them.
   */
  readonly restore: (
    now: number,
    digests: ReadonlyArray<Digest>,
    pinUntil: number
  ) => Result<ReadonlySet<Digest>>
}
