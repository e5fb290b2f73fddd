/**
 * What can go wrong between us and the object store, in the caller's terms; translation lives in each
 * backend.
 */
import { Schema } from "effect"

/**
 * Why a request to the store failed.
 *
 * - `Unavailable`: no connection, 5xx, a disk that answers EIO
 * - `Throttled`: 503 SlowDown, 429
 * - `TimedOut`: no answer in time; the request may still take effect later
 * - `AccessDenied`: credentials or policy forbid it
 * - `NotFound`: the bucket (or, for reads, the object) does not exist
 * - `Rejected`: the store understood and refused (bad key, malformed request, precondition)
 * - `Truncated`: a body ended before, or went on past, its declared size; nothing was stored
 * - `Unknown`: anything else; see `cause`
 */
export const StorageFailure = Schema.Literals([
  "Unavailable",
  "Throttled",
  "TimedOut",
  "AccessDenied",
  "NotFound",
  "Rejected",
  "Truncated",
  "Unknown"
])
export type StorageFailure = typeof StorageFailure.Type

const nextStep: Record<StorageFailure, string> = {
  Unavailable:
    "Check that the store is up and reachable; a collector that is running tries again at its next sweep.",
  Throttled: "Lower GC_DELETE_CONCURRENCY, or raise the store's limits; the collector backs off by itself.",
  TimedOut: "Check the store's latency, or raise S3_REQUEST_TIMEOUT.",
  AccessDenied:
    "Check that the credentials are those of this store (S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY), and grant them s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and the others of docs/operations.md.",
  NotFound: "Check S3_BUCKET and S3_ENDPOINT (or FILES_DIRECTORY).",
  Rejected:
    "The store understood the request and refused it, for the reason it gives; the object is left alone.",
  Truncated: "Send the body again; nothing was stored.",
  Unknown: "This failure is not one we know; the words are the store's own."
}

/** A request to the store failed. `isRetryable` says whether the same request may succeed later. */
export class StorageError extends Schema.TaggedError<StorageError>()("StorageError", {
  operation: Schema.Literals(["list", "delete", "put", "copy", "get", "head", "abort", "probe"]),
  /** The object, prefix or bucket concerned. */
  subject: Schema.String,
  reason: StorageFailure,
  /** The store's own words, without credentials. */
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `Storage ${this.operation} of "${this.subject}" failed (${this.reason}): ${this.detail}. ${nextStep[this.reason]}`
  }
  get isRetryable(): boolean {
    return this.reason === "Unavailable" || this.reason === "Throttled" || this.reason === "TimedOut"
  }
}
