/** The server with routes of the test: how it starts and how it stops. */
import { Agent, type IncomingMessage, request } from "node:http"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { afterEach, assert, describe, it } from "vitest"
import { type ListenOptions, ListenRefused, serving } from "../../../src/oci/http/Server.ts"

const agent = new Agent({ keepAlive: true, maxSockets: 1 })
afterEach(() => agent.destroy())

/** Sends a request on the test's only connection. Resolves once the response has been read. */
const get = (url: string, headers: Readonly<Record<string, string>> = {}) =>
  new Promise<{ readonly status: number; readonly connection: string | undefined }>((resolve, reject) => {
    const answered = (response: IncomingMessage) =>
      response
        .resume()
        .once("error", reject)
        .once("end", () =>
          resolve({ status: response.statusCode ?? 0, connection: response.headers.connection })
        )
    request(url, { agent, headers }, answered).once("error", reject).end()
  })

/** Returns why another connection is refused. */
const refused = (url: string): Promise<string> =>
  fetch(`${url}/fast`).then(
    () => assert.fail("it was answered"),
    (error) => error.cause.code
  )

/** A server whose `/slow` responds once the test releases it. */
const start = async (options: Partial<ListenOptions> = {}) => {
  const arrived = Deferred.makeUnsafe<void>()
  const released = Deferred.makeUnsafe<void>()
  const routes = Layer.mergeAll(
    HttpRouter.add("GET", "/fast", HttpServerResponse.text("fast")),
    HttpRouter.add(
      "GET",
      "/slow",
      Effect.gen(function* () {
        yield* Deferred.succeed(arrived, undefined)
        yield* Deferred.await(released)
        return HttpServerResponse.text("slow")
      })
    )
  )
  const layer = serving(
    { host: "127.0.0.1", port: 0, shutdownDeadline: Duration.minutes(1), ...options },
    routes
  )
  const scope = Scope.makeUnsafe()
  const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  const { address } = Context.get(context, HttpServer.HttpServer)
  return {
    url: HttpServer.formatAddress(address),
    arrived: () => Effect.runPromise(Deferred.await(arrived)),
    release: () => Effect.runPromise(Deferred.succeed(released, undefined)),
    close: () => Effect.runFork(Scope.close(scope, Exit.void))
  }
}

const ended = (closing: Fiber.Fiber<unknown, unknown>) => Effect.runPromise(Fiber.await(closing))

describe("the server", () => {
  it("keeps a connection for further requests, until it ends", async () => {
    const server = await start()
    assert.deepStrictEqual(await get(`${server.url}/fast`), { status: 200, connection: "keep-alive" })
    assert.deepStrictEqual(await get(`${server.url}/fast`), { status: 200, connection: "keep-alive" })
    await ended(server.close())
    assert.strictEqual(await refused(server.url), "ECONNREFUSED")
  })

  for (const [which, headers] of [
    ["the current request", {}],
    ["a request that waits for permission to send its body", { expect: "100-continue" }]
  ] as const) {
    it(`that ends answers ${which}, as its connection's last, and takes no other`, async () => {
      const server = await start()
      const slow = get(`${server.url}/slow`, headers)
      await server.arrived()
      const closing = server.close()
      assert.strictEqual(await refused(server.url), "ECONNREFUSED")
      await server.release()
      assert.deepStrictEqual(await slow, { status: 200, connection: "close" })
      await ended(closing)
    })
  }

  it("that ends cuts off what is under way after the deadline", async () => {
    const server = await start({ shutdownDeadline: Duration.millis(50) })
    const slow = get(`${server.url}/slow`).then(
      ({ status }) => status,
      (error) => error.code
    )
    await server.arrived()
    await ended(server.close())
    assert.include([503, "ECONNRESET"], await slow)
  })

  it("says which address it cannot have, why, and what to do", async () => {
    const server = await start()
    const port = Number(new URL(server.url).port)
    const taken = await Effect.runPromise(
      Effect.flip(
        Effect.scoped(
          Layer.build(
            serving({ host: "127.0.0.1", port, shutdownDeadline: Duration.seconds(1) }, Layer.empty)
          )
        )
      )
    )
    assert.instanceOf(taken, ListenRefused)
    assert.strictEqual(
      taken.message,
      `Cannot listen on 127.0.0.1 port ${port} (EADDRINUSE): another process uses it. Stop that process, or choose another port with SERVE_PORT.`
    )
    await ended(server.close())
  })
})
