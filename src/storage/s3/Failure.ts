/**
 * The translation of the S3 client's errors into failures of the store.
 *
 * The client's own error object is not passed on. A SignatureDoesNotMatch contains the whole canonical
 * request with its session token, and a program that logs a cause would log the token.
 */
import { StorageError, type StorageFailure } from "../../domain/StorageError.ts"
import { type DeleteFailureReason, fromFailure } from "../DeleteFailure.ts"
import { OtherAnswer } from "./Documents.ts"

/** Holds the safe parts of the client's error. */
export class RequestFailed extends Error {
  /** The store's error code, or the socket's. */
  readonly code: string
  /** The HTTP status, or undefined if there was no answer. */
  readonly status: number | undefined
  constructor(code: string, status: number | undefined, message: string) {
    super(message)
    this.name = "RequestFailed"
    this.code = code
    this.status = status
  }
}

/** Codes whose HTTP status would mislead, and errors without a status. */
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
  // Its status is 404, as for an absent object, but it means that another client ended the upload.
  NoSuchUpload: "Rejected",
  // By now the client has corrected its clock by the answer's Date, so the next attempt succeeds.
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
  // The client limits only the time to connect. Requests.ts limits the time to answer.
  ETIMEDOUT: "Unavailable",
  TimeoutError: "Unavailable"
}

/** Returns the failure that an error of the S3 client means. `scrub` removes credentials from a text. */
export const fromClient = (
  operation: StorageError["operation"],
  subject: string,
  cause: unknown,
  scrub: (text: string) => string
): StorageError => {
  if (cause instanceof OtherAnswer) return misbehaved(operation, subject, cause.message)
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

/** Codes of a single key's failure. An answer to a batch has no HTTP status for a key. */
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

/** Returns the reason why a key was not deleted. `status` is the HTTP status of its own request, if any. */
export const keyReason = (code: string, detail: string, status?: number): DeleteFailureReason => {
  if (isLocked(code, detail)) return "locked"
  const known = keyReasons[code]
  if (known !== undefined) return known
  const failure = reasons[code]
  if (failure !== undefined) return fromFailure(failure)
  return status === 500 ? "internal" : fromFailure(byStatus(status))
}

/**
 * Whether an object lock is the reason. The stores have no code for it, only a text:
 * - AWS, AccessDenied: "Access Denied because object protected by object lock."
 * - Ceph, AccessDenied: "forbidden by object lock"
 * - MinIO, InvalidRequest: "Object is WORM protected and cannot be overwritten"
 *
 * The text of a missing permission may mention locks too, and means `denied`.
 */
const isLocked = (code: string, detail: string): boolean =>
  (code === "AccessDenied" || code === "InvalidRequest") &&
  /object[ -]lock|\bworm\b|\bretention\b|\blegal hold\b/i.test(detail) &&
  !/not authorized to perform/i.test(detail)

/** Returns the failure of a request that got no answer in time. */
export const timedOut = (operation: StorageError["operation"], subject: string, what: string): StorageError =>
  new StorageError({ operation, subject, reason: "TimedOut", detail: what })

/** Returns the failure of a request whose answer violates the protocol. */
export const misbehaved = (
  operation: StorageError["operation"],
  subject: string,
  what: string
): StorageError => new StorageError({ operation, subject, reason: "Misbehaved", detail: what })

/** Returns a function that hides the secrets in a text. Secrets of fewer than 4 characters are skipped. */
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
  // The client could not read the answer to a request that succeeded.
  if (status < 300) return "Misbehaved"
  return status >= 500 ? "Unavailable" : "Rejected"
}

/** Returns the safe parts of the client's error. The error is untyped, so each part is checked. */
const inspect = (cause: unknown, scrub: (text: string) => string): RequestFailed => {
  if (!(cause instanceof Error)) return new RequestFailed("Unknown", undefined, scrub(String(cause)))
  const { code, $metadata } = cause as { code?: unknown; $metadata?: { httpStatusCode?: unknown } }
  const status = typeof $metadata?.httpStatusCode === "number" ? $metadata.httpStatusCode : undefined
  // The client renames a socket's error (ECONNRESET becomes "TimeoutError"), but keeps the code.
  const name = status === undefined && typeof code === "string" ? code : cause.name
  const failed = new RequestFailed(scrub(name), status, scrub(cause.message))
  if (cause.stack !== undefined) failed.stack = scrub(cause.stack)
  return failed
}
