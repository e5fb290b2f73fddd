/** The port for operators. */
import { request } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Metric, Result } from "effect"
import { ListenRefused } from "../../src/oci/http/Server.ts"
import * as OpsServer from "../../src/ops/OpsServer.ts"
import { Ops, ops, opsOptions, read } from "../fixtures/ops/Service.ts"

const apart = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(test, Metric.MetricRegistry, new Map()))

/** Asks under another name, which fetch does not allow. */
const askAs = (host: string, method = "GET", headers: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(Ops, ({ url }) =>
    Effect.callback<{ readonly status: number; readonly text: string }>((resume) => {
      const { port } = new URL(url)
      const asking = request(
        { host: "127.0.0.1", port, path: "/metrics", method, headers: { ...headers, host } },
        (response) => {
          let text = ""
          response.setEncoding("utf8").on("data", (chunk: string) => {
            text += chunk
          })
          response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, text })))
        }
      )
      asking.end()
    })
  )

describe("the port for operators", () => {
  it.live("shows the metrics of the process as Prometheus reads them", () =>
    Effect.gen(function* () {
      yield* Metric.update(Metric.counter("of_the_host_total"), 3)
      const { headers, status, text } = yield* read("/metrics")
      assert.strictEqual(status, 200)
      assert.strictEqual(headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
      assert.match(text, /^of_the_host_total 3$/m)
      assert.match(
        text,
        /^artifact_gc_build_info\{version="1\.2\.3",node="\d+\.\d+\.\d+",effect="4\.\d+\.\d+"\} 1$/m
      )
      const memory = /^process_resident_memory_bytes (\d+)$/m.exec(text)?.[1]
      assert.isAbove(Number(memory), 10_000_000)
      assert.match(text, /^process_cpu_seconds_total [\d.]+$/m)
      const begunAt = Number(/^process_start_time_seconds ([\d.]+)$/m.exec(text)?.[1])
      assert.closeTo(begunAt, Date.now() / 1000 - process.uptime(), 5)
    }).pipe(Effect.provide(ops()), apart)
  )

  it.live("answers probes: alive whatever happens, ready if database and store answer", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* read("/livez")).text, "alive\n")
      const { status, text } = yield* read("/readyz")
      assert.deepStrictEqual([status, text], [503, "not ready\n"])
    }).pipe(Effect.provide(ops({ ready: Effect.fail({ message: "SECRET host is down" }) })), apart)
  )

  it.live("answers HEAD without a body, and refuses what would change something", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* read("/readyz")).status, 200)
      const head = yield* read("/metrics", { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.text], [200, ""])
      for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
        const { headers, status } = yield* read("/metrics", { method })
        assert.deepStrictEqual([method, status, headers.get("allow")], [method, 405, "GET, HEAD"])
      }
      const { status, text } = yield* read("/secrets")
      assert.deepStrictEqual([status, text], [404, "There is only /metrics, /livez, /readyz.\n"])
    }).pipe(Effect.provide(ops()), apart)
  )

  it.live("answers under its own names and addresses alone, so that no web page reads it", () =>
    Effect.gen(function* () {
      for (const host of ["127.0.0.1:1", "[::1]:9464", "localhost", "GC.lan:9464", "10.0.0.7"]) {
        assert.strictEqual((yield* askAs(host)).status, 200, host)
      }
      const { status, text } = yield* askAs("evil.example:9464")
      assert.strictEqual(status, 421)
      assert.match(text, /OPS_NAMES/)
      assert.strictEqual((yield* askAs("localhost", "GET", { "sec-fetch-site": "cross-site" })).status, 403)
    }).pipe(Effect.provide(ops()), apart)
  )

  it.live("lets no browser guess types, keep pages or run anything", () =>
    Effect.gen(function* () {
      for (const path of ["/metrics", "/livez", "/readyz", "/"]) {
        const { headers } = yield* read(path)
        assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
        assert.strictEqual(headers.get("cache-control"), "no-store")
        assert.match(headers.get("content-security-policy") ?? "", /default-src 'none'/)
      }
    }).pipe(Effect.provide(ops()), apart)
  )

  it.live("that is in use is refused by name, with what to do", () =>
    Effect.gen(function* () {
      const { url } = yield* Ops
      const port = Number(new URL(url).port)
      const again = yield* Effect.result(Effect.scoped(OpsServer.serve({ ...opsOptions, port })))
      assert.isTrue(Result.isFailure(again) && again.failure instanceof ListenRefused)
      assert.strictEqual(
        Result.isFailure(again) ? again.failure.message : "",
        `Cannot listen on 127.0.0.1 port ${port} (EADDRINUSE): another process uses it. Stop that process, or choose another port with OPS_PORT, or set OPS_PORT=off to run without the status page, metrics and probes.`
      )
    }).pipe(Effect.provide(ops()), apart)
  )

  it.live("closes with its scope, and its metrics end with it", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(OpsServer.serve(opsOptions)))
      assert.isTrue(Exit.isSuccess(exit))
      const left = (yield* Metric.snapshot).map(({ id }) => id)
      assert.notInclude(left, "artifact_gc_build_info")
    }).pipe(apart)
  )
})
