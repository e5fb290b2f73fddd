import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { touchEveryMillis } from "../../src/database/Database.ts"
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
  localFile,
  minute,
  objects,
  push,
  refer,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

/** Without quarantine, so that what is condemned goes in the same sweep and only the grace period shows. */
const graceOnly = { grace: Duration.hours(1), quarantine: Duration.zero }

describe("the grace period", () => {
  it.effect("ends one hour after the orphan was first seen, to the millisecond", () =>
    Effect.gen(function* () {
      yield* upload("a", { sizeBytes: 7 })
      yield* TestClock.adjust("30 days")
      assert.deepInclude(counts(yield* sweep(), "orphans"), { seen: 1, deleted: 0, kept: { grace: 1 } })

      assert.deepInclude(counts(yield* sweepAfter(hour - 1), "orphans"), { deleted: 0, kept: { grace: 1 } })
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      assert.deepStrictEqual(yield* blobs, ["a"])

      assert.deepInclude(counts(yield* sweepAfter(1), "orphans"), { deleted: 1, bytes: 7, kept: {} })
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* blobs, [])
      yield* clean
    }).pipe(Effect.provide(world(graceOnly)))
  )

  it.effect("ends one hour after the last use when that is later, to the millisecond", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* sweep()
      yield* TestClock.adjust("20 minutes")
      // Found by dedup, and the reference goes again.
      const reference = artifact("latest", "a")
      yield* refer(reference)
      yield* drop(reference)
      const { state } = yield* World
      // A program that knows nothing of the collector's tables: the sighting is still that of the first sweep.
      state.orphans.set(digest("a"), { seenAt: start, condemnedAt: null, sweep: null })

      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* blobs, ["a"])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* blobs, [])
      yield* clean
    }).pipe(Effect.provide(world(graceOnly)))
  )

  it.effect("begins at first sight for a blob that lost its last reference long after it was created", () =>
    Effect.gen(function* () {
      const reference = artifact("v1", "a")
      yield* upload("a", { references: [reference] })
      yield* sweepAfter(90 * day)
      yield* drop(reference)
      // It has been unreferenced for half an hour when a sweep sees it.
      yield* sweepAfter(30 * minute)
      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world(graceOnly)))
  )

  it.effect("is not cut short by a blob's age when dedup finds it again", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* sweepAfter(0)
      yield* TestClock.adjust(hour - 1)
      // One millisecond before it would go: a push of the same content, whose manifest never comes.
      assert.strictEqual(yield* push(artifact("latest", "a"), blobKey("a", 2)), "found")
      yield* drop(artifact("latest", "a"))
      assert.deepInclude(counts(yield* sweepAfter(1), "orphans"), { deleted: 0, kept: { grace: 1 } })
      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* blobs, ["a"])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* blobs, [])
      yield* clean
    }).pipe(Effect.provide(world(graceOnly)))
  )

  it.effect("does not matter to a blob that dedup found and something refers to", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* sweep()
      yield* TestClock.adjust(hour - 1)
      yield* refer(localFile("/srv/a", "a"))
      for (let week = 0; week < 4; week++) yield* sweepAfter(7 * day)
      assert.deepStrictEqual(yield* blobs, ["a"])
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
    }).pipe(Effect.provide(world(graceOnly)))
  )

  it.effect("keeps what one of two kinds of references still needs", () =>
    Effect.gen(function* () {
      const [tag, file] = [artifact("v1", "a"), localFile("/srv/a", "a")]
      yield* upload("a", { references: [tag, file] })
      yield* drop(tag)
      yield* sweep()
      assert.deepInclude(counts(yield* sweepAfter(7 * day), "orphans"), {
        seen: 1,
        deleted: 0,
        kept: { "in use": 1 }
      })
      yield* drop(file)
      yield* sweep()
      yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world(graceOnly)))
  )

  it.effect("of zero lets an orphan go at first sight", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* upload("b", { references: [artifact("v1", "b")] })
      assert.deepInclude(counts(yield* sweep(), "orphans"), { seen: 2, deleted: 1, kept: { "in use": 1 } })
      assert.deepStrictEqual(yield* objects, [blobKey("b")])
      yield* clean
    }).pipe(Effect.provide(world({ grace: Duration.zero, quarantine: Duration.zero })))
  )

  it.effect("of zero still lets the quarantine run", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* sweep()
      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* blobs, ["a"])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* blobs, [])
    }).pipe(Effect.provide(world({ grace: Duration.zero })))
  )

  it.effect("counts a use that was not written down as if it were a quarter of an hour old at most", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* sweep()
      // Too soon after the upload for the row to be touched again.
      yield* TestClock.adjust(touchEveryMillis - 1)
      yield* refer(artifact("latest", "a"))
      yield* drop(artifact("latest", "a"))
      // Nevertheless a full grace period follows, since the sighting was cleared.
      yield* sweep()
      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* blobs, ["a"])
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* blobs, [])
    }).pipe(Effect.provide(world(graceOnly)))
  )
})
