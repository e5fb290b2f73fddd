/** The contract of `Storage.copy`. */
import { randomBytes } from "node:crypto"
import { Effect, Option, Stream } from "effect"
import { ObjectKey } from "../../../domain/ObjectKey.ts"
import * as assert from "../Assert.ts"
import { type Declared, declare, fill, key, listed, read, workspace } from "./Workspace.ts"

const always: ReadonlyArray<Declared> = [
  declare(
    "copies an object whole, and the two are then independent",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const [from, to] = [key(prefix, "from"), key(prefix, "below/to")]
      for (const size of [0, 1, 12_000_000]) {
        const content = randomBytes(size)
        yield* storage.put(from, Stream.make(content), size)
        yield* storage.copy(from, to)
        // The second copy replaces the first.
        yield* storage.copy(from, to)
        yield* storage.put(from, Stream.make(Buffer.from("other")), 5)
        assert.isTrue((yield* read(to)).equals(content), `${size} bytes`)
        assert.strictEqual(Option.getOrThrow(yield* storage.head(to)).sizeBytes, size)
        yield* storage.delete([from])
        assert.strictEqual((yield* read(to)).length, size)
      }
      assert.deepStrictEqual(yield* listed(prefix), [to])
    }),
    2
  ),
  declare(
    "does not copy an absent object, and leaves the target as it was",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const [from, to] = [key(prefix, "absent"), key(prefix, "to")]
      yield* fill([to])
      const error = yield* Effect.flip(storage.copy(from, to))
      assert.deepInclude(error, { operation: "copy", subject: from, reason: "NotFound" })
      assert.strictEqual((yield* read(to)).toString(), "x")
      assert.deepStrictEqual(yield* listed(prefix), [to])
    })
  ),
  declare(
    "joins objects, if it can: small ones, and some that are large enough for a part",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const { concat } = storage
      if (concat === undefined) return
      const to = key(prefix, "joined")
      for (const sizes of [
        [3, 4],
        [6_000_000, 3, 4, 7_000_000, 5],
        [5, 12_000_000]
      ]) {
        const contents = sizes.map((size) => randomBytes(size))
        const sources = sizes.map((sizeBytes, index) => ({ key: key(prefix, `source-${index}`), sizeBytes }))
        for (const [index, source] of sources.entries()) {
          yield* storage.put(source.key, Stream.make(contents[index] ?? Buffer.alloc(0)), source.sizeBytes)
        }
        yield* concat(sources, to)
        assert.isTrue((yield* read(to)).equals(Buffer.concat(contents)), `${sizes}`)
      }
      const absent = { key: key(prefix, "absent"), sizeBytes: 6_000_000 }
      const there = { key: key(prefix, "source-1"), sizeBytes: 12_000_000 }
      const error = yield* Effect.flip(concat([there, absent], to))
      assert.strictEqual(error.reason, "NotFound")
      assert.strictEqual((yield* read(to)).length, 12_000_005, "the target stays as it was")
    }),
    2
  ),
  declare(
    "refuses to copy an object onto itself",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const k = key(prefix, "a")
      yield* fill([k])
      const error = yield* Effect.flip(storage.copy(k, k))
      assert.deepInclude(error, { operation: "copy", subject: k, reason: "Rejected" })
      assert.strictEqual((yield* read(k)).toString(), "x")
    })
  )
]

const copiesOddKeys = (accepted: ReadonlyArray<string>): Declared =>
  declare(
    "copies between odd keys",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      yield* fill(
        accepted.map((odd) => prefix + odd),
        (key) => Buffer.from(`content of ${key}`)
      )
      yield* Effect.forEach(
        accepted,
        Effect.fnUntraced(function* (odd) {
          const to = ObjectKey.make(`${prefix}copy/${odd}`)
          yield* storage.copy(key(prefix, odd), to)
          assert.strictEqual((yield* read(to)).toString(), `content of ${prefix}${odd}`, odd)
        }),
        { concurrency: 16, discard: true }
      )
    }),
    2
  )

/** Returns the cases. `accepted`: the odd keys that the store accepts. */
export const copying = (accepted: ReadonlyArray<string>): ReadonlyArray<Declared> => [
  ...always,
  copiesOddKeys(accepted)
]
