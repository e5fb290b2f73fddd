/**
 * Who may send requests: HTTP basic authentication and a bearer token, both optional.
 *
 * Invariant: the time of a response says nothing about how much of a secret was right. Secrets are compared
 * as SHA-256 hashes of equal length, and all of them are compared, whichever differs first.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { Effect, Redacted } from "effect"
import type { HttpServerRequest } from "effect/http"
import { type Problem, problem } from "./Problem.ts"

/** Which clients may read and write. */
export interface AuthenticationOptions {
  /**
   * User and password of HTTP basic authentication. Default none. Without credentials and token all clients
   * may write.
   */
  readonly credentials?: { readonly username: string; readonly password: Redacted.Redacted } | undefined
  /**
   * A token that is accepted as bearer, and as the password of any user because Docker can send it in no
   * other way. Default none.
   */
  readonly token?: Redacted.Redacted | undefined
  /**
   * Whether clients without credentials may read. Default false: Docker's client authenticates only where
   * `GET /v2/` is refused, so with true its pushes fail and its login accepts any password (20.10, measured
   * 2026-11-25). Skopeo, and podman with the same library, can do both.
   */
  readonly anonymousPull?: boolean | undefined
}

/**
 * Names only Basic, although a token is accepted as `Bearer` too. After a `Bearer` challenge Docker asks a
 * token service, and this registry has none. A token is therefore also accepted as the password of any user.
 */
const challenge = { "www-authenticate": 'Basic realm="artifact-gc", charset="UTF-8"' }

/**
 * Returns the headers of `GET /v2/` for anonymous clients. RFC 9110, section 11.6.1, allows a challenge in a
 * successful response, to say that credentials allow more. Without it podman and skopeo push without
 * credentials and fail.
 */
export const invitation = ({
  credentials,
  token,
  anonymousPull = false
}: AuthenticationOptions): Readonly<Record<string, string>> =>
  anonymousPull && (credentials !== undefined || token !== undefined) ? challenge : {}

/** Returns a check that fails with 401 if a request may not be served. */
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
        return anonymousPull && isRead
          ? Effect.void
          : unauthorized("The registry needs credentials. Log in and repeat the request.")
      }
      const isUser = both(equal(username, given.username), equal(password, given.password))
      const isToken = equal(secret, given.password)
      return isUser || isToken
        ? Effect.void
        : unauthorized("The credentials are wrong. Log in again and repeat the request.")
    })
}

const unauthorized = (message: string) =>
  Effect.fail(problem(401, "UNAUTHORIZED", message, { headers: challenge }))

interface Presented {
  /** Null for a bearer token. */
  readonly username: string | null
  readonly password: string
}

/**
 * Reads the credentials of a request, or null if it has none. A header that cannot be read is wrong
 * credentials.
 */
const presented = (header: string | undefined): Presented | null => {
  if (header === undefined) return null
  const [, scheme = "", value = ""] = /^([A-Za-z]+) +(\S+) *$/.exec(header) ?? []
  if (scheme.toLowerCase() === "bearer") return { username: null, password: value }
  if (scheme.toLowerCase() !== "basic") return { username: null, password: "" }
  const text = Buffer.from(value, "base64").toString("utf8")
  // podman and skopeo send this if they have no credentials.
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

/** Stands in for a secret that is not set, so that the comparison takes as long. */
const nothing = hash("")

/** Returns the conjunction, and always evaluates both sides. */
const both = (one: boolean, other: boolean): boolean => (Number(one) & Number(other)) === 1
