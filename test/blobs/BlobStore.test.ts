import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import {
  artifact,
  blobStore,
  bytesOf,
  digestOf,
  invisible,
  keyOf,
  put,
  read,
  sent,
  state,
  upload
} from "../fixtures/BlobStores.ts"
import { BlobStore } from "../fixtures/Referring.ts"
import {
  clean,
  counts,
  day,
  hour,
  journaled,
  objects,
  sound,
  sweep,
  sweepAfter,
  World
} from "../fixtures/World.ts"

describe("storing a blob", () => {
  it.effect("sends its bytes to a fresh key below the prefix and adds the reference", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* put(upload("a", "one")), ["uploaded"])
      const { blobs, references, intents } = yield* state
      assert.deepInclude(blobs.get(digestOf("one")), { key: keyOf("one", 1, "layers/"), sizeBytes: 3 })
      assert.deepStrictEqual([...references.values()], [artifact("a", "one")])
      assert.strictEqual(intents.size, 0)
      assert.deepStrictEqual(yield* objects, [keyOf("one", 1, "layers/")])
      assert.strictEqual(yield* read("one"), "one")
      yield* sound
    }).pipe(Effect.provide(blobStore({ prefix: "layers/" })))
  )

  it.effect("that is live sends nothing", () =>
    Effect.gen(function* () {
      yield* put(upload("a", "one"))
      const unread = Stream.die("the body was read")
      assert.deepStrictEqual(yield* put(upload("b", "one", { body: unread })), ["deduplicated"])
      assert.strictEqual(yield* sent, 1)
      assert.strictEqual((yield* state).references.size, 2)
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("answers in the order given, and sends equal bytes of one call once", () =>
    Effect.gen(function* () {
      yield* put(upload("a", "old"))
      const outcomes = yield* put(
        upload("b", "new"),
        upload("c", "old"),
        upload("d", "new"),
        upload("e", ""),
        upload("f", "new")
      )
      assert.deepStrictEqual(outcomes, [
        "uploaded",
        "deduplicated",
        "deduplicated",
        "uploaded",
        "deduplicated"
      ])
      assert.strictEqual(yield* sent, 3)
      assert.strictEqual((yield* state).references.size, 6)
      assert.strictEqual(yield* read(""), "")
      yield* clean
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("without uploads makes no call", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* put(), [])
      const { database, storage } = yield* World
      assert.deepStrictEqual(storage.calls, [])
      assert.notInclude(
        database.calls.map(({ operation }) => operation),
        "blobs.intend"
      )
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("that is condemned keeps it from deletion", () =>
    Effect.gen(function* () {
      const store = yield* BlobStore
      yield* put(upload("a", "one"))
      assert.strictEqual(yield* store.unreference([artifact("a", "one")]), 1)
      yield* sweep()
      yield* sweepAfter(hour)
      assert.isNumber((yield* state).orphans.get(digestOf("one"))?.condemnedAt)
      assert.deepStrictEqual(yield* put(upload("b", "one")), ["deduplicated"])
      for (let n = 0; n < 3; n++) yield* sweepAfter(day)
      assert.strictEqual(yield* read("one"), "one")
      assert.strictEqual(yield* sent, 1)
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("that was deleted sends its bytes again, to another key", () =>
    Effect.gen(function* () {
      const store = yield* BlobStore
      yield* put(upload("a", "one"))
      yield* store.unreference([artifact("a", "one")])
      for (let n = 0; n < 3; n++) yield* sweepAfter(day)
      yield* invisible("one")
      assert.deepStrictEqual(yield* put(upload("b", "one")), ["uploaded"])
      assert.deepStrictEqual(yield* objects, [keyOf("one", 2)])
      yield* clean
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("at the same time as another writer leaves one blob, and the other bytes to the next sweep", () =>
    Effect.gen(function* () {
      const both = yield* Deferred.make<void>()
      let arrived = 0
      const meeting = Effect.suspend(() => {
        arrived += 1
        return arrived === 2 ? Deferred.succeed(both, undefined) : Deferred.await(both)
      })
      const body = Stream.concat(Stream.drain(Stream.fromEffect(meeting)), Stream.make(bytesOf("one")))
      const outcomes = yield* Effect.all(
        [put(upload("a", "one", { body })), put(upload("b", "one", { body }))],
        { concurrency: "unbounded" }
      )
      assert.sameDeepMembers(outcomes, [["uploaded"], ["deduplicated"]])
      assert.strictEqual((yield* state).references.size, 2)
      assert.lengthOf(yield* objects, 2)
      const [loser] = yield* journaled
      assert.deepInclude((yield* state).journal.values().next().value, {
        reason: "duplicate",
        sizeBytes: 3
      })
      yield* sound

      assert.deepInclude(counts(yield* sweep(), "journal"), { seen: 1, deleted: 1, bytes: 3 })
      assert.notInclude(yield* objects, loser)
      assert.strictEqual(yield* read("one"), "one")
      yield* clean
    }).pipe(Effect.provide(blobStore()))
  )
})

describe("reading a blob", () => {
  it.effect("returns all bytes, or those of a range", () =>
    Effect.gen(function* () {
      yield* put(upload("a", "0123456789"))
      assert.strictEqual(yield* read("0123456789"), "0123456789")
      assert.strictEqual(yield* read("0123456789", { start: 2, end: 4 }), "234")
      assert.strictEqual(yield* read("0123456789", { start: 7 }), "789")
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("that was never stored fails with an error that names it", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read("one"))
      assert.deepInclude(error, { _tag: "BlobUnknown", digests: [digestOf("one")] })
      assert.include(error.message, `Blob ${digestOf("one")} does not exist`)
    }).pipe(Effect.provide(blobStore()))
  )
})
