import { assert, describe, it } from "vitest"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { leastPartBytes, type PlannedPart, plan } from "../../../src/storage/s3/Concatenation.ts"

const MiB = 1024 ** 2

const sourcesOf = (sizes: ReadonlyArray<number>) =>
  sizes.map((sizeBytes, index) => ({ key: ObjectKey.make(String(index)), sizeBytes }))

const piecesOf = (part: PlannedPart) => (part._tag === "copied" ? [part.piece] : part.pieces)

const bytesIn = (part: PlannedPart): number =>
  piecesOf(part).reduce((sum, { range }) => sum + range.end - range.start + 1, 0)

describe("the parts that make one object of several", () => {
  it.each([
    [
      [8 * MiB, 8 * MiB],
      ["copied", "copied"]
    ],
    [
      [8 * MiB, 3],
      ["copied", "sent"]
    ],
    [
      [3, 8 * MiB],
      ["sent", "sent"]
    ],
    [
      [3, 20 * MiB],
      ["sent", "copied"]
    ],
    [
      [8 * MiB, 3, 4, 20 * MiB, 7],
      ["copied", "sent", "copied", "sent"]
    ],
    [[1100 * MiB], ["copied", "copied", "copied"]],
    [Array.from({ length: 1100 }, () => 10_000), ["sent", "sent", "sent"]],
    [[5 * MiB], ["copied"]],
    [
      [5 * MiB - 1, 1, 5 * MiB],
      ["sent", "copied"]
    ]
  ] as const)("of %j are %j, with each byte once and in order", (sizes, tags) => {
    const sources = sourcesOf(sizes)
    const parts = plan(sources)
    assert.deepStrictEqual(
      parts.map(({ _tag }) => _tag),
      [...tags]
    )
    for (const part of parts.slice(0, -1)) assert.isAtLeast(bytesIn(part), leastPartBytes)
    for (const part of parts)
      assert.isAtMost(bytesIn(part), part._tag === "copied" ? 512 * MiB : 2 * leastPartBytes)
    const read = parts.flatMap(piecesOf)
    for (const { key, sizeBytes } of sources) {
      let at = 0
      for (const { range } of read.filter((piece) => piece.key === key)) {
        assert.strictEqual(range.start, at)
        at = range.end + 1
      }
      assert.strictEqual(at, sizeBytes)
    }
    const order = read.map(({ key }) => Number(key))
    assert.deepStrictEqual(
      order,
      order.toSorted((a, b) => a - b)
    )
  })
})
