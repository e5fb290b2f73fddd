/**
 * Who may ask: HTTP basic authentication and a bearer token, both optional.
 *
 * Invariant: how long an answer takes says nothing about how much of a secret was right. Secrets are compared as
 * SHA-256 hashes of equal length, all of them, whichever fails first.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { Effect, Redacted } from "effect"
import type { HttpServerRequest } from "effect/http"
import { type Problem, problem } from "./Problem.ts"

export interface AuthenticationOptions {
  readonly credentials?: { readonly username: string; readonly password: Redacted.Redacted } | undefined
  readonly token?: Redacted.Redacted | undefined
  readonly anonymousPull?: boolean | undefined
}

/**
 * Basic only, although a token is accepted as `Bearer` too: to that challenge Docker would answer by asking a token
 * service, which there is none of. So a token is also accepted as the password of any user.
 */
const challenge = { "www-authenticate": 'Basic realm="artifact-gc", charset="UTF-8"' }

/**
 * What the answer to `GET /v2/` has for those who may read without credentials: RFC 9110, section 11.6.1, lets an answer
 * that is no error say that credentials would change others. Without it podman and skopeo push in vain.
 */
export const invitation = ({
  credentials,
  token,
  anonymousPull = false
}: AuthenticationOptions): Readonly<Record<string, string>> =>
  anonymousPull && (credentials !== undefined || token !== undefined) ? challenge : {}

/** Fails with 401 when the request may not be served. */
export const authenticate = (
  options: AuthenticationOptions
): ((request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void, Problem>) => {
  const { credentials, token, anonymousPull = false } = options
  if (credentials === undefined && token === undefined) return () => Effect.void
  const username = credentials === undefined ? null : hash(credentials.username)
  const password = credentials === undefined ? null : hash(Redacted.value(credentials.password))
  const secret = token === undefined ? null : hash(Redacted.value(token))
  return ({ method, headers }) =>
    Effect.suspend(() => {
      const given = presented(headers.authorization)
      if (given === null) {
        const isRead = method === "GET" || method === "HEAD"
        return anonymousPull && isRead ? Effect.void : unauthorized("Say who you are.")
      }
      const isUser = both(equal(username, given.username), equal(password, given.password))
      const isToken = equal(secret, given.password)
      return isUser || isToken ? Effect.void : unauthorized("The credentials are not right.")
    })
}

const unauthorized = (message: string) =>
  Effect.fail(problem(401, "UNAUTHORIZED", message, { headers: challenge }))

interface Presented {
  /** Null with a bearer token. */
  readonly username: string | null
  readonly password: string
}

/** What a client says of itself; null when it says nothing. What cannot be read is wrong, not nothing. */
const presented = (header: string | undefined): Presented | null => {
  if (header === undefined) return null
  const [, scheme = "", value = ""] = /^([A-Za-z]+) +(\S+) *$/.exec(header) ?? []
  if (scheme.toLowerCase() === "bearer") return { username: null, password: value }
  if (scheme.toLowerCase() !== "basic") return { username: null, password: "" }
  const text = Buffer.from(value, "base64").toString("utf8")
  // What podman and skopeo send when they have been given no credentials.
  if (text === ":") return null
  const colon = text.indexOf(":")
  return colon < 0
    ? { username: null, password: "" }
    : { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

const hash = (text: string): Buffer => createHash("sha256").update(text).digest()

const equal = (expected: Buffer | null, given: string | null): boolean => {
  const isEqual = timingSafeEqual(expected ?? nothing, hash(given ?? ""))
  return both(both(expected !== null, given !== null), isEqual)
}

/** Compared with where nothing is expected, so that this takes no less time. */
const nothing = hash("")

/** And, without leaving out the second when the first is false. */
const both = (one: boolean, other: boolean): boolean => (Number(one) & Number(other)) === 1
