/** A sweep passes over rows with odd values, names them, and collects the others. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import type { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { day, digest, hour, objects, start, upload, World, type Wrapper, world } from "../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

const swept = Effect.flatMap(Sweep, (sweep) => sweep.once())

/** Three orphans. The rows of two of them are changed. */
const stage = (change: Partial<{ readonly key: ObjectKey; readonly lastUsedAt: number }>) =>
  Effect.gen(function* () {
    for (const name of ["a", "b", "c"]) yield* upload(name)
    const { state } = yield* World
    for (const name of ["a", "b"]) {
      const row = state.blobs.get(digest(name))
      if (row === undefined) return assert.fail(`no row ${name}`)
      const key = change.key === undefined ? row.key : (`${change.key}${name}`.slice(1) as ObjectKey)
      state.blobs.set(digest(name), { ...row, ...change, key })
    }
    return state
  })

describe("a sweep over odd rows", () => {
  for (const watched of [false, true]) {
    it.effect(`keeps and names blobs without a possible key, ${watched ? "watched" : "scanned"}`, () =>
      Effect.gen(function* () {
        const state = yield* stage({ key: `-${"k".repeat(1024)}` as ObjectKey })
        state.watched = watched
        if (watched) state.candidates.push(...state.blobs.keys())
        for (let n = 0; n < 3; n++) {
          const { guards, left, outcome, phases } = yield* swept
          assert.strictEqual(outcome, "complete")
          assert.strictEqual(phases.orphans.kept["key cannot exist"], 2)
          if (!watched) assert.notProperty(phases.orphans.kept, "referenced")
          assert.strictEqual(phases.orphans.deleted, n === 0 ? 1 : 0)
          assert.deepStrictEqual(
            guards.map(({ decision, guard }) => [guard, decision]),
            [["schema", "allowed"]]
          )
          assert.include(guards[0]?.message, `keys of 2 blobs ("${digest("a")}", "${digest("b")}")`)
          assert.deepInclude(left, { waiting: 0, condemned: 0, nextDueAt: null })
        }
        assert.deepStrictEqual([...state.blobs.keys()].sort(), [digest("a"), digest("b")].sort())
      }).pipe(Effect.provide(world(noWaits)))
    )
  }

  const uncorrected: Wrapper = (inner) => ({
    ...inner,
    instants: { ...inner.instants, ahead: () => Effect.succeed([]) },
    orphans: { ...inner.orphans, redate: () => Effect.succeed(0) }
  })
  for (const [name, left, wrap] of [
    ["collects what it saw while all clocks were a year ahead", 0, (inner) => inner],
    ["keeps that for a year without the corrections: the control", 1, uncorrected]
  ] as ReadonlyArray<readonly [string, number, Wrapper]>) {
    it.effect(name, () =>
      Effect.gen(function* () {
        yield* upload("a")
        const { state } = yield* World
        for (const at of [365 * day, 365 * day + hour, hour, 2 * hour, 3 * hour]) {
          yield* TestClock.setTime(start + at)
          yield* swept
        }
        assert.strictEqual(state.blobs.size, left)
      }).pipe(Effect.provide(world({}, wrap)))
    )
  }

  it.effect("keeps and names blobs that were used in the future, until then", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(0)
      const state = yield* stage({ lastUsedAt: day })
      const { guards, phases } = yield* swept
      assert.deepInclude(phases.orphans, { deleted: 1, kept: { "used in the future": 2 } })
      assert.match(guards[0]?.message ?? "", /^The catalogue says that 2 blobs .* were used in the future/)
      yield* TestClock.setTime(day)
      assert.deepInclude((yield* swept).phases.orphans, { deleted: 2 })
      assert.strictEqual(state.blobs.size, 0)
      assert.lengthOf(yield* objects, 0)
    }).pipe(Effect.provide(world(noWaits)))
  )
})
