/**
 * An error response: a status and the error body of distribution-spec v1.1.1 ("Error Codes").
 *
 * Invariant: status, body and headers tell nothing about the inside of the registry. `failure` is for the log
 * only.
 */
import { Data } from "effect"
import { HttpServerResponse } from "effect/http"

/**
 * Codes of distribution-spec v1.1.1, and two of Docker's for statuses of 500 and more, for which the spec has
 * none.
 */
export type ErrorCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DENIED"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "UNSUPPORTED"
  | "UNAVAILABLE"
  | "UNKNOWN"

/** One entry of the error body. */
export interface ErrorEntry {
  readonly code: ErrorCode
  readonly message: string
  /** Data for programs. Default: none. */
  readonly detail?: Readonly<Record<string, unknown>> | undefined
}

/** Fails a request with an error response. */
export class Problem extends Data.TaggedError("Problem")<{
  readonly status: number
  readonly errors: ReadonlyArray<ErrorEntry>
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** The cause, for the log and not for the client. */
  readonly failure?: unknown
}> {
  override get message(): string {
    return this.errors.map(({ message }) => message).join(" ")
  }
}

/** Returns an error response with one entry. */
export const problem = (
  status: number,
  code: ErrorCode,
  message: string,
  more: Pick<ErrorEntry, "detail"> &
    Pick<ConstructorParameters<typeof Problem>[0], "headers" | "failure"> = {}
): Problem =>
  new Problem({
    status,
    errors: [{ code, message, ...(more.detail === undefined ? {} : { detail: more.detail }) }],
    headers: more.headers,
    failure: more.failure
  })

/** Returns 405 with the methods that the address has (RFC 9110, section 15.5.6). */
export const methodNotAllowed = (method: string, allowed: ReadonlyArray<string>): Problem =>
  problem(405, "UNSUPPORTED", `This address does not support ${method}; it supports ${allowed.join(", ")}.`, {
    headers: { allow: allowed.join(", ") }
  })

/**
 * Seconds after which a client repeats a request that was refused for now. Short, because a push has many
 * requests.
 */
export const retryAfterSeconds = 2

/** Returns 503 for a request that may succeed later. */
export const unavailable = (failure: unknown): Problem =>
  problem(
    503,
    "UNAVAILABLE",
    "The registry cannot reach its database or its object store. Repeat the request in a few seconds.",
    { headers: { "retry-after": String(retryAfterSeconds) }, failure }
  )

/** Returns 500, without a cause. */
export const internal = (failure: unknown): Problem =>
  problem(
    500,
    "UNKNOWN",
    "The registry failed internally, and its log has the cause. Report the error to its operator.",
    { failure }
  )

/** Returns the response. */
export const toResponse = ({ status, errors, headers }: Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe({ errors }, { status, ...(headers === undefined ? {} : { headers }) })
