/** The contract of `Storage.put`. */
import { createHash, randomBytes } from "node:crypto"
import { Cause, Clock, Data, Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import { ObjectKey } from "../../../domain/ObjectKey.ts"
import * as assert from "../Assert.ts"
import { type Declared, declare, fill, key, listed, numbered, read, workspace } from "./Workspace.ts"

class BodyFailed extends Data.TaggedError("BodyFailed")<{ readonly line: number }> {}

/**
 * A body without an end. A store that reads on after the declared bytes would fill the memory before any time
 * limit.
 */
const endless = () => {
  let read = 0
  return Stream.forever(Stream.make(new Uint8Array(1000))).pipe(
    Stream.tap((chunk) =>
      Effect.sync(() => {
        read += chunk.length
        assert.isBelow(
          read,
          64_000_000,
          "a store ends a body at the first byte that was not declared; bytes read"
        )
      })
    )
  )
}

/** The cases. */
export const writing: ReadonlyArray<Declared> = [
  declare(
    "stores bodies whole, whatever their chunks, and replaces the old object",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const k = key(prefix, "a")
      const before = yield* Clock.currentTimeMillis
      const bodies = [
        [],
        [""],
        ["hello"],
        ["", "he", "", "llo", ""],
        [..."one byte a chunk"],
        ["x".repeat(100_000), "y".repeat(3_000_000), "z"]
      ]
      for (const chunks of bodies) {
        const whole = chunks.join("")
        yield* storage.put(k, Stream.fromIterable(chunks.map((chunk) => Buffer.from(chunk))), whole.length)
        const content = yield* read(k)
        assert.isTrue(content.equals(Buffer.from(whole)), `${chunks.length} chunks of ${whole.length} bytes`)
        const head = Option.getOrThrow(yield* storage.head(k))
        assert.strictEqual(head.sizeBytes, whole.length)
        // A store of whole seconds may show the second before.
        assert.isAbove(head.modifiedAt, before - 120_000)
        assert.isBelow(head.modifiedAt, before + 120_000)
        const [listed] = (yield* Stream.runCollect(storage.list(prefix))).flat()
        assert.deepInclude(listed, { key: k, sizeBytes: whole.length })
        // A Last-Modified header (RFC 9110 §8.8.2) has no fractions of a second; a listing may have.
        const fraction = (listed?.modifiedAt ?? Number.NaN) - head.modifiedAt
        assert.isTrue(fraction >= 0 && fraction < 1000, `${fraction} ms apart`)
      }
    })
  ),
  declare(
    "returns 12 MiB unchanged",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const k = key(prefix, "large")
      const piece = randomBytes(96 * 1024)
      const pieces = Array.from({ length: 128 }, (_, i) =>
        Buffer.concat([Buffer.from([i]), piece.subarray(1)])
      )
      const sent = createHash("sha256")
      const body = Stream.fromIterable(pieces).pipe(
        Stream.rechunk(1),
        Stream.map((chunk) => {
          sent.update(chunk)
          return chunk
        })
      )
      yield* storage.put(k, body, 128 * piece.length)
      const received = createHash("sha256")
      yield* Stream.runForEach(storage.get(k), (chunk) => Effect.sync(() => received.update(chunk)))
      assert.strictEqual(received.digest("hex"), sent.digest("hex"))
    })
  ),
  declare(
    "leaves nothing of a body of the wrong length, and keeps the old object",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const old = key(prefix, "old")
      yield* fill([old])
      const bytes = (size: number) => Buffer.alloc(size, "b")
      const wrong: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>, number]> = [
        ["empty", [], 5],
        ["short", [bytes(4)], 5],
        ["long, in one chunk", [bytes(6)], 5],
        ["long, after all declared bytes", [bytes(5), bytes(1)], 5],
        ["long, after all declared bytes and an empty chunk", [bytes(5), bytes(0), bytes(1)], 5],
        ["not empty", [bytes(1)], 0],
        ["short and large", [bytes(3_000_000)], 3_000_001],
        ["long and large", [bytes(3_000_000), bytes(1)], 3_000_000],
        ["short and in parts", [bytes(11_000_000)], 12_000_000],
        ["long and in parts", [bytes(12_000_000), bytes(1)], 12_000_000]
      ]
      for (const [what, chunks, sizeBytes] of wrong) {
        const body = Stream.fromIterable(chunks).pipe(Stream.rechunk(1))
        for (const k of [key(prefix, "new"), old]) {
          const error = yield* Effect.flip(storage.put(k, body, sizeBytes))
          assert.strictEqual(error.reason, "Truncated", what)
        }
        assert.deepStrictEqual(yield* listed(prefix), [old], what)
        assert.strictEqual((yield* read(old)).toString(), "x", what)
      }
      assert.strictEqual((yield* Effect.flip(storage.put(old, endless(), 1_000_000))).reason, "Truncated")
    })
  ),
  declare(
    "fails with the body's own error and leaves nothing",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const k = key(prefix, "a")
      const failure = new BodyFailed({ line: 42 })
      for (const sizeBytes of [0, 100, 2_000_000, 12_000_000]) {
        const start = Stream.make(Buffer.alloc(sizeBytes / 2))
        const failing = start.pipe(Stream.concat(Stream.fail(failure)))
        assert.strictEqual(yield* Effect.flip(storage.put(k, failing, sizeBytes)), failure)
        const dying = start.pipe(Stream.concat(Stream.die(failure)))
        const exit = yield* Effect.exit(storage.put(k, dying, sizeBytes))
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === failure)
        assert.deepStrictEqual(yield* listed(prefix), [])
      }
    })
  ),
  declare(
    "leaves nothing of an interrupted put, and runs the body's finalizers",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      for (const sizeBytes of [100, 2_000_000, 12_000_000]) {
        const reached = yield* Deferred.make<void>()
        let finalized = false
        const body = Stream.make(Buffer.alloc(sizeBytes / 2)).pipe(
          Stream.concat(Stream.fromEffectDrain(Deferred.succeed(reached, undefined))),
          Stream.concat(Stream.never),
          Stream.ensuring(
            Effect.sync(() => {
              finalized = true
            })
          )
        )
        const fiber = yield* Effect.forkChild(storage.put(key(prefix, "a"), body, sizeBytes))
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(fiber)
        assert.isTrue(finalized)
        assert.deepStrictEqual(yield* listed(prefix), [])
      }
    })
  ),
  declare(
    "survives puts and deletes in the same directories at once",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const kept = numbered(`${prefix}d/`, 40)
      yield* Effect.forEach(
        kept,
        Effect.fnUntraced(function* (last, i) {
          // Six directories that are filled and emptied by forty workers.
          const passing = ObjectKey.make(`${prefix}${i % 6}/e/${i}`)
          for (let round = 0; round < 10; round++) {
            yield* storage.put(passing, Stream.make(Buffer.from("x")), 1)
            assert.deepStrictEqual((yield* storage.delete([passing])).failed, [])
          }
          yield* storage.put(last, Stream.make(Buffer.from("x")), 1)
        }),
        { concurrency: 20, discard: true }
      )
      assert.deepStrictEqual(yield* listed(prefix), kept)
    }),
    2
  ),
  declare(
    "accepts its own objects as bodies, more at once than it may have connections",
    Effect.gen(function* () {
      const { prefix, storage } = yield* workspace
      const source = key(prefix, "source")
      const size = 3_000_000
      yield* storage.put(source, Stream.make(randomBytes(size)), size)
      yield* Effect.forEach(
        numbered(`${prefix}copy/`, 24),
        (copy) => storage.put(copy, storage.get(source), size),
        { concurrency: "unbounded", discard: true }
      )
      assert.strictEqual((yield* listed(`${prefix}copy/`)).length, 24)
    }),
    2
  )
]
