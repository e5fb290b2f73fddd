import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { fails, lands } from "../../src/testing/Faults.ts"
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
  settled,
  state,
  upload
} from "../fixtures/BlobStores.ts"
import type { Upload } from "../fixtures/Referring.ts"
import { hour, journaled, objects, settle, sweepAfter, World } from "../fixtures/World.ts"

describe("an upload that fails", () => {
  const lies: ReadonlyArray<readonly [title: string, lie: Partial<Upload<never, never>>, error: object]> = [
    [
      "because other bytes arrived",
      { body: Stream.make(bytesOf("owe")) },
      { _tag: "DigestMismatch", declared: digestOf("one"), actual: digestOf("owe") }
    ],
    [
      "because the bytes ended early",
      { body: Stream.make(bytesOf("on")) },
      { _tag: "SizeMismatch", declared: 3, actual: 2 }
    ],
    [
      "because more bytes arrived than were declared",
      { body: Stream.make(bytesOf("one"), bytesOf("more")) },
      { _tag: "SizeMismatch", declared: 3, actual: 7 }
    ],
    ["because the size was wrong", { sizeBytes: 4 }, { _tag: "SizeMismatch", declared: 4, actual: 3 }]
  ]
  for (const [title, lie, expected] of lies) {
    it.effect(`${title} leaves nothing visible, and an intent that is reaped after its lease`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(put(upload("a", "one", lie)))
        assert.deepInclude(error, expected)
        yield* invisible("one")
        assert.deepStrictEqual(yield* objects, [])
        assert.deepStrictEqual([...(yield* state).intents.keys()], [keyOf("one", 1)])

        yield* sweepAfter(hour - 1)
        assert.strictEqual((yield* state).intents.size, 1)
        yield* sweepAfter(1)
        assert.strictEqual((yield* state).intents.size, 0)
        assert.deepStrictEqual(yield* journaled, [keyOf("one", 1)])
        yield* settled
        assert.deepStrictEqual(yield* put(upload("a", "one")), ["uploaded"])
      }).pipe(Effect.provide(blobStore({ uploadLease: Duration.hours(1) })))
    )
  }

  it.effect("by the body's own error fails with that error", () =>
    Effect.gen(function* () {
      const body = Stream.concat(Stream.make(bytesOf("o")), Stream.fail("the client went away" as const))
      assert.strictEqual(yield* Effect.flip(put(upload("a", "one", { body }))), "the client went away")
      yield* invisible("one")
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("fails the other uploads of its call with all references, and keeps blobs that existed", () =>
    Effect.gen(function* () {
      yield* put(upload("a", "old"))
      const wrong = upload("c", "wrong", { body: Stream.make(bytesOf("other")) })
      yield* Effect.flip(put(upload("b", "old"), upload("d", "good"), wrong))
      assert.sameDeepMembers([...(yield* state).references.values()], [artifact("a", "old")])
      for (const content of ["good", "wrong"]) yield* invisible(content)
      yield* settled
      assert.deepStrictEqual(yield* objects, [keyOf("old", 1)])
    }).pipe(Effect.provide(blobStore({ concurrency: 1 })))
  )

  it.effect("before its intent is committed has sent nothing", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("blobs.intend", fails("Unavailable"), Infinity)
      assert.deepInclude(yield* Effect.flip(put(upload("a", "one"))), { _tag: "DatabaseError" })
      assert.strictEqual(yield* sent, 0)
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("between its bytes and its row leaves an object that is deleted with the intent", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("blobs.publish", fails("Unavailable"))
      yield* Effect.flip(put(upload("a", "one")))
      yield* invisible("one")
      assert.deepStrictEqual(yield* objects, [keyOf("one", 1)])
      yield* settled
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("although its row was committed is found by the next attempt", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("blobs.publish", lands("Unavailable"))
      yield* Effect.flip(put(upload("a", "one")))
      assert.deepStrictEqual(yield* put(upload("a", "one")), ["deduplicated"])
      yield* settled
      assert.strictEqual(yield* read("one"), "one")
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("because its writer was killed leaves nothing after the next sweeps", () =>
    Effect.gen(function* () {
      const body = Stream.concat(Stream.make(bytesOf("o")), Stream.never)
      const writer = yield* Effect.forkChild(put(upload("a", "one", { body })))
      yield* settle
      assert.strictEqual((yield* state).intents.size, 1)
      yield* Fiber.interrupt(writer)
      yield* invisible("one")
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )
})

describe("an upload that outlasts its lease", () => {
  /** A body whose first `times` runs stall for so long that a sweep reaps them. */
  const slow = (name: string, content: string, times: number) => {
    let attempts = 0
    const late = Effect.suspend(() => {
      attempts += 1
      return attempts <= times ? Effect.asVoid(sweepAfter(2 * hour)) : Effect.void
    })
    const body = Stream.concat(Stream.drain(Stream.fromEffect(late)), Stream.make(bytesOf(content)))
    return upload(name, content, { body })
  }

  it.effect("and is reaped is sent to another key, and the first object is deleted", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* put(slow("a", "one", 1)), ["uploaded"])
      assert.deepStrictEqual(yield* objects, [keyOf("one", 1), keyOf("one", 2)])
      assert.strictEqual((yield* state).blobs.get(digestOf("one"))?.key, keyOf("one", 2))
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* objects, [keyOf("one", 2)])
      assert.strictEqual(yield* read("one"), "one")
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("costs the others of its call their intents too, and all are stored", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const outcomes = yield* put(slow("a", "one", 1), upload("b", "one"), upload("c", "two"))
      assert.deepStrictEqual(outcomes, ["uploaded", "deduplicated", "uploaded"])
      assert.strictEqual(storage.count("put"), 4)
      assert.strictEqual((yield* state).references.size, 3)
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("and was not reaped succeeds", () =>
    Effect.gen(function* () {
      const body = Stream.concat(
        Stream.drain(Stream.fromEffect(TestClock.adjust("3 days"))),
        Stream.make(bytesOf("one"))
      )
      assert.deepStrictEqual(yield* put(upload("a", "one", { body })), ["uploaded"])
      assert.strictEqual(yield* sent, 1)
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("twice is tried a third time, and three times fails", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* put(slow("a", "one", 2)), ["uploaded"])
      const error = yield* Effect.flip(put(slow("b", "two", 3)))
      assert.deepInclude(error, { _tag: "UploadExpired", digest: digestOf("two"), attempts: 3 })
      yield* invisible("two")
      assert.strictEqual(yield* sent, 6)
      yield* settled
      assert.deepStrictEqual(yield* objects, [keyOf("one", 3)])
    }).pipe(Effect.provide(blobStore()))
  )
})
