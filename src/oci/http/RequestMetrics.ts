/** Measures requests: count, duration and bytes, by route, method and status. */
import { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { Clock, type Context, Effect, Metric, type Scope } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import { tokenPath } from "../access/Access.ts"
import * as Metrics from "../Metrics.ts"
import { pathOf } from "./Handler.ts"

type Method = (typeof Metrics.methods)[number]

const methodOf = (method: string): Method =>
  (Metrics.methods as ReadonlyArray<string>).includes(method) ? (method as Method) : "other"

/** Returns the route of a path. It reads no name, so a name that is refused is counted by its route, too. */
export const routeOf = (path: string): Metrics.Route => {
  if (path === tokenPath) return Metrics.routes.Token
  const [last = "", kind = "", before = ""] = path.split("/").slice(2).reverse()
  if (path === "/v2" || path === "/v2/") return Metrics.routes.Base
  if (path === "/v2/_catalog") return Metrics.routes.Catalog
  if (before === "blobs" && kind === "uploads")
    return last === "" ? Metrics.routes.Uploads : Metrics.routes.Upload
  if (kind === "blobs") return last === "uploads" ? Metrics.routes.Uploads : Metrics.routes.Blob
  if (kind === "tags" && last === "list") return Metrics.routes.Tags
  if (kind === "referrers") return Metrics.routes.Referrers
  return kind === "manifests" ? Metrics.routes.Manifest : "other"
}

/**
 * Counts a request that `answer` answers. Its scope ends when the response has been sent, and its duration with it. A request
 * without a response was aborted by its client.
 */
export const measured =
  (request: HttpServerRequest.HttpServerRequest) =>
  <E, R>(
    answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | Scope.Scope> =>
    Effect.gen(function* () {
      const begunAt = yield* Clock.currentTimeMillis
      const inFlight = Metrics.requestsInFlight.of()
      let status: number | null = null
      yield* Metric.modify(inFlight, 1)
      yield* Effect.addFinalizer(() =>
        Effect.contextWith((context: Context.Context<never>) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            inFlight.modifyUnsafe(-1, context)
            record(request, status, (now - begunAt) / 1000, context)
          })
        )
      )
      const response = yield* answer
      status = response.status
      return response
    })

const record = (
  { method: given, source, url }: HttpServerRequest.HttpServerRequest,
  status: number | null,
  seconds: number,
  context: Context.Context<never>
): void => {
  const route = routeOf(pathOf(url))
  const method = methodOf(given)
  const named = status === null ? "aborted" : String(status)
  Metrics.requests.of({ route, method, status: named }).updateUnsafe(1, context)
  Metrics.requestDuration.of({ route, method, status_class: classOf(status) }).updateUnsafe(seconds, context)
  countBytes(source, route, context)
}

const classOf = (status: number | null) => {
  if (status === null) return "aborted"
  const first = Math.floor(status / 100)
  return first === 1 ? "1xx" : first === 2 ? "2xx" : first === 3 ? "3xx" : first === 4 ? "4xx" : "5xx"
}

/** What was counted of a connection so far. */
interface Counted {
  read: number
  written: number
  route: Metrics.Route
}

const connections = new WeakMap<Socket, Counted>()

/**
 * Adds what a connection has read and written since its last request ended. Node counts it anyway, so no chunk costs
 * anything. What comes after the last request is added when the connection closes.
 */
const countBytes = (source: object, route: Metrics.Route, context: Context.Context<never>): void => {
  if (!(source instanceof IncomingMessage)) return
  const { socket } = source
  const known = connections.get(socket)
  const counted = known ?? { read: 0, written: 0, route }
  counted.route = route
  if (known === undefined) {
    connections.set(socket, counted)
    socket.once("close", () => add(socket, counted, context))
  }
  add(socket, counted, context)
}

const add = (socket: Socket, counted: Counted, context: Context.Context<never>): void => {
  const { route } = counted
  Metrics.receivedBytes.of({ route }).updateUnsafe(socket.bytesRead - counted.read, context)
  Metrics.sentBytes.of({ route }).updateUnsafe(socket.bytesWritten - counted.written, context)
  counted.read = socket.bytesRead
  counted.written = socket.bytesWritten
}
