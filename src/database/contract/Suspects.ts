/** Suspects: blobs whose objects are in doubt, because unannounced writers inserted them. */
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/**
 * A blob that was inserted under a key that may be used twice, after a blob of the same digest had been
 * purged. A late DELETE may have met its bytes, or its writer may never have sent any. So nothing may refer
 * to it until the bytes have been copied to a fresh key.
 */
export interface Suspect {
  readonly digest: Digest
  /** The key in its row. */
  readonly key: ObjectKey
  readonly sizeBytes: number
}

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
 */
export type DropOutcome = "dropped" | "superseded" | "referenced"

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
  /** Deletes the row of a suspect whose object the store does not have. */
  readonly drop: (suspect: Suspect) => Result<DropOutcome>
  /** Forgets doubts about keys that no blob row has any more, of up to `limit` digests. Returns how many. */
  readonly forget: (limit: number) => Result<number>
}
