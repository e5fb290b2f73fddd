/**
 * The HTTP server: the registry's routes and two endpoints for probes, on an address.
 *
 * When its scope is closed, it accepts no more connections, lets current requests end within a deadline, and
 * closes the connections that are left.
 */
import { createServer, type IncomingMessage, type Server as NodeServer, type ServerResponse } from "node:http"
import { createServer as createTlsServer, type ServerOptions as HttpsOptions } from "node:https"
import type { SecureContextOptions } from "node:tls"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { type Context, Duration, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerError, HttpServerRequest } from "effect/http"
import type { Repositories } from "../Repositories.ts"
import type { Uploads } from "../Uploads.ts"
import * as Connections from "./Connections.ts"
import * as Health from "./Health.ts"
import * as Routes from "./Routes.ts"

/** Where a server listens and how it stops. */
export interface ListenOptions {
  /** The address or name to listen on. */
  readonly host: string
  /** The port. 0 chooses a free one; `HttpServer` has its number. */
  readonly port: number
  /** Longest that current requests may take when the server stops. */
  readonly shutdownDeadline: Duration.Duration
  /** How the names of the settings of the address begin. Default `SERVE`. */
  readonly settings?: "SERVE" | "OPS"
  /** Makes the server speak https with a certificate, and no http. Default: http. */
  readonly tls?: ServerTls | undefined
  /** The most connections (`Connections.bound`). Default 2,000. */
  readonly connectionsMax?: number | undefined
}

/** The certificate of a server, which may be replaced while it serves. */
export interface ServerTls {
  /** Returns certificate and key. */
  readonly current: () => SecureContextOptions
  /** Calls `use` with each further certificate and key. New connections use them. */
  readonly onChange: (use: (options: SecureContextOptions) => void) => void
}

/** Options of the server. */
export interface ServerOptions extends Routes.RoutesOptions, ListenOptions {
  /** Succeeds if the registry can serve. Fails with a message for the log. */
  readonly ready: Effect.Effect<void, { readonly message: string }>
}

/** The server cannot listen on the address. Nothing is served. */
export class ListenRefused extends Schema.TaggedError<ListenRefused>()("ListenRefused", {
  host: Schema.String,
  port: Schema.Int,
  /** The system's error code, for example `EADDRINUSE`. */
  code: Schema.String,
  /** How the names of the settings of the address begin. */
  settings: Schema.Literals(["SERVE", "OPS"]),
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    const next = nextStep[this.code] ?? "see the error code. Choose another address with *_HOST and *_PORT"
    const off =
      this.settings === "OPS"
        ? ", or set OPS_PORT=off to run without the status page, metrics and probes"
        : ""
    return `Cannot listen on ${this.host} port ${this.port} (${this.code}): ${next.replaceAll("*", this.settings)}${off}.`
  }
}

const nextStep: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process uses it. Stop that process, or choose another port with *_PORT",
  EACCES: "this user may not use it. Choose a port above 1023 with *_PORT",
  EADDRNOTAVAIL: "this host has no such address. Set *_HOST to one of its own, or to 0.0.0.0 for all",
  ENOTFOUND: "the name has no address. Set *_HOST to one of this host's own, or to 0.0.0.0 for all"
}

/**
 * Serves the registry until the scope is closed. Fails with `ListenRefused` if the address cannot be used.
 */
export const layer = (
  options: ServerOptions
): Layer.Layer<HttpServer.HttpServer, ListenRefused, Uploads | Repositories> =>
  Layer.unwrap(
    Effect.contextWith((services: Context.Context<Uploads | Repositories>) => {
      let stuckMillis = () => 0
      const watched = Routes.layer({
        ...options,
        watchPlaces: (read) => {
          stuckMillis = read
        }
      })
      const ready = Effect.andThen(
        options.ready,
        notStuck(() => stuckMillis())
      )
      const routes = Layer.mergeAll(watched, Health.layer(ready), apiErrors)
      return Effect.succeed(serving(options, Layer.provide(routes, Layer.succeedContext(services))))
    })
  )

/** Clients and proxies give up after a minute. A balancer then uses another replica, if it has one. */
const stuckAfter = Duration.minutes(1)

