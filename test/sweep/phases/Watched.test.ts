/** Sweeps over a catalogue whose losses are noted: they find what the scan finds, by looking at what changed. */

import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { referenceId } from "../../../src/artifacts/Artifacts.ts"
import { fails, lands } from "../../../src/testing/Faults.ts"
import type * as FaultyDatabase from "../../../src/testing/FaultyDatabase.ts"
import {
  artifact,
  blobKey,
  blobs,
  clean,
  counts,
  day,
  digest,
  drop,
  hour,
  minute,
  objects,
  push,
  refer,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../../fixtures/World.ts"

/** From here on losses are noted, and the scan that is due at first is behind us. */
const watch = Effect.gen(function* () {
  const { state } = yield* World
  state.watched = true
  yield* sweep()
})

const waits = { grace: Duration.hours(1), quarantine: Duration.hours(1) }

describe("a sweep over watched references", () => {
  it.effect("looks at nothing when nothing changed, however much there is", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 50; n++) yield* upload(`a${n}`, { references: [artifact(`n${n}`, `a${n}`)] })
      yield* watch
      yield* sweepAfter(hour)
      assert.deepInclude(counts(yield* sweepAfter(hour), "orphans"), { seen: 0, deleted: 0, kept: {} })
      const { state } = yield* World
      state.watched = false
      assert.deepInclude(counts(yield* sweepAfter(hour), "orphans"), { seen: 50 }, "the control scans")
    }).pipe(Effect.provide(world(waits)))
  )

  it.effect("takes what lost its last reference when its waits are over, counted from the loss", () =>
    Effect.gen(function* () {
      for (const name of ["a", "b"]) yield* upload(name, { references: [artifact(name, name)] })
      yield* watch
      yield* TestClock.adjust("3 days")
      yield* drop(artifact("a", "a"))
      assert.deepInclude(counts(yield* sweep(), "orphans"), { seen: 2, kept: { grace: 1 } })
      assert.deepInclude(counts(yield* sweepAfter(hour), "orphans"), { kept: { quarantine: 1 } })
      assert.deepInclude(counts(yield* sweepAfter(hour - 1), "orphans"), { deleted: 0 })
      assert.deepInclude(counts(yield* sweepAfter(1), "orphans"), { deleted: 1 })
      assert.deepStrictEqual(yield* objects, [blobKey("b")])
      yield* clean
    }).pipe(Effect.provide(world(waits)))
  )

  it.effect("keeps what is referred to again, by a writer that knows nothing of sightings", () =>
    Effect.gen(function* () {
      yield* upload("a", { references: [artifact("a", "a")] })
      yield* watch
      yield* drop(artifact("a", "a"))
      yield* sweepAfter(minute)
      yield* sweepAfter(hour)
      const { state } = yield* World
      assert.isNotNull(state.orphans.get(digest("a"))?.condemnedAt)
      const reference = artifact("again", "a")
      state.references.set(referenceId(reference), reference)
      for (let n = 0; n < 5; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* blobs, ["a"])
      assert.isFalse(state.orphans.has(digest("a")))
      yield* clean
    }).pipe(Effect.provide(world(waits)))
  )

  it.effect("begins the waits anew for what was kept in between", () =>
    Effect.gen(function* () {
      yield* upload("a", { references: [artifact("a", "a")] })
      yield* watch
      yield* drop(artifact("a", "a"))
      yield* sweepAfter(minute)
      yield* TestClock.adjust("50 minutes")
      yield* refer(artifact("b", "a"))
      yield* drop(artifact("b", "a"))
      yield* sweepAfter(20 * minute)
      const { state } = yield* World
      assert.isNull(state.orphans.get(digest("a"))?.condemnedAt ?? null)
      assert.deepStrictEqual(yield* blobs, ["a"])
    }).pipe(Effect.provide(world(waits)))
  )

  it.effect("takes a blob that was stored and never referred to", () =>
    Effect.gen(function* () {
      yield* watch
      yield* upload("a")
      for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world(waits)))
  )

  it.effect("finds what went unnoticed by a scan now and then, which goes on where a bound ended it", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 7; n++) yield* upload(`a${n}`, { references: [artifact(`n${n}`, `a${n}`)] })
      yield* watch
      const { state } = yield* World
      // With the triggers off.
      state.references.clear()
      yield* sweepAfter(6 * day)
      yield* sweepAfter(6 * hour)
      assert.strictEqual((yield* blobs).length, 7)
      const seen = counts(yield* sweepAfter(day), "orphans").seen
      assert.isAtLeast(seen, 7)
      for (let n = 0; n < 3; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world({ ...waits, scanPage: 2, breakerPercent: 100 })))
  )

  it.effect("scans at first what was lost before references were watched", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const { state } = yield* World
      state.watched = true
      for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world(waits)))
  )

  it.effect("loses no candidate to a bound, and goes on with them in the next sweep", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 9; n++) yield* upload(`a${n}`, { references: [artifact(`n${n}`, `a${n}`)] })
      yield* watch
      for (let n = 0; n < 9; n++) yield* drop(artifact(`n${n}`, `a${n}`))
      const { state } = yield* World
      const report = yield* sweep({ stopping: Effect.sync(() => state.candidates.length <= 5) })
      assert.strictEqual(report.phases.orphans.stoppedBy, "stopped")
      assert.isAbove(state.candidates.length, 0)
      for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world({ ...waits, scanPage: 2, breakerPercent: 100 })))
  )

  const verbs = [
    "candidates.review",
    "candidates.sighted",
    "candidates.settle",
    "candidates.passDue",
    "candidates.passDone"
  ] as const
  for (const verb of verbs) {
    const faults: ReadonlyArray<readonly [string, FaultyDatabase.DatabaseFault]> = [
      ["fails", fails("Unavailable")],
      ["takes effect and does not answer", lands("Unavailable")]
    ]
    for (const [how, fault] of faults) {
      it.effect(`comes to the same end when ${verb} ${how}`, () =>
        Effect.gen(function* () {
          for (const name of ["a", "b"]) yield* upload(name, { references: [artifact(name, name)] })
          yield* watch
          yield* drop(artifact("a", "a"))
          yield* sweepAfter(minute)
          const { database, state } = yield* World
          for (let n = 0; n < 5; n++) {
            database.next(verb, fault)
            yield* sweepAfter(30 * minute)
          }
          for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
          assert.deepStrictEqual(yield* objects, [blobKey("b")])
          assert.deepStrictEqual([state.candidates, state.orphans.size], [[], 0])
          yield* clean
        }).pipe(Effect.provide(world(waits)))
      )
    }
  }

  it.effect("says which tables are not watched, and scans for as long", () =>
    Effect.gen(function* () {
      yield* upload("a", { references: [artifact("a", "a")] })
      const report = yield* sweep()
      assert.deepInclude(report.guards[0], { guard: "schema", decision: "allowed" })
      assert.include(report.guards[0]?.message, "public.more")
      assert.include(report.guards[0]?.message, "migrate --watch-references")
      assert.strictEqual(report.outcome, "complete")
      assert.deepInclude(counts(report, "orphans"), { seen: 1 })
    }).pipe(
      Effect.provide(
        world(waits, (inner) => ({
          ...inner,
          candidates: {
            ...inner.candidates,
            watch: Effect.succeed({ isOn: false, unwatched: ["public.more"] })
          }
        }))
      )
    )
  )
})

