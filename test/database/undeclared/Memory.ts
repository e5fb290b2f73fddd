/** What a sweep pays for the sniff, and when it sniffs again. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { sampleOf } from "../../../src/database/postgres/undeclared/Samples.ts"
import { type Scene, scene, suspectsIn } from "../../fixtures/database/Sweeping.ts"
import { seed } from "./Cases.ts"

const sniffedAt = ({ run }: Scene) =>
  Effect.map(run("SELECT sniffed_at FROM artifact_gc.reference_checks"), ([row]) => row?.sniffed_at as Date)

/** Whether a sweep sniffed, after `change`. */
const sniffsAfter = Effect.fnUntraced(function* (s: Scene, ...change: ReadonlyArray<string>) {
  const before = yield* sniffedAt(s)
  yield* s.run(...change)
  yield* TestClock.adjust("1 second")
  const report = yield* s.sweep()
  return { isAnew: (yield* sniffedAt(s)).getTime() !== before.getTime(), report }
})

export const memory = (): void => {
  it.effect(
    "are sampled by at least one page, in each of many looks at a table that was never analysed",
    () =>
      Effect.gen(function* () {
        const { run } = yield* scene([
          ...seed,
          "CREATE TABLE wide (filler text)",
          "INSERT INTO wide SELECT repeat('x', 300) FROM generate_series(1, 5000)"
        ])
        const look = `SELECT count(*)::int AS rows FROM ${sampleOf({ source: "wide", rowsPerPage: null })} s`
        // A sample of five pages fails this in 29 of 30 runs.
        for (let n = 0; n < 500; n++) assert.isAbove(Number((yield* run(look))[0]?.rows), 0)
      })
  )

  it.effect("are looked for once a day, and after a change of tables, by sweeps of any process", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-11-22T00:00:00Z"))
      const s = yield* scene([
        ...seed,
        "CREATE TABLE odd (about text, b int)",
        "CREATE TABLE log (n int) PARTITION BY LIST (n)"
      ])
      yield* s.sweep()
      assert.isFalse((yield* sniffsAfter(s)).isAnew)
      assert.isFalse((yield* sniffsAfter(s, "CREATE INDEX ON odd (about)", "ANALYZE")).isAnew)
      assert.isTrue((yield* sniffsAfter(s, "ALTER TABLE odd ADD COLUMN c text")).isAnew)
      assert.isTrue((yield* sniffsAfter(s, "CREATE TABLE more (id int)")).isAnew)
      assert.isFalse(
        (yield* sniffsAfter(s, "CREATE TABLE log_one PARTITION OF log FOR VALUES IN (1)")).isAnew
      )
      yield* TestClock.adjust(Duration.hours(25))
      assert.isTrue((yield* sniffsAfter(s)).isAnew)
    })
  )

  it.effect("are found in a table that was empty, as soon as it holds rows", () =>
    Effect.gen(function* () {
      const s = yield* scene([...seed, "CREATE TABLE odd (about text)"])
      assert.strictEqual((yield* s.sweep()).outcome, "complete")
      const { isAnew, report } = yield* sniffsAfter(
        s,
        "INSERT INTO odd SELECT digest FROM artifacts",
        "SELECT pg_stat_force_next_flush()",
        "SELECT 1"
      )
      assert.isTrue(isAnew)
      assert.deepStrictEqual(suspectsIn(report), ["public.odd.about"])
    })
  )

  it.effect("are looked for at each sweep while one is refused, and no longer when it is dropped", () =>
    Effect.gen(function* () {
      const s = yield* scene([...seed, "CREATE TABLE odd (digest text, other int)"])
      assert.deepStrictEqual(suspectsIn(yield* s.sweep()), ["public.odd.digest"])
      const { report } = yield* sniffsAfter(s, "ALTER TABLE odd DROP COLUMN digest")
      assert.strictEqual(report.outcome, "complete")
      assert.isFalse((yield* sniffsAfter(s)).isAnew)
    })
  )

  it.effect("do not keep a sweep from running while a table is locked, and are looked for again", () =>
    Effect.gen(function* () {
      const s = yield* scene([
        ...seed,
        "CREATE TABLE odd (about text)",
        "INSERT INTO odd SELECT digest FROM artifacts"
      ])
      const report = yield* s.whileLocked("odd", s.sweep({ dryRun: true }))
      assert.include(report.guards[0]?.message, "public.odd")
      assert.deepStrictEqual(suspectsIn(yield* s.sweep()), ["public.odd.about"])
    })
  )
}
