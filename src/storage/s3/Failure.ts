/**
 * The one place where an error of the S3 client becomes a `StorageError`.
 *
 * The client's own error object is not passed on: a SignatureDoesNotMatch carries the whole canonical request, with
 * a session token in it, and whoever logs a cause would log that.
 */
import { StorageError, type StorageFailure } from "../../domain/StorageError.ts"
import { type DeleteFailureReason, fromFailure } from "../DeleteFailure.ts"

/** What is kept of the client's error: the store's code (or the socket's), the HTTP status if there was an answer. */
export class RequestFailed extends Error {
  readonly code: string
  readonly status: number | undefined
  constructor(code: string, status: number | undefined, message: string) {
    super(message)
    this.name = "RequestFailed"
    this.code = code
    this.status = status
  }
}

/** Codes whose HTTP status says something else than they do, and errors that never had a status. */
const reasons: Record<string, StorageFailure> = {
  // https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
  SlowDown: "Throttled",
  RequestLimitExceeded: "Throttled",
  Throttling: "Throttled",
  ThrottlingException: "Throttled",
  TooManyRequests: "Throttled",
  RequestTimeout: "TimedOut",
  ExpiredToken: "AccessDenied",
  InvalidToken: "AccessDenied",
  TokenRefreshRequired: "AccessDenied",
  CredentialsProviderError: "AccessDenied",
  // 404 like an absent object, but it only means that somebody else ended the upload.
  NoSuchUpload: "Rejected",
  // The client has corrected its clock by the answer's Date when this arrives, so the next attempt is good.
  RequestTimeTooSkewed: "Unavailable",
  EAI_AGAIN: "Unavailable",
  ECONNABORTED: "Unavailable",
  ECONNREFUSED: "Unavailable",
  ECONNRESET: "Unavailable",
  EHOSTUNREACH: "Unavailable",
  ENETUNREACH: "Unavailable",
  ENOTFOUND: "Unavailable",
  EPIPE: "Unavailable",
  ERR_STREAM_PREMATURE_CLOSE: "Unavailable",
  // Only connecting is timed by the client; answers are timed by us (S3.ts).
  ETIMEDOUT: "Unavailable",
  TimeoutError: "Unavailable"
}

/** What an error of the S3 client means to a caller of the store. `scrub` takes credentials out of a text. */
export const fromClient = (
  operation: StorageError["operation"],
  subject: string,
  cause: unknown,
  scrub: (text: string) => string
): StorageError => {
  const failed = inspect(cause, scrub)
  const status = failed.status === undefined ? "" : ` (HTTP ${failed.status})`
  return new StorageError({
    operation,
    subject,
    reason: reasons[failed.code] ?? byStatus(failed.status),
    detail: `${failed.code}${status}: ${failed.message.replace(/\.$/, "")}`,
    cause: failed
  })
}

/** Codes of a single key's failure, which has no HTTP status when a batch reports it. */
const keyReasons: Record<string, DeleteFailureReason> = {
  ServiceUnavailable: "unavailable",
  // A single key's 500 may be permanent: see `isStoreTrouble`.
  InternalError: "internal",
  AccessDenied: "denied",
  AccountProblem: "denied",
  AllAccessDisabled: "denied",
  InvalidAccessKeyId: "denied",
  SignatureDoesNotMatch: "denied",
  NoSuchBucket: "missing",
  InvalidArgument: "rejected",
  InvalidRequest: "rejected",
  KeyTooLongError: "rejected",
  MalformedXML: "rejected",
  MethodNotAllowed: "rejected",
  NotImplemented: "rejected",
  OperationAborted: "rejected",
  PreconditionFailed: "rejected"
}

/** Returns why one key of a delete failed. `status` is that of its own request; a batch has none for a key. */
export const keyReason = (code: string, detail: string, status?: number): DeleteFailureReason => {
  if (isLocked(code, detail)) return "locked"
  const known = keyReasons[code]
  if (known !== undefined) return known
  const failure = reasons[code]
  if (failure !== undefined) return fromFailure(failure)
  return status === 500 ? "internal" : fromFailure(byStatus(status))
}

/**
 * Whether an object lock is the reason. No store has a code for it; the texts are AWS's "Access Denied because object
 * protected by object lock", Ceph's "forbidden by object lock" (both AccessDenied) and MinIO's "Object is WORM
 * protected and cannot be overwritten" (InvalidRequest). A missing permission names its action, which may have
 * "Retention" or "LegalHold" in it.
 */
const isLocked = (code: string, detail: string): boolean =>
  (code === "AccessDenied" || code === "InvalidRequest") &&
  /object[ -]lock|\bworm\b|\bretention\b|\blegal hold\b/i.test(detail) &&
  !/not authorized to perform/i.test(detail)

/** The store did not answer in time. */
export const timedOut = (operation: StorageError["operation"], subject: string, what: string): StorageError =>
  new StorageError({ operation, subject, reason: "TimedOut", detail: what })

/** The store answered something that its protocol does not have. */
export const misbehaved = (
  operation: StorageError["operation"],
  subject: string,
  what: string
): StorageError => new StorageError({ operation, subject, reason: "Unknown", detail: what })

/** Hides each secret that is at least a few characters long; shorter ones would shred the text and hide nothing. */
export const scrubber = (secrets: ReadonlyArray<string>) => {
  const hidden = secrets.filter((secret) => secret.length >= 4)
  return (text: string): string =>
    hidden.reduce((clean, secret) => clean.replaceAll(secret, "<redacted>"), text)
}

const byStatus = (status: number | undefined): StorageFailure => {
  if (status === undefined) return "Unknown"
  if (status === 401 || status === 403) return "AccessDenied"
  if (status === 404) return "NotFound"
  if (status === 408 || status === 504) return "TimedOut"
  if (status === 429) return "Throttled"
  if (status === 501) return "Rejected"
  return status >= 500 ? "Unavailable" : status >= 300 ? "Rejected" : "Unknown"
}

/** The parts of the client's error that are known to be harmless. Its shape is not typed, so nothing is assumed. */
const inspect = (cause: unknown, scrub: (text: string) => string): RequestFailed => {
  if (!(cause instanceof Error)) return new RequestFailed("Unknown", undefined, scrub(String(cause)))
  const { code, $metadata } = cause as { code?: unknown; $metadata?: { httpStatusCode?: unknown } }
  const status = typeof $metadata?.httpStatusCode === "number" ? $metadata.httpStatusCode : undefined
  // A socket's error is renamed by the client (ECONNRESET is a "TimeoutError" to it); its code tells the truth.
  const name = status === undefined && typeof code === "string" ? code : cause.name
  const failed = new RequestFailed(scrub(name), status, scrub(cause.message))
  if (cause.stack !== undefined) failed.stack = scrub(cause.stack)
  return failed
}