describe("whatever happens, watched and scanned catalogues come to the same end", () => {
  const step = Arbitrary.schema(
    Schema.Struct({
      what: Schema.Literals(["push", "push", "drop", "drop", "orphan", "wait"]),
      blob: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
      name: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
      minutes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))
    })
  )

  it.effect.prop(
    "the same blobs and objects, when all waits are over",
    { steps: Arbitrary.array(step, { maxLength: 25 }) },
    ({ steps }) =>
      Effect.gen(function* () {
        const ends: Array<unknown> = []
        for (const watched of [true, false]) {
          const end = Effect.gen(function* () {
            const { state } = yield* World
            state.watched = watched
            let attempt = 0
            for (const { what, blob, name, minutes } of steps) {
              attempt += 1
              const reference = artifact(`n${name}`, `a${blob}`)
              if (what === "push") yield* push(reference, blobKey(`a${blob}`, attempt))
              else if (what === "drop") yield* drop(reference)
              else if (what === "orphan") yield* upload(`a${blob}`, { key: blobKey(`a${blob}`, attempt) })
              else yield* sweepAfter(minutes * minute)
            }
            for (let n = 0; n < 5; n++) yield* sweepAfter(hour)
            yield* clean
            const left = [...state.references.values()].flatMap((reference) => reference.digest ?? [])
            assert.deepStrictEqual(yield* blobs, [...new Set<string>(left)].sort())
            assert.deepStrictEqual([state.candidates.length, state.orphans.size], [0, 0])
            return yield* blobs
          }).pipe(Effect.provide(world({ ...waits, breakerPercent: 100 })))
          ends.push(yield* end)
        }
        assert.deepStrictEqual(ends[0], ends[1])
      }),
    { arbitrary: { runs: 60, seed: "watched-1" } }
  )
})
