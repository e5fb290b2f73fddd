/**
 * What a client is told when it cannot be served: a status and the error body of distribution-spec v1.1.1 ("Error
 * Codes").
 *
 * Invariant: nothing of a problem tells about the inside of the registry. What the log is told is `failure`.
 */
import { Data } from "effect"
import { HttpServerResponse } from "effect/http"

/** Codes of distribution-spec v1.1.1, and two of Docker's for what the specification has none for: statuses of 500 and more. */
export type ErrorCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS"
  | "UNAVAILABLE"
  | "UNKNOWN"

export interface ErrorEntry {
  readonly code: ErrorCode
  readonly message: string
  /** What a program may read. */
  readonly detail?: Readonly<Record<string, unknown>> | undefined
}

/** A request that is answered with an error. */
export class Problem extends Data.TaggedError("Problem")<{
  readonly status: number
  readonly errors: ReadonlyArray<ErrorEntry>
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** What the log is told, and the client is not. */
  readonly failure?: unknown
}> {
  override get message(): string {
    return this.errors.map(({ message }) => message).join(" ")
  }
}

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

/** RFC 9110, section 15.5.6: the answer names the methods that the address has. */
export const methodNotAllowed = (method: string, allowed: ReadonlyArray<string>): Problem =>
  problem(405, "UNSUPPORTED", `${method} is not supported here; ${allowed.join(", ")} are.`, {
    headers: { allow: allowed.join(", ") }
  })

/** Seconds after which a client may try again what was put off. Short, because it is one of many requests of a push. */
export const retryAfterSeconds = 2

/** Nothing is wrong with the request; now is a bad time. */
export const unavailable = (failure: unknown): Problem =>
  problem(
    503,
    "UNAVAILABLE",
    "The registry cannot reach its database or its store now. Repeat the request in a few seconds.",
    { headers: { "retry-after": String(retryAfterSeconds) }, failure }
  )

export const internal = (failure: unknown): Problem =>
  problem(500, "UNKNOWN", "Something went wrong inside the registry; its log says what.", { failure })

export const toResponse = ({ status, errors, headers }: Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe({ errors }, { status, ...(headers === undefined ? {} : { headers }) })
