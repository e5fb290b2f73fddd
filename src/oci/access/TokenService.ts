/**
 * Tokens of another program, for example docker_auth: JSON Web Tokens that are signed with a private key and say which rights
 * in which repositories they give (distribution's "Token Authentication Implementation", claim `access`).
 *
 * Symmetric signatures are never accepted: a program that can verify them can issue tokens too.
 */
import { createPublicKey, type KeyObject } from "node:crypto"
import { Clock, Effect, Result } from "effect"
import {
  calculateJwkThumbprint,
  createRemoteJWKSet,
  decodeProtectedHeader,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify
} from "jose"
import { JOSEError, JWKSInvalid, JWKSTimeout } from "jose/errors"
import type { Right } from "./Rules.ts"

/** A key that verifies tokens. `ids` are the names by which a token may call for it. */
export interface TokenKey {
  /** The public key. */
  readonly key: KeyObject
  /** The names of the key. */
  readonly ids: ReadonlyArray<string>
}

/** A service that issues tokens for this registry. */
export interface TokenServiceOptions {
  /** Its address, to which clients are sent. */
  readonly realm: string
  /** The name by which it knows this registry: the audience of its tokens. */
  readonly service: string
  /** The issuer of its tokens. */
  readonly issuer: string
  /** Its public keys: as they are now, or the https address of a JSON Web Key Set. */
  readonly keys: Effect.Effect<ReadonlyArray<TokenKey>> | URL
}

/** What a token of the service allows. */
export interface TokenGrant {
  /** Whose token it is; null for a client without a name. */
  readonly user: string | null
  /** Tells whether the token allows a right in a repository. */
  readonly allow: (right: Right, repository: string) => boolean
  /** Whether it allows to list all repositories. */
  readonly catalog: boolean
}

/** Returns what a token allows. `wrong`: it does not count. `unknown`: the keys cannot be fetched now. */
export type Verify = (token: string) => Effect.Effect<TokenGrant | "wrong" | "unknown">

const algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

const toleranceSeconds = 60

/** Reads keys: a JSON Web Key Set, or certificates and public keys in PEM. Fails with what is wrong. */
export const parseKeys = (text: string): Result.Result<ReadonlyArray<TokenKey>, ReadonlyArray<string>> => {
  const parsed = text.trimStart().startsWith("{") ? ofKeySet(text) : ofPem(text)
  if (typeof parsed === "string") return Result.fail([parsed])
  if (parsed.length === 0)
    return Result.fail(["it has no key; write a JSON Web Key Set, or certificates or public keys in PEM"])
  return Result.succeed(parsed)
}

const ofKeySet = (text: string): ReadonlyArray<TokenKey> | string => {
  try {
    const { keys } = JSON.parse(text) as { readonly keys: ReadonlyArray<Record<string, string>> }
    return keys.map((jwk) => ({
      key: createPublicKey({ key: jwk, format: "jwk" }),
      ids: typeof jwk.kid === "string" ? [jwk.kid] : []
    }))
  } catch {
    return "it is not a JSON Web Key Set of public keys"
  }
}

const ofPem = (text: string): ReadonlyArray<TokenKey> | string => {
  const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[\s\S]*?-----END \1-----/g) ?? []
  if (blocks.some((block) => block.includes("PRIVATE KEY")))
    return "it has a private key, which only the service that issues tokens may have; write the public key"
  try {
    return blocks.map((block) => ({ key: createPublicKey(block), ids: [] }))
  } catch {
    return "a certificate or public key in it cannot be read"
  }
}

/** Makes the verification of the service's tokens. */
export const make = ({ issuer, keys, service }: TokenServiceOptions): Verify => {
  const options = { issuer, audience: service, algorithms, requiredClaims: ["exp"] }
  const remote = keys instanceof URL ? createRemoteJWKSet(keys) : null
  const verifyWith = (token: string, now: number, key: KeyObject | JWTVerifyGetKey) =>
    Effect.promise(() => {
      const rules = { ...options, clockTolerance: toleranceSeconds, currentDate: new Date(now) }
      const verified = typeof key === "function" ? jwtVerify(token, key, rules) : jwtVerify(token, key, rules)
      return verified.then(
        ({ payload }) => grantOf(payload),
        // Known keys are at hand, so what is wrong is the token, whatever the platform says of a key of another type.
        (cause: unknown) => (remote === null ? "wrong" : refusalOf(cause))
      )
    })
  return Effect.fnUntraced(function* (token) {
    const now = yield* Clock.currentTimeMillis
    if (remote !== null) return yield* verifyWith(token, now, remote)
    const known = yield* keys as Effect.Effect<ReadonlyArray<TokenKey>>
    for (const { key } of yield* candidates(token, known)) {
      const grant = yield* verifyWith(token, now, key)
      if (grant !== "wrong") return grant
    }
    return "wrong"
  })
}

/** Returns the key that the token calls for by its id, or all: services name their keys in different ways. */
const candidates = (token: string, known: ReadonlyArray<TokenKey>) =>
  Effect.promise(async () => {
    const wanted = keyIdOf(token)
    if (wanted === null) return known
    const named: Array<TokenKey> = []
    for (const one of known) {
      const thumbprint = await calculateJwkThumbprint(one.key.export({ format: "jwk" }))
      if (wanted === thumbprint || one.ids.includes(wanted)) named.push(one)
    }
    return named.length > 0 ? named : known
  })

const keyIdOf = (token: string): string | null => {
  try {
    return decodeProtectedHeader(token).kid ?? null
  } catch {
    return null
  }
}

/** Keys that cannot be fetched say nothing about the token. Anything else that jose says is about the token. */
const refusalOf = (cause: unknown): "wrong" | "unknown" => {
  if (cause instanceof JWKSTimeout || cause instanceof JWKSInvalid) return "unknown"
  if (cause instanceof JOSEError && cause.code !== "ERR_JOSE_GENERIC") return "wrong"
  return "unknown"
}

interface Entry {
  readonly type: string
  readonly name: string
  readonly actions: ReadonlyArray<string>
}

const isEntry = (value: unknown): value is Entry => {
  if (typeof value !== "object" || value === null) return false
  const { actions, name, type } = value as Partial<Record<keyof Entry, unknown>>
  return typeof type === "string" && typeof name === "string" && Array.isArray(actions)
}

const grantOf = ({ access, sub }: JWTPayload): TokenGrant => {
  const entries = Array.isArray(access) ? access.filter(isEntry) : []
  const has = (type: string, name: string, action: string) =>
    entries.some(
      (entry) =>
        entry.type === type &&
        entry.name === name &&
        (entry.actions.includes(action) || entry.actions.includes("*"))
    )
  return {
    user: sub === undefined || sub === "" ? null : sub,
    allow: (right, repository) => has("repository", repository, right),
    catalog: has("registry", "catalog", "*")
  }
}
