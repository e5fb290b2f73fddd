/** What the metrics of the registry show. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Metric, Redacted, Result } from "effect"
import { routeOf } from "../../../src/oci/http/RequestMetrics.ts"
import { parse } from "../../../src/oci/http/Target.ts"
import * as Metrics from "../../../src/oci/Metrics.ts"
import { ask, line } from "../../fixtures/oci/Site.ts"
import {
  begin,
  digestOf,
  image,
  pushBlob,
  putManifest,
  registry,
  withDigest
} from "../../fixtures/oci/Stored.ts"
import { untilTrue } from "../../fixtures/Until.ts"

const apart = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(test, Metric.MetricRegistry, new Map()))

/** The requests so far, as `METHOD route status`. */
const counted = Effect.map(Metric.snapshot, (series) =>
  Object.fromEntries(
    series.flatMap(({ attributes, id, state }) =>
      id === "artifact_gc_registry_requests_total" && "count" in state
        ? [[`${attributes?.method} ${attributes?.route} ${attributes?.status}`, Number(state.count)]]
        : []
    )
  )
)

const inFlight = Effect.map(Metric.value(Metrics.requestsInFlight.of()), ({ value }) => value)
const idle = untilTrue(
  "no request is in flight",
  Effect.map(inFlight, (n) => n === 0)
)

const bytesOf = (metric: typeof Metrics.receivedBytes | typeof Metrics.sentBytes, route: Metrics.Route) =>
  Effect.map(Metric.value(metric.of({ route })), ({ count }) => count)

const blob = "/v2/{name}/blobs/{digest}"
const uploads = "/v2/{name}/blobs/uploads/"

describe("the route of a request", () => {
  it.effect("is that of its target, whatever the names are", () =>
    Effect.gen(function* () {
      const digest = digestOf("x")
      const paths = ["", "/", "/_catalog"].concat(
        ["a", "blobs", "tags/list", "a/blobs/uploads", "manifests/manifests", "_catalog/a"].flatMap((name) =>
          [
            "tags/list",
            `referrers/${digest}`,
            `blobs/${digest}`,
            "blobs/uploads",
            "blobs/uploads/",
            "blobs/uploads/abc-1",
            "manifests/v1",
            `manifests/${digest}`
          ].map((rest) => `/${name}/${rest}`)
        )
      )
      let known = 0
      for (const path of paths) {
        const target = yield* Effect.result(parse(`/v2${path}`))
        if (Result.isFailure(target)) continue
        known += 1
        assert.strictEqual(routeOf(`/v2${path}`), Metrics.routes[target.success._tag], path)
      }
      assert.isAbove(known, 30)
      assert.strictEqual(routeOf("/v2/nothing/of/the/kind"), "other")
      assert.strictEqual(routeOf("/token"), "/token")
    })
  )
})

describe("metrics of the registry", () => {
  it.live("count requests by route, and never by repository, digest or session", () =>
    Effect.gen(function* () {
      yield* ask("/v2/")
      const digest = yield* pushBlob("a/b", "content")
      yield* ask(`/v2/a/b/blobs/${digest}`)
      yield* ask(`/v2/a/c/blobs/${digestOf("absent")}`, { method: "HEAD" })
      yield* ask(withDigest(yield* begin("a/b"), digestOf("chunk")), { method: "PUT", body: "chunk" })
      yield* putManifest("a/b", "v1", yield* image("a/b", "layer"))
      yield* ask("/v2/a/b/tags/list")
      yield* ask("/v2/_catalog")
      yield* ask("/v2/nothing/of/the/kind")
      yield* ask("/v2/a/b/tags/list", { method: "OPTIONS" })
      yield* idle
      assert.deepStrictEqual(yield* counted, {
        "GET /v2/ 200": 1,
        [`POST ${uploads} 201`]: 3,
        [`GET ${blob} 200`]: 1,
        [`HEAD ${blob} 404`]: 1,
        [`POST ${uploads} 202`]: 1,
        "PUT /v2/{name}/blobs/uploads/{session} 201": 1,
        "PUT /v2/{name}/manifests/{reference} 201": 1,
        "GET /v2/{name}/tags/list 200": 1,
        "GET /v2/_catalog 200": 1,
        "GET other 404": 1,
        "other /v2/{name}/tags/list 204": 1
      })
      const duration = yield* Metric.value(
        Metrics.requestDuration.of({ route: blob, method: "HEAD", status_class: "4xx" })
      )
      assert.strictEqual(duration.count, 1)
    }).pipe(Effect.provide(registry()), apart)
  )

  it.live("count a request that is refused before it is looked at by its route", () =>
    Effect.gen(function* () {
      yield* ask("/v2/_catalog")
      yield* idle
      assert.deepStrictEqual(yield* counted, { "GET /v2/_catalog 401": 1 })
    }).pipe(Effect.provide(registry({ token: Redacted.make("secret") })), apart)
  )

  it.live("count the bytes of pushes and pulls, to about the length of their headers", () =>
    Effect.gen(function* () {
      const bytes = Buffer.alloc(1_000_000, "x")
      const digest = yield* pushBlob("a", bytes)
      yield* ask(`/v2/a/blobs/${digest}`)
      yield* ask(`/v2/a/blobs/${digest}`)
      yield* idle
      const received = yield* bytesOf(Metrics.receivedBytes, uploads)
      assert.isAtLeast(received, 1_000_000)
      assert.isAtMost(received, 1_002_000)
      const sent = untilTrue(
        "all bytes are counted",
        Effect.map(bytesOf(Metrics.sentBytes, blob), (count) => count >= 2_000_000 && count <= 2_004_000)
      )
      yield* sent
    }).pipe(Effect.provide(registry()), apart)
  )

  it.live("show bodies in hand and waiting, and a client that disconnects as aborted", () =>
    Effect.gen(function* () {
      const shown = Effect.gen(function* () {
        const inHand = yield* Metric.value(Metrics.bodies.of({ state: "in_hand" }))
        const waiting = yield* Metric.value(Metrics.bodies.of({ state: "waiting" }))
        return `${inHand.value} ${waiting.value}`
      })
      const showing = (wanted: string) =>
        untilTrue(
          `bodies in hand and waiting are ${wanted}`,
          Effect.map(shown, (now) => now === wanted),
          {
            show: shown
          }
        )
      const head = (name: string) =>
        `POST /v2/${name}/blobs/uploads/?digest=${digestOf("0123456789")} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n01`
      assert.strictEqual(yield* shown, "0 0")
      const first = yield* line()
      yield* first.send(head("a"))
      yield* showing("1 0")
      const second = yield* line()
      yield* second.send(head("b"))
      yield* showing("1 1")
      assert.strictEqual(yield* inFlight, 2)
      first.socket.destroy()
      yield* showing("1 0")
      second.socket.destroy()
      yield* showing("0 0")
      yield* idle
      const aborted = Object.entries(yield* counted).filter(([name]) => name.startsWith(`POST ${uploads}`))
      assert.strictEqual(
        aborted.reduce((sum, [, count]) => sum + count, 0),
        2
      )
    }).pipe(Effect.provide(registry({ bodiesMax: 1, overtakeAfter: Duration.infinity })), apart)
  )
})
