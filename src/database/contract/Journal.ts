/** Dead keys, and their way out of the store. */
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/** Why a key is in the journal. `upload`: an upload session needs it no more, or never took it. */
export type JournalReason = "purged" | "duplicate" | "reaped" | "leftover" | "upload"

/** A dead key: no blob owns it, none ever will, and its object is to be deleted. */
export interface JournalEntry {
  readonly key: ObjectKey
  readonly sizeBytes: number
  readonly reason: JournalReason
  /** Failed attempts so far. */
  readonly attempts: number
  /** An upload in parts that was begun for this key; it is aborted before the object is deleted. */
  readonly uploadId: string | null
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

/** Keys whose objects are to be deleted. */
export interface Journal {
  /**
   * Leases up to `limit` keys that are due, oldest first; other collectors pass them over until `leaseUntil`. A key
   * that a blob row or an upload session owns again (only a writer outside the protocol can cause that) is struck off,
   * not returned.
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
  /** Releases up to `limit` pins that expired at or before `now`; how many. Their blobs may be orphans from then on. */
  readonly expirePins: (now: number, limit: number) => Result<number>
}
