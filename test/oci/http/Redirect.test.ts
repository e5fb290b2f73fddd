import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted, References, Tracer } from "effect"
import { StorageError } from "../../../src/domain/StorageError.ts"
import type { RedirectOptions } from "../../../src/oci/http/Handler.ts"
import { ask, codesOf } from "../../fixtures/oci/Site.ts"
import { digestOf, pushBlob, registry } from "../../fixtures/oci/Stored.ts"

const content = "0123456789"
const digest = digestOf(content)
const path = `/v2/a/blobs/${digest}`
const secret = "X-Amz-Signature=5ec2e7"

const presign: RedirectOptions["presign"] = (key) =>
  Effect.succeed(`https://objects.example/b/${key}?X-Amz-Expires=600&${secret}`)

const redirecting = (options: Partial<RedirectOptions> = {}) =>
  registry({ redirect: { presign, ...options } })

describe("a registry that sends readers to the store", () => {
  it.live("answers a GET with an address in the store, and says what is there", () =>
    Effect.gen(function* () {
      yield* pushBlob("a", content)
      const got = yield* ask(path)
      assert.deepStrictEqual([got.status, got.body.toString()], [307, ""])
      assert.match(
        got.headers.get("location") ?? "",
        /^https:\/\/objects\.example\/b\/blobs\/.*Signature=5ec2e7$/
      )
      assert.strictEqual(got.headers.get("docker-content-digest"), digest)
      assert.strictEqual(got.headers.get("cache-control"), "no-store")
      assert.strictEqual(got.headers.get("content-length"), "0")
      const ranged = yield* ask(path, { headers: { range: "bytes=0-3" } })
      assert.strictEqual(ranged.status, 307)
    }).pipe(Effect.provide(redirecting()))
  )

  it.live("answers HEAD, conditions and unknown blobs itself", () =>
    Effect.gen(function* () {
      yield* pushBlob("a", content)
      const head = yield* ask(path, { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.headers.get("content-length")], [200, "10"])
      assert.strictEqual((yield* ask(path, { headers: { "if-none-match": `"${digest}"` } })).status, 304)
      assert.strictEqual((yield* ask(path, { headers: { "if-match": '"x"' } })).status, 412)
      assert.strictEqual((yield* ask(`/v2/a/blobs/${digestOf("other")}`)).status, 404)
      assert.strictEqual((yield* ask(`/v2/other/blobs/${digest}`)).status, 404)
    }).pipe(Effect.provide(redirecting()))
  )

  it.live("serves the bytes to clients that it does not name", () =>
    Effect.gen(function* () {
      yield* pushBlob("a", content)
      const as = (agent: string) =>
        Effect.map(ask(path, { headers: { "user-agent": agent } }), ({ status }) => status)
      assert.deepStrictEqual(
        yield* Effect.all(["docker/24.0", "Docker/24", "curl/8", ""].map(as)),
        [307, 200, 200, 200]
      )
    }).pipe(Effect.provide(redirecting({ agents: ["docker/", "containerd/"] })))
  )

  it.live("asks for credentials before it gives an address", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* ask(path)).status, 401)
    }).pipe(Effect.provide(registry({ redirect: { presign }, token: Redacted.make("t") })))
  )

  it.live("is 503 if no address can be made, without details of the store", () =>
    Effect.gen(function* () {
      yield* pushBlob("a", content)
      const got = yield* ask(path)
      assert.deepStrictEqual([got.status, ...codesOf(got)], [503, "UNAVAILABLE"])
      assert.notInclude(got.body.toString(), "token file")
    }).pipe(
      Effect.provide(
        redirecting({
          presign: () =>
            Effect.fail(
              new StorageError({
                operation: "get",
                subject: "k",
                reason: "Unavailable",
                detail: "no token file"
              })
            )
        })
      )
    )
  )

  it.live("writes no signature into logs and traces", () => {
    const seen: Array<string> = []
    const note = (value: unknown) =>
      void seen.push(
        JSON.stringify(value, (_, found) => (typeof found === "bigint" ? `${found}` : found)) ?? ""
      )
    const logger = Logger.make(({ message }) => note(message))
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        const end = span.end.bind(span)
        span.end = (time, exit) => {
          note([span.name, [...span.attributes]])
          end(time, exit)
        }
        return span
      }
    })
    const listening = Layer.mergeAll(
      Logger.layer([logger]),
      Layer.succeed(Tracer.Tracer, tracer),
      Layer.succeed(References.MinimumLogLevel, "All")
    )
    return Effect.gen(function* () {
      yield* pushBlob("a", content)
      assert.include((yield* ask(path)).headers.get("location") ?? "", secret)
      assert.include(seen.join("\n"), path, "control: the request was seen")
      assert.notInclude(seen.join("\n"), "5ec2e7")
    }).pipe(Effect.provide(Layer.provideMerge(redirecting(), listening)))
  })
})
