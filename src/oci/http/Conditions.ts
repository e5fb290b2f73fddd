/**
 * Conditional requests (RFC 9110, section 13). What is served never changes under its digest, so the digest is its
 * strong entity tag.
 */
import type { Headers } from "effect/http"
import type { Digest } from "../../domain/Digest.ts"
import { type Problem, problem } from "./Problem.ts"

export const etagOf = (digest: Digest): string => `"${digest}"`

/**
 * - `serve`: nothing speaks against it
 * - `unchanged`: the client has it already; 304 where it asked for it
 */
export type Condition = "serve" | "unchanged" | Problem

/** What the conditions of a request say about something with `digest`, null when it does not exist. */
export const evaluate = (headers: Headers.Headers, digest: Digest | null): Condition => {
  const ifMatch = headers["if-match"]
  if (ifMatch !== undefined && !names(ifMatch, digest)) return failed
  const ifNoneMatch = headers["if-none-match"]
  return ifNoneMatch !== undefined && names(ifNoneMatch, digest) ? "unchanged" : "serve"
}

/** Whether a request has conditions at all. */
export const isConditional = (headers: Headers.Headers): boolean =>
  headers["if-match"] !== undefined || headers["if-none-match"] !== undefined

export const failed: Problem = problem(
  412,
  "UNSUPPORTED",
  "A condition of the request does not hold. Nothing was changed."
)

/** Whether a list of entity tags names the digest. Docker's clients send digests without quotes as well. */
const names = (list: string, digest: Digest | null): boolean => {
  if (digest === null) return false
  if (list.trim() === "*") return true
  return list.split(",").some((tag) => tag.trim().replace(/^W\//, "").replaceAll('"', "") === digest)
}

/** RFC 9110, section 13.1.5: a range of something else than the client has parts of is of no use to it. Dates never match. */
export const allowsRange = (headers: Headers.Headers, digest: Digest): boolean => {
  const ifRange = headers["if-range"]
  return ifRange === undefined || ifRange.trim() === etagOf(digest)
}
