/**
 * The HTTP server: the routes of the registry, and two for whoever watches over the process, on an address.
 *
 * When its scope is closed it takes no more connections, lets requests under way come to their end within a deadline,
 * and cuts off what is left then.
 */
import { createServer, type IncomingMessage, type Server as NodeServer, type ServerResponse } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { type Context, type Duration, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import type { Repositories } from "../Repositories.ts"
import type { Uploads } from "../Uploads.ts"
import * as Health from "./Health.ts"
import * as Routes from "./Routes.ts"

export interface ListenOptions {
  readonly host: string
  /** 0 is any that is free; `HttpServer` then knows which. */
  readonly port: number
  /** Longest that requests under way may take when the server stops. */
  readonly shutdownDeadline: Duration.Duration
}

export interface ServerOptions extends Routes.RoutesOptions, ListenOptions {
  /** Succeeds when the registry could serve now; fails with a message for the log. */
  readonly ready: Effect.Effect<void, { readonly message: string }>
}

/** The address cannot be listened on. */
export class ListenRefused extends Schema.TaggedError<ListenRefused>()("ListenRefused", {
  host: Schema.String,
  port: Schema.Int,
  /** The system's word for it, e.g. `EADDRINUSE`. */
  code: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `Cannot listen on ${this.host} port ${this.port} (${this.code}): ${nextStep[this.code] ?? "see the code. Choose another address with SERVE_HOST and SERVE_PORT"}.`
  }
}

const nextStep: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process has it. Stop that, or choose another port with SERVE_PORT",
  EACCES: "this user may not. Choose a port above 1023 with SERVE_PORT",
  EADDRNOTAVAIL: "this host has no such address. Set SERVE_HOST to one of its own, or to 0.0.0.0 for all",
  ENOTFOUND: "the name has no address. Set SERVE_HOST to one of this host's own, or to 0.0.0.0 for all"
}

/** Serves the registry from when it is built until its scope is closed. */
export const layer = (
  options: ServerOptions
): Layer.Layer<HttpServer.HttpServer, ListenRefused, Uploads | Repositories> =>
  Layer.unwrap(
    Effect.contextWith((services: Context.Context<Uploads | Repositories>) => {
      const routes = Layer.mergeAll(Routes.layer(options), Health.layer(options.ready))
      return Effect.succeed(serving(options, Layer.provide(routes, Layer.succeedContext(services))))
    })
  )

/** The same with any routes. */
export const serving = (
  options: ListenOptions,
  routes: Layer.Layer<never, never, HttpRouter.HttpRouter>
): Layer.Layer<HttpServer.HttpServer, ListenRefused> =>
  Layer.unwrap(
    Effect.sync(() => {
      const { server, endConnections } = makeNodeServer()
      const listening = listen(options, server)
      // Finalizers run in reverse: each connection's last request, the requests' ends, then what is left is cut off.
      const cut = Layer.provideMerge(
        atEnd(() => server.closeAllConnections()),
        listening
      )
      const served = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })
      return Layer.provideMerge(atEnd(endConnections), Layer.provideMerge(served, cut))
    })
  )

const listen = ({ host, port, shutdownDeadline }: ListenOptions, server: NodeServer) =>
  NodeHttpServer.layerServer(() => server, { host, port, gracefulShutdownTimeout: shutdownDeadline }).pipe(
    Layer.catchTag("ServeError", ({ cause }) =>
      Layer.effect(
        HttpServer.HttpServer,
        Effect.fail(new ListenRefused({ host, port, code: codeOf(cause), cause }))
      )
    )
  )

const atEnd = (work: () => void): Layer.Layer<never> =>
  Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(work)))

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)

/**
 * A body may take as long as it likes while bytes come, so there is no limit for a whole request (Node's is five minutes);
 * the routes have one for standing still.
 */
const makeNodeServer = () => {
  // Balancers keep idle connections for a minute; who closes first must be them, or requests meet a closed connection.
  const server = createServer({ requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 65_000 })
  const underWay = new Set<ServerResponse>()
  let ending = false
  // Node goes on serving a connection that is kept alive after the server was closed, for as long as requests come.
  const isLast = (response: ServerResponse) => {
    if (!response.headersSent) response.setHeader("Connection", "close")
  }
  const begun = (_: IncomingMessage, response: ServerResponse) => {
    underWay.add(response)
    response.once("close", () => underWay.delete(response))
    if (ending) isLast(response)
  }
  // A request comes by one of the two: the second when it waits to be told to send its body.
  server.on("request", begun).on("checkContinue", begun)
  const endConnections = () => {
    ending = true
    underWay.forEach(isLast)
  }
  return { server, endConnections }
}
