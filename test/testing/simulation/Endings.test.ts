/** Runs that would not end are reported by name, and processes that die of themselves are, too. */
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect } from "effect"
import { Simulation } from "../../../src/testing/index.ts"

const brokenBy = (work: Effect.Effect<unknown, unknown>) =>
  Effect.flip(
    Simulation.runSeeds({
      actors: [Simulation.actor("worker", work)],
      faults: Simulation.noFaults,
      leaks: false,
      seeds: 4,
      shrinkRuns: 0,
      steps: 20
    })
  )

describe("a run ends by name where a process", () => {
  it.effect("waits for a promise", () =>
    Effect.gen(function* () {
      const { invariant, report } = yield* brokenBy(Effect.promise(() => new Promise(() => {})))
      assert.strictEqual(invariant, "every run ends")
      assert.include(report, "worker 1 waits for something outside of the simulation")
    })
  )

  it.effect("never waits at all", () =>
    Effect.gen(function* () {
      const { invariant, report } = yield* brokenBy(Effect.forever(Effect.void))
      assert.strictEqual(invariant, "every run ends")
      assert.include(report, "runs without an end")
    })
  )

  it.effect("gives way again and again", () =>
    Effect.gen(function* () {
      const { invariant } = yield* brokenBy(Effect.forever(Effect.yieldNow))
      assert.strictEqual(invariant, "every run ends")
    })
  )

  it.effect("sleeps again and again", () =>
    Effect.gen(function* () {
      const { invariant, report } = yield* brokenBy(Effect.forever(Effect.sleep("1 second")))
      assert.strictEqual(invariant, "every run ends")
      assert.include(report, "worker 1 did not end the work in hand")
    })
  )

  it.effect("waits for a promise in a call of a gated service", () =>
    Effect.gen(function* () {
      const slow = Simulation.gate({ call: Effect.promise(() => Promise.resolve(1)) }, "Slow")
      const { invariant, report } = yield* brokenBy(slow.call)
      assert.strictEqual(invariant, "a call takes effect in one step")
      assert.include(report, "Slow.call")
    })
  )

  it.effect("dies of itself", () =>
    Effect.gen(function* () {
      const { invariant, report } = yield* brokenBy(Effect.die(new Error("a bug")))
      assert.strictEqual(invariant, "no process dies of itself")
      assert.include(report, "worker 1 died: failed: a bug")
    })
  )
})

class TryLater extends Data.TaggedError("TryLater")<{ readonly message: string }> {}

describe("an error of an actor", () => {
  it.effect("ends its piece of work, and is in the trace", () =>
    Effect.gen(function* () {
      const outcome = yield* Simulation.run({
        actors: [Simulation.actor("worker", Effect.fail(new TryLater({ message: "try later" })))],
        seed: 1,
        trace: true
      })
      assert.strictEqual(outcome._tag, "Held")
      assert.isAbove(outcome.counts["worker: failed"] ?? 0, 1)
      assert.include(outcome.trace.join("\n"), "gives up: try later")
    })
  )
})
