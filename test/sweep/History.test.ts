/** What a sweep leaves in the history, and what it tells while it runs. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { fails, hangsBefore } from "../../src/testing/Faults.ts"
import { bury, day, objects, settle, start, sweep, World, world } from "../fixtures/World.ts"

const outcomes = Effect.map(World, ({ state }) => state.history.map(({ outcome }) => outcome))

describe("the history", () => {
  it.effect("holds every sweep that was no dry run: complete, failed in part, and refused", () =>
    Effect.gen(function* () {
      const { database, state, storage } = yield* World
      yield* sweep({ dryRun: true })
      assert.deepStrictEqual(yield* outcomes, [])
      const report = yield* sweep()
      assert.deepInclude(state.history[0], { sweep: report.sweep, report, startedAt: start, endedAt: start })
      yield* bury("a")
      storage.next("delete", fails("AccessDenied"))
      yield* sweep()
      database.next("skew", fails("Unavailable"))
      yield* sweep()
      state.skewMillis = Duration.toMillis(Duration.hours(1))
      yield* sweep()
      assert.deepStrictEqual(yield* outcomes, ["complete", "failed", "failed", "refused"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is kept for GC_HISTORY, and a refused sweep ends nothing: its clock may be wrong", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* sweep()
      yield* TestClock.adjust("91 days")
      state.skewMillis = -91 * day
      assert.strictEqual((yield* sweep()).outcome, "refused")
      assert.lengthOf(state.history, 2)
      state.skewMillis = 0
      yield* sweep()
      assert.deepStrictEqual(yield* outcomes, ["refused", "complete"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("that cannot be written loses its row alone", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* bury("a")
      database.next("history.record", fails("Unavailable"))
      assert.strictEqual((yield* sweep()).outcome, "complete")
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* outcomes, [])
      yield* sweep()
      assert.deepStrictEqual(yield* outcomes, ["complete"])
    }).pipe(Effect.provide(world()))
  )
})

describe("a sweep under way", () => {
  it.effect("says that it began, how far it is every five seconds, and that it ended", () =>
    Effect.gen(function* () {
      const { database, state, storage } = yield* World
      const said = () => [...state.peers.values()][0]?.activity
      for (const name of ["a", "b", "c"]) yield* bury(name)
      storage.next("delete", hangsBefore(Effect.sleep("3 seconds")), 3)
      const sweeping = yield* Effect.forkChild(sweep())
      yield* settle
      const began = yield* Clock.currentTimeMillis
      assert.deepInclude(said()?.sweep, { startedAt: began, phases: [] })
      yield* TestClock.adjust("7 seconds")
      assert.strictEqual(database.count("peers.tell"), 1)
      const journal = said()?.sweep?.phases.find(({ phase }) => phase === "journal")
      assert.deepInclude(journal, { deleted: 2 })
      yield* TestClock.adjust("1 minute")
      const report = yield* Fiber.join(sweeping)
      assert.strictEqual(report.totals.deleted, 3)
      assert.deepInclude(said(), { sweep: null, nextDueAt: null })
    }).pipe(Effect.provide(world({ batchMax: 1, deleteConcurrency: 1 })))
  )

  it.effect("says which phases have failed, before it ends", () =>
    Effect.gen(function* () {
      const { state, storage } = yield* World
      const said = () => [...state.peers.values()][0]?.activity?.sweep
      for (const name of ["a", "b", "c"]) yield* bury(name)
      storage.next("list", fails("AccessDenied"))
      storage.next("delete", hangsBefore(Effect.sleep("3 seconds")), 3)
      const sweeping = yield* Effect.forkChild(sweep())
      yield* settle
      assert.isUndefined(said()?.failures)
      yield* TestClock.adjust("7 seconds")
      const [failure, ...others] = said()?.failures ?? []
      assert.strictEqual(failure?.phase, "uploads")
      assert.include(failure?.message, "AccessDenied")
      assert.deepStrictEqual(others, [])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(sweeping)).outcome, "failed")
    }).pipe(Effect.provide(world({ batchMax: 1, deleteConcurrency: 1 })))
  )
})
