/** The references guard and the first reference, in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import type { SweepReport } from "../../../src/domain/SweepReport.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { artifact, blobs, day, digest, drop, sweep, upload, World, world } from "../../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

/** `docs` refers to `a`, as a table of an app does. `lose` drops its foreign key, `restore` adds it again. */
const docs = Effect.gen(function* () {
  const { state } = yield* World
  const table = {
    table: "app.docs",
    column: "blob",
    constraint: "docs_fk",
    rows: () => [{ id: "1", digest: digest("a") }]
  }
  state.referringTables.push(table)
  yield* upload("a")
  yield* upload("b", { references: [artifact("b", "b")] })
  return {
    lose: Effect.sync(() => state.referringTables.splice(state.referringTables.indexOf(table), 1)),
    restore: Effect.sync(() => state.referringTables.push(table))
  }
})

const once = Effect.andThen(
  TestClock.adjust("1 second"),
  Effect.flatMap(Sweep, (one) => one.once())
)
const errorOf = ({ phases }: SweepReport) => phases.orphans.error?.tag ?? null

const confirm = Effect.gen(function* () {
  const { rows } = yield* World
  return yield* rows.breakers.confirm(yield* Clock.currentTimeMillis)
})

describe("a foreign key that disappears", () => {
  it.effect("makes all sweeps refuse until it is back", () =>
    Effect.gen(function* () {
      const { lose, restore } = yield* docs
      assert.strictEqual((yield* once).outcome, "complete")
      yield* lose
      for (let n = 0; n < 3; n++) {
        const report = yield* once
        assert.strictEqual(errorOf(report), "ReferencesChanged")
        assert.include(report.guards[0]?.message, "app.docs (blob)")
      }
      assert.deepStrictEqual(yield* blobs, ["a", "b"])
      yield* restore
      assert.strictEqual((yield* once).outcome, "complete")
      assert.deepStrictEqual(yield* confirm, [], "the breaker has closed by itself")
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("makes all sweeps refuse until a person confirms", () =>
    Effect.gen(function* () {
      const { lose } = yield* docs
      yield* once
      yield* lose
      yield* once
      assert.deepStrictEqual(yield* confirm, ["references"])
      assert.strictEqual((yield* once).outcome, "complete")
      assert.deepStrictEqual(yield* blobs, ["b"])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("without the memory lets the blob be deleted", () =>
    Effect.gen(function* () {
      const { lose } = yield* docs
      yield* once
      yield* lose
      const { state } = yield* World
      state.remembered.keys.clear()
      assert.strictEqual((yield* once).outcome, "complete")
      assert.deepStrictEqual(yield* blobs, ["b"])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("is asked about once more after a clock that was set back", () =>
    Effect.gen(function* () {
      const { lose } = yield* docs
      yield* once
      yield* lose
      yield* once
      yield* confirm
      yield* once
      const { state } = yield* World
      assert.isFalse([...state.remembered.keys.keys()].some((id) => id.includes("docs")))
      yield* TestClock.setTime((yield* Clock.currentTimeMillis) - day)
      state.referringTables.push({ table: "app.more", column: "c", constraint: "m", rows: () => [] })
      yield* once
      state.referringTables.pop()
      assert.strictEqual(errorOf(yield* once), "ReferencesChanged")
      assert.deepStrictEqual(yield* confirm, ["references"])
      assert.strictEqual((yield* once).outcome, "complete")
    }).pipe(Effect.provide(world(noWaits)))
  )
})

describe("a catalogue whose tables of references never held a row", () => {
  const neverReferenced = Effect.map(World, ({ state }) => {
    state.remembered.held = false
  })

  it.effect("is asked about before its first purge, and collected after the confirmation", () =>
    Effect.gen(function* () {
      yield* neverReferenced
      yield* upload("a")
      for (let n = 0; n < 2; n++) assert.strictEqual(errorOf(yield* once), "BreakerOpen")
      assert.deepStrictEqual(yield* blobs, ["a"])
      assert.deepStrictEqual(yield* confirm, ["unreferenced"])
      yield* sweep()
      assert.deepStrictEqual(yield* blobs, [])
      yield* upload("later")
      assert.strictEqual((yield* once).outcome, "complete")
      assert.deepStrictEqual(yield* blobs, [])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("continues by itself when a client refers to a blob", () =>
    Effect.gen(function* () {
      yield* neverReferenced
      yield* upload("a")
      yield* once
      yield* upload("b", { references: [artifact("b", "b")] })
      yield* drop(artifact("b", "b"))
      assert.strictEqual((yield* once).outcome, "complete")
      assert.deepStrictEqual(yield* blobs, [])
      assert.deepStrictEqual(yield* confirm, [])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("is foreseen by a dry run, which opens nothing", () =>
    Effect.gen(function* () {
      yield* neverReferenced
      yield* upload("a")
      const { once } = yield* Sweep
      assert.strictEqual(errorOf(yield* once({ dryRun: true })), "BreakerOpen")
      assert.deepStrictEqual(yield* confirm, [])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("has nothing to ask while nothing is condemned", () =>
    Effect.gen(function* () {
      yield* neverReferenced
      yield* upload("a")
      assert.strictEqual((yield* once).outcome, "complete")
    }).pipe(Effect.provide(world()))
  )
})
