/**
 * Conditional requests (RFC 9110, section 13). The content of a digest never changes, so the digest is its
 * strong entity tag.
 */
import type { Headers } from "effect/http"
import type { Digest } from "../../domain/Digest.ts"
import { type Problem, problem } from "./Problem.ts"

/** Returns the entity tag of a digest. */
export const etagOf = (digest: Digest): string => `"${digest}"`

/**
 * The outcome of a request's conditions.
 * - `serve`: they allow the request
 * - `unchanged`: the client has the content; respond to a read with 304
 * - a problem: they forbid the request
 */
export type Condition = "serve" | "unchanged" | Problem

/** Evaluates the conditions of a request for content with `digest`, null if it does not exist. */
export const evaluate = (headers: Headers.Headers, digest: Digest | null): Condition => {
  const ifMatch = headers["if-match"]
  if (ifMatch !== undefined && !names(ifMatch, digest)) return failed
  const ifNoneMatch = headers["if-none-match"]
  return ifNoneMatch !== undefined && names(ifNoneMatch, digest) ? "unchanged" : "serve"
}

/** Returns whether a request has conditions. */
export const isConditional = (headers: Headers.Headers): boolean =>
  headers["if-match"] !== undefined || headers["if-none-match"] !== undefined

/** The response to a request whose condition is false. */
export const failed: Problem = problem(
  412,
  "UNSUPPORTED",
  "A condition of the request (If-Match, If-None-Match) is false. Nothing was changed; read the current state and repeat."
)

/**
 * Returns whether a list of entity tags names the digest. Docker's clients also send digests without quotes.
 */
const names = (list: string, digest: Digest | null): boolean => {
  if (digest === null) return false
  if (list.trim() === "*") return true
  return list.split(",").some((tag) => tag.trim().replace(/^W\//, "").replaceAll('"', "") === digest)
}

/**
 * Returns whether `If-Range` allows a range (RFC 9110, section 13.1.5). A client that has parts of other
 * content cannot use a range of this. Dates never match.
 */
export const allowsRange = (headers: Headers.Headers, digest: Digest): boolean => {
  const ifRange = headers["if-range"]
  return ifRange === undefined || ifRange.trim() === etagOf(digest)
}
