/** Bodies in chunks of a few bytes: when they pause, and when they are refused. */
import type { Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { crumbsIn, makeBudget, type Toll } from "../../../src/oci/http/Crumbs.ts"

const framingOf = (chunkBytes: number) => chunkBytes.toString(16).length + 4

/** Lets a body of so many chunks arrive at once, 500 at a time, and returns what is to be done with it each time. */
const arriving = (
  chunkBytes: number,
  count: number,
  budget = makeBudget(),
  now = 0,
  remoteAddress = "10.0.0.1"
): ReadonlyArray<Toll> => {
  const socket = { bytesRead: 1000, remoteAddress }
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
  const pausesOf = (tolls: ReadonlyArray<Toll> | undefined) =>
    Math.max(...(tolls ?? []).map(({ pauseMillis }) => pauseMillis))

  it("of a client share a budget, and each waits for the ones before", () => {
    const budget = makeBudget()
    const bodies = Array.from({ length: 50 }, () => arriving(1, 9000, budget))
    assert.isBelow(pausesOf(bodies[0]), 1000)
    assert.isAbove(pausesOf(bodies[20]), 10_000)
    // Proxies give up after a minute.
    assert.strictEqual(pausesOf(bodies[49]), 30_000)
    assert.isFalse(bodies.flat().some(({ isRefused }) => isRefused))
    // The budget is of each second.
    assert.isBelow(pausesOf(arriving(1, 5000, budget, 60_000)), 1000)
  })

  it("cannot spend the budget of another client, which has half of it", () => {
    const budget = makeBudget()
    for (let at = 0; at < 50; at++) arriving(1, 9000, budget)
    const honest = arriving(16, 10_000, budget, 0, "10.0.0.2")
    assert.isFalse(honest.some(({ isRefused }) => isRefused))
    const alone = pausesOf(arriving(16, 10_000))
    assert.isAbove(alone, 100)
    assert.approximately(pausesOf(honest), 2 * alone, 1)
  })

  it("without a budget pause for no time (control)", () => {
    assert.strictEqual(pauseOf(arriving(1, 9000, makeBudget(Number.POSITIVE_INFINITY))), 0)
  })
})

it("a body that sends a line now and then never waits, however long it lasts", () => {
  const socket = { bytesRead: 0 }
  const toll = crumbsIn({ socket: socket as Socket }, makeBudget())
  const tolls = Array.from({ length: 20_000 }, (_, at) => {
    socket.bytesRead += 15
    return toll(10, at * 10)
  })
  assert.strictEqual(pauseOf(tolls), 0)
})
