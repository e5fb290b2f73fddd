import { assert, it } from "@effect/vitest"
import { type DeleteFailureReason, fromFailure, isStoreTrouble } from "../../src/storage/DeleteFailure.ts"

it("the store, and not the key, is the trouble when it is slow, down or silent", () => {
  const table: Record<DeleteFailureReason, boolean> = {
    throttled: true,
    unavailable: true,
    timedOut: true,
    denied: false,
    locked: false,
    missing: false,
    rejected: false,
    internal: false,
    unconfirmed: false,
    unknown: false
  }
  for (const [reason, expected] of Object.entries(table)) {
    assert.strictEqual(isStoreTrouble(reason as DeleteFailureReason), expected, reason)
  }
})

it("a failed request and a failed key agree on that", () => {
  const retryable = (["Unavailable", "Throttled", "TimedOut"] as const).map(fromFailure)
  assert.deepStrictEqual(retryable, ["unavailable", "throttled", "timedOut"])
  const others = (
    ["AccessDenied", "NotFound", "Rejected", "TooLarge", "Truncated", "Misbehaved", "Unknown"] as const
  ).map(fromFailure)
  assert.deepStrictEqual(others, [
    "denied",
    "missing",
    "rejected",
    "rejected",
    "rejected",
    "unknown",
    "unknown"
  ])
})
