/** What a crash of the simulated database takes back. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as RegistryMemory from "../../../src/oci/database/Memory.ts"
import * as Rng from "../../../src/testing/simulation/Rng.ts"
import * as Durability from "../../../verify/simulate/world/Durability.ts"

const written = () => {
  const rows = RegistryMemory.emptyState()
  const durability = Durability.make(rows, Rng.make(1), false)
  const verb = Effect.sync(() => rows.pins.set("p", {} as never))
  Effect.runSync(durability.run("journal.confirm", verb))
  return { rows, durability }
}

describe("a crash of the database", () => {
  it("takes back a commit that is not on the disk", () => {
    const { rows, durability } = written()
    assert.strictEqual(durability.crash(), 1)
    assert.strictEqual(rows.pins.size, 0)
  })

  it("takes back nothing from before a restore", () => {
    const { rows, durability } = written()
    durability.settle()
    assert.isFalse(durability.isBehind())
    assert.strictEqual(durability.crash(), 0)
    assert.strictEqual(rows.pins.size, 1)
  })
})
