/** The contract of the Node form of what `Storage.get` returns (src/storage/Readables.ts). A store without one passes. */
import { type Readable, Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { Effect, Stream } from "effect"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"
import type { StorageError } from "../../../domain/StorageError.ts"
import { type OpenBytes, openingOf } from "../../../storage/Readables.ts"
import type { ByteRange, Storage } from "../../../storage/Storage.ts"
import * as assert from "../Assert.ts"
import { type Declared, declare, fill, key, workspace } from "./Workspace.ts"

/** Opens the bytes and returns what `use` makes of them; null if they have no Node form. */
const opened = <A>(
  storage: Storage["Service"],
  k: ObjectKey,
  range: ByteRange | undefined,
  use: (bytes: OpenBytes<StorageError>) => Effect.Effect<A>
): Effect.Effect<A | null, StorageError> => {
  const opening = openingOf(storage.get(k, range))
  return opening === null ? Effect.succeed(null) : Effect.scoped(Effect.flatMap(opening, use))
}

/** Pipes into a reader that takes one chunk at a time, so that the pipe pauses its source. */
const flowed = ({ readable }: { readonly readable: Readable }): Effect.Effect<string> =>
  Effect.promise(async () => {
    const chunks: Array<Buffer> = []
    const reader = new Writable({
      highWaterMark: 1000,
      write(chunk: Buffer, _, done) {
        chunks.push(chunk)
        setImmediate(done)
      }
    })
    await pipeline(readable, reader)
    return Buffer.concat(chunks).toString()
  })

/** The cases. */
export const readables: ReadonlyArray<Declared> = [
  declare(
    "pipes the bytes of an object and of its ranges",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const [k, empty] = [key(prefix, "ten"), key(prefix, "empty")]
      yield* storage.put(k, Stream.make(Buffer.from("0123456789")), 10)
      yield* storage.put(empty, Stream.empty, 0)
      const ranges: ReadonlyArray<readonly [ObjectKey, ByteRange | undefined, string]> = [
        [k, undefined, "0123456789"],
        [k, { start: 0, end: 0 }, "0"],
        [k, { start: 3, end: 5 }, "345"],
        [k, { start: 9 }, "9"],
        [k, { start: 5, end: 20 }, "56789"],
        [empty, undefined, ""]
      ]
      for (const [subject, range, expected] of ranges) {
        assert.strictEqual((yield* opened(storage, subject, range, flowed)) ?? expected, expected)
      }
    })
  ),
  declare(
    "fails to open a pipe as the stream fails at its begin",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      yield* fill([`${prefix}a`])
      if (openingOf(storage.get(key(prefix, "a"))) === null) return
      const absent = yield* Effect.flip(opened(storage, key(prefix, "absent"), undefined, flowed))
      assert.deepInclude(absent, { operation: "get", reason: "NotFound" })
      for (const range of [{ start: 100 }, { start: 2, end: 1 }, { start: -1 }]) {
        const refused = yield* Effect.flip(opened(storage, key(prefix, "a"), range, flowed))
        assert.strictEqual(refused.reason, "Rejected")
      }
    })
  ),
  declare(
    "destroys a pipe that is left, and releases its connection",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const k = key(prefix, "large")
      yield* storage.put(k, Stream.make(Buffer.alloc(4_000_000, "x")), 4_000_000)
      // More pipes than a backend has connections.
      for (let i = 0; i < 100; i++) {
        const left = yield* opened(storage, k, undefined, Effect.succeed)
        assert.isTrue(left?.readable.destroyed ?? true)
      }
      assert.strictEqual((yield* opened(storage, k, undefined, flowed))?.length ?? 4_000_000, 4_000_000)
    })
  )
]
