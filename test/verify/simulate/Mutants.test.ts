/** Each protection, taken away: the simulation must find what it protects from, on seeds that the code as it is passes. */
import { assert, describe, it } from "@effect/vitest"
import { mutants } from "../../../verify/simulate/Mutants.ts"
import * as Simulation from "../../../verify/simulate/world/Simulation.ts"

describe("without", () => {
  it.each(mutants)(
    "$lacks, something breaks",
    ({ within, tampering }) => {
      for (let seed = 1; seed <= within; seed++) {
        const mutated = Simulation.run({ seed, tampering: tampering() })
        if (mutated.broken === null) continue
        assert.isNull(Simulation.run({ seed }).broken)
        return
      }
      assert.fail(`nothing broke in the first ${within} seeds`)
    },
    120_000
  )
})
