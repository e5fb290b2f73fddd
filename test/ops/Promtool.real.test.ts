/** promtool, Prometheus' own tool, checks what a busy service shows. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { promtool } from "../../tools/servers/Prometheus.ts"
import { cacheFolder } from "../../tools/servers/Servers.ts"
import { busy } from "../fixtures/ops/Busy.ts"
import { read, service } from "../fixtures/ops/Service.ts"

const check = (text: string) => Effect.promise(() => promtool(cacheFolder(), ["check", "metrics"], text))

describe("promtool", () => {
  it.live("has nothing to say about the metrics of a busy service", () =>
    Effect.gen(function* () {
      yield* busy
      const { text } = yield* read("/metrics")
      assert.isAbove(text.length, 5000)
      assert.deepStrictEqual(yield* check(text), { code: 0, output: "" })
    }).pipe(Effect.provide(service), (test) =>
      Effect.suspend(() => Effect.provideService(test, Metric.MetricRegistry, new Map()))
    )
  )

  it.live("finds what is wrong with others: the control", () =>
    Effect.gen(function* () {
      const { code, output } = yield* check("# TYPE bad_total gauge\nbad_total 1\n")
      assert.notStrictEqual(code, 0)
      assert.match(output, /bad_total/)
    })
  )
})
