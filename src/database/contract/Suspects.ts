/** Suspects: blobs whose objects are in doubt, because unannounced writers inserted them. */
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/**
 * A blob that was inserted under a key that may be used twice, after a blob of the same digest had been
 * purged. A late DELETE may have met its bytes, or its writer may never have sent any. So nothing may refer
 * to it until the bytes have been found or copied to a fresh key.
 */
export interface Suspect {
  readonly digest: Digest
  /** The key in its row. */
  readonly key: ObjectKey
  readonly sizeBytes: number
  /**
   * No DELETE of its key can be on its way: each that was ever sent had a definite answer. Its bytes, if the
   * store has them, stay where they are.
   */
  readonly settled: boolean
  /** The newest of its suspicions. A later one means that a writer has inserted the row again. */
  readonly latest: number
}

/**
 * - `verified`: the blob is no longer suspect, and keeps its key
 * - `superseded`: the blob no longer exists, has another key, or was inserted again; or a DELETE of its key
 *   may be on its way after all. Nothing changed
 */
export type TrustOutcome = "verified" | "superseded"

/**
 * - `adopted`: the blob now has the fresh key, and the old one is journaled
 * - `superseded`: the blob is no longer suspect, or no longer exists; the key of the copy is journaled
 * - `expired`: the intent of the copy had been reaped. Nothing changed, and a later sweep tries again
 */
export type RekeyOutcome = "adopted" | "superseded" | "expired"

/**
 * - `dropped`: the row is deleted
 * - `superseded`: the row was already deleted, or is no longer suspect
 * - `referenced`: something refers to the blob, so it stays
 * - `busy`: an unannounced writer is inserting this digest or one that shares its lock. Nothing changed
 */
export type DropOutcome = "dropped" | "superseded" | "referenced" | "busy"

/** Takes blobs out of doubt. */
export interface Suspects {
  /** Returns suspect blobs after `after`, in digest order. */
  readonly page: (after: Digest | null, limit: number) => Result<ReadonlyArray<Suspect>>
  /**
   * Moves a suspect to `to`, a key with an intent to which the store has acknowledged a copy of the bytes.
   * Takes the intent, changes the row's key and journals the old one, due at `deleteNotBefore`. The blob's
   * waits begin anew.
   */
  readonly rekey: (
    now: number,
    suspect: Suspect,
    to: ObjectKey,
    deleteNotBefore: number
  ) => Result<RekeyOutcome>
  /**
   * Takes a `settled` suspect out of doubt where it is. The store has said after `page` that it has the
   * object. Ends its tombstones.
   */
  readonly trust: (suspect: Suspect) => Result<TrustOutcome>
  /**
   * Deletes the row of a suspect whose object the store does not have. Leaves a tombstone: a writer may have
   * seen the row.
   */
  readonly drop: (now: number, suspect: Suspect) => Result<DropOutcome>
  /** Forgets doubts about keys that no blob row has any more, of up to `limit` digests. Returns how many. */
  readonly forget: (limit: number) => Result<number>
  /**
   * Ends up to `limit` tombstones of each kind, and begins the end of as many. A tombstone ends when no DELETE of its
   * key is journaled, each had a definite answer, `patienceMillis` have passed since a call found this, and
   * every transaction that used the table of blobs at that moment has ended.
   */
  readonly endTombstones: (
    now: number,
    patienceMillis: number,
    limit: number
  ) => Result<{ readonly ended: number; readonly begun: number }>
  /**
   * Completes when there are suspicions other than those of `seen`, and returns what to pass next. Null: at
   * the first suspicion. Never completes while no triggers act against unannounced writers.
   */
  readonly arrival: (seen: string | null) => Result<string>
}
