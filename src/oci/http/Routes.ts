/**
 * The OCI distribution API, v1.1, as routes of an `HttpRouter`, for this program's server and for other apps
 * to mount.
 *
 * Handles names, headers and status codes. `Uploads` and `Repositories` decide what is stored and what may be
 * deleted. The process keeps no state of a push.
 */
import { randomBytes } from "node:crypto"
import { IncomingMessage } from "node:http"
import { Cause, type Context, Duration, Effect, Layer, type Scope } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import { showRead } from "../../domain/DeclaredMetric.ts"
import * as Access from "../access/Access.ts"
import * as Metrics from "../Metrics.ts"
import { Repositories } from "../Repositories.ts"
import { Uploads } from "../Uploads.ts"
import { type AdmissionOptions, admission, unrouted } from "./Admission.ts"
import { authenticate, authorize, invitation, issueToken } from "./Authentication.ts"
import * as Blobs from "./Blobs.ts"
import * as BlobUploads from "./BlobUploads.ts"
import * as Bodies from "./Bodies.ts"
import { optionsResponse, sharing } from "./CrossOrigin.ts"
import { makeBudget } from "./Crumbs.ts"
import { problemOf } from "./ErrorMapping.ts"
import {
  type HandlerContext,
  type HandlerRequest,
  type HandlerResult,
  handlerRequest,
  pathOf,
  type RedirectOptions
} from "./Handler.ts"
import * as Listings from "./Listings.ts"
import * as Manifests from "./Manifests.ts"
import type { MinimumRate } from "./MinimumRate.ts"
import { type Load, TransferShed } from "./Places.ts"
import { internal, methodNotAllowed, type Problem, toResponse } from "./Problem.ts"
import * as Readers from "./Readers.ts"
import * as RequestMetrics from "./RequestMetrics.ts"
import { parse, repositoryOf, type Target } from "./Target.ts"

export type { RedirectOptions } from "./Handler.ts"
export type { MinimumRate } from "./MinimumRate.ts"

/** Options of the routes. */
export interface RoutesOptions extends AdmissionOptions, Access.AccessOptions {
  /**
   * Returns the key of the tokens that the registry issues (`url`), at least 32 bytes, the same for all replicas:
   * `RegistryDatabase` keeps one. Default: a random key, for one replica.
   */
  readonly signingKey?: Effect.Effect<Uint8Array, DatabaseError> | undefined
  /**
   * Longest manifest, in bytes. Default 4 MiB, which distribution-spec v1.1.1 ("Pushing Manifests") asks for.
   */
  readonly manifestMaxBytes?: number | undefined
  /**
   * Most blob bodies received at once. Default 16: each takes up to about 48 MiB of memory. As many more
   * requests wait. If that many wait, new uploads wait too, for `roomWithin`.
   */
  readonly bodiesMax?: number | undefined
  /**
   * Longest that a new upload waits while as many bodies wait as are received. Afterwards it is put off with 503. Default 30
   * seconds, half of the minute after which proxies give up.
   */
  readonly roomWithin?: Duration.Duration | undefined
  /** Longest that a body or a response may stall. Default 1 minute. A whole body has no limit. */
  readonly idleTimeout?: Duration.Duration | undefined
  /** Sends readers of blobs to the store. Default: they read here. */
  readonly redirect?: RedirectOptions | undefined
  /**
   * Least average rate of a body or a response, in bytes a second over a window. A slower one is ended. Default 1,024 over one
   * minute. A rate of 0 is no limit.
   */
  readonly minimumRate?: MinimumRate | undefined
  /** Most responses that are read from the store at once. Default 24, of the 37 connections of S3 that may last. */
  readonly readersMax?: number | undefined
  /**
   * How long a body or a response keeps its place at least, while others wait and its client does not move. Default 100
   * milliseconds. Infinite: slow clients keep their places.
   */
  readonly overtakeAfter?: Duration.Duration | undefined
  /** Receives a function that returns for how long no place was given while some waited, in milliseconds. For readiness. */
  readonly watchPlaces?: ((stuckMillis: () => number) => void) | undefined
}

/** A GPRS line moves four times as much. */
const defaultMinimumRate: MinimumRate = { bytesPerSecond: 1024, window: Duration.minutes(1) }

