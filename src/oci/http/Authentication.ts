/**
 * Access control of the routes: who sends a request, what it needs a right for, and the response to a client that has none.
 */
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Access, Challenge, Identity, NotAuthenticated } from "../access/Access.ts"
import type { Right } from "../access/Rules.ts"
import { type Problem, problem, retryAfterSeconds, unavailable } from "./Problem.ts"
import type { Target } from "./Target.ts"

/**
 * Returns who sends a request. Fails with 401 for wrong credentials, and for a client without credentials where it may do
 * nothing at all.
 */
export const authenticate = (
  access: Access,
  authorization: string | undefined
): Effect.Effect<Identity, Problem> =>
  Effect.gen(function* () {
    const identity = yield* Effect.mapError(access.authenticate(authorization), (failure) =>
      problemOf(access.challenge, failure)
    )
    if (identity.by === "none" && !(yield* access.hasAnonymous))
      return yield* unauthorized(access.challenge, null)
    return identity
  })

/** Fails with 401 or 403 unless a client has the right that its request needs. */
export const authorize = (
  access: Access,
  identity: Identity,
  method: string,
  target: Target
): Effect.Effect<void, Problem> => {
  const { challenge } = access
  const right = rightOf(method, target)
  if (target._tag === "Base") {
    // Docker logs in only where this is refused. Where it could send nothing but a password, it would also pull only with one.
    const mustLogIn = identity.by === "none" && !access.isOpen && challenge._tag === "Bearer"
    const isAllowed = right === "pull" || identity.by !== "none" || access.isOpen
    return mustLogIn || !isAllowed ? Effect.fail(unauthorized(challenge, null)) : Effect.void
  }
  const isAllowed =
    target._tag === "Catalog" ? identity.allowEverywhere(right) : identity.allow(right, target.name)
  if (isAllowed) return Effect.void
  const scope =
    target._tag === "Catalog" ? "registry:catalog:*" : `repository:${target.name}:${actionsOf(right)}`
  if (identity.user === null && identity.by !== "token service")
    return Effect.fail(unauthorized(challenge, scope))
  return Effect.fail(
    identity.by === "token service"
      ? insufficient(challenge, scope)
      : problem(403, "DENIED", deniedText(identity, right, target))
  )
}

/** Returns the headers of `GET /v2/` for clients that may already read. RFC 9110, section 11.6.1, allows a challenge in a
 * successful response, to say that credentials allow more. Without it podman and skopeo push without credentials and fail.
 */
export const invitation = (
  { challenge, isOpen }: Access,
  { by }: Identity
): Readonly<Record<string, string>> => (by === "none" && !isOpen ? challengeHeader(challenge, null) : {})

/** Responds with a token for a client that logs in (distribution, "Token Authentication Specification"). */
export const issueToken = (
  access: Access,
  issue: NonNullable<Access["issue"]>,
  authorization: string | undefined
): Effect.Effect<HttpServerResponse.HttpServerResponse, Problem> =>
  Effect.gen(function* () {
    // A client without credentials gets a token only where it may read something with it.
    yield* authenticate(access, authorization)
    const { expiresInSeconds, issuedAt, token } = yield* Effect.mapError(issue(authorization), (failure) =>
      problemOf(access.challenge, failure)
    )
    return HttpServerResponse.jsonUnsafe(
      {
        token,
        access_token: token,
        expires_in: expiresInSeconds,
        issued_at: new Date(issuedAt).toISOString()
      },
      { headers: { "cache-control": "no-store" } }
    )
  })

/** The right that a method needs. A status of an upload tells what only the client that pushes needs to know. */
const rightOf = (method: string, { _tag }: Target): Right => {
  if (method === "GET" || method === "HEAD") return _tag === "Upload" ? "push" : "pull"
  return method === "DELETE" && _tag !== "Upload" ? "delete" : "push"
}

/** Clients that push also ask what the registry has, and one token is to do for both. */
const actionsOf = (right: Right): string => (right === "push" ? "pull,push" : right)

const problemOf = (challenge: Challenge, failure: NotAuthenticated | DatabaseError): Problem => {
  if (failure._tag === "DatabaseError") return unavailable(failure)
  return failure.reason === "wrong"
    ? problem(401, "UNAUTHORIZED", failure.message, { headers: challengeHeader(challenge, null) })
    : problem(503, "UNAVAILABLE", failure.message, {
        headers: { "retry-after": String(retryAfterSeconds) },
        failure
      })
}

const unauthorized = (challenge: Challenge, scope: string | null): Problem =>
  problem(401, "UNAUTHORIZED", "The registry needs credentials. Log in and repeat the request.", {
    headers: challengeHeader(challenge, scope)
  })

const insufficient = (challenge: Challenge, scope: string): Problem =>
  problem(401, "DENIED", "The token does not allow this. Get one that does and repeat the request.", {
    headers: challengeHeader(challenge, scope, "insufficient_scope")
  })

const deniedText = ({ user }: Identity, right: Right, target: Target): string => {
  const what =
    target._tag === "Catalog"
      ? "list all repositories"
      : `${verbs[right]} ${"name" in target ? target.name : ""}`
  return `The user ${user ?? ""} may not ${what}. Nothing was changed. Ask the operator of the registry for the right.`
}

const verbs: Readonly<Record<Right, string>> = { pull: "pull from", push: "push to", delete: "delete from" }

/**
 * Names only Basic where this registry issues no tokens, although one may be accepted as `Bearer` too: after a `Bearer`
 * challenge Docker asks a token service.
 */
const challengeHeader = (
  challenge: Challenge,
  scope: string | null,
  error?: string
): Readonly<Record<string, string>> => {
  if (challenge._tag === "Basic") return { "www-authenticate": 'Basic realm="artifact-gc", charset="UTF-8"' }
  const parameters = [
    ["realm", challenge.realm],
    ["service", challenge.service],
    ...(scope === null ? [] : [["scope", scope]]),
    ...(error === undefined ? [] : [["error", error]])
  ]
  return { "www-authenticate": `Bearer ${parameters.map(([name, value]) => `${name}="${value}"`).join(",")}` }
}
