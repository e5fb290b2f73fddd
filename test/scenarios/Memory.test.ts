import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { scenarios } from "../fixtures/scenarios/Scenarios.ts"
import { play } from "../fixtures/scenarios/Stage.ts"
import { memory } from "./SameAsMemory.contract.ts"

const start = Date.parse("2026-11-22T00:00:00.000Z")

describe("in memory", () => {
  for (const scenario of scenarios) {
    it.effect(scenario.name, () =>
      Effect.gen(function* () {
        assert.isNotEmpty(yield* play(scenario, start, memory))
      })
    )
  }

  it.effect("gives the same scenes every time", () =>
    Effect.gen(function* () {
      for (const scenario of scenarios) {
        assert.deepStrictEqual(yield* play(scenario, start, memory), yield* play(scenario, start, memory))
      }
    })
  )
})
