/** The least rate of a transfer, from bytes and instants alone. */
import { Duration } from "effect"
import { assert, describe, it } from "vitest"
import { allowanceAfter, allowanceOf, type MinimumRate, paceOf } from "../../../src/oci/http/MinimumRate.ts"

const rate: MinimumRate = { bytesPerSecond: 100, window: Duration.seconds(60) }
const second = 1000

/** Returns the second in which a transfer that moves `bytes` each `every` seconds is too slow, or null within an hour. */
const failsAt = (every: number, bytes: number): number | null => {
  const pace = paceOf(rate)
  pace.waits(0)
  for (let now = 1; now <= 3600; now++) {
    if (pace.millisLeft(now * second) === 0) return now
    if (now % every !== 0) continue
    pace.moved(bytes, now * second)
    pace.waits(now * second)
  }
  return null
}

describe("a transfer", () => {
  it.each([
    ["without a byte ends after the window", 1, 0, 60],
    ["at half of the rate ends after nearly two windows", 1, 50, 119],
    ["at one byte a second ends soon after the window", 1, 1, 61],
    ["at the rate lasts", 1, 100, null],
    ["that pauses for less than the window lasts", 50, 5000, null],
    ["that pauses for longer ends, however fast it was", 61, 1_000_000, 60]
  ])("%s", (_, every, bytes, expected) => {
    assert.strictEqual(failsAt(every, bytes), expected)
  })

  it("earns no longer pause by fast bytes", () => {
    assert.strictEqual(allowanceAfter(rate, 0, 10 ** 9, 0), allowanceOf(rate))
  })

  it("does not use its allowance up while the store is waited for", () => {
    const pace = paceOf(rate)
    pace.waits(0)
    pace.moved(1, 30 * second)
    assert.strictEqual(pace.millisLeft(3600 * second), 30.01 * second)
    pace.waits(3600 * second)
    pace.rests(3610 * second)
    assert.strictEqual(pace.millisLeft(4000 * second), 20.01 * second)
  })

  it("has no limit at a rate of 0", () => {
    const pace = paceOf({ ...rate, bytesPerSecond: 0 })
    pace.waits(0)
    assert.strictEqual(pace.millisLeft(10 ** 9), Number.POSITIVE_INFINITY)
  })
})
