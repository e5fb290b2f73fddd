import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Stream } from "effect"
import { Digest } from "../../src/domain/Digest.ts"
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
import { BlobStore, type PutOptions } from "../fixtures/Referring.ts"
import { clean, day, hour, minute, objects, sound, sweep, sweepAfter, World } from "../fixtures/World.ts"

const store = <E = never>(
  content: string,
  options?: PutOptions,
  body: Stream.Stream<Uint8Array, E> = Stream.make(bytesOf(content))
) => Effect.flatMap(BlobStore, (blobs) => blobs.put(body, options))

const unread = Stream.die("the body was read")

const pins = Effect.map(state, (rows) => [...rows.pins.values()])

describe("put", () => {
  it.effect("returns the digest and the length of the bytes, at a key that names neither", () =>
    Effect.gen(function* () {
      const body = Stream.make(bytesOf("on"), new Uint8Array(0), bytesOf("e"))
      const stored = yield* store("one", { references: [artifact("a", "")] }, body)
      assert.deepStrictEqual(stored, {
        digest: digestOf("one"),
        sizeBytes: 3,
        outcome: "uploaded",
        pin: null
      })
      assert.deepStrictEqual([...(yield* state).references.values()], [artifact("a", "one")])
      assert.deepStrictEqual(yield* objects, ["blobs/new/1/1"])
      assert.strictEqual(yield* read("one"), "one")
      assert.strictEqual((yield* state).intents.size, 0)
      yield* clean
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("uses a key that names the declared digest, also a sha512", () =>
    Effect.gen(function* () {
      const hex = createHash("sha512").update("one").digest("hex")
      const digest = Digest.make(`sha512:${hex}`)
      assert.deepInclude(yield* store("one", { digest, pin: "1 hour" }), { digest, sizeBytes: 3 })
      yield* store("two", { digest: digestOf("two"), pin: "1 hour" })
      assert.deepStrictEqual(yield* objects, [keyOf("two", 4), `blobs/sha512/${hex.slice(0, 2)}/${hex}/2`])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("of a declared digest that is live reads no byte and sends none", () =>
    Effect.gen(function* () {
      yield* put(upload("a", "one"))
      const stored = yield* store(
        "one",
        { digest: digestOf("one"), references: [artifact("b", "one")] },
        unread
      )
      assert.deepStrictEqual(stored, {
        digest: digestOf("one"),
        sizeBytes: 3,
        outcome: "deduplicated",
        pin: null
      })
      assert.strictEqual(yield* sent, 1)
      assert.strictEqual((yield* state).references.size, 2)
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("of live bytes without a declared digest keeps the first object", () =>
    Effect.gen(function* () {
      yield* put(upload("a", "one"))
      const stored = yield* store("one", { references: [artifact("b", "one")] })
      assert.deepInclude(stored, { digest: digestOf("one"), outcome: "deduplicated" })
      assert.strictEqual((yield* state).blobs.get(digestOf("one"))?.key, keyOf("one", 1))
      yield* settled
      assert.deepStrictEqual(yield* objects, [keyOf("one", 1)])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("without references pins the blob, which a collector without waits then keeps", () =>
    Effect.gen(function* () {
      const { pin } = yield* store("one")
      assert.isNotNull(pin)
      yield* sweepAfter(hour - 1)
      yield* sweepAfter(0)
      assert.strictEqual(yield* read("one"), "one")
      yield* sweepAfter(1)
      yield* settled
      yield* invisible("one")
    }).pipe(Effect.provide(blobStore({}, { grace: Duration.zero, quarantine: Duration.zero })))
  )

  it.effect("pins for the duration that was asked for, also beside references", () =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      const given = { references: [artifact("a", "one")], pin: "2 days" as const }
      const { pin } = yield* store("one", given)
      yield* blobs.unreference([artifact("a", "one")])
      for (let n = 0; n < 47; n++) yield* sweepAfter(hour)
      assert.strictEqual(yield* read("one"), "one")
      assert.deepStrictEqual(
        (yield* pins).map(({ id }) => id),
        [pin]
      )
      const again = yield* store("one", { digest: digestOf("one"), pin: "1 hour" }, unread)
      assert.notStrictEqual(again.pin, pin)
      assert.lengthOf(yield* pins, 2)
      yield* sweepAfter(day)
      yield* settled
      yield* invisible("one")
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("refuses a digest that it cannot check, before it calls database or store", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      for (const text of ["one", "sha256:abc", "md5:1234", `sha256:${"A".repeat(64)}`]) {
        const digest = Digest.make(text)
        const error = yield* Effect.flip(store("one", { digest }, unread))
        assert.deepInclude(error, { _tag: "DigestUnsupported", digest })
      }
      assert.deepStrictEqual(database.calls, [])
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect("of a live blob of another length than declared changes nothing", () =>
    Effect.gen(function* () {
      yield* put(upload("a", "one"))
      const options = { digest: digestOf("one"), sizeBytes: 4, references: [artifact("b", "one")] }
      const error = yield* Effect.flip(store("one", options, unread))
      assert.deepInclude(error, { _tag: "SizeMismatch", declared: 4, actual: 3 })
      assert.strictEqual((yield* state).references.size, 1)
    }).pipe(Effect.provide(blobStore()))
  )
})

describe("reference", () => {
  it.effect("adds references and releases pins at once", () =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      const stored = yield* Effect.all([store("one"), store("two")])
      const release = stored.map(({ pin }) => pin ?? "")
      yield* blobs.reference([artifact("a", "one"), artifact("b", "two")], { release })
      assert.lengthOf(yield* pins, 0)
      yield* settled
      assert.strictEqual(yield* read("two"), "two")
    }).pipe(Effect.provide(blobStore()))
  )

  it.effect(
    "of blobs of which some are not live fails with their digests, and adds and releases nothing",
    () =>
      Effect.gen(function* () {
        const blobs = yield* BlobStore
        const { pin } = yield* store("one")
        const wanted = [
          artifact("a", "one"),
          artifact("b", "two"),
          artifact("c", "six"),
          artifact("d", "two")
        ]
        const error = yield* Effect.flip(blobs.reference(wanted, { release: [pin ?? ""] }))
        assert.deepInclude(error, { _tag: "BlobUnknown", digests: [digestOf("two"), digestOf("six")] })
        assert.strictEqual((yield* state).references.size, 0)
        assert.lengthOf(yield* pins, 1)
      }).pipe(Effect.provide(blobStore()))
  )

  it.effect("keeps a condemned blob from deletion", () =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      yield* store("one", { pin: "1 millis" })
      yield* sweepAfter(minute)
      yield* sweepAfter(hour)
      assert.isNumber((yield* state).orphans.get(digestOf("one"))?.condemnedAt)
      yield* blobs.reference([artifact("a", "one")])
      for (let n = 0; n < 3; n++) yield* sweepAfter(day)
      assert.strictEqual(yield* read("one"), "one")
    }).pipe(Effect.provide(blobStore()))
  )
})

describe("pin", () => {
  it.effect("returns whether the blob is live, and keeps it until it is released", () =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      assert.deepStrictEqual(yield* blobs.pin(digestOf("one"), "1 hour"), Option.none())
      yield* put(upload("a", "one"))
      const pin = Option.getOrThrow(yield* blobs.pin(digestOf("one"), "30 days"))
      yield* blobs.unreference([artifact("a", "one")])
      for (let n = 0; n < 5; n++) yield* sweepAfter(day)
      assert.strictEqual(yield* read("one"), "one")
      assert.strictEqual(yield* blobs.unpin([pin, "unknown"]), 1)
      assert.strictEqual(yield* blobs.unpin([pin]), 0)
      yield* sweep()
      yield* settled
      yield* invisible("one")
    }).pipe(Effect.provide(blobStore()))
  )
})

describe("stat", () => {
  it.effect("returns the length of a blob and its key", () =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      assert.deepStrictEqual(yield* blobs.stat(digestOf("one")), Option.none())
      yield* put(upload("a", "one"))
      assert.deepStrictEqual(
        yield* blobs.stat(digestOf("one")),
        Option.some({ key: keyOf("one", 1), sizeBytes: 3 })
      )
      yield* sound
    }).pipe(Effect.provide(blobStore()))
  )
})
