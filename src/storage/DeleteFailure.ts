/**
 * Why a store did not delete one key, in terms that are the same for every backend.
 *
 * The backends translate here what their store answered, so that no other folder reads a store's error codes.
 */
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageFailure } from "../domain/StorageError.ts"

/** Why one key of a delete is not deleted. Decisions read `reason`; `code` and `detail` are for people and reports. */
export interface DeleteFailure {
  readonly key: ObjectKey
  /** The same for every backend. */
  readonly reason: DeleteFailureReason
  /** The store's own error code, such as `AccessDenied` or `EISDIR`. */
  readonly code: string
  /** The store's own words. */
  readonly detail: string
}

/**
 * Why one key of a delete failed.
 *
 * - `throttled`: the store asked for fewer requests
 * - `unavailable`: no connection, or the store says that it is down or overloaded
 * - `timedOut`: no answer in time; the delete may still take effect later
 * - `denied`: credentials, a policy or the file system's permissions forbid it
 * - `locked`: a retention period or a legal hold protects the object (S3 Object Lock)
 * - `missing`: the bucket does not exist; an absent object counts as deleted
 * - `rejected`: the store refused the request for this key (a bad name, a method it does not have)
 * - `internal`: the store failed at this key (an internal error, a broken disk block)
 * - `unconfirmed`: the store's answer does not mention the key
 * - `unknown`: anything else; the failure's `code` and `detail` are the store's own words
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

/**
 * Returns whether the store, and not the key, is the trouble. Such a failure calls for fewer requests and says
 * nothing about the key, so it does not count towards the key's attempts.
 *
 * `internal` is not among them: stores answer it for years for a single damaged object, which must become a dead
 * letter and must not slow down the deletes of all others.
 */
export const isStoreTrouble = (reason: DeleteFailureReason): boolean =>
  reason === "throttled" || reason === "unavailable" || reason === "timedOut"

/** Returns the reason for a key whose own request failed as `failure` says. */
export const fromFailure = (failure: StorageFailure): DeleteFailureReason => reasons[failure]

const reasons: Record<StorageFailure, DeleteFailureReason> = {
  Unavailable: "unavailable",
  Throttled: "throttled",
  TimedOut: "timedOut",
  AccessDenied: "denied",
  NotFound: "missing",
  Rejected: "rejected",
  Truncated: "rejected",
  Unknown: "unknown"
}
