/**
 * Who a client is, and what it may do: users and passwords, a token of the operator, tokens of this registry or of a token
 * service, and rules by repository.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { Effect, Redacted, Schema } from "effect"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import * as OwnTokens from "./OwnTokens.ts"
import * as Passwords from "./Passwords.ts"
import { everyUser, type Right, type Rules } from "./Rules.ts"
import * as TokenService from "./TokenService.ts"

export type { IssuedToken } from "./OwnTokens.ts"

/** A secret, or a function that returns it as it is now. */
export type Secret = Redacted.Redacted | (() => Redacted.Redacted)

/** Which clients may read and write. Without any of the ways to log in, every client may do everything. */
export interface AccessOptions {
  /** One user with a password. Default none. */
  readonly credentials?: { readonly username: string; readonly password: Secret } | undefined
  /** Users with hashed passwords, as they are now. Default none. */
  readonly passwords?: Effect.Effect<Passwords.PasswordFile> | undefined
  /**
   * A token that may do everything. Accepted as bearer, and as the password of any user because Docker can send it in no other
   * way. Default none.
   */
  readonly token?: Secret | undefined
  /** What users may do, as it is now. Default: every user everything, and `anonymousPull`. */
  readonly rules?: Effect.Effect<Rules> | undefined
  /**
   * Whether clients without credentials may read, if there are no `rules`. Default false. Docker's client logs in only where
   * `GET /v2/` is refused, so without `url` its pushes fail and its login accepts any password (20.10, measured 2026-11-25).
   */
  readonly anonymousPull?: boolean | undefined
  /**
   * The registry as clients reach it, for example `https://registry.example`. With it clients log in for a token, also those
   * without credentials. Default none: clients send name and password with each request.
   */
  readonly url?: string | undefined
  /** Another program that issues tokens for this registry. Default none. */
  readonly tokenService?: TokenService.TokenServiceOptions | undefined
}

/** A client, after its credentials were checked. */
export interface Identity {
  /** The user's name; null for a client without credentials. */
  readonly user: string | null
  /**
   * How it said who it is: in a token, new rights need a new token. `none` is a client without credentials.
   */
  readonly by: "none" | "password" | "token" | "token service"
  /** Tells whether it has the right in a repository. */
  readonly allow: (right: Right, repository: string) => boolean
  /** Whether it has the right in every repository. */
  readonly allowEverywhere: (right: Right) => boolean
}

/**
 * The credentials do not count.
 *
 * - `wrong`: name, password or token are wrong, or the token has ended
 * - `busy`: too many passwords wait to be verified, or the keys of the token service cannot be fetched
 */
export class NotAuthenticated extends Schema.TaggedError<NotAuthenticated>()("NotAuthenticated", {
  /** Why they do not count. */
  reason: Schema.Literals(["wrong", "busy"])
}) {
  override get message(): string {
    return this.reason === "wrong"
      ? "The credentials are wrong. Log in again and repeat the request."
      : "The registry cannot check the credentials now. Repeat the request in a few seconds."
  }
}

/** How a client is asked to say who it is (RFC 9110, section 11.3). */
export type Challenge =
  | { readonly _tag: "Basic" }
  | { readonly _tag: "Bearer"; readonly realm: string; readonly service: string }

/** Checks credentials. */
export interface Access {
  /** Whether every client may do everything without credentials. */
  readonly isOpen: boolean
  /** Whether clients without credentials may do anything, as it is now. */
  readonly hasAnonymous: Effect.Effect<boolean>
  /** How a client without valid credentials is asked for some. */
  readonly challenge: Challenge
  /** Returns who sends this `Authorization` header. */
  readonly authenticate: (
    header: string | undefined
  ) => Effect.Effect<Identity, NotAuthenticated | DatabaseError>
  /** Issues a token to who sends this header; null if this registry issues none. */
  readonly issue:
    | ((header: string | undefined) => Effect.Effect<OwnTokens.IssuedToken, NotAuthenticated | DatabaseError>)
    | null
}

/** Where tokens of this registry are issued, below its `url`. */
export const tokenPath = "/token"

/**
 * Makes the check. `signingKey` returns the key of the registry's own tokens, which all replicas share. It is asked only where
 * there is a `url`.
 */
