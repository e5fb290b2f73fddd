/**
 * A process that dies between its blob and its reference: two ways without `commit`, which leak or lose, and
 * `commit`, which does neither.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import * as MemoryDatabase from "../../src/database/Memory.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { bytesOf } from "../fixtures/BlobStores.ts"

const services = () =>
  Layer.merge(Sweep.layer(), BlobStore.layer()).pipe(
    Layer.provideMerge(Layer.merge(MemoryDatabase.layer({ tables: ["attachments"] }), MemoryStorage.layer))
  )

const body = Stream.make(bytesOf("one"))

/** What a file that was referenced before leaves: no first reference is asked for. */
const seen = Effect.gen(function* () {
  const tables = yield* MemoryDatabase.HostTables
  const blobs = yield* BlobStore
  yield* blobs.put(Stream.make(bytesOf("other")), {
    commit: ({ digest }) => tables.insert("attachments", { id: "other", digest })
  })
})

const sweeps = (hours: number) =>
  Effect.gen(function* () {
    const sweep = yield* Sweep
    for (let n = 0; n < hours; n++) {
      yield* TestClock.adjust("1 hour")
      yield* sweep.once()
    }
  })

describe("a process that dies between its blob and its reference", () => {
  it.effect("leaks the blob until its pin ends, with a pin (control)", () =>
    Effect.gen(function* () {
      yield* seen
      const blobs = yield* BlobStore
      const { digest } = yield* blobs.put(body, { pin: "10 hours" })
      // The process dies here: no row of the host refers to the blob.
      yield* sweeps(8)
      assert.isTrue(Option.isSome(yield* blobs.stat(digest)), "nothing refers to it, and it is kept")
    }).pipe(Effect.provide(services()))
  )

  it.effect("loses the blob that it was told exists, if the reference comes after its pin (control)", () =>
    Effect.gen(function* () {
      yield* seen
      const blobs = yield* BlobStore
      const tables = yield* MemoryDatabase.HostTables
      const { digest } = yield* blobs.put(body, { pin: "1 milli" })
      yield* sweeps(8)
      const refused = yield* Effect.flip(tables.insert("attachments", { id: "late", digest }))
      assert.deepInclude(refused, { _tag: "RowRefused", reason: "BlobUnknown" })
    }).pipe(Effect.provide(services()))
  )

  it.effect("cannot die there with commit: the blob and its reference exist, or neither", () =>
    Effect.gen(function* () {
      yield* seen
      const blobs = yield* BlobStore
      const tables = yield* MemoryDatabase.HostTables
      const died = yield* Effect.exit(
        blobs.put(body, {
          commit: ({ digest }) =>
            Effect.andThen(tables.insert("attachments", { id: "new", digest }), Effect.interrupt)
        })
      )
      assert.strictEqual(died._tag, "Failure")
      assert.isTrue(Option.isNone(yield* tables.get("attachments", "new")))
      const { digest } = yield* blobs.put(body, {
        commit: ({ digest }) => tables.insert("attachments", { id: "new", digest })
      })
      yield* sweeps(24)
      assert.isTrue(Option.isSome(yield* blobs.stat(digest)), "it is referenced, and it is kept")
    }).pipe(Effect.provide(services()))
  )
})
