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

const refusedAt = (tolls: ReadonlyArray<Toll>) => tolls.findIndex(({ isRefused }) => isRefused)
const pauseOf = (tolls: ReadonlyArray<Toll>) => tolls.reduce((sum, { pauseMillis }) => sum + pauseMillis, 0)

describe("a body", () => {
  it("in chunks of a byte is read for free at first, then slowly, and finally refused", () => {
    const tolls = arriving(1, 12_000)
    assert.strictEqual(tolls[0]?.pauseMillis, 0)
    assert.isAbove(tolls[2]?.pauseMillis ?? 0, 0)
    assert.strictEqual(refusedAt(tolls), 21)
    assert.isAbove(tolls[21]?.pauseMillis ?? 0, 0)
  })

  it.each([64, 1000, 32_768])("in chunks of %s bytes never waits", (size) => {
    assert.strictEqual(pauseOf(arriving(size, 50_000)), 0)
  })

  it("in chunks of 16 bytes is slow, and is not refused", () => {
    const tolls = arriving(16, 20_000)
    assert.strictEqual(refusedAt(tolls), -1)
    assert.isAbove(pauseOf(tolls), 500)
  })
})

describe("all bodies in chunks of a byte", () => {
  it("share a budget, and are refused early if others have spent it", () => {
    const budget = makeBudget()
    const bodies = Array.from({ length: 50 }, () => arriving(1, 9000, budget))
    assert.deepStrictEqual(
      [bodies[0], bodies[49]].map((tolls) => refusedAt(tolls ?? [])),
      [-1, 1]
    )
    // The budget is of each second.
    assert.strictEqual(refusedAt(arriving(1, 5000, budget, 60_000)), -1)
  })

  it("without a budget pause for no time (control)", () => {
    assert.strictEqual(pauseOf(arriving(1, 9000, makeBudget(Number.POSITIVE_INFINITY))), 0)
  })
})
