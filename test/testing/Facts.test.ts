import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { emptyState, referenceId } from "../../src/database/Memory.ts"
import { Digest } from "../../src/domain/Digest.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import * as Facts from "../../src/testing/Facts.ts"

const digest = Digest.make("d")
const key = ObjectKey.make("k")
const row = { key, sizeBytes: 1, createdAt: 0, lastUsedAt: 0 }
const reference = { _tag: "LocalFile", path: "/srv/d", digest } as const
const dead = {
  digest,
  sizeBytes: 1,
  reason: "purged",
  notBefore: 0,
  claimedUntil: null,
  attempts: 0,
  lastError: null,
  deadAt: null,
  uploadId: null
} as const

const stored = (...keys: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const storage = yield* Storage
    for (const key of keys) yield* storage.put(ObjectKey.make(key), Stream.empty, 0)
    return storage
  }).pipe(Effect.provide(MemoryStorage.layer))

describe("the facts about a catalogue and its store", () => {
  it.effect("are in order when every reference has its row and every row its object", () =>
    Effect.gen(function* () {
      const state = emptyState()
      state.blobs.set(digest, row)
      state.references.set(referenceId(reference), reference)
      const storage = yield* stored("k")
      assert.deepStrictEqual(yield* Facts.invariants(state, storage), [])
      assert.deepStrictEqual(yield* Facts.leaks(state, storage), [])
    })
  )

  it.effect("show a reference without a row, and a row without an object", () =>
    Effect.gen(function* () {
      const state = emptyState()
      state.references.set("r", reference)
      assert.deepStrictEqual(yield* Facts.invariants(state, yield* stored()), [
        "reference r is to blob d, which has no row"
      ])
      state.blobs.set(digest, row)
      assert.deepStrictEqual(yield* Facts.invariants(state, yield* stored()), ["blob d has no object at k"])
    })
  )

  it.effect("show a key with two owners", () =>
    Effect.gen(function* () {
      const state = emptyState()
      state.blobs.set(digest, row)
      state.intents.set(key, { key, digest, expiresAt: 0, uploadId: null })
      state.journal.set(key, dead)
      assert.deepStrictEqual(yield* Facts.invariants(state, yield* stored("k")), [
        "the journal holds k, which blob d owns",
        "the journal holds k, which an upload owns",
        "an upload owns k, and so does blob d"
      ])
    })
  )

  it.effect("show objects that nobody knows, except staged uploads", () =>
    Effect.gen(function* () {
      const state = emptyState()
      state.journal.set(key, dead)
      const storage = yield* stored("k", "stray", "uploads/s/1")
      assert.deepStrictEqual(yield* Facts.leaks(state, storage, "uploads/"), ["stray"])
      assert.deepStrictEqual(yield* Facts.leaks(state, storage), ["stray", "uploads/s/1"])
    })
  )
})
