/** The contract of `Storage.put` for a body of unknown length. */
import { randomBytes } from "node:crypto"
import { Cause, Effect, Exit, Option, Stream } from "effect"
import * as assert from "../Assert.ts"
import { type Declared, declare, fill, key, listed, read, workspace } from "./Workspace.ts"

const MiB = 1024 * 1024

/** The cases. */
export const unknownLength: ReadonlyArray<Declared> = [
  declare(
    "stores a body of unknown length up to its end",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const k = key(prefix, "a")
      // Around the size of a part, and of two.
      for (const size of [0, 1, 8 * MiB - 1, 8 * MiB, 8 * MiB + 1, 16 * MiB, 16 * MiB + 1]) {
        const content = randomBytes(size)
        const chunks = Array.from({ length: Math.ceil(size / 999_983) }, (_, i) =>
          content.subarray(i * 999_983, (i + 1) * 999_983)
        )
        yield* storage.put(k, Stream.fromIterable(chunks).pipe(Stream.rechunk(1)), null)
        assert.isTrue((yield* read(k)).equals(content), `${size} bytes`)
        assert.strictEqual(Option.getOrThrow(yield* storage.head(k)).sizeBytes, size)
      }
      assert.deepStrictEqual(yield* listed(prefix), [k])
    }),
    3
  ),
  declare(
    "fails with the error of a body of unknown length, and keeps the old object",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const old = key(prefix, "old")
      yield* fill([old])
      for (const size of [0, 100, 20 * MiB]) {
        const start = Stream.make(Buffer.alloc(size / 2), Buffer.alloc(size / 2)).pipe(Stream.rechunk(1))
        for (const k of [old, key(prefix, "new")]) {
          const failing = Stream.concat(start, Stream.fail("broken" as const))
          assert.strictEqual(yield* Effect.flip(storage.put(k, failing, null)), "broken")
          const dying = Stream.concat(start, Stream.die("defect"))
          const exit = yield* Effect.exit(storage.put(k, dying, null))
          assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === "defect")
        }
        assert.deepStrictEqual(yield* listed(prefix), [old])
        assert.strictEqual((yield* read(old)).toString(), "x")
      }
    }),
    2
  )
]
