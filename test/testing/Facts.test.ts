import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { referenceId } from "../../src/artifacts/Artifacts.ts"
import { emptyState } from "../../src/database/Memory.ts"
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

  it.effect("show what is wrong with upload sessions", () =>
    Effect.gen(function* () {
      const state = emptyState()
      const session = {
        id: "s",
        repository: "r",
        algorithm: "sha256",
        state: "open",
        receivedBytes: 3,
        digest: null,
        lastActivityAt: 0,
        token: null,
        leaseUntil: null
      } as const
      const chunk = { session: "s", startByte: 0, sizeBytes: 2, key, digest }
      const second = { ...chunk, startByte: 2, sizeBytes: 1, key: ObjectKey.make("k2") }
      const sessions = new Map([["s", session]])
      Object.assign(state, { sessions })
      state.chunks.set(second.key, second)
      state.chunks.set(key, chunk)
      assert.deepStrictEqual(yield* Facts.invariants(state, yield* stored("k", "k2")), [])
      assert.deepStrictEqual(yield* Facts.leaks(state, yield* stored("k", "k2")), [])

      state.blobs.set(digest, row)
      state.intents.set(key, { key, digest, expiresAt: 0, uploadId: null })
      state.journal.set(key, dead)
      state.chunks.delete(second.key)
      state.chunks.set(ObjectKey.make("k3"), { ...second, session: "t", key: ObjectKey.make("k3") })
      assert.deepStrictEqual((yield* Facts.invariants(state, yield* stored("k3"))).slice(4), [
        "an upload owns k, and so does blob d",
        "an upload session owns k, and so does blob d",
        "an upload session owns k, and so does an upload",
        "upload session s has no object at k",
        "k3 is of upload session t, which has no row",
        "upload session s is open with 3 bytes, and its chunks do not fit"
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