/** Fails while bodies or responses wait and no place was given for a minute. */
export const notStuck = (stuckMillis: () => number): Effect.Effect<void, { readonly message: string }> =>
  Effect.suspend(() =>
    stuckMillis() < Duration.toMillis(stuckAfter)
      ? Effect.void
      : Effect.fail({
          message:
            "No body or response got a place for a minute, and some wait. The store may be too slow for the load."
        })
  )

/** The router responds to a request to no route without a body. */
const apiErrors = HttpRouter.middleware(
  (answer) =>
    Effect.catch(answer, (error) =>
      HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"
        ? Effect.map(HttpServerRequest.HttpServerRequest, Routes.respondUnrouted)
        : Effect.fail(error)
    ),
  { global: true }
)

/** Serves any routes, as {@link layer} serves the registry. */
export const serving = (
  options: ListenOptions,
  routes: Layer.Layer<never, never, HttpRouter.HttpRouter>
): Layer.Layer<HttpServer.HttpServer, ListenRefused> =>
  Layer.unwrap(
    Effect.sync(() => {
      const server = makeNodeServer(options.tls)
      const inTurn = Connections.bound(server, { max: options.connectionsMax ?? 2000 })
      const endConnections = lastOfEach(inTurn)
      const listening = listen(options, inTurn)
      // Finalizers run in reverse: mark the last request of each connection, wait for requests, close the
      // rest.
      const cut = Layer.provideMerge(
        atEnd(() => server.closeAllConnections()),
        listening
      )
      const served = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })
      return Layer.provideMerge(atEnd(endConnections), Layer.provideMerge(served, cut))
    })
  )

const listen = (
  { host, port, settings = "SERVE", shutdownDeadline }: ListenOptions,
  server: Connections.InTurn
) =>
  // The adapter uses no more of a server than InTurn has.
  NodeHttpServer.layerServer(() => server as unknown as NodeServer, {
    host,
    port,
    gracefulShutdownTimeout: shutdownDeadline
  }).pipe(
    Layer.catchTag("ServeError", ({ cause }) =>
      Layer.effect(
        HttpServer.HttpServer,
        Effect.fail(new ListenRefused({ host, port, code: codeOf(cause), settings, cause }))
      )
    )
  )

const atEnd = (work: () => void): Layer.Layer<never> =>
  Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(work)))

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)

/**
 * Makes a server without a limit for a whole request (Node's is five minutes): a body may take any time while
 * bytes arrive. The routes limit how long a body may stall.
 */
const makeNodeServer = (tls: ServerTls | undefined): NodeServer => {
  const limits = {
    requestTimeout: 0,
    // Clients send their headers at once.
    headersTimeout: 20_000,
    // Proxies must close an idle connection first, or a request meets a closed one and is lost. Most do so after a minute,
    // those written in Go after 90 seconds, Caddy after two minutes. Networks forget a connection after four.
    keepAliveTimeout: 150_000,
    // Node looks for late headers at this interval. Its default of 30 seconds would add to the limit.
    connectionsCheckingInterval: 5_000
  }
  return tls === undefined ? createServer(limits) : makeTlsServer(limits, tls)
}

/**
 * Returns a function that makes the current request of each connection its last one. After a server is closed, Node keeps serving
 * kept-alive connections for as long as requests arrive.
 */
const lastOfEach = (server: Connections.InTurn) => {
  const underWay = new Set<ServerResponse>()
  let ending = false
  const isLast = (response: ServerResponse) => {
    if (!response.headersSent) response.setHeader("Connection", "close")
  }
  const begun = (_: IncomingMessage, response: ServerResponse) => {
    underWay.add(response)
    response.once("close", () => underWay.delete(response))
    if (ending) isLast(response)
  }
  // Each request emits one of the two events: the second if its client waits for permission to send the body.
  server.on("request", begun).on("checkContinue", begun)
  return () => {
    ending = true
    underWay.forEach(isLast)
  }
}

/** Returns the address of a server as a URL. */
export const urlOf = (
  address: HttpServer.HttpServer["Service"]["address"],
  tls: ServerTls | undefined
): string => HttpServer.formatAddress(address).replace(/^http:/, tls === undefined ? "http:" : "https:")

/** A client that connects and does not speak TLS is cut off. */
const handshakeMillis = 10_000

const makeTlsServer = (limits: HttpsOptions, { current, onChange }: ServerTls): NodeServer => {
  const server = createTlsServer({ ...limits, ...current(), handshakeTimeout: handshakeMillis })
  onChange((options) => server.setSecureContext(options))
  return server
}
