/** Blobs whose objects are in doubt, because writers outside the protocol inserted them. */
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/**
 * A blob that was inserted under a key that may be used twice, after a blob of the same digest had been purged. A late
 * DELETE may have met its bytes, or its writer may never have sent any, so nothing may refer to it until the bytes
 * have been copied to a fresh key.
 */
export interface Suspect {
  readonly digest: Digest
  /** Where its row says its bytes are. */
  readonly key: ObjectKey
  readonly sizeBytes: number
}

/**
 * - `adopted`: the blob now lives at the fresh key, and the old one is journaled
 * - `superseded`: it is no longer suspect, or gone; the copy is journaled
 * - `expired`: the intent of the copy had been reaped; nothing changed, and a later sweep tries again
 */
export type RekeyOutcome = "adopted" | "superseded" | "expired"

/**
 * - `dropped`: the row is gone
 * - `superseded`: it was so already, or is no longer suspect
 * - `referenced`: something refers to it all the same; it stays
 */
export type DropOutcome = "dropped" | "superseded" | "referenced"

export interface Suspects {
  /** Suspect blobs in digest order, after `after`. */
  readonly page: (after: Digest | null, limit: number) => Result<ReadonlyArray<Suspect>>
  /**
   * Moves a suspect to `to`, a key with an intent whose copy of the bytes the store has acknowledged: takes the intent,
   * changes the row's key and journals the old one, due at `deleteNotBefore`. The blob's waits begin anew.
   */
  readonly rekey: (
    now: number,
    suspect: Suspect,
    to: ObjectKey,
    deleteNotBefore: number
  ) => Result<RekeyOutcome>
  /** Deletes the row of a suspect whose object the store does not have. */
  readonly drop: (suspect: Suspect) => Result<DropOutcome>
  /** Forgets the suspicions of up to `limit` digests that are of keys which no blob row names any more; how many. */
  readonly forget: (limit: number) => Result<number>
}
