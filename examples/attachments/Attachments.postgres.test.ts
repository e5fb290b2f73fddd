/** The app on an embedded PostgreSQL and files, with a clock that the test moves: upload, download, delete, time passes. */
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, it } from "@effect/vitest"
import { Collector, FilesStorage, Postgres } from "artifact-gc"
import { Embedded } from "artifact-gc/embedded"
import { Context, Effect, Layer, References } from "effect"
import { HttpBody, HttpClient, HttpClientRequest, type HttpClientResponse, HttpServer } from "effect/http"
import { TestClock } from "effect/testing"
import * as App from "./App.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "attachments-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** The files below the store's folder. */
const filesOf = (directory: string) =>
  Effect.promise(async () => {
    const found = await readdir(directory, { recursive: true, withFileTypes: true })
    return found.filter((entry) => entry.isFile()).length
  })

const statusOf = (response: HttpClientResponse.HttpClientResponse) => response.status

it.live("an attachment is served while its row exists, and its bytes are deleted hours after it", () =>
  Effect.gen(function* () {
    const data = yield* folder
    const objects = join(data, "objects")
    const postgres = yield* Embedded.start({ dataDirectory: join(data, "postgres"), durable: false })
    const services = Layer.mergeAll(
      Postgres.layerClient(postgres),
      NodeHttpServer.layerTest,
      FilesStorage.layer({ directory: objects })
    )
    // The server and the connections live by the real clock, the app by that of the test.
    const built = yield* Layer.build(services)
    const clock = yield* Layer.build(TestClock.layer())
    const server = Layer.succeed(HttpServer.HttpServer, Context.get(built, HttpServer.HttpServer))
    const app = yield* Layer.build(App.layer(server)).pipe(Effect.provideContext(Context.merge(built, clock)))

    yield* Effect.gen(function* () {
      const http = yield* HttpClient.HttpClient
      const collector = Context.get(app, Collector.Collector)
      const url = "/tickets/1/log.txt"
      const body = HttpBody.text("0123456789", "text/plain")

      assert.strictEqual(statusOf(yield* http.put(url, { body })), 201)
      assert.strictEqual(statusOf(yield* http.put("/tickets/2/same.txt", { body })), 201)
      const whole = yield* http.get(url)
      assert.strictEqual(yield* whole.text, "0123456789")
      assert.strictEqual(whole.headers["content-type"], "text/plain")
      for (const [range, text] of [
        ["bytes=2-4", "234"],
        ["bytes=7-", "789"],
        ["bytes=-3", "789"],
        ["bytes=0-99", "0123456789"]
      ]) {
        const part = yield* http.execute(HttpClientRequest.get(url, { headers: { range } }))
        assert.deepStrictEqual([part.status, yield* part.text], [206, text])
      }
      const beyond = yield* http.execute(HttpClientRequest.get(url, { headers: { range: "bytes=10-" } }))
      assert.deepStrictEqual([beyond.status, beyond.headers["content-range"]], [416, "bytes */10"])

      const hours = (n: number) =>
        Effect.forEach(Array(n), () => Effect.andThen(TestClock.adjust("1 hour"), collector.sweepNow()))

      assert.strictEqual(statusOf(yield* http.del(url)), 204)
      yield* hours(5)
      assert.strictEqual(
        yield* filesOf(objects),
        1,
        "one copy of the same bytes, which the other ticket keeps"
      )
      assert.strictEqual(statusOf(yield* http.del("/tickets/2/same.txt")), 204)
      assert.strictEqual(statusOf(yield* http.get("/tickets/2/same.txt")), 404)
      yield* hours(1)
      assert.strictEqual(yield* filesOf(objects), 1, "they wait")
      yield* hours(5)
      assert.strictEqual(yield* filesOf(objects), 0)

      const metrics = yield* (yield* http.get("/metrics")).text
      assert.match(metrics, /artifact_gc_phase_eligible_total{phase="orphans"} [1-9]\d*\n/)
    }).pipe(Effect.provideContext(Context.merge(built, clock)))
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "Warn"))
)
