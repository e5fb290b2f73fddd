/** What the handlers share: the services behind them, the limits, and how an answer looks. */
import type { Duration, Effect, Scope } from "effect"
import { Headers, type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Repositories } from "../Repositories.ts"
import type { Uploads } from "../Uploads.ts"
import { type Bodies, type Body, bodyOf } from "./Bodies.ts"
import type { Failure } from "./ErrorMapping.ts"

export interface HandlerContext {
  readonly uploads: Uploads["Service"]
  readonly repositories: Repositories["Service"]
  readonly bodies: Bodies
  /** Headers by which the API says that it would like to know who asks. */
  readonly invitation: Readonly<Record<string, string>>
  readonly manifestMaxBytes: number
  readonly idleTimeout: Duration.Duration
}

/** A request as handlers read it. */
export interface HandlerRequest {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly query: URLSearchParams
  readonly body: Body
}

/** An answer, made in the scope of its request, which lasts until the answer has been sent. */
export type HandlerResult = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Failure,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

/** What stands before the query. */
export const pathOf = (url: string): string => url.split(/[?#]/, 1).join("")

export const handlerRequest = (
  request: HttpServerRequest.HttpServerRequest,
  { idleTimeout }: HandlerContext
): HandlerRequest => {
  const at = request.url.indexOf("?")
  return {
    request,
    query: new URLSearchParams(at < 0 ? "" : request.url.slice(at + 1)),
    body: bodyOf(request, idleTimeout)
  }
}

/** Without a body. Its length is said all the same, or it would be sent as chunks of which there are none. */
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
