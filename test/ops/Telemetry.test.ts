/** What arrives at a receiver of OTLP. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Metric, Result } from "effect"
import { journalRow } from "../../src/database/memory/State.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import * as Telemetry from "../../src/ops/Telemetry.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { Stored, services } from "../fixtures/oci/Stored.ts"
import { type Received, receiver } from "../fixtures/ops/Receiver.ts"

const apart = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(test, Metric.MetricRegistry, new Map()))

/** Sweeps once, and says something within the sweep's spans. */
const swept = Effect.gen(function* () {
  const { state } = yield* Stored
  state.journal.set(ObjectKey.make("blobs/dead/1"), journalRow(null, 3, "purged", 0))
  const report = yield* (yield* Sweep).once()
  yield* Effect.annotateLogs(Effect.logInfo("A sweep has ended."), { sweep: report.sweep })
  return report
}).pipe(Effect.provide(Sweep.layer().pipe(Layer.provideMerge(services()))))

/** Runs `work` with these variables, and ends what sends. */
const sending = <A, E>(environment: Telemetry.Environment, work: Effect.Effect<A, E>) =>
  work.pipe(
    Effect.provide(Layer.provideMerge(Telemetry.layer(environment, "1.2.3"), Logger.layer([]))),
    apart
  )

const jsonOf = (received: ReadonlyArray<Received>, path: string): string =>
  received.flatMap((request) => (request.path === path ? [request.body] : [])).join("\n")

describe("telemetry", () => {
  it.live("arrives as traces, metrics and logs at the endpoint, with the service's name", () =>
    Effect.gen(function* () {
      const { received, url } = yield* receiver
      const report = yield* sending(
        {
          OTEL_EXPORTER_OTLP_ENDPOINT: url,
          OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
          OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=images",
          OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test",
          DATABASE_URL: "postgres://user:planted-secret@host/database"
        },
        swept
      )
      assert.sameMembers(
        [...new Set(received.map(({ path }) => path))],
        ["/v1/traces", "/v1/metrics", "/v1/logs"]
      )
      for (const { body, contentType, headers } of received) {
        assert.match(contentType, /^application\/json/)
        assert.strictEqual(headers["x-tenant"], "images")
        assert.include(body, '{"key":"service.name","value":{"stringValue":"artifact-gc"}}')
        assert.include(body, '{"key":"service.version","value":{"stringValue":"1.2.3"}}')
        assert.include(body, '{"key":"deployment.environment","value":{"stringValue":"test"}}')
        assert.notInclude(body, "planted-secret")
      }
      const traces = jsonOf(received, "/v1/traces")
      assert.include(traces, '"name":"Sweep.once"')
      assert.include(traces, '"name":"Sweep.journal"')
      assert.include(traces, `{"key":"sweep","value":{"stringValue":"${report.sweep}"}}`)
      const metrics = jsonOf(received, "/v1/metrics")
      assert.match(
        metrics,
        /"name":"artifact_gc_sweeps_total","description":"[^"]+","unit":"1","sum":\{[^}]*"isMonotonic":true/
      )
      assert.match(metrics, /"name":"artifact_gc_sweep_duration_seconds","description":"[^"]+","unit":"s"/)
      assert.match(metrics, /"name":"artifact_gc_queue_bytes","description":"[^"]+","unit":"By"/)
      const logs = jsonOf(received, "/v1/logs")
      assert.include(logs, "A sweep has ended.")
      assert.include(logs, `{"key":"sweep","value":{"stringValue":"${report.sweep}"}}`)
    }).pipe(Effect.scoped)
  )

  it.live("is protobuf by default, and one signal alone if only that is asked for", () =>
    Effect.gen(function* () {
      const { received, url } = yield* receiver
      yield* sending(
        {
          OTEL_EXPORTER_OTLP_ENDPOINT: url,
          OTEL_SERVICE_NAME: "images",
          OTEL_TRACES_EXPORTER: "none",
          OTEL_LOGS_EXPORTER: "none"
        },
        swept
      )
      assert.deepStrictEqual([...new Set(received.map(({ path }) => path))], ["/v1/metrics"])
      assert.match(received[0]?.contentType ?? "", /protobuf/)
      assert.include(received[0]?.body, "images")
    }).pipe(Effect.scoped)
  )

  it.live("is off without an endpoint, and where OTEL_SDK_DISABLED says so", () =>
    Effect.gen(function* () {
      const { received, url } = yield* receiver
      yield* sending({ OTEL_SERVICE_NAME: "images" }, swept)
      yield* sending({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SDK_DISABLED: "true" }, swept)
      assert.deepStrictEqual(received, [])
    }).pipe(Effect.scoped)
  )

  it.live("that no receiver takes changes no sweep", () =>
    Effect.gen(function* () {
      const report = yield* sending(
        { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_EXPORTER_OTLP_TIMEOUT: "200" },
        swept
      )
      assert.strictEqual(report.outcome, "complete")
    })
  )

  it.live.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "localhost" }, "OTEL_EXPORTER_OTLP_ENDPOINT: is no URL"],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4317", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      "OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf or http/json"
    ],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost", OTEL_EXPORTER_OTLP_COMPRESSION: "zip" }, "OTEL_"]
  ] as const)(
    "that cannot be sent as the variables say is refused before anything begins: %o",
    ([environment, problem]) =>
      Effect.gen(function* () {
        const ended = yield* Effect.result(sending(environment, Effect.void))
        assert.isTrue(Result.isFailure(ended))
        assert.include(Result.isFailure(ended) ? ended.failure.message : "", problem)
      })
  )
})
