/** The simulation itself: it repeats itself, it meets what it is for, and it finds nothing wrong. */
import { assert, describe, it } from "@effect/vitest"
import * as Batch from "../../../verify/simulate/Batch.ts"
import * as Simulation from "../../../verify/simulate/world/Simulation.ts"

const range = (from: number, seeds: number): Batch.Range => ({ from, seeds, steps: null, mutant: null })

describe("a simulation", () => {
  it("gives the same run for the same seed, line by line", () => {
    for (const seed of [1, 2, 3, 2 ** 31, 2 ** 40 + 1]) {
      const first = Simulation.run({ seed, trace: true })
      const second = Simulation.run({ seed, trace: true })
      assert.isAbove(first.trace.length, 50)
      assert.deepStrictEqual(second, first)
    }
  })

  it("gives another run for another seed", () => {
    const traces = new Set(
      [1, 2, 3, 2 ** 32 + 1].map((seed) => Simulation.run({ seed, trace: true }).trace.join("\n"))
    )
    assert.strictEqual(traces.size, 4)
  })

  it("runs the same with and without a trace", () => {
    const traced = Simulation.run({ seed: 7, trace: true })
    assert.deepStrictEqual(Simulation.run({ seed: 7 }), { ...traced, trace: [] })
  })

  it("says in its trace who asked for what, and what became of it", () => {
    const trace = [1, 2, 3, 4, 5].flatMap((seed) => Simulation.run({ seed, trace: true }).trace)
    const lines = trace.filter((line) =>
      /^ +\d+ {2}\+\d\d:\d\d:\d\d {2}writer 1 +blobs\.adopt\(.*\) -> \{.*\}$/.test(line)
    )
    assert.isNotEmpty(lines)
  })
})

describe("thousands of steps among crashes, late requests and leaps of time", () => {
  const sum = Batch.run(range(1, 500))

  it("lose nothing and leak nothing", () => {
    assert.deepStrictEqual(sum.failures, [])
    assert.isAbove(sum.counts["references read back in the end"] ?? 0, 100)
  })

  it.each([
    "requests failed",
    "answers lost",
    "requests taking effect late",
    "requests taking effect twice",
    "keys refused",
    "late effects",
    "processes killed",
    "processes interrupted",
    "processes paused",
    "clocks displaced",
    "leaps of time",
    "publish: published",
    "publish: deduplicated",
    "publish: expired",
    "intents reaped",
    "purged",
    "saved by the look under lock",
    "leftovers journaled",
    "objects deleted",
    "blobs read back",
    "pins expired",
    "blobs restored",
    "uploads in parts completed",
    "uploads in parts aborted",
    "reaped uploads copied",
    "wrong clocks",
    "breaker tripped",
    "sweep: refused",
    "sweep: complete",
    "sweep: failed"
  ])("meet what they are for: %s", (what) => {
    assert.isAbove(sum.counts[what] ?? 0, 0)
  })
})
