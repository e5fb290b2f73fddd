/**
 * The translation of the S3 client's errors into failures of the store.
 *
 * The client's own error object is not passed on. A SignatureDoesNotMatch contains the whole canonical
 * request with its session token, and a program that logs a cause would log the token.
 */
import { StorageError, type StorageFailure } from "../../domain/StorageError.ts"
import { type DeleteFailureReason, fromFailure } from "../DeleteFailure.ts"
import { grant, meanings } from "./Codes.ts"
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

/** Returns the failure that an error of the S3 client means. `scrub` removes credentials from a text. */
export const fromClient = (
  operation: StorageError["operation"],
  subject: string,
  cause: unknown,
  scrub: (text: string) => string
): StorageError => {
  if (cause instanceof OtherAnswer) return misbehaved(operation, subject, cause.message)
  const failed = inspect(cause, scrub)
  const meaning = meanings[failed.code]
  const reason = reasonOfCode(failed.code) ?? byStatus(failed.status)
  const next = meaning?.next ?? (reason === "AccessDenied" ? grant(operation) : undefined)
  return new StorageError({
    operation,
    subject,
    reason,
    detail: describe(failed, meaning?.says),
    ...(next === undefined ? {} : { next }),
    cause: failed
  })
}

/** The reason of a code whose HTTP status would mislead, or that has none. */
const reasonOfCode = (code: string): StorageFailure | undefined => meanings[code]?.reason

/** Returns the code, what it means, and what the store says. The SDK fills an empty text with its own word. */
const describe = ({ code, message, status }: RequestFailed, says: string | undefined): string => {
  const name = status === undefined ? code : `${code} (HTTP ${status})`
  const text = message.replace(/\.$/, "")
  const said = text === "" || text === "UnknownError" || text === code ? undefined : text
  if (says === undefined) return `${name}: ${said ?? "the store gave no reason"}`
  return said === undefined ? `${name}: ${says}` : `${name}: ${says} (${said})`
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
  const reason = reasonOf(code, status)
  return (reason === "denied" || reason === "rejected" || reason === "unknown") && isLocked(code, detail)
    ? "locked"
    : reason
}

const reasonOf = (code: string, status: number | undefined): DeleteFailureReason => {
  const known = keyReasons[code]
  if (known !== undefined) return known
  const failure = reasonOfCode(code)
  if (failure !== undefined) return fromFailure(failure)
  return status === 500 ? "internal" : fromFailure(byStatus(status))
}

/**
 * Whether an object lock is the reason of a refusal. S3 has no code for it, only a text:
 * - AWS and versitygw, AccessDenied: "Access Denied because object protected by object lock."
 * - Ceph, AccessDenied: "forbidden by object lock", or no text (Versions.ts then asks for the lock)
 * - MinIO, InvalidRequest: "Object is WORM protected and cannot be overwritten"
 *
 * The text of a missing permission may mention locks too, and means `denied`.
 */
const isLocked = (code: string, detail: string): boolean =>
  (/object[ -]?lock|\bworm\b|\bretention\b|\blegal hold\b/i.test(detail) || /^(Object)?Locked$/.test(code)) &&
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

/** Returns the failure of a body that needs more parts than an upload has. No store is asked. */
export const tooManyParts = (operation: StorageError["operation"], subject: string): StorageError =>
  new StorageError({
    operation,
    subject,
    reason: "TooLarge",
    detail: "the body needs more than the 10,000 parts of one upload"
  })

/**
 * Codes with which stores refuse a part for its number, or an upload for its parts: AWS a part number above 10,000
 * (`InvalidArgument`), radosgw more parts than its limit (`InvalidRange`).
 */
const ofPartCount = new Set(["InvalidArgument", "InvalidPartNumber", "InvalidRange"])

/** A code with which R2 refuses parts of several sizes. Other stores use it for a part that they do not have. */
const ofPartSizes = "InvalidPart"

/**
 * Returns a failure of an upload after some parts were taken: as `TooLarge` if the store refused the number or the sizes of its
 * parts, otherwise as it is.
 */
export const ofManyParts = <E>(error: E, hasSeveralSizes: boolean): E | StorageError => {
  if (!(error instanceof StorageError) || !(error.cause instanceof RequestFailed)) return error
  const { cause, detail, operation, reason, subject } = error
  const isOfParts = ofPartCount.has(cause.code) || (hasSeveralSizes && cause.code === ofPartSizes)
  if (operation !== "put" || reason !== "Rejected" || !isOfParts) return error
  return new StorageError({ operation, subject, reason: "TooLarge", detail, cause })
}

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
  if (status === 413) return "TooLarge"
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
