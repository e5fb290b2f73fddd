/**
 * The catalogue and the collector's own tables, as transitions: each method is one transaction that moves something
 * along `staged → owned → orphan → condemned → purged → journaled → gone`, or reads. Nothing here calls the store,
 * so no transaction is ever open across a request to it.
 *
 * Instants come from the caller (milliseconds since the epoch, from `Clock`); no statement asks the server for the
 * time. Every method may fail with `DatabaseError`, and then nothing of it has happened.
 *
 * docs/design/protocol.md says why the transitions have the shape they have; test/database/contract.ts holds every
 * backend to it.
 */
import { Context, type Effect, type Option } from "effect"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { Orphan } from "../domain/Orphan.ts"
import type { SchemaRefused } from "../domain/SchemaRefused.ts"

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

/** Why a key is in the journal. */
export type JournalReason = "purged" | "duplicate" | "reaped"

/** A dead key: no blob owns it, none ever will, and its object is to be deleted. */
export interface JournalEntry {
  readonly key: ObjectKey
  readonly sizeBytes: number
  readonly reason: JournalReason
  /** Failed attempts so far. */
  readonly attempts: number
}

export interface DeadLetter extends JournalEntry {
  readonly lastError: string
  readonly deadAt: number
}

/** A journal row whose object is still there. */
export interface Postponement {
  readonly key: ObjectKey
  readonly notBefore: number
  readonly attempts: number
  readonly error: string
  /** Given up at this instant: a dead letter until somebody retries it. */
  readonly deadAt: number | null
}

export interface Backlog {
  readonly waiting: number
  readonly condemned: number
  readonly condemnedBytes: number
  readonly journaled: number
  /** Of the journaled, those that a sweep at `now` may delete. */
  readonly journalDue: number
  readonly journalDueBytes: number
  readonly deadLetters: number
  /** The earliest seenAt of what waits, condemnedAt of what is condemned, and due time in the journal. */
  readonly oldestSeenAt: number | null
  readonly oldestCondemnedAt: number | null
  readonly nextJournalAt: number | null
}

/** A row that keeps a blob alive. */
export type Reference =
  | { readonly _tag: "Artifact"; readonly repository: string; readonly name: string; readonly digest: Digest }
  | { readonly _tag: "LocalFile"; readonly path: string; readonly digest: Digest }

/** Bytes about to be uploaded under a fresh key. */
export interface Intent {
  readonly key: ObjectKey
  readonly digest: Digest
  readonly expiresAt: number
}

/** Bytes that have been uploaded, with what refers to them. */
export interface Publication {
  readonly key: ObjectKey
  readonly digest: Digest
  readonly sizeBytes: number
  readonly references: ReadonlyArray<Reference>
}

/**
 * How rarely a blob is marked used, in milliseconds. A hot blob (the empty layer of every image) would otherwise be
 * rewritten by each push; 15 minutes is a quarter of the default grace period.
 */
export const touchEveryMillis = 15 * 60 * 1000

/**
 * - `published`: the blob now lives at the key that was uploaded
 * - `deduplicated`: it lived already; the uploaded key is journaled
 * - `expired`: the intent had been reaped; nothing changed, upload again under a new key
 */
export type PublishOutcome = "published" | "deduplicated" | "expired"

type Result<A> = Effect.Effect<A, DatabaseError>

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
   * Writes down what `find` and the waits said of a slice: first sightings and condemnations at `now`. Sightings of
   * blobs in the slice that are not among `seen` are cleared; how many is the answer. Advisory: `purge` checks all
   * again under lock.
   */
  readonly record: (
    slice: Slice,
    marks: {
      readonly now: number
      readonly seen: ReadonlyArray<Digest>
      readonly condemned: ReadonlyArray<Digest>
    }
  ) => Result<number>
  /**
   * Purges a page of condemned orphans: locks their rows, checks in a second statement (a later snapshot) that still
   * nothing refers to them, deletes the rows and journals the keys, all in one transaction. Rows that somebody holds
   * are passed over. Fails with `SchemaChanged` when a foreign key to blobs appeared since `inspect`.
   */
  readonly purge: (request: PurgeRequest) => Result<PurgePage>
}

/** Keys whose objects are to be deleted. */
export interface Journal {
  /**
   * Leases up to `limit` keys that are due, oldest first; other collectors pass them over until `leaseUntil`. A key
   * that a blob row owns again (only a writer outside the protocol can cause that) is struck off, not returned.
   */
  readonly claim: (
    now: number,
    leaseUntil: number,
    limit: number
  ) => Result<{ readonly entries: ReadonlyArray<JournalEntry>; readonly readopted: number }>
  /** Strikes off keys whose objects are gone. */
  readonly confirm: (keys: ReadonlyArray<ObjectKey>) => Result<void>
  /** Ends the leases of keys whose objects remain. */
  readonly postpone: (postponements: ReadonlyArray<Postponement>) => Result<void>
  /** Dead letters in key order, after `after`. */
  readonly deadLetters: (after: ObjectKey | null, limit: number) => Result<ReadonlyArray<DeadLetter>>
  /** Makes dead letters due at `now` with a clean slate, all of them or those named; how many there were. */
  readonly retry: (now: number, keys: ReadonlyArray<ObjectKey> | "all") => Result<number>
  /**
   * Journals the keys of up to `limit` upload intents that expired at or before `now`, due at `deleteNotBefore`;
   * how many. A writer that is still at it finds its intent gone and starts again under a new key.
   */
  readonly reapIntents: (now: number, deleteNotBefore: number, limit: number) => Result<number>
}

/** The writers' side. */
export interface Blobs {
  /**
   * For each digest that lives, adds the references and marks the blob used, under a lock that a purge waits for;
   * answers the digests that live. A digest that is absent from the answer must be uploaded, then published.
   */
  readonly adopt: (now: number, references: ReadonlyArray<Reference>) => Result<ReadonlySet<Digest>>
  /** Announces uploads. Must be committed before the first byte is sent. */
  readonly intend: (intents: ReadonlyArray<Intent>) => Result<void>
  /** Turns acknowledged uploads into blobs with references. In the order given. */
  readonly publish: (
    now: number,
    publications: ReadonlyArray<Publication>
  ) => Result<ReadonlyArray<PublishOutcome>>
  /** Removes references; how many there were. */
  readonly unreference: (references: ReadonlyArray<Reference>) => Result<number>
  /** Where the blob's bytes are, or none. */
  readonly locate: (
    digest: Digest
  ) => Result<Option.Option<{ readonly key: ObjectKey; readonly sizeBytes: number }>>
  /** Those of `keys` that a blob row or an upload intent owns. Asked before anything found by listing is deleted. */
  readonly owned: (keys: ReadonlyArray<ObjectKey>) => Result<ReadonlySet<ObjectKey>>
}

export class Database extends Context.Service<
  Database,
  {
    /** What this database is, for people; never its password. */
    readonly description: string
    /**
     * The schema guard. Reads the foreign keys to blobs from the catalogue and succeeds with the reference tables
     * when it is safe to collect; `orphans` uses what it found. Call it before each sweep.
     */
    readonly inspect: Effect.Effect<ReadonlyArray<ReferenceTable>, SchemaRefused | DatabaseError>
    readonly orphans: Orphans
    readonly journal: Journal
    readonly blobs: Blobs
    /** What waits for a later sweep. */
    readonly backlog: (now: number) => Result<Backlog>
  }
>()("artifact-gc/database/Database") {}
