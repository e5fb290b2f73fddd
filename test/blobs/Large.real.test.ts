/** Multipart bodies on PostgreSQL and a real S3 server. */

import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { fromSha256Hex } from "../../src/domain/Digest.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as FaultyStorage from "../../src/testing/FaultyStorage.ts"
import * as Databases from "../fixtures/Databases.ts"
import { hasStore, ownStore } from "../fixtures/RealStore.ts"
import { BlobStore } from "../fixtures/Referring.ts"
import { Tables } from "../fixtures/Tables.ts"
import { untilTrue } from "../fixtures/Until.ts"

const mebibyte = 1024 * 1024

/** Bytes without repetition. */
const chunk = (n: number) =>
  new Uint8Array(mebibyte).map((_, index) => (index * 31 + n * 7 + (index >> 8)) % 251)

const body = (mebibytes: number) =>
  Stream.range(1, mebibytes).pipe(
    Stream.rechunk(1),
    Stream.map((n) => chunk(n))
  )

const digestOfBody = (mebibytes: number) => {
  const hash = createHash("sha256")
  for (let n = 1; n <= mebibytes; n++) hash.update(chunk(n))
  return fromSha256Hex(hash.digest("hex"))
}

const backend = BlobStore.layer().pipe(
  Layer.provideMerge(Layer.merge(Databases.postgres(Databases.real), ownStore))
)

const inParts = () => {
  it.effect("of unknown length is stored whole, and its multipart upload is recorded meanwhile", () =>
    Effect.gen(function* () {
      const [blobs, tables] = [yield* BlobStore, yield* Tables]
      let recorded: ReadonlyArray<string | null> = []
      const watched = body(40).pipe(
        Stream.zipWithIndex,
        Stream.mapEffect(([bytes, index]) =>
          index < 39
            ? Effect.succeed(bytes)
            : Effect.map(tables.rows, ({ intents }) => {
                recorded = intents.map(({ uploadId }) => uploadId)
                return bytes
              })
        )
      )
      const stored = yield* blobs.put(watched, { references: [{ _tag: "LocalFile", path: "/large" }] })
      assert.deepStrictEqual(stored, {
        digest: digestOfBody(40),
        sizeBytes: 40 * mebibyte,
        outcome: "uploaded",
        pin: null
      })
      assert.lengthOf(recorded, 1)
      assert.isString(recorded[0])
      const hash = createHash("sha256")
      yield* Stream.runForEach(blobs.open(stored.digest), (bytes) => Effect.sync(() => hash.update(bytes)))
      assert.strictEqual(fromSha256Hex(hash.digest("hex")), stored.digest)
    }).pipe(Effect.provide(backend), Effect.scoped)
  )

  it.effect("whose writer stalls is aborted by the sweep that reaps it, and nothing is left", () =>
    Effect.gen(function* () {
      const script = FaultyStorage.script()
      const watched = FaultyStorage.layer(script).pipe(Layer.provide(Layer.succeed(Storage, yield* Storage)))
      const sweep = Context.get(yield* Layer.build(Layer.provide(Sweep.layerUnchecked(), watched)), Sweep)
      const [blobs, storage, tables] = [yield* BlobStore, yield* Storage, yield* Tables]
      const writer = yield* Effect.forkChild(blobs.put(Stream.concat(body(30), Stream.never)))
      const recorded = Effect.map(tables.rows, ({ intents }) => intents[0]?.uploadId ?? null)
      yield* untilTrue(
        "the intent names the multipart upload",
        Effect.map(recorded, (found) => found !== null)
      )
      const uploadId = yield* recorded
      // One sweep reaps the intent, and the next deletes the object.
      for (let n = 0; n < 2; n++) {
        yield* TestClock.adjust("3 hours")
        assert.strictEqual((yield* sweep.once()).outcome, "complete")
      }
      const aborts = script.calls.filter(({ operation }) => operation === "abort")
      assert.deepInclude(aborts[0]?.args[0], { uploadId })
      // Parts may arrive after the abort. The writer that is interrupted also aborts.
      yield* Fiber.interrupt(writer)
      assert.deepStrictEqual((yield* Stream.runCollect(storage.multiparts(""))).flat(), [])
      assert.deepStrictEqual((yield* Stream.runCollect(storage.list(""))).flat(), [])
      const rows = yield* tables.rows
      assert.deepStrictEqual([rows.intents, rows.journal, rows.blobs], [[], [], []])
    }).pipe(Effect.provide(backend), Effect.scoped)
  )
}

describe("a multipart body on PostgreSQL and S3", () => {
  if (Databases.hasReal && hasStore) inParts()
  else {
    it.skip("needs REAL_DATABASE_URL and REAL_S3_ENDPOINT; npm run test:real starts both", () => undefined)
  }
})
