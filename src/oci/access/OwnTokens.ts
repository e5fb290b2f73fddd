/**
 * Tokens that this registry issues to its own users, for clients that log in at a token service (distribution's
 * "Token Authentication Specification"). A token says who the client is, and nothing of rights: these are looked up with each
 * request, so that a change of the rules takes effect at once.
 *
 * All replicas share one key, which is in the database.
 */
import { Clock, Effect } from "effect"
import { jwtVerify, SignJWT } from "jose"
import { JOSEError } from "jose/errors"
import type { DatabaseError } from "../../domain/DatabaseError.ts"

/** A token that was issued. */
export interface IssuedToken {
  /** The token, as a client sends it. */
  readonly token: string
  /** How long it is valid, in seconds. */
  readonly expiresInSeconds: number
  /** Milliseconds since the epoch. */
  readonly issuedAt: number
}

/** Issues and verifies tokens. */
export interface OwnTokens {
  /** Issues a token to a subject, any text. */
  readonly issue: (subject: string) => Effect.Effect<IssuedToken, DatabaseError>
  /** Returns the token's subject, or null if it has expired or is not of this registry. */
  readonly verify: (token: string) => Effect.Effect<string | null, DatabaseError>
}

/** A client asks for a new one before it ends. A password that was changed is refused after this time at the latest. */
const lifeSeconds = 300

/** Clocks of replicas may differ by this much. */
const toleranceSeconds = 60

/** Makes the tokens. `signingKey` is asked when the first token is issued or verified, and again after a failure. */
export const make = (service: string, signingKey: Effect.Effect<Uint8Array, DatabaseError>): OwnTokens => {
  let found: Uint8Array | null = null
  const key = Effect.suspend(() => {
    if (found !== null) return Effect.succeed(found)
    return Effect.tap(signingKey, (secret) =>
      Effect.sync(() => {
        found = secret
      })
    )
  })
  const claims = { issuer: service, audience: service }
  return {
    issue: Effect.fnUntraced(function* (subject) {
      const secret = yield* key
      const issuedAt = yield* Clock.currentTimeMillis
      const seconds = Math.floor(issuedAt / 1000)
      const token = yield* Effect.promise(() =>
        new SignJWT({})
          .setProtectedHeader({ alg: "HS256", typ: "JWT" })
          .setIssuer(service)
          .setAudience(service)
          .setSubject(subject)
          .setIssuedAt(seconds)
          .setExpirationTime(seconds + lifeSeconds)
          .sign(secret)
      )
      return { token, expiresInSeconds: lifeSeconds, issuedAt }
    }),
    verify: Effect.fnUntraced(function* (token) {
      const secret = yield* key
      const now = yield* Clock.currentTimeMillis
      return yield* Effect.promise(() =>
        jwtVerify(token, secret, {
          ...claims,
          algorithms: ["HS256"],
          requiredClaims: ["sub", "exp"],
          clockTolerance: toleranceSeconds,
          currentDate: new Date(now)
        }).then(({ payload: { sub = null } }) => sub, wrongToken)
      )
    })
  }
}

/** A token that cannot be read is wrong; anything else is a defect. */
const wrongToken = (cause: unknown): null => {
  if (cause instanceof JOSEError || cause instanceof TypeError) return null
  throw cause
}
