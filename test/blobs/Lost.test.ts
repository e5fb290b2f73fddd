/** Uploads that collectors reap while they are sent, bodies that run once, and blobs that move. */

import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Publication } from "../../src/database/Database.ts"
import { Storage } from "../../src/storage/Storage.ts"
import type { Sweep } from "../../src/sweep/Sweep.ts"
import * as Facts from "../../src/testing/Facts.ts"
import { fails, hangsAfter, hangsBefore } from "../../src/testing/Faults.ts"
import {
  artifact,
  blobStore,
  bytesOf,
  digestOf,
  keyOf,
  put,
  read,
  sent,
  settled,
  state,
  upload
} from "../fixtures/BlobStores.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { BlobStore, type PutOptions } from "../fixtures/Referring.ts"
import {
  clean,
  day,
  hour,
  journaled,
  minute,
  objects,
  settle,
  sound,
  sweep,
  sweepAfter,
  World
} from "../fixtures/World.ts"

/** A body that runs once, like a socket. */
const socket = <E>(body: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> => {
  let runs = 0
  return Stream.suspend(() => (runs++ === 0 ? body : Stream.die("a socket was read twice")))
}

const store = <E>(body: Stream.Stream<Uint8Array, E>, options: PutOptions = {}) =>
  Effect.flatMap(BlobStore, (blobs) => blobs.put(body, { references: [artifact("a", "")], ...options }))

/** Returns the key of a digest, as `keyOf` does for a content. */
const keyFor = (digest: string, nonce: number) => {
  const hex = digest.slice("sha256:".length)
  return `blobs/sha256/${hex.slice(0, 2)}/${hex}/${nonce}`
}

/** Reaps all intents, and deletes their objects if asked to. */
const reap = Effect.fnUntraced(function* (how: "reaped" | "deleted") {
  const { rows } = yield* World
  const now = yield* Clock.currentTimeMillis
  yield* rows.journal.reapIntents(now + day, now, 100)
  if (how === "deleted") yield* sweep()
}, Effect.orDie)

/** Runs `effect` right before the writer's next publish. */
const beforePublish = Effect.fnUntraced(function* <R>(effect: Effect.Effect<unknown, never, R>, times = 1) {
  const { database } = yield* World
  const context = yield* Effect.context<R>()
  database.next("blobs.publish", hangsBefore(Effect.provide(effect, context)), times)
})

/** Five hours of bytes: a chunk every ten minutes, and a sweep after each. */
const slowly = Effect.fnUntraced(function* (options: PutOptions = {}) {
  const body = Stream.range(1, 30).pipe(
    Stream.mapEffect((n) => Effect.as(Effect.sleep("10 minutes"), bytesOf(`${n} `)))
  )
  const writer = yield* Effect.forkChild(store(socket(body), options))
  for (let n = 0; n < 32; n++) {
    yield* settle
    yield* sweepAfter(10 * minute)
  }
  return yield* Fiber.join(writer)
})

describe("an upload that takes longer than its lease", () => {
  it.effect("survives, because its intent is renewed while bytes arrive", () =>
    Effect.gen(function* () {
      const stored = yield* slowly()
      assert.strictEqual(stored.outcome, "uploaded")
      assert.deepStrictEqual(yield* objects, ["blobs/new/1/1"])
      const { database, storage } = yield* World
      assert.strictEqual(storage.count("copy"), 0)
      assert.isAbove(database.count("blobs.renew"), 10)
      yield* clean
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("control: without renewal it is reaped, and its bytes are copied from a dead key", () =>
    Effect.gen(function* () {
      const { database, storage } = yield* World
      database.always(({ operation }) => (operation === "blobs.renew" ? fails("Unavailable") : undefined))
      const stored = yield* slowly()
      assert.strictEqual(stored.outcome, "uploaded")
      assert.strictEqual(storage.count("copy"), 1)
      assert.strictEqual(yield* sent, 1)
      const { blobs } = yield* state
      assert.strictEqual(blobs.get(stored.digest)?.key, keyFor(stored.digest, 2))
      yield* settled
      assert.deepStrictEqual(yield* objects, [keyFor(stored.digest, 2)])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("is not renewed while its body stalls, so that a disconnected client does not leak", () =>
    Effect.gen(function* () {
      const body = Stream.concat(Stream.make(bytesOf("o")), Stream.never)
      const writer = yield* Effect.forkChild(store(body))
      yield* settle
      for (let n = 0; n < 9; n++) yield* sweepAfter(10 * minute)
      assert.strictEqual((yield* state).intents.size, 0)
      yield* Fiber.interrupt(writer)
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("is renewed while the store completes it, however long that takes", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      storage.next("put", hangsBefore(Effect.sleep("5 hours")))
      const writer = yield* Effect.forkChild(store(Stream.make(bytesOf("one"))))
      yield* settle
      for (let n = 0; n < 31; n++) yield* sweepAfter(10 * minute)
      assert.strictEqual((yield* Fiber.join(writer)).outcome, "uploaded")
      assert.strictEqual(storage.count("copy"), 0)
      yield* clean
    }).pipe(Effect.provide(blobStore()))
  )
})

describe("an upload that the store refuses to continue", () => {
  const refused = Effect.map(World, ({ storage }) => storage.next("put", fails("Rejected")))
  /** Reaps the intent and aborts its multipart upload. */
  const aborted = Effect.gen(function* () {
    const { database } = yield* World
    const now = Effect.provideContext(reap("reaped"), yield* Effect.context<World | Sweep>())
    database.next("blobs.intend", hangsAfter(now))
    yield* refused
  })

  it.effect("because a collector aborted it is sent again if its body is replayable", () =>
    Effect.gen(function* () {
      yield* aborted
      const stored = yield* store(Stream.make(bytesOf("one")), { replayable: true })
      assert.strictEqual(stored.outcome, "uploaded")
      assert.strictEqual(yield* sent, 2)
      assert.strictEqual(yield* read("one"), "one")
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("because a collector aborted it fails with `UploadExpired` if its body is not replayable", () =>
    Effect.gen(function* () {
      yield* aborted
      const error = yield* Effect.flip(store(socket(Stream.make(bytesOf("one")))))
      assert.deepInclude(error, { _tag: "UploadExpired", digest: null, attempts: 1 })
      yield* settled
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("for another reason fails for that reason", () =>
    Effect.gen(function* () {
      yield* refused
      const error = yield* Effect.flip(store(Stream.make(bytesOf("one")), { replayable: true }))
      assert.deepInclude(error, { _tag: "StorageError", reason: "Rejected" })
      assert.strictEqual(yield* sent, 1)
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )
})

describe("an upload that is reaped before it is published", () => {
  it.effect("is copied by the store to another key, and its body is not run again", () =>
    Effect.gen(function* () {
      yield* beforePublish(reap("reaped"))
      const stored = yield* store(socket(Stream.make(bytesOf("one"))))
      assert.deepInclude(stored, { digest: digestOf("one"), sizeBytes: 3, outcome: "uploaded" })
      assert.strictEqual(yield* sent, 1)
      assert.deepStrictEqual(yield* journaled, ["blobs/new/1/1"])
      assert.strictEqual(yield* read("one"), "one")
      yield* settled
      assert.deepStrictEqual(yield* objects, [keyOf("one", 2)])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("and whose object is deleted too is sent again if its body is replayable", () =>
    Effect.gen(function* () {
      yield* beforePublish(reap("deleted"))
      const stored = yield* store(Stream.make(bytesOf("one")), { replayable: true })
      assert.strictEqual(stored.outcome, "uploaded")
      assert.strictEqual(yield* sent, 2)
      assert.strictEqual(yield* read("one"), "one")
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("and whose object is deleted too fails with `UploadExpired` if its body is not replayable", () =>
    Effect.gen(function* () {
      yield* beforePublish(reap("deleted"))
      const error = yield* Effect.flip(store(socket(Stream.make(bytesOf("one")))))
      assert.deepInclude(error, { _tag: "UploadExpired", digest: digestOf("one"), attempts: 1 })
      assert.strictEqual((yield* state).references.size, 0)
      yield* settled
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("three times fails with `UploadExpired`", () =>
    Effect.gen(function* () {
      yield* beforePublish(reap("reaped"), 3)
      const error = yield* Effect.flip(store(Stream.make(bytesOf("one")), { replayable: true }))
      assert.deepInclude(error, { _tag: "UploadExpired", attempts: 3 })
      yield* settled
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("is adopted if another writer has stored the same bytes meanwhile", () =>
    Effect.gen(function* () {
      const theirs = Effect.andThen(reap("deleted"), Effect.orDie(put(upload("b", "one"))))
      yield* beforePublish(theirs)
      const stored = yield* store(socket(Stream.make(bytesOf("one"))))
      assert.strictEqual(stored.outcome, "deduplicated")
      assert.strictEqual((yield* state).references.size, 2)
      yield* settled
      assert.strictEqual(yield* read("one"), "one")
    }).pipe(Effect.provide(blobStore()))
  )
})

/** The upload is reaped and struck off the journal while its body arrives. Its object arrives after that. */
const arrivesLate = Effect.fnUntraced(function* () {
  const context = yield* Effect.context<World | Effect.Services<ReturnType<typeof sweep>>>()
  const taken = Effect.provide(reap("deleted"), context)
  const body = Stream.concat(Stream.drain(Stream.fromEffect(taken)), Stream.make(bytesOf("one")))
  return yield* store(socket(body))
})

describe("an object that arrives after its key was struck off the journal", () => {
  it.effect("is journaled again after it was copied", () =>
    Effect.gen(function* () {
      yield* arrivesLate()
      yield* clean
      yield* sweep()
      assert.deepStrictEqual(yield* objects, [keyOf("one", 2)])
      assert.strictEqual(yield* read("one"), "one")
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("control: otherwise only a search of the whole store finds it", () =>
    Effect.gen(function* () {
      const { database, state, store: bucket } = yield* World
      database.next("blobs.discard", fails("Unavailable"))
      yield* arrivesLate()
      assert.deepStrictEqual(yield* Facts.leaks(state, bucket), ["blobs/new/1/1"])
      assert.strictEqual(yield* read("one"), "one")
    }).pipe(Effect.provide(blobStore()))
  )
})

/**
 * PostgreSQL's answer after a commit's answer was lost and the verb was repeated: expired, although
 * published.
 */
const answerLost = Effect.gen(function* () {
  const { database, rows } = yield* World
  let isFirst = true
  const publish = (args: ReadonlyArray<unknown>) =>
    Effect.orDie(rows.blobs.publish(Number(args[0]), args[1] as ReadonlyArray<Publication>))
  database.always(({ operation, args }) => {
    if (operation !== "blobs.publish" || !isFirst) return undefined
    isFirst = false
    return hangsBefore(publish(args))
  })
})

describe("an upload that was published and whose answer was lost", () => {
  it.effect("is distinguished from one that was reaped", () =>
    Effect.gen(function* () {
      yield* answerLost
      const stored = yield* store(socket(Stream.make(bytesOf("one"))))
      assert.strictEqual(stored.outcome, "uploaded")
      assert.deepStrictEqual(yield* objects, ["blobs/new/1/1"])
      yield* settled
      assert.strictEqual(yield* read("one"), "one")
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect(
    "control: a writer that deletes its object after `expired` deletes the bytes of a live blob",
    () =>
      Effect.gen(function* () {
        const { rows, state, store: bucket } = yield* World
        const now = yield* Clock.currentTimeMillis
        const key = keyOf("one", 1)
        const publication = { key, digest: digestOf("one"), sizeBytes: 3, references: [artifact("a", "one")] }
        yield* rows.blobs.intend([{ key, digest: digestOf("one"), expiresAt: now + hour }])
        yield* bucket.put(key, Stream.make(bytesOf("one")), 3)
        yield* rows.blobs.publish(now, [publication])
        assert.deepStrictEqual(yield* rows.blobs.publish(now, [publication]), ["expired"])
        yield* bucket.delete([key])
        assert.deepStrictEqual(yield* Facts.invariants(state, bucket), [
          `blob ${digestOf("one")} has no object at ${key}`
        ])
      }).pipe(Effect.provide(blobStore()))
  )
})

/** Purges the orphan `one` before the writer's next `operation`. */
const purgedBefore = Effect.fnUntraced(function* (
  operation: "blobs.adopt" | "blobs.publish" | "blobs.locate"
) {
  yield* put(upload("old", "one"))
  yield* (yield* BlobStore).unreference([artifact("old", "one")])
  yield* sweepAfter(day)
  yield* sweepAfter(hour)
  const { database } = yield* World
  const context = yield* Effect.context<World | Effect.Services<ReturnType<typeof sweep>>>()
  database.next(operation, hangsBefore(Effect.provide(Effect.orDie(sweepAfter(hour)), context)))
})

describe("a faster purge", () => {
  for (const operation of ["blobs.locate", "blobs.adopt"] as const) {
    it.effect(`than ${operation} makes put send the bytes to another key`, () =>
      Effect.gen(function* () {
        yield* purgedBefore(operation)
        const stored = yield* store(Stream.make(bytesOf("one")), { digest: digestOf("one") })
        assert.deepInclude(stored, { outcome: "uploaded", digest: digestOf("one") })
        assert.strictEqual(yield* sent, 2)
        yield* sound
        yield* settled
        assert.strictEqual(yield* read("one"), "one")
      }).pipe(Effect.provide(blobStore()))
    )
  }

  it.effect("than reference fails it with `BlobUnknown`, and adds no reference", () =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      yield* put(upload("b", "two"))
      yield* purgedBefore("blobs.adopt")
      const error = yield* Effect.flip(blobs.reference([artifact("c", "two"), artifact("d", "one")]))
      assert.deepInclude(error, { _tag: "BlobUnknown", digests: [digestOf("one")] })
      assert.deepStrictEqual([...(yield* state).references.values()], [artifact("b", "two")])
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )
})

describe("open", () => {
  /** Deletes the blob and stores it again under another key, between the reads of row and object. */
  const moved = Effect.gen(function* () {
    yield* put(upload("a", "one"))
    const { storage } = yield* World
    const blobs = yield* BlobStore
    const context = yield* Effect.context<World | Effect.Services<ReturnType<typeof sweep>>>()
    const move = Effect.gen(function* () {
      yield* blobs.unreference([artifact("a", "one")])
      for (let n = 0; n < 3; n++) yield* sweepAfter(day)
      yield* put(upload("b", "one"))
    }).pipe(Effect.orDie, Effect.provideService(BlobStore, blobs), Effect.provide(context))
    storage.next("get", hangsBefore(move))
  })

  it.effect("follows a blob that was stored again under another key", () =>
    Effect.gen(function* () {
      yield* moved
      assert.strictEqual(yield* read("one"), "one")
      const { storage } = yield* World
      const keys = storage.calls.filter(({ operation }) => operation === "get").map(({ args }) => args[0])
      assert.deepStrictEqual(keys, [keyOf("one", 1), keyOf("one", 2)])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("fails with the key of the missing object if the row still names it", () =>
    Effect.gen(function* () {
      yield* put(upload("a", "one"))
      const { store: bucket } = yield* World
      yield* bucket.delete([keyOf("one", 1)])
      const error = yield* Effect.flip(read("one"))
      assert.deepInclude(error, { _tag: "StorageError", reason: "NotFound", subject: keyOf("one", 1) })
    }).pipe(Effect.provide(blobStore()))
  )
})

/** A blob store over this world, with a changed store. */
const over = Effect.fnUntraced(function* (change: (inner: Storage["Service"]) => Storage["Service"]) {
  const { rows, store: bucket } = yield* World
  const layer = BlobStore.layer().pipe(
    Layer.provide([AllDatabases.all(rows), Layer.succeed(Storage, Storage.of(change(bucket)))])
  )
  return Context.get(yield* Layer.build(layer), BlobStore)
})

describe("a body", () => {
  it.effect("is read when the store asks for it, and is not kept in memory", () =>
    Effect.gen(function* () {
      let [made, taken, most] = [0, 0, 0]
      const body = Stream.range(1, 200).pipe(
        Stream.rechunk(1),
        Stream.map(() => {
          made += 1
          return new Uint8Array(1024)
        })
      )
      const blobs = yield* over((inner) => ({
        ...inner,
        put: (_key, bytes) =>
          Effect.andThen(
            Effect.sync(() => assert.strictEqual(made, 0, "nothing was read before the store asked")),
            Stream.runForEach(bytes, () =>
              Effect.sync(() => {
                taken += 1
                most = Math.max(most, made - taken)
              })
            )
          )
      }))
      const { sizeBytes } = yield* blobs.put(body)
      assert.strictEqual(sizeBytes, 200 * 1024)
      assert.isAtMost(most, 1, "chunks that were made and not yet taken")
    }).pipe(Effect.scoped, Effect.provide(blobStore()))
  )

  it.effect("sent as a multipart upload has its upload id recorded before its first part", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      let noted: ReadonlyArray<string | null> = []
      const blobs = yield* over((inner) => ({
        ...inner,
        put: (key, bytes, sizeBytes, options) =>
          Effect.gen(function* () {
            yield* options?.onMultipart?.("upload 7") ?? Effect.void
            const watched = Stream.map(bytes, (chunk) => {
              noted = [...state.intents.values()].map(({ uploadId }) => uploadId)
              return chunk
            })
            yield* inner.put(key, watched, sizeBytes, options)
          })
      }))
      yield* blobs.put(Stream.make(bytesOf("one")))
      assert.deepStrictEqual(noted, ["upload 7"])
    }).pipe(Effect.scoped, Effect.provide(blobStore()))
  )

  it.effect("that is too long fails at the first byte too many", () =>
    Effect.gen(function* () {
      const endless = Stream.concat(Stream.make(bytesOf("one"), bytesOf("more")), Stream.never)
      const error = yield* Effect.flip(store(endless, { sizeBytes: 3 }))
      assert.deepInclude(error, { _tag: "SizeMismatch", declared: 3, actual: 7 })
      yield* settled
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(blobStore({ uploadLease: Duration.hours(1) })))
  )

  it.effect("whose writer dies midway leaves an intent that is reaped", () =>
    Effect.gen(function* () {
      const writer = yield* Effect.forkChild(store(Stream.concat(Stream.make(bytesOf("o")), Stream.never)))
      yield* settle
      yield* Fiber.interrupt(writer)
      assert.strictEqual((yield* state).intents.size, 1)
      yield* TestClock.adjust("1 hour")
      yield* settled
    }).pipe(Effect.provide(blobStore()))
  )
})
