/** The contract of the Node form of what `Storage.get` returns (src/storage/Readables.ts). */
import { type Readable, Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { assert } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { openingOf } from "../../../src/storage/Readables.ts"
import type { ByteRange, Storage } from "../../../src/storage/Storage.ts"
import { fill, key, type Suite, workspace } from "../../fixtures/storage/Workspace.ts"

const open = (storage: Storage["Service"], k: ObjectKey, range?: ByteRange) => {
  const opening = openingOf(storage.get(k, range))
  assert.isNotNull(opening, "the backend attaches a Node form")
  return opening
}

/** Pipes into a reader that takes one chunk at a time, so that the pipe pauses its source. */
const flowed = (readable: Readable): Effect.Effect<string> =>
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

export const readables = ({ promise }: Suite): void => {
  promise(
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
        const bytes = Effect.flatMap(open(storage, subject, range), ({ readable }) => flowed(readable))
        assert.strictEqual(yield* Effect.scoped(bytes), expected)
      }
    })
  )

  promise(
    "fails to open a pipe as the stream fails at its begin",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      yield* fill([`${prefix}a`])
      const absent = yield* Effect.flip(Effect.scoped(open(storage, key(prefix, "absent"))))
      assert.deepInclude(absent, { operation: "get", reason: "NotFound" })
      for (const range of [{ start: 100 }, { start: 2, end: 1 }, { start: -1 }]) {
        const refused = yield* Effect.flip(Effect.scoped(open(storage, key(prefix, "a"), range)))
        assert.strictEqual(refused.reason, "Rejected")
      }
    })
  )

  promise(
    "destroys a pipe that is left, and releases its connection",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const k = key(prefix, "large")
      yield* storage.put(k, Stream.make(Buffer.alloc(4_000_000, "x")), 4_000_000)
      // More pipes than a backend has connections.
      for (let i = 0; i < 100; i++) {
        const left = yield* Effect.scoped(Effect.map(open(storage, k), ({ readable }) => readable))
        assert.isTrue(left.destroyed)
      }
      const whole = Effect.flatMap(open(storage, k), ({ readable }) => flowed(readable))
      assert.strictEqual((yield* Effect.scoped(whole)).length, 4_000_000)
    })
  )
}
