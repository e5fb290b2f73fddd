/**
 * How a request to the object store fails, in the caller's terms. Each backend translates its store's errors.
 */
import { Schema } from "effect"
import { printable } from "./printable.ts"

/**
 * Why a request to the store failed.
 *
 * - `Unavailable`: no connection, an HTTP 5xx, or a disk that answers EIO
 * - `Throttled`: 503 SlowDown or 429
 * - `TimedOut`: no answer in time; the request may still take effect later
 * - `AccessDenied`: credentials or a policy forbid it
 * - `NotFound`: the bucket does not exist, or, for reads, the object
 * - `Rejected`: the store understood and refused (bad key, malformed request, failed precondition)
 * - `TooLarge`: the store takes no object of this size, or no body in so many parts; nothing was stored
 * - `Truncated`: a body was shorter or longer than its declared size; nothing was stored
 * - `Misbehaved`: an answer that no such store gives: an HTML page, another document, a listing without an end
 * - `Unknown`: anything else; see `cause`
 */
export const StorageFailure = Schema.Literals([
  "Unavailable",
  "Throttled",
  "TimedOut",
  "AccessDenied",
  "NotFound",
  "Rejected",
  "TooLarge",
  "Truncated",
  "Misbehaved",
  "Unknown"
])
/** Why a request to the store failed. */
export type StorageFailure = typeof StorageFailure.Type

const nextStep: Record<StorageFailure, string> = {
  Unavailable: "Check that the store is up and reachable; a running collector tries again in its next sweep.",
  Throttled:
    "Lower GC_DELETE_CONCURRENCY or raise the store's limits; the collector sends fewer requests by itself.",
  TimedOut: "Check the store's latency, or raise S3_REQUEST_TIMEOUT.",
  AccessDenied:
    "Check that S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY belong to this store, and grant them s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and the other permissions of docs/operations.md.",
  NotFound: "Check S3_BUCKET and S3_ENDPOINT (or FILES_DIRECTORY).",
  Rejected: "The store refused the request for the reason above; the object was not changed.",
  TooLarge: "Nothing was stored. Send less in one body, or raise the store's limit.",
  Truncated: "Send the body again; nothing was stored.",
  Misbehaved:
    "The answer was not used. Check that S3_ENDPOINT names the store itself, and not a proxy, a sign-in page or a console.",
  Unknown: "artifact-gc does not know this failure; the text above is the store's own."
}

/** The failure of a request to the store. */
export class StorageError extends Schema.TaggedError<StorageError>()("StorageError", {
  /** The operation that failed. `probe` includes the checks of the clock and of the bucket's settings. */
  operation: Schema.Literals(["list", "delete", "put", "copy", "get", "head", "abort", "probe"]),
  /** The object, prefix or bucket concerned. */
  subject: Schema.String,
  /** The reason, in the same terms for every backend. */
  reason: StorageFailure,
  /** The store's own text, without credentials. */
  detail: Schema.String,
  /** What to do, in sentences. Default: the next step of `reason`. */
  next: Schema.optional(Schema.String),
  /** The backend's own error, without credentials. */
  cause: Schema.optional(Schema.Defect())
}) {
  /** Says what failed, why, and what to do next. */
  override get message(): string {
    return `Storage ${this.operation} of "${printable(this.subject)}" failed (${this.reason}): ${printable(this.detail)}. ${this.next ?? nextStep[this.reason]}`
  }
  /** Returns whether the same request may succeed later: for `Unavailable`, `Throttled` and `TimedOut`. */
  get isRetryable(): boolean {
    return this.reason === "Unavailable" || this.reason === "Throttled" || this.reason === "TimedOut"
  }
}
