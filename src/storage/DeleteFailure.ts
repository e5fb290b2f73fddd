/**
 * Why a store did not delete one key, in terms that are the same for every backend.
 *
 * Each backend translates its store's answer into a reason. No other folder reads a store's error codes.
 */
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageFailure } from "../domain/StorageError.ts"

/** Says why a key may still exist. Decisions read `reason`; people and reports read `code` and `detail`. */
export interface DeleteFailure {
  /** The key that was not deleted. */
  readonly key: ObjectKey
  /** The reason, in the same terms for every backend. */
  readonly reason: DeleteFailureReason
  /** The store's own error code, such as `AccessDenied` or `EISDIR`. */
  readonly code: string
  /** The store's own text. */
  readonly detail: string
}

/**
 * Names the reason why one key was not deleted.
 *
 * - `throttled`: the store asked for fewer requests
 * - `unavailable`: no connection, or the store is down or overloaded
 * - `timedOut`: no answer in time; the delete may still take effect later
 * - `denied`: credentials, a policy or the file system's permissions forbid it
 * - `locked`: a retention period or a legal hold protects the object (S3 Object Lock)
 * - `missing`: the bucket does not exist (an absent object counts as deleted)
 * - `rejected`: the store refused the request for this key, such as a bad name or an unsupported method
 * - `internal`: the store failed at this key, such as an internal error or a broken disk block
 * - `unconfirmed`: the store's answer does not mention the key
 * - `unknown`: anything else; `code` and `detail` are the store's own words
 */
export type DeleteFailureReason =
  | "throttled"
  | "unavailable"
  | "timedOut"
  | "denied"
  | "locked"
  | "missing"
  | "rejected"
  | "internal"
  | "unconfirmed"
  | "unknown"

/** Returns the failure's name in reports. Each store has a code of its own for a lock. */
export const nameOf = ({ code, reason }: Pick<DeleteFailure, "code" | "reason">): string =>
  reason === "locked" ? "Locked" : code

/**
 * Returns whether the store, and not the key, is the trouble. Such a failure calls for fewer requests. It
 * says nothing about the key, so it does not count towards the key's attempts.
 *
 * `internal` does not qualify: a store may answer it for years for one damaged object. That object must
 * become a dead letter and must not slow down the other deletes.
 */
export const isStoreTrouble = (reason: DeleteFailureReason): boolean =>
  reason === "throttled" || reason === "unavailable" || reason === "timedOut"

/** Returns the reason for a key whose own request failed with `failure`. */
export const fromFailure = (failure: StorageFailure): DeleteFailureReason => reasons[failure]

const reasons: Record<StorageFailure, DeleteFailureReason> = {
  Unavailable: "unavailable",
  Throttled: "throttled",
  TimedOut: "timedOut",
  AccessDenied: "denied",
  NotFound: "missing",
  Rejected: "rejected",
  TooLarge: "rejected",
  Truncated: "rejected",
  Misbehaved: "unknown",
  Unknown: "unknown"
}
