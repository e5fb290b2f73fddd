import { assert, describe, it } from "vitest"
import { chunkRange, rangesMax, requestedRanges } from "../../../src/oci/http/Ranges.ts"

describe("the requested ranges", () => {
  it.each<[string | undefined, ReturnType<typeof requestedRanges>]>([
    [undefined, null],
    ["", null],
    ["bytes=0-9", [{ start: 0, end: 9 }]],
    ["Bytes=3-3", [{ start: 3, end: 3 }]],
    ["bytes=0-", [{ start: 0, end: 99 }]],
    ["bytes=99-", [{ start: 99, end: 99 }]],
    ["bytes=50-5000", [{ start: 50, end: 99 }]],
    ["bytes=-1", [{ start: 99, end: 99 }]],
    ["bytes=-5000", [{ start: 0, end: 99 }]],
    ["bytes=-0", "unsatisfiable"],
    ["bytes=100-", "unsatisfiable"],
    [`bytes=${"9".repeat(400)}-`, "unsatisfiable"],
    ["bytes=50-0", "unsatisfiable"],
    [
      "bytes=0-1,3-4",
      [
        { start: 0, end: 1 },
        { start: 3, end: 4 }
      ]
    ],
    [
      "bytes=3-4 , 0-1",
      [
        { start: 3, end: 4 },
        { start: 0, end: 1 }
      ]
    ],
    ["bytes=0-1,2-4", [{ start: 0, end: 4 }]],
    [
      "bytes=50-60,10-20,15-30",
      [
        { start: 10, end: 30 },
        { start: 50, end: 60 }
      ]
    ],
    ["bytes=0-,0-,0-", [{ start: 0, end: 99 }]],
    [
      "bytes=0-1,200-,-1",
      [
        { start: 0, end: 1 },
        { start: 99, end: 99 }
      ]
    ],
    ["bytes=100-,200-", "unsatisfiable"],
    ["bytes=0-1,x", null],
    ["bytes=0-1,", null],
    [`bytes=${Array.from({ length: rangesMax }, () => "0-0").join()}`, [{ start: 0, end: 0 }]],
    [`bytes=${Array.from({ length: rangesMax + 1 }, () => "0-0").join()}`, "too many"],
    ["bytes=-", null],
    ["bytes=a-b", null],
    ["bytes=1.5-2", null],
    ["lines=0-1", null],
    ["0-1", null]
  ])("%s of 100 bytes is %o", (header, expected) => {
    assert.deepStrictEqual(requestedRanges(header, 100), expected)
  })

  it("of an empty blob is never satisfiable", () => {
    for (const header of ["bytes=0-", "bytes=0-0", "bytes=-1"]) {
      assert.strictEqual(requestedRanges(header, 0), "unsatisfiable")
    }
  })
})

describe("the range of a chunk", () => {
  it.each<[string, ReturnType<typeof chunkRange>]>([
    ["0-0", { start: 0, end: 0 }],
    ["1024-2047", { start: 1024, end: 2047 }],
    ["1-0", null],
    ["0-", null],
    ["-1", null],
    ["bytes 0-1/2", null],
    ["bytes=0-1", null],
    ["0-1,3-4", null],
    [`0-${"9".repeat(20)}`, null]
  ])("%s is %o", (header, expected) => {
    assert.deepStrictEqual(chunkRange(header), expected)
  })
})
