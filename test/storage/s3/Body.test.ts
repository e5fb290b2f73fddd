import { buffer } from "node:stream/consumers"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { evenParts, growingParts, inParts, partsOf, readableOf } from "../../../src/storage/s3/Body.ts"

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const TiB = 1024 ** 4

it("even parts are 8 MiB unless there would be more than 10,000", () => {
  assert.strictEqual(evenParts(1)(0), 8 * MiB)
  assert.strictEqual(evenParts(70 * GiB)(9999), 8 * MiB)
  const size = evenParts(5 * TiB)(0)
  assert.isAtMost(Math.ceil((5 * TiB) / size), 10_000)
  assert.isAtMost(size, 5 * GiB)
  assert.strictEqual(evenParts(GiB, 512 * MiB)(0), 512 * MiB)
})

it("a declared length makes no first part larger than 8 MiB", () => {
  assert.strictEqual(partsOf(20 * MiB)(1), 8 * MiB)
  assert.strictEqual(partsOf(78 * GiB)(9999), 8 * MiB)
  assert.strictEqual(partsOf(5 * TiB)(0), 8 * MiB)
  assert.strictEqual(evenParts(5 * TiB)(0) > 500 * MiB, true, "the sizes that a declared length made before")
})

it("parts of a body of unknown length grow, so that 10,000 hold the largest object", () => {
  let total = 0
  for (let index = 0; index < 10_000; index++) {
    const size = growingParts(index)
    assert.isAtMost(size, 5 * GiB)
    if (index >= 1000) assert.isAtMost(size, total / 500)
    total += size
  }
  assert.strictEqual(growingParts(999), 8 * MiB)
  assert.strictEqual(growingParts(1000), 16 * MiB)
  assert.isAtLeast(total, 5 * TiB)
})

it.effect("pieces have the requested sizes, whatever the chunks", () =>
  Effect.gen(function* () {
    const bytes = Buffer.from("the quick brown fox jumps")
    for (const chunk of [1, 2, 3, 7, 25]) {
      const body = Stream.fromIterable(
        Array.from({ length: Math.ceil(25 / chunk) }, (_, i) => bytes.subarray(i * chunk, (i + 1) * chunk))
      )
      const pieces = yield* Stream.runCollect(inParts(body, (index) => index + 3))
      assert.deepStrictEqual(
        pieces.map(({ sizeBytes }) => sizeBytes),
        [3, 4, 5, 6, 7]
      )
      const read = yield* Effect.promise(() => Promise.all(pieces.map((piece) => buffer(readableOf(piece)))))
      assert.deepStrictEqual(
        read.map(({ length }) => length),
        [3, 4, 5, 6, 7]
      )
      assert.strictEqual(Buffer.concat(read).toString(), bytes.toString())
    }
  })
)

it.effect("a part refers to large chunks, and takes hardly more memory than its bytes for small ones", () =>
  Effect.gen(function* () {
    const large = Buffer.alloc(10_000, "l")
    const small = Array.from({ length: 20_000 }, (_, index) => Buffer.alloc(1, String(index % 10)))
    const mixed = small.slice(0, 100).flatMap((chunk) => [chunk, large])
    const partOf = (chunks: ReadonlyArray<Buffer>) =>
      Effect.map(Stream.runCollect(inParts(Stream.fromIterable(chunks), () => 8 * MiB)), ([part]) => part)
    const many = yield* partOf(small)
    assert.strictEqual(many?.chunks.length, 1)
    assert.strictEqual(Buffer.concat(many?.chunks ?? []).toString(), Buffer.concat(small).toString())
    const both = yield* partOf(mixed)
    assert.strictEqual(Buffer.concat(both?.chunks ?? []).toString(), Buffer.concat(mixed).toString())
    assert.strictEqual(
      both?.chunks.filter((chunk) => chunk === large || chunk.buffer === large.buffer).length,
      100
    )
    const copied = new Set(
      (both?.chunks ?? []).filter(({ length }) => length < 10_000).map(({ buffer }) => buffer)
    )
    assert.strictEqual(copied.size, 1, "small chunks between large ones share a buffer")
  })
)