/** Adds the routes below `/v2/` to the router, and with `url` the one that issues tokens. */
export const layer = (
  options: RoutesOptions = {}
): Layer.Layer<never, never, HttpRouter.HttpRouter | Uploads | Repositories> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const router = yield* HttpRouter.HttpRouter
      const { minimumRate = defaultMinimumRate, overtakeAfter = Bodies.overtakeAfter } = options
      const roomWithin = options.roomWithin ?? Duration.seconds(30)
      const context: HandlerContext = {
        uploads: yield* Uploads,
        repositories: yield* Repositories,
        bodies: yield* Bodies.make({ max: options.bodiesMax ?? 16, roomWithin, overtakeAfter }),
        readers: yield* Readers.make({
          max: options.readersMax ?? 24,
          roomWithin,
          minimumRate,
          overtakeAfter
        }),
        manifestMaxBytes: options.manifestMaxBytes ?? 4 * 1024 * 1024,
        idleTimeout: options.idleTimeout ?? Duration.minutes(1),
        framing: makeBudget(),
        redirect: options.redirect ?? null,
        minimumRate
      }
      yield* showPlaces(context)
      const ownKey = randomBytes(32)
      const access = yield* Access.make(options, options.signingKey ?? Effect.succeed(ownKey))
      const isServed = admission(options, access.isOpen)
      const pages = new Set(options.origins)
      options.watchPlaces?.(() => Math.max(context.bodies.stuckMillis(), context.readers.stuckMillis()))
      // One route, because names contain slashes. The router adds `/v2` by itself.
      yield* router.add("*", "/v2/*", (request) =>
        respond(request, pages, Effect.andThen(isServed(request), serve(context, access, pages, request)))
      )
      const { issue } = access
      if (issue !== null)
        yield* router.add("GET", Access.tokenPath, (request) =>
          respond(request, pages, issueToken(access, issue, request.headers.authorization))
        )
    })
  )

/** Shows bodies and downloads by state to exporters, while the routes are served. */
const showPlaces = ({ bodies, readers }: HandlerContext) =>
  Effect.contextWith((context: Context.Context<Scope.Scope>) => {
    const of = (gauge: typeof Metrics.bodies, load: () => Load) => [
      showRead(gauge.of({ state: "in_hand" }), context, () => load().inHand),
      showRead(gauge.of({ state: "waiting" }), context, () => load().waiting),
      showRead(gauge.of({ state: "overtaken" }), context, () => load().overtaken)
    ]
    const shown = [...of(Metrics.bodies, bodies.load), ...of(Metrics.readers, readers.load)]
    return Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const { remove } of shown) remove()
      })
    )
  })

const serve = Effect.fnUntraced(function* (
  context: HandlerContext,
  access: Access.Access,
  pages: ReadonlySet<string>,
  request: HttpServerRequest.HttpServerRequest
) {
  // A preflight request has no credentials, and an address shows its methods by its form.
  if (request.method === "OPTIONS")
    return optionsResponse(request.headers, pages, methodNames[(yield* parse(pathOf(request.url)))._tag])
  const identity = yield* authenticate(access, request.headers.authorization)
  const target = yield* parse(pathOf(request.url))
  const methods = methodsOf(context, access, handlerRequest(request, context, identity), target)
  yield* authorize(access, identity, request.method, target)
  const method = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
  if (method === undefined) return yield* methodNotAllowed(request.method, Object.keys(methods))
  return yield* Effect.mapError(method(), (failure) => problemOf(failure, repositoryOf(target)))
})

/** Turns every failure into its response, and measures the request. */
const respond = <R>(
  request: HttpServerRequest.HttpServerRequest,
  pages: ReadonlySet<string>,
  serving: Effect.Effect<HttpServerResponse.HttpServerResponse, Problem, R>
) =>
  serving.pipe(
    Effect.catchDefect((defect) => Effect.fail(internal(defect))),
    Effect.catch((problem) => Effect.as(logged(problem), ending(request, toResponse(problem)))),
    Effect.map(HttpServerResponse.setHeaders({ ...everywhere, ...sharing(request.headers, pages) })),
    Effect.tap(({ status }) => Effect.annotateLogs(Effect.logDebug("Answered"), { status })),
    Effect.onInterrupt(() =>
      Effect.logDebug("Not answered: the client disconnected, or the server is stopping")
    ),
    Effect.annotateLogs({ method: request.method, path: pathOf(request.url) }),
    RequestMetrics.measured(request)
  )

