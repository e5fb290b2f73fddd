/** Servers on ports of their own, and how tests speak with them. */
import { connect, type Socket } from "node:net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Duration, Effect, Layer } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import type { RegistryOptions } from "../../../src/http/Registry.ts"
import * as Server from "../../../src/http/Server.ts"
import { Repositories } from "../../../src/registry/Repositories.ts"
import { Uploads } from "../../../src/registry/Uploads.ts"

/** Where a registry listens. */
export class Site extends Context.Service<Site, { readonly ports: ReadonlyArray<number> }>()("test/Site") {}

/** Replicas of a registry over the same services, with connections that end when the test does. */
export const site = (
  options: RegistryOptions = {},
  replicas = 1
): Layer.Layer<Site, Server.ListenRefused, Uploads | Repositories> =>
  Layer.effect(
    Site,
    Effect.gen(function* () {
      const ports = yield* Effect.forEach(Array.from({ length: replicas }), () =>
        Effect.map(Layer.build(Layer.fresh(server(options))), portOf)
      )
      return Site.of({ ports })
    })
  )

const server = (options: RegistryOptions) =>
  Server.layer({
    host: "127.0.0.1",
    port: 0,
    shutdownDeadline: Duration.millis(50),
    ready: Effect.void,
    ...options
  })

const portOf = (context: Context.Context<HttpServer.HttpServer>): number => {
  const { address } = Context.get(context, HttpServer.HttpServer)
  if (address._tag === "UnixPathAddress") throw new Error("The server does not listen on a port")
  return address.port
}

/** Any routes on any server, as another app has them. */
export const mounted = (
  routes: Layer.Layer<never, never, HttpRouter.HttpRouter>,
  evaluate: Parameters<typeof NodeHttpServer.layer>[0]
) =>
  Layer.effect(
    Site,
    Effect.gen(function* () {
      const server = yield* Layer.build(
        NodeHttpServer.layer(evaluate, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 50 })
      )
      const served = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })
      yield* Layer.build(Layer.provide(served, Layer.succeedContext(server)))
      return Site.of({ ports: [portOf(server)] })
    })
  )

/** What nobody may ask for in a test that provides this. */
export const untouched = Layer.merge(Layer.mock(Uploads)({}), Layer.mock(Repositories)({}))

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
}

/** One request by `fetch`, whose answer is read to its end. */
export const ask = (path: string, init: RequestInit = {}, replica = 0) =>
  Effect.gen(function* () {
    const { ports } = yield* Site
    return yield* Effect.promise(async (signal): Promise<Answer> => {
      const response = await fetch(`http://127.0.0.1:${ports[replica]}${path}`, {
        redirect: "manual",
        signal,
        ...init
      })
      return {
        status: response.status,
        headers: response.headers,
        body: Buffer.from(await response.arrayBuffer())
      }
    })
  })

/** The codes in an answer's error body. */
export const codesOf = ({ body }: Answer): ReadonlyArray<string> =>
  (JSON.parse(body.toString()) as { errors: ReadonlyArray<{ code: string }> }).errors.map(({ code }) => code)

/** A connection, for what no client sends. */
export interface Line {
  readonly socket: Socket
  readonly send: (text: string | Uint8Array) => Effect.Effect<void>
  /** All that came so far, once it matches. */
  readonly until: (pattern: RegExp) => Effect.Effect<string>
  /** All that came until the other side closed. */
  readonly closed: Effect.Effect<string>
}

export const line = (replica = 0) =>
  Effect.gen(function* () {
    const { ports } = yield* Site
    const socket = yield* Effect.acquireRelease(
      Effect.promise(
        () =>
          new Promise<Socket>((resolve, reject) => {
            const opened = connect({ port: ports[replica] ?? 0, host: "127.0.0.1" }, () => resolve(opened))
            opened.once("error", reject)
          })
      ),
      (socket) => Effect.sync(() => socket.destroy())
    )
    let text = ""
    let isClosed = false
    socket.setEncoding("latin1")
    socket.on("data", (chunk: string) => {
      text += chunk
    })
    socket.on("error", () => {})
    socket.on("close", () => {
      isClosed = true
    })
    const when = (holds: () => boolean) =>
      Effect.gen(function* () {
        while (!holds()) yield* Effect.sleep("2 millis")
        return text
      })
    return {
      socket,
      send: (bytes) =>
        Effect.promise(() => new Promise<void>((resolve) => socket.write(bytes, () => resolve()))),
      until: (pattern) => when(() => pattern.test(text)),
      closed: when(() => isClosed)
    } satisfies Line
  })
