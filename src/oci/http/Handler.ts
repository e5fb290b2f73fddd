/** What the handlers share: services, limits, the request as they read it, and responses without a body. */
import type { Duration, Effect, Scope } from "effect"
import { Headers, type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { Identity } from "../access/Access.ts"
import type { Repositories } from "../Repositories.ts"
import type { Uploads } from "../Uploads.ts"
import type { Bodies, BodyReader } from "./Bodies.ts"
import { clientOf } from "./ClientAddress.ts"
import type { FramingBudget } from "./Crumbs.ts"
import type { Failure } from "./ErrorMapping.ts"
import type { MinimumRate } from "./MinimumRate.ts"
import type { Readers } from "./Readers.ts"
import { bodyOf } from "./RequestBody.ts"

/** Services and limits behind the handlers. */
export interface HandlerContext {
  readonly uploads: Uploads["Service"]
  readonly repositories: Repositories["Service"]
  readonly bodies: Bodies
  readonly readers: Readers
  /** Longest manifest, in bytes. */
  readonly manifestMaxBytes: number
  /** Longest that a body or a response may stall. */
  readonly idleTimeout: Duration.Duration
  /** Least average rate of a body or a response. */
  readonly minimumRate: MinimumRate
  /** Bounds bodies in tiny chunks. */
  readonly framing: FramingBudget
  /** Sends readers of blobs to the store; null serves them here. */
  readonly redirect: RedirectOptions | null
}

/** Which readers are sent to the store, and where to. */
export interface RedirectOptions {
  /** Returns an address under which a client without credentials reads the object. */
  readonly presign: (key: ObjectKey) => Effect.Effect<string, StorageError>
  /** How the `User-Agent` of the clients begins that are sent there. Default: every client is. */
  readonly agents?: ReadonlyArray<string> | undefined
}

/** A request as handlers read it. */
export interface HandlerRequest {
  readonly request: HttpServerRequest.HttpServerRequest
  /** Who sends it. Its right to what the address names has been checked. */
  readonly identity: Identity
  readonly query: URLSearchParams
  /** Whose share of places it uses. */
  readonly client: string
  readonly body: BodyReader
}

/** Makes the response. Runs in the request's scope, which lasts until the response has been sent. */
export type HandlerResult = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Failure,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

/** Returns the path of a URL, without query and fragment. */
export const pathOf = (url: string): string => url.split(/[?#]/, 1).join("")

/** Reads a request for the handlers. */
export const handlerRequest = (
  request: HttpServerRequest.HttpServerRequest,
  limits: HandlerContext,
  identity: Identity
): HandlerRequest => {
  const at = request.url.indexOf("?")
  return {
    request,
    identity,
    query: new URLSearchParams(at < 0 ? "" : request.url.slice(at + 1)),
    client: clientOf(request.source),
    body: bodyOf(request, limits)
  }
}

/** Returns a response without a body. Sets content-length 0; otherwise Node sends an empty chunked body. */
export const emptyResponse = (
  status: number,
  headers: Readonly<Record<string, string>> = {}
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status,
    headers: Headers.fromInput(
      status === 204 || status === 304 ? headers : { "content-length": "0", ...headers }
    )
  })
