import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { fails, hangsBefore } from "../../src/testing/Faults.ts"
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
  objects,
  push,
  refer,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

/** An orphan whose grace period is over and whose quarantine has just begun. */
const condemned = Effect.gen(function* () {
  yield* upload("a", { sizeBytes: 5 })
  yield* sweep()
  const report = yield* sweepAfter(hour)
  assert.deepInclude(counts(report, "orphans"), { deleted: 0, kept: { quarantine: 1 } })
  assert.deepInclude(report.left, { waiting: 0, condemned: 1, condemnedBytes: 5 })
})

const isCondemned = Effect.map(
  World,
  ({ state }) => (state.orphans.get(digest("a"))?.condemnedAt ?? null) !== null
)

describe("the quarantine", () => {
  it.effect("begins when the grace period is over and ends an hour later, to the millisecond", () =>
    Effect.gen(function* () {
      yield* condemned
      assert.deepInclude(counts(yield* sweepAfter(hour - 1), "orphans"), {
        deleted: 0,
        kept: { quarantine: 1 }
      })
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      assert.deepInclude(counts(yield* sweepAfter(1), "orphans"), { deleted: 1, bytes: 5, kept: {} })
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* blobs, [])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("does not outrun a grace period that was raised after the condemnation", () =>
    Effect.gen(function* () {
      yield* condemned
      yield* TestClock.adjust(2 * hour)
      const patient = Sweep.layerUnchecked({
        grace: Duration.hours(24),
        quarantine: Duration.hours(1),
        mixedSettings: "allow"
      })
      const kept = yield* Effect.provide(sweep(), patient)
      assert.deepInclude(counts(kept, "orphans"), { deleted: 0, kept: { grace: 1 } })
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* TestClock.adjust(24 * hour)
      assert.deepInclude(counts(yield* Effect.provide(sweep(), patient), "orphans"), { deleted: 1 })
    }).pipe(Effect.provide(world()))
  )

  it.effect("of thirty days keeps a blob for thirty days", () =>
    Effect.gen(function* () {
      yield* condemned
      for (let n = 1; n < 30; n++) yield* sweepAfter(day)
      yield* sweepAfter(day - 1)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world({ quarantine: Duration.days(30) })))
  )

  it.effect("of zero lets a blob go as soon as its grace period is over", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* sweep()
      assert.deepInclude(counts(yield* sweepAfter(hour), "orphans"), { deleted: 1, kept: {} })
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world({ quarantine: Duration.zero })))
  )

  it.effect("is ended by a dedup hit, and both waits begin anew when the reference goes", () =>
    Effect.gen(function* () {
      yield* condemned
      yield* TestClock.adjust(hour - 1)
      assert.strictEqual(yield* push(artifact("v2", "a"), blobKey("a", 2)), "found")
      const kept = yield* sweepAfter(1)
      assert.deepInclude(counts(kept, "orphans"), { deleted: 0, eligible: 0 })
      assert.isFalse(yield* isCondemned)
      for (let week = 0; week < 4; week++) yield* sweepAfter(7 * day)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])

      yield* drop(artifact("v2", "a"))
      assert.deepInclude(counts(yield* sweep(), "orphans"), { kept: { grace: 1 } })
      yield* sweepAfter(hour - 1)
      assert.isFalse(yield* isCondemned)
      yield* sweepAfter(1)
      assert.isTrue(yield* isCondemned)
      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("is ended by a reference from a program that knows nothing of collectors", () =>
    Effect.gen(function* () {
      yield* condemned
      const { state } = yield* World
      state.references.set("theirs", artifact("theirs", "a"))
      assert.deepInclude(counts(yield* sweepAfter(hour), "orphans"), {
        deleted: 0,
        eligible: 0,
        kept: { referenced: 1 }
      })
      assert.isFalse(yield* isCondemned)
      state.references.delete("theirs")
      yield* sweep()
      yield* sweepAfter(hour)
      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("is ended by a use that left no reference: the blob waits a full grace period again", () =>
    Effect.gen(function* () {
      yield* condemned
      const { state } = yield* World
      yield* TestClock.adjust(hour - 1)
      const now = yield* Clock.currentTimeMillis
      const row = state.blobs.get(digest("a"))
      if (row !== undefined) state.blobs.set(digest("a"), { ...row, lastUsedAt: now })
      assert.deepInclude(counts(yield* sweepAfter(1), "orphans"), { eligible: 0, deleted: 0 })
      assert.isFalse(yield* isCondemned)
      // Seen anew, condemned anew, and gone an hour after that.
      yield* sweepAfter(1)
      yield* sweepAfter(hour)
      assert.isTrue(yield* isCondemned)
      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("saves a blob that is referenced between the scan and the purge", () =>
    Effect.gen(function* () {
      yield* condemned
      const { database, state } = yield* World
      // The scan still sees an orphan; the reference arrives between it and the purge.
      const arrives = Effect.sync(() => {
        state.references.set("theirs", artifact("theirs", "a"))
      })
      database.next("orphans.purge", hangsBefore(arrives))
      assert.deepInclude(counts(yield* sweepAfter(hour), "orphans"), {
        deleted: 0,
        eligible: 0,
        kept: { referenced: 1 }
      })
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      assert.isFalse(yield* isCondemned)
    }).pipe(Effect.provide(world()))
  )

  it.effect("over, the content comes back under a key of its own", () =>
    Effect.gen(function* () {
      yield* condemned
      const { storage } = yield* World
      // The row is purged, the object is not deleted yet when the content is pushed again.
      storage.next("delete", fails("Unavailable"))
      yield* sweepAfter(hour)
      assert.isFalse(yield* refer(artifact("v2", "a")))
      assert.strictEqual(yield* push(artifact("v2", "a"), blobKey("a", 2)), "uploaded")
      assert.deepStrictEqual(yield* objects, [blobKey("a", 1), blobKey("a", 2)])
      yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [blobKey("a", 2)])
      yield* sweepAfter(7 * day)
      assert.deepStrictEqual(yield* objects, [blobKey("a", 2)])
      yield* clean
    }).pipe(Effect.provide(world()))
  )
})