/**
 * Says that the connection ends after a response that comes before the end of its request's body: the server closes it, and a
 * client or proxy that used it again would lose its next request (RFC 9112, section 9.6).
 */
const ending = (
  request: HttpServerRequest.HttpServerRequest,
  response: HttpServerResponse.HttpServerResponse
): HttpServerResponse.HttpServerResponse =>
  request.source instanceof IncomingMessage && !request.source.complete && Bodies.hasBody(request)
    ? HttpServerResponse.setHeader(response, "connection", "close")
    : response

/** Responds to a request to no route of the server, with the API's error body. */
export const respondUnrouted = (
  request: HttpServerRequest.HttpServerRequest
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeaders(ending(request, toResponse(unrouted(request.url))), everywhere)

/** Blobs are what clients pushed, and a browser must not take one for a page. */
const everywhere = { "docker-distribution-api-version": "registry/2.0", "x-content-type-options": "nosniff" }

/** Returns the methods that a target has. Other methods get 405 with the names of these. */
const methodsOf = (
  context: HandlerContext,
  access: Access.Access,
  input: HandlerRequest,
  target: Target
): Readonly<Record<string, () => HandlerResult>> => {
  switch (target._tag) {
    case "Base":
      return both(() =>
        Effect.succeed(HttpServerResponse.jsonUnsafe({}, { headers: invitation(access, input.identity) }))
      )
    case "Catalog":
      return both(() => Listings.catalog(context, input))
    case "Tags":
      return both(() => Listings.tags(context, input, target.name))
    case "Referrers":
      return both(() => Listings.referrers(context, input, target.name, target.digest))
    case "Blob":
      return {
        GET: () => Blobs.get(context, input, target.name, target.digest),
        HEAD: () => Blobs.head(context, input, target.name, target.digest),
        DELETE: () => Blobs.remove(context, target.name, target.digest)
      }
    case "Manifest":
      return {
        ...both(() => Manifests.get(context, input, target.name, target.reference)),
        PUT: () => Manifests.put(context, input, target.name, target.reference),
        DELETE: () => Manifests.remove(context, input, target.name, target.reference)
      }
    case "Uploads":
      return { POST: () => BlobUploads.begin(context, input, target.name) }
    case "Upload":
      return {
        ...both(() => BlobUploads.status(context, target.name, target.id)),
        PATCH: () => BlobUploads.append(context, input, target.name, target.id),
        PUT: () => BlobUploads.finish(context, input, target.name, target.id),
        DELETE: () => BlobUploads.cancel(context, target.name, target.id)
      }
  }
}

/** The methods of each kind of address, for OPTIONS. */
const methodNames: Readonly<Record<Target["_tag"], ReadonlyArray<string>>> = {
  Base: ["GET", "HEAD"],
  Catalog: ["GET", "HEAD"],
  Tags: ["GET", "HEAD"],
  Referrers: ["GET", "HEAD"],
  Blob: ["GET", "HEAD", "DELETE"],
  Manifest: ["GET", "HEAD", "PUT", "DELETE"],
  Uploads: ["POST"],
  Upload: ["GET", "HEAD", "PATCH", "PUT", "DELETE"]
}

/** Serves HEAD as GET. The server drops the body of a response to HEAD. */
const both = (get: () => HandlerResult) => ({ GET: get, HEAD: get })

/** Logs statuses of 500 and more, which only an operator can remedy. 501 is the client's. */
const logged = ({ status, failure }: Problem): Effect.Effect<void> => {
  if (status < 500 || status === 501) return Effect.void
  // A hostile client would fill the log, and the metric of requests counts them.
  if (failure instanceof TransferShed || failure instanceof Bodies.BodiesFull)
    return Effect.logDebug(failure.message)
  return failure instanceof Error && "_tag" in failure
    ? Effect.annotateLogs(Effect.logError(failure.message), { error: failure._tag, status })
    : Effect.annotateLogs(
        Effect.logError(
          "A request failed with a defect. The client was told to report it.",
          Cause.die(failure)
        ),
        { status }
      )
}
