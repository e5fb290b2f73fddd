/** The routes in another app's server, beside its own. */
import { createServer } from "node:http"
import { assert, it } from "@effect/vitest"
import { type Context, Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { OciRoutes, type Repositories, type Uploads } from "../../../src/oci/index.ts"
import { ask, mounted } from "../../fixtures/oci/Site.ts"
import { digestOf, pushBlob, services } from "../../fixtures/oci/Stored.ts"

/** The registry beside the app's own routes. */
const listening = Layer.unwrap(
  Effect.contextWith((context: Context.Context<Uploads.Uploads | Repositories.Repositories>) =>
    Effect.succeed(
      mounted(
        Layer.mergeAll(
          Layer.provide(OciRoutes.layer(), Layer.succeedContext(context)),
          HttpRouter.add("GET", "/", HttpServerResponse.text("ours")),
          HttpRouter.add("GET", "/v2/our/own/page", HttpServerResponse.text("ours too"))
        ),
        () => createServer()
      )
    )
  )
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
    const routes = Layer.provide(OciRoutes.layer(), Layer.succeedContext(context))
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
