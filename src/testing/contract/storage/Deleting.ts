/** The contract of `Storage.delete`. */
import { Effect } from "effect"
import { deleteBatchMax } from "../../../storage/Storage.ts"
import * as assert from "../Assert.ts"
import { type Declared, declare, fill, key, listed, numbered, workspace } from "./Workspace.ts"

/** The cases. */
export const deleting: ReadonlyArray<Declared> = [
  declare(
    "deletes absent keys successfully, repeatedly, and together with others",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const [a, b, absent] = [key(prefix, "a"), key(prefix, "b"), key(prefix, "absent/one")]
      yield* fill([a, b])
      assert.deepStrictEqual(yield* storage.delete([absent, a]), { deleted: [absent, a], failed: [] })
      assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
      assert.deepStrictEqual(yield* storage.delete([]), { deleted: [], failed: [] })
      assert.deepStrictEqual(yield* listed(prefix), [b])
    })
  ),
  declare(
    "says of no key that it was sent again where one request with a definite answer deleted each",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const keys = [key(prefix, "a"), key(prefix, "b"), key(prefix, "absent")]
      yield* fill(keys.slice(0, 2))
      assert.isUndefined((yield* storage.delete(keys)).resent)
    })
  ),
  declare(
    "refuses more keys than a batch may name, and deletes none of them",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const keys = numbered(prefix, deleteBatchMax + 1)
      yield* fill(keys.slice(0, 1))
      const error = yield* Effect.flip(storage.delete(keys))
      assert.strictEqual(error.reason, "Rejected")
      assert.deepStrictEqual(yield* listed(prefix), keys.slice(0, 1))
      assert.strictEqual(
        (yield* storage.delete(keys.slice(0, deleteBatchMax))).deleted.length,
        deleteBatchMax
      )
    })
  )
]
