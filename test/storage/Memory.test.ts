import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { emptyState, layer, layerOf, type State } from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { storageContract } from "./Storage.contract.ts"

storageContract("memory", layer)

it.effect("dates objects by the Clock", () =>
  Effect.gen(function* () {
    const storage = yield* Storage
    const key = ObjectKey.make("a")
    yield* TestClock.setTime(1_700_000_000_123)
    yield* storage.put(key, Stream.empty, 0)
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(Option.getOrThrow(yield* storage.head(key)).modifiedAt, 1_700_000_000_123)
  }).pipe(Effect.provide(layer))
)

const [a, b] = [ObjectKey.make("p/a"), ObjectKey.make("q/b")]
const bytes = Buffer.from("bytes")

/** Runs `play` with a store whose state has these changes. */
const stage = <A, E>(
  change: Partial<State>,
  play: (storage: Storage["Service"], state: State) => Effect.Effect<A, E>
) => {
  const state = Object.assign(emptyState(), change)
  return Effect.flatMap(Storage, (storage) => play(storage, state)).pipe(Effect.provide(layerOf(state)))
}

describe("the state", () => {
  it.effect("is the bucket, which several stores may share", () =>
    Effect.gen(function* () {
      const state = emptyState()
      const put = Effect.flatMap(Storage, (storage) => storage.put(a, Stream.make(bytes), null))
      yield* Effect.provide(put, layerOf(state))
      assert.deepStrictEqual([...state.objects.keys()], [a])
      const found = Effect.flatMap(Storage, (storage) => storage.head(a))
      assert.isTrue(Option.isSome(yield* Effect.provide(found, layerOf(state))))
      assert.isTrue(Option.isNone(yield* Effect.provide(found, layer)))
    })
  )

  it.effect("keeps the versions that a bucket hides, until all versions are deleted", () =>
    Effect.gen(function* () {
      const versioned = (deletes: "markers" | "versions") =>
        stage({ traits: { versioning: "on", objectLock: false, deletes, chosen: true } }, (storage, state) =>
          Effect.gen(function* () {
            for (const key of [a, a, b]) yield* storage.put(key, Stream.make(bytes), bytes.length)
            yield* storage.copy(a, b)
            assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
            assert.isTrue(Option.isNone(yield* storage.head(a)))
            assert.deepStrictEqual(yield* storage.traits, state.traits)
            return [...state.hidden].map(([key, entries]) => [key, entries.length])
          })
        )
      assert.deepStrictEqual<unknown>(yield* versioned("markers"), [
        [a, 2],
        [b, 1]
      ])
      assert.deepStrictEqual<unknown>(yield* versioned("versions"), [[b, 1]])
      // Control: without versions nothing is kept.
      const hidden = yield* stage({}, (storage, state) =>
        Effect.gen(function* () {
          for (const key of [a, a]) yield* storage.put(key, Stream.make(bytes), bytes.length)
          yield* storage.delete([a])
          return state.hidden.size
        })
      )
      assert.strictEqual(hidden, 0)
    })
  )

  it.effect("may contain multipart uploads, which are listed by prefix and aborted one by one", () =>
    stage(
      {
        multiparts: new Map([
          ["U2", { key: a, lastActivityAt: 2 }],
          ["U1", { key: a, lastActivityAt: 1 }],
          ["U3", { key: b, lastActivityAt: 3 }]
        ])
      },
      (storage, state) =>
        Effect.gen(function* () {
          const listed = (prefix: string) =>
            Effect.map(Stream.runCollect(storage.multiparts(prefix)), (pages) => pages.flat())
          assert.deepStrictEqual(yield* listed("p/"), [
            { key: a, uploadId: "U1", lastActivityAt: 1 },
            { key: a, uploadId: "U2", lastActivityAt: 2 }
          ])
          assert.deepStrictEqual<unknown>(yield* Stream.runCollect(storage.list("")), [])
          yield* storage.abortMultipart({ key: a, uploadId: "U2" })
          yield* storage.abortMultipart({ key: a, uploadId: "U2" })
          // An id without its key aborts nothing.
          yield* storage.abortMultipart({ key: a, uploadId: "U3" })
          assert.deepStrictEqual([...state.multiparts.keys()], ["U1", "U3"])
        })
    )
  )

  it.effect(
    "may contain locked versions: a delete of all versions fails for them, and a delete that hides succeeds",
    () =>
      Effect.gen(function* () {
        const locked = (deletes: "markers" | "versions") =>
          stage(
            {
              locked: new Set([a]),
              traits: { versioning: "on", objectLock: true, deletes, chosen: true }
            },
            (storage) =>
              Effect.gen(function* () {
                for (const key of [a, b]) yield* storage.put(key, Stream.make(bytes), bytes.length)
                const { deleted, failed } = yield* storage.delete([a, b])
                return {
                  deleted,
                  failed: failed.map(({ code, key, reason }) => [key, reason, code]),
                  isThere: Option.isSome(yield* storage.head(a))
                }
              })
          )
        assert.deepStrictEqual<unknown>(yield* locked("versions"), {
          deleted: [b],
          failed: [[a, "locked", "AccessDenied"]],
          isThere: true
        })
        assert.deepStrictEqual<unknown>(yield* locked("markers"), {
          deleted: [a, b],
          failed: [],
          isThere: false
        })
      })
  )

  it.effect("may have a clock of its own", () =>
    stage({}, (storage, state) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* storage.skew, Option.none())
        state.skewMillis = -5000
        assert.deepStrictEqual(yield* storage.skew, Option.some(-5000))
      })
    )
  )
})
