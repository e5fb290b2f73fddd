/** Bodies in chunks of a few bytes: when they pause, and when they are refused. */
import type { Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { crumbsIn, makeBudget, type Toll } from "../../../src/oci/http/Crumbs.ts"

const framingOf = (chunkBytes: number) => chunkBytes.toString(16).length + 4

/** Lets a body of so many chunks arrive at once, `at` a time, and returns what is to be done with it each time. */
const arriving = (chunkBytes: number, count: number, budget = makeBudget(), now = 0): ReadonlyArray<Toll> => {
  const socket = { bytesRead: 1000 }
  const toll = crumbsIn({ socket: socket as Socket }, budget)
  return Array.from({ length: count / 500 }, () => {
    socket.bytesRead += 500 * (chunkBytes + framingOf(chunkBytes))
    return toll(500 * chunkBytes, now)
  })
}

describe("a body", () => {
  it("in chunks of a byte is read for free at first, then slowly, and finally refused", () => {
    const tolls = arriving(1, 12_000)
    assert.strictEqual(tolls[0], 0)
    assert.isAbove(tolls[2] as number, 0)
    assert.strictEqual(tolls.indexOf("refused"), 21)
    assert.strictEqual(tolls.at(-1), "refused")
  })

  it.each([64, 1000, 32_768])("in chunks of %s bytes never waits", (size) => {
    assert.isTrue(arriving(size, 50_000).every((toll) => toll === 0))
  })

  it("in chunks of 16 bytes is slow, and is not refused", () => {
    const tolls = arriving(16, 20_000)
    assert.notInclude(tolls, "refused")
    assert.isAbove(tolls.at(-1) as number, 500)
  })
})

describe("all bodies in chunks of a byte", () => {
  it("share a budget, and some are refused at once if others have spent it", () => {
    const budget = makeBudget()
    const longest = Array.from({ length: 50 }, () => arriving(1, 9000, budget).at(-1))
    assert.isBelow(longest[0] as number, longest[10] as number)
    assert.strictEqual(longest.at(-1), "refused")
    // The budget is of each second.
    assert.strictEqual(arriving(1, 500, budget, 60_000).at(-1), 0)
    assert.isBelow(arriving(1, 5000, budget, 60_000).at(-1) as number, 1000)
  })

  it("without a budget pause for no time (control)", () => {
    assert.isTrue(arriving(1, 9000, makeBudget(Number.POSITIVE_INFINITY)).every((toll) => toll === 0))
  })
})
