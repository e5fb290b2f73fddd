/** The simulation: the same seed gives the same run, all situations occur, and no invariant breaks. */
import { assert, describe, it } from "@effect/vitest"
import * as Batch from "../../../verify/simulate/Batch.ts"
import { mutantNamed } from "../../../verify/simulate/Mutants.ts"
import * as Simulation from "../../../verify/simulate/world/Simulation.ts"

const range = (from: number, seeds: number): Batch.Range => ({ from, seeds, steps: null, mutant: null })

describe("a simulation", () => {
  it("gives equal traces and outcomes for two runs of one seed", () => {
    for (const seed of [1, 2, 3, 2 ** 31, 2 ** 40 + 1]) {
      const first = Simulation.run({ seed, trace: true })
      const second = Simulation.run({ seed, trace: true })
      assert.isAbove(first.trace.length, 50)
      assert.deepStrictEqual(second, first)
    }
  })

  it("gives different runs for different seeds", () => {
    const traces = new Set(
      [1, 2, 3, 2 ** 32 + 1].map((seed) => Simulation.run({ seed, trace: true }).trace.join("\n"))
    )
    assert.strictEqual(traces.size, 4)
  })

  it("gives the same outcome with and without a trace", () => {
    const traced = Simulation.run({ seed: 7, trace: true })
    assert.deepStrictEqual(Simulation.run({ seed: 7 }), { ...traced, trace: [] })
  })

  it("shortens the run of a mutant to a few processes, the same ones each time", () => {
    const mutant = mutantNamed("object-first")
    const options = { seed: 24, shrinkRuns: 60, mutation: mutant?.mutation ?? (() => ({})) }
    const { broken, shrunk, steps } = Simulation.run(options)
    if (broken === null || shrunk === null) return assert.fail("the mutant holds, or nothing was shortened")
    assert.isBelow(shrunk.steps, steps / 1.5)
    assert.match(shrunk.trace.at(-1) ?? "", /BROKEN: blob \w+ has no object/)
    assert.deepStrictEqual(Simulation.run(options).shrunk, shrunk)
  })

  it("shortens a run whose database is restored, although it names processes that a shorter run does not have", () => {
    const mutant = mutantNamed("age-unasked")
    if (mutant?.world === undefined) return assert.fail("the mutant has no world")
    const { mutation, world } = mutant
    const { broken, shrunk, steps } = Simulation.run({ seed: 23, shrinkRuns: 40, mutation, world })
    if (broken === null || shrunk === null) return assert.fail("the mutant holds, or nothing was shortened")
    assert.isBelow(shrunk.steps, steps / 1.5)
    assert.match(shrunk.trace.at(-1) ?? "", /BROKEN: lost: object .* which a restored database does not know/)
  })

  it("writes the process, the request and its outcome into the trace", () => {
    const trace = [1, 2, 3, 4, 5].flatMap((seed) => Simulation.run({ seed, trace: true }).trace)
    const lines = trace.filter((line) =>
      /^ +\d+ {2}\+\d\d:\d\d:\d\d {2}writer 1 +blobs\.adopt\(.*\) -> \{.*\}$/.test(line)
    )
    assert.isNotEmpty(lines)
  })
})

describe("1000 seeds with crashes, late requests and leaps of time", () => {
  const totals = Batch.run(range(1, 1000))

  it("lose nothing and leak nothing", () => {
    assert.deepStrictEqual(totals.failures, [])
    assert.isAbove(totals.counts["references read back at the end"] ?? 0, 100)
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
    "host: committed",
    "host: rolled back",
    "host: unknown",
    "stopped by a host's transaction",
    "database crashes",
    "commits lost in a crash",
    "objects locked",
    "manifests stored",
    "manifests deleted",
    "tags deleted",
    "images pulled",
    "upload sessions finished",
    "upload sessions cancelled",
    "upload sessions left",
    "databases restored",
    "unannounced: written",
    "unannounced: suspect",
    "elsewhere: written",
    "elsewhere: removed",
    "sources: held",
    "sources: released",
    "sources: fails",
    "sources: hangs",
    "sweep: refused",
    "sweep: complete",
    "sweep: failed"
  ])("meet the situation: %s", (what) => {
    assert.isAbove(totals.counts[what] ?? 0, 0)
  })

  it("meet the situation, in worlds with long pauses: saved by the look under lock", () => {
    const world = mutantNamed("no-look-under-lock")?.world ?? ((parameters) => parameters)
    const counts = Array.from({ length: 50 }, (_, seed) => Simulation.run({ seed: seed + 1, world }).counts)
    assert.isAbove(
      counts.reduce((sum, count) => sum + (count["saved by the look under lock"] ?? 0), 0),
      0
    )
  })
})
