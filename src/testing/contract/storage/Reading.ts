/** The contract of `Storage.get` and `Storage.head`. */
import { Effect, Option, Stream } from "effect"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"
import { StorageError } from "../../../domain/StorageError.ts"
import * as assert from "../Assert.ts"
import { type Declared, declare, fill, key, read, workspace } from "./Workspace.ts"

/** The cases. */
export const reading: ReadonlyArray<Declared> = [
  declare(
    "reports that an object does not exist",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      yield* fill([`${prefix}a`, `${prefix}b/c`])
      for (const absent of ["absent", "a/b", "b", "b/", "a/"]) {
        const k = key(prefix, absent)
        assert.isTrue(Option.isNone(yield* storage.head(k)), absent)
        const error = yield* Effect.flip(Stream.runDrain(storage.get(k)))
        assert.instanceOf(error, StorageError)
        assert.deepInclude(error, { operation: "get", subject: k, reason: "NotFound" })
      }
    })
  ),
  declare(
    "returns the bytes of a range and refuses an invalid one",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const [k, empty] = [key(prefix, "ten"), key(prefix, "empty")]
      yield* storage.put(k, Stream.make(Buffer.from("0123456789")), 10)
      yield* storage.put(empty, Stream.empty, 0)
      const good: ReadonlyArray<readonly [number, number | undefined, string]> = [
        [0, undefined, "0123456789"],
        [0, 0, "0"],
        [3, 5, "345"],
        [9, undefined, "9"],
        [9, 9, "9"],
        [5, 9, "56789"],
        [5, 10, "56789"],
        [5, Number.MAX_SAFE_INTEGER, "56789"]
      ]
      for (const [start, end, expected] of good) {
        assert.strictEqual((yield* read(k, { start, end })).toString(), expected, `${start}-${end}`)
      }
      const bad: ReadonlyArray<readonly [ObjectKey, number, number | undefined]> = [
        [k, 10, undefined],
        [k, 10, 20],
        [k, 5, 4],
        [k, -1, undefined],
        [k, 0.5, 2],
        [k, Number.NaN, undefined],
        [empty, 0, undefined],
        [empty, 0, 0]
      ]
      for (const [subject, start, end] of bad) {
        const error = yield* Effect.flip(read(subject, { start, end }))
        assert.deepInclude(error, { reason: "Rejected", subject }, `${start}-${end}`)
      }
      assert.strictEqual((yield* read(empty)).length, 0)
    })
  ),
  declare(
    "releases the connection of an object that is read only in part",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const k = key(prefix, "large")
      yield* storage.put(k, Stream.make(Buffer.alloc(4_000_000)), 4_000_000)
      // More reads than a backend has connections: a connection that is not released would be missing.
      for (let i = 0; i < 100; i++) {
        const first = yield* Stream.runCollect(Stream.take(storage.get(k), 1))
        assert.strictEqual(first.length, 1)
      }
      assert.strictEqual((yield* read(k)).length, 4_000_000)
    })
  )
]
