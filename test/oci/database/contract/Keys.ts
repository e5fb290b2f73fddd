/** Secrets that the replicas of a registry share. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Database } from "../../../fixtures/Database.ts"
import { now, type Promised } from "../../../fixtures/samples.ts"

const secret = (n: number) => new Uint8Array(32).fill(n)

/** What every database promises of shared secrets. */
export const keys = (promised: Promised): void => {
  describe("shared secrets", () => {
    promised("keep the first key of tokens that a replica offers, for all of them", () =>
      Effect.gen(function* () {
        const { keys } = yield* Database
        const offers = [1, 2, 3].map((n) => keys.tokens(now, secret(n)))
        const [first, ...others] = yield* Effect.all(offers, { concurrency: "unbounded" })
        assert.lengthOf(first ?? [], 32)
        for (const other of others) assert.deepStrictEqual(other, first)
        assert.deepStrictEqual(yield* keys.tokens(now + 1, secret(9)), first)
      })
    )
  })
}
