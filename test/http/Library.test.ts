/** The routes in somebody else's server, beside others. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { Registry } from "../../src/index.ts"
import { ask, Site } from "./support/Site.ts"
import { digestOf, pushBlob, services } from "./support/Stored.ts"

const app = Layer.mergeAll(
  Registry.layer(),
  HttpRouter.add("GET", "/", HttpServerResponse.text("ours")),
  HttpRouter.add("GET", "/v2/our/own/page", HttpServerResponse.text("ours too"))
)

const listening = Layer.effect(
  Site,
  Effect.gen(function* () {
    const server = yield* Layer.build(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    yield* Layer.build(
      Layer.provide(
        HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }),
        Layer.succeedContext(server)
      )
    )
    const { address } = Context.get(server, HttpServer.HttpServer)
    return Site.of({ ports: address._tag === "UnixPathAddress" ? [] : [address.port] })
  })
)

it.live("another app's router serves the registry beside its own routes", () =>
  Effect.gen(function* () {
    assert.strictEqual((yield* ask("/")).body.toString(), "ours")
    assert.strictEqual((yield* ask("/v2/our/own/page")).body.toString(), "ours too")
    assert.strictEqual((yield* ask("/elsewhere")).status, 404)
    const digest = yield* pushBlob("a/b", "hello")
    assert.strictEqual(digest, digestOf("hello"))
    assert.strictEqual((yield* ask(`/v2/a/b/blobs/${digest}`)).body.toString(), "hello")
  }).pipe(Effect.provide(listening.pipe(Layer.provideMerge(services()))))
)

it.live("the routes answer requests of the web platform, without a server", () =>
  Effect.gen(function* () {
    const context = yield* Layer.build(services())
    const routes = Layer.provide(Registry.layer(), Layer.succeedContext(context))
    const { handler, dispose } = HttpRouter.toWebHandler(routes, { disableLogger: true })
    yield* Effect.addFinalizer(() => Effect.promise(dispose))
    const send = (path: string, init: RequestInit = {}) =>
      Effect.promise(async () => {
        const response = await handler(new Request(`http://registry${path}`, init))
        return { status: response.status, body: await response.text() }
      })
    const digest = digestOf("hello")
    const posted = yield* send(`/v2/a/blobs/uploads/?digest=${digest}`, { method: "POST", body: "hello" })
    assert.strictEqual(posted.status, 201)
    assert.deepStrictEqual(yield* send(`/v2/a/blobs/${digest}`), { status: 200, body: "hello" })
  })
)
