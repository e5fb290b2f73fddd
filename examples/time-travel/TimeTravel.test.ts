/** A seed finds what the app forgot, the protection holds for the same traffic, and a year passes in seconds. */
import { assert, describe, it } from "@effect/vitest"
import { BlobStore, Collector, MemoryDatabase, MemoryStorage, Storage, Sweep } from "artifact-gc"
import { Facts, Simulation, Time } from "artifact-gc/testing"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Tickets, withCommit, withPin } from "./Tickets.ts"
import { traffic } from "./Traffic.ts"

describe("two users, the support and two collectors", () => {
  it.effect("lose a text that only a short pin keeps, at a seed that replays", () =>
    Effect.gen(function* () {
      const lost = yield* Effect.flip(Simulation.runSeeds({ ...traffic(withPin), seeds: 300, shrinkRuns: 0 }))
      assert.strictEqual(lost.invariant, "an uploaded text can be confirmed")
      const again = yield* Simulation.run({ ...traffic(withPin), seed: lost.seed, shrinkRuns: 60 })
      if (again._tag === "Held" || again.shrunk === null) return assert.fail("the seed does not replay")
      assert.isBelow(again.shrunk.trace.length, again.trace.length)
      // The same seed, with the protection.
      const held = yield* Simulation.run({ ...traffic(withCommit), seed: lost.seed })
      assert.strictEqual(held._tag, "Held")
    })
  )

  it.effect("lose nothing where the text is committed with a row of the app", () =>
    Effect.gen(function* () {
      const { counts } = yield* Simulation.runSeeds({ ...traffic(withCommit), seeds: 30 })
      for (const what of ["confirmed", "processes killed", "answers lost", "leaps of time"])
        assert.isAbove(counts[what] ?? 0, 0, what)
    })
  )
})

describe("a year of hourly sweeps", () => {
  const state = MemoryDatabase.emptyState(["attachments"])
  const app = Layer.mergeAll(withCommit, Sweep.Sweep.layer()).pipe(
    Layer.provideMerge(BlobStore.BlobStore.layer()),
    Layer.provideMerge(Layer.merge(MemoryDatabase.layerOf(state), MemoryStorage.layer))
  )

  it.effect(
    "keeps what is attached and deletes the rest",
    () =>
      Effect.gen(function* () {
        const tickets = yield* Tickets
        const storage = yield* Storage.Storage
        const sweep = yield* Sweep.Sweep
        let closed = 0
        for (let week = 1; week <= 52; week++) {
          const digest = yield* tickets.upload(`week ${week}`, `what happened in week ${week}`)
          yield* tickets.confirm(`week ${week}`, digest)
          for (let hour = 0; hour < 7 * 24; hour++) {
            yield* TestClock.adjust("1 hour")
            const { outcome } = yield* sweep.once()
            assert.strictEqual(outcome, "complete")
          }
          assert.deepStrictEqual(yield* Facts.invariants(state, storage), [])
          // Every fourth week the support closes all tickets.
          if (week % 4 === 0) closed += yield* tickets.close
        }
        assert.strictEqual(closed, 52)
        yield* Effect.repeat(Effect.andThen(TestClock.adjust("1 day"), sweep.once()), { times: 3 })
        assert.deepStrictEqual(yield* Facts.objects(storage), [])
        assert.deepStrictEqual(yield* Facts.leaks(state, storage), [])
      }).pipe(Effect.provide(app)),
    60_000
  )

  it.effect("is a month with the collector on its own schedule", () =>
    Effect.gen(function* () {
      const tickets = yield* Tickets
      const collector = yield* Collector.Collector
      yield* tickets.confirm("a", yield* tickets.upload("a", "a cat"))
      yield* Time.pass("15 days")
      assert.strictEqual(yield* tickets.close, 1)
      yield* Time.pass("15 days")
      assert.strictEqual((yield* collector.status).last?.outcome, "complete")
      assert.deepStrictEqual(yield* Facts.objects(yield* Storage.Storage), [])
    }).pipe(Effect.provide(Layer.provideMerge(Collector.layer({ every: "1 hour" }), app)))
  )
})