export const make = Effect.fnUntraced(function* (
  options: AccessOptions,
  signingKey: Effect.Effect<Uint8Array, DatabaseError>
) {
  const { anonymousPull = false, credentials, passwords, token, tokenService, url } = options
  const isOpen =
    credentials === undefined && passwords === undefined && token === undefined && tokenService === undefined
  const rules = options.rules ?? Effect.succeed(everyUser(isOpen ? "all" : anonymousPull ? "pull" : "none"))
  const own = url === undefined ? null : OwnTokens.make(new URL(url).host, signingKey)
  const secrets = secretsOf(options)
  const check = yield* Passwords.make
  const verifyForeign = tokenService === undefined ? null : TokenService.make(tokenService)

  const ofUser = (user: string | null, by: Identity["by"]): Effect.Effect<Identity> =>
    Effect.map(rules, ({ allow, allowEverywhere }) => ({
      user,
      by,
      allow: (right, repository) => allow(user, right, repository),
      allowEverywhere: (right) => allowEverywhere(user, right)
    }))

  const byPassword = Effect.fnUntraced(function* (user: string, password: string) {
    const known = secrets(user, password)
    if (known === "token") return operator
    if (known === "user") return yield* ofUser(user, "password")
    const answer = passwords === undefined ? false : yield* check.check(yield* passwords, user, password)
    if (answer === true) return yield* ofUser(user, "password")
    return yield* new NotAuthenticated({ reason: answer === "busy" ? "busy" : "wrong" })
  })

  const byToken = Effect.fnUntraced(function* (text: string) {
    if (secrets(null, text) === "token") return operator
    const subject = own === null ? null : yield* own.verify(text)
    if (subject === operatorSubject) return operator
    if (subject !== null) return yield* ofUser(userOf(subject), "token")
    const grant = verifyForeign === null ? "wrong" : yield* verifyForeign(text)
    if (grant === "wrong") return yield* new NotAuthenticated({ reason: "wrong" })
    if (grant === "unknown") return yield* new NotAuthenticated({ reason: "busy" })
    return identityOf(grant)
  })

  const authenticate: Access["authenticate"] = Effect.fnUntraced(function* (header) {
    // A registry that needs no credentials accepts any: clients send what they have.
    if (isOpen) return yield* ofUser(null, "none")
    const given = presented(header)
    if (given._tag === "None") return yield* ofUser(null, "none")
    if (given._tag === "Token") return yield* byToken(given.token)
    return yield* byPassword(given.user, given.password)
  })

  return {
    isOpen,
    hasAnonymous: Effect.map(rules, ({ hasAnonymous }) => hasAnonymous),
    challenge: challengeOf(options),
    authenticate,
    issue:
      own === null
        ? null
        : (header) => Effect.flatMap(authenticate(header), (identity) => own.issue(subjectOf(identity)))
  } satisfies Access
})

const challengeOf = ({ tokenService, url }: AccessOptions): Challenge => {
  if (tokenService !== undefined)
    return { _tag: "Bearer", realm: tokenService.realm, service: tokenService.service }
  return url === undefined
    ? { _tag: "Basic" }
    : { _tag: "Bearer", realm: new URL(tokenPath, url).href, service: new URL(url).host }
}

/** Subjects of the registry's own tokens. A prefix tells a user's name from the others. */
const operatorSubject = "operator"

const subjectOf = (identity: Identity): string => {
  if (identity === operator) return operatorSubject
  return identity.user === null ? "anonymous" : `user:${identity.user}`
}

const userOf = (subject: string): string | null => (subject.startsWith("user:") ? subject.slice(5) : null)

/** Who has the operator's token. */
const operator: Identity = {
  user: "token",
  by: "token",
  allow: () => true,
  allowEverywhere: () => true
}

const identityOf = ({ allow, catalog, user }: TokenService.TokenGrant): Identity => ({
  user,
  by: "token service",
  allow,
  allowEverywhere: (right) => right === "pull" && catalog
})

type Presented =
  | { readonly _tag: "None" }
  | { readonly _tag: "Token"; readonly token: string }
  | { readonly _tag: "Password"; readonly user: string; readonly password: string }

/** Reads a header. One that cannot be read is a wrong token. */
const presented = (header: string | undefined): Presented => {
  if (header === undefined) return { _tag: "None" }
  const [, scheme = "", value = ""] = /^([A-Za-z]+) +(\S+) *$/.exec(header) ?? []
  if (scheme.toLowerCase() === "bearer") return { _tag: "Token", token: value }
  if (scheme.toLowerCase() !== "basic") return { _tag: "Token", token: "" }
  const text = Buffer.from(value, "base64").toString("utf8")
  // podman and skopeo send this if they have no credentials.
  if (text === ":") return { _tag: "None" }
  const colon = text.indexOf(":")
  return colon < 0
    ? { _tag: "Token", token: "" }
    : { _tag: "Password", user: text.slice(0, colon), password: text.slice(colon + 1) }
}

/**
 * Returns which of the secrets of the settings a client has. All are compared, as hashes of equal length, whichever differs
 * first: the time says nothing about how much of one was right. `user` is null for a bearer.
 */
const secretsOf = ({ credentials, token }: AccessOptions) => {
  const username = credentials === undefined ? null : hash(credentials.username)
  const password = credentials === undefined ? () => null : hashed(credentials.password)
  const secret = token === undefined ? () => null : hashed(token)
  return (user: string | null, given: string): "token" | "user" | null => {
    const isUser = both(equal(username, user), equal(password(), given))
    const isToken = equal(secret(), given)
    if (isToken) return "token"
    return isUser ? "user" : null
  }
}

/** Returns how to have the hash of a secret as it is now. */
const hashed = (secret: Secret): (() => Buffer) => {
  if (typeof secret === "function") return () => hash(Redacted.value(secret()))
  const known = hash(Redacted.value(secret))
  return () => known
}

const hash = (text: string): Buffer => createHash("sha256").update(text).digest()

/** Stands in for a secret that is not set, so that the comparison takes as long. */
const nothing = hash("")

const equal = (expected: Buffer | null, given: string | null): boolean => {
  const isEqual = timingSafeEqual(expected ?? nothing, hash(given ?? ""))
  return both(both(expected !== null, given !== null), isEqual)
}

/** Returns the conjunction, and always evaluates both sides. */
const both = (one: boolean, other: boolean): boolean => (Number(one) & Number(other)) === 1
