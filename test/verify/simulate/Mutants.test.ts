/** Runs each mutant until it breaks an invariant, on seeds that the unchanged code passes. */
import { assert, describe, it } from "@effect/vitest"
import { mutants } from "../../../verify/simulate/Mutants.ts"
import * as Simulation from "../../../verify/simulate/world/Simulation.ts"

describe("the simulation notices that the code lacks", () => {
  it.each(mutants)(
    "$lacks",
    ({ from = 1, within, mutation, world }) => {
      const changed = world === undefined ? {} : { world }
      for (let seed = from; seed <= within; seed++) {
        const mutated = Simulation.run({ seed, ...changed, mutation })
        if (mutated.broken === null) continue
        assert.isNull(Simulation.run({ seed, ...changed }).broken)
        return
      }
      assert.fail(`no invariant broke in seeds ${from} to ${within}`)
    },
    120_000
  )
})
