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
    const options = { seed: 25, shrinkRuns: 60, mutation: mutant?.mutation ?? (() => ({})) }
    const { broken, shrunk, steps } = Simulation.run(options)
    if (broken === null || shrunk === null) return assert.fail("the mutant holds, or nothing was shortened")
    assert.isBelow(shrunk.steps, steps / 1.5)
    assert.match(shrunk.trace.at(-1) ?? "", /BROKEN: blob \w+ has no object/)
    assert.deepStrictEqual(Simulation.run(options).shrunk, shrunk)
  })

  it("tries to shorten a run whose database is restored, which names processes that a shorter run does not have", () => {
    const mutant = mutantNamed("age-unasked")
    const { broken } = Simulation.run({
      seed: 104,
      shrinkRuns: 20,
      mutation: mutant?.mutation ?? (() => ({}))
    })
    assert.match(String(broken), /lost: object .* which a restored database does not know/)
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
})
