import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { play } from "../fixtures/scenarios/Stage.ts"
import { memory } from "./same.ts"
import { scenarios } from "./scenarios.ts"

const start = Date.parse("2026-11-22T00:00:00.000Z")

describe("in memory", () => {
  for (const scenario of scenarios) {
    it.effect(scenario.name, () =>
      Effect.gen(function* () {
        assert.isNotEmpty(yield* play(scenario, start, memory))
      })
    )
  }

  it.effect("a story is told the same every time", () =>
    Effect.gen(function* () {
      for (const scenario of scenarios) {
        assert.deepStrictEqual(yield* play(scenario, start, memory), yield* play(scenario, start, memory))
      }
    })
  )
})
