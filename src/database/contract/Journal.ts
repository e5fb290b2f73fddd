/** The journal: a deletion queue of dead keys. */
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/** Why a key is in the journal. `upload`: an upload session no longer needs it, or never took it. */
export type JournalReason = "purged" | "duplicate" | "reaped" | "leftover" | "upload"

/** A dead key: no blob owns it or ever will, and its object is to be deleted. */
export interface JournalEntry {
  readonly key: ObjectKey
  readonly sizeBytes: number
  /** Why the key is in the journal. */
  readonly reason: JournalReason
  /** Failed attempts so far. */
  readonly attempts: number
  /**
   * A multipart upload that was begun for this key, to be aborted before the object is deleted; null
   * without one.
   */
  readonly uploadId: string | null
}

/** A journaled key that was given up on. */
export interface DeadLetter extends JournalEntry {
  readonly lastError: string
  /** When it was given up on. */
  readonly deadAt: number
}

/** A journal row whose object still exists. */
export interface Postponement {
  readonly key: ObjectKey
  /** When the next attempt is due. */
  readonly notBefore: number
  readonly attempts: number
  readonly error: string
  /** When it was given up on, until an operator retries it; null if it was not. */
  readonly deadAt: number | null
}

/** Keys whose objects are to be deleted. */
export interface Journal {
  /**
   * Leases up to `limit` due keys, oldest first. Other collectors skip them until `leaseUntil`. A key that
   * a blob row or a staged chunk owns again is struck off and not returned. Only an unannounced writer can
   * cause that.
   */
  readonly claim: (
    now: number,
    leaseUntil: number,
    limit: number
  ) => Result<{ readonly entries: ReadonlyArray<JournalEntry>; readonly readopted: number }>
  /**
   * Strikes off keys whose objects are deleted. `resent` are those of which an earlier request may still
   * take effect. Where an unannounced writer may use such a key again, its tombstone stays for ever.
   */
  readonly confirm: (keys: ReadonlyArray<ObjectKey>, resent?: ReadonlyArray<ObjectKey>) => Result<void>
  /** Ends the leases of keys whose objects still exist. */
  readonly postpone: (postponements: ReadonlyArray<Postponement>) => Result<void>
  /** Returns dead letters after `after`, in key order. */
  readonly deadLetters: (after: ObjectKey | null, limit: number) => Result<ReadonlyArray<DeadLetter>>
  /** Makes dead letters due at `now` without attempts, all or those named. Returns how many there were. */
  readonly retry: (now: number, keys: ReadonlyArray<ObjectKey> | "all") => Result<number>
  /**
   * Journals the keys of up to `limit` intents that expired at or before `now`, due at `deleteNotBefore`.
   * Returns how many. A writer that is still sending finds its intent gone and starts again under a new
   * key. Leaves intents that expired at or before `expiredAfter`. Default: none.
   */
  readonly reapIntents: (
    now: number,
    deleteNotBefore: number,
    limit: number,
    expiredAfter?: number
  ) => Result<number>
  /**
   * Releases up to `limit` pins that expired at or before `now`, and returns how many. Their blobs may be
   * orphans from then on. A pin that was made with its blob leaves it a sighting with the cause `unused`,
   * unless a sweep found a reference meanwhile.
   */
  readonly expirePins: (now: number, limit: number) => Result<number>
}
