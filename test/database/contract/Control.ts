/** What every backend promises about the pause of its collectors. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Database } from "../../fixtures/Database.ts"
import { hour, minute, now, type Promised } from "../../fixtures/samples.ts"

export const controlling = (promised: Promised): void => {
  describe("a pause", () => {
    const pause = { since: now, by: 'o\'brien "on call"', reason: "restore — ü\n\\n", until: null }

    promised("is none before one is ordered, and none after it was ended", () =>
      Effect.gen(function* () {
        const { control } = yield* Database
        assert.isNull(yield* control.paused(now))
        assert.isNull(yield* control.resume(now))
        yield* control.pause(pause)
        assert.deepStrictEqual(yield* control.paused(now), pause)
        assert.deepStrictEqual(yield* control.paused(now + 1000 * hour), pause)
        assert.deepStrictEqual(yield* control.resume(now + hour), pause)
        assert.isNull(yield* control.paused(now + hour))
        assert.isNull(yield* control.resume(now + hour))
      })
    )

    promised("with an end lasts until then, not longer", () =>
      Effect.gen(function* () {
        const { control } = yield* Database
        const short = { ...pause, until: now + minute }
        yield* control.pause(short)
        assert.deepStrictEqual(yield* control.paused(now + minute - 1), short)
        assert.isNull(yield* control.paused(now + minute))
        assert.isNull(yield* control.resume(now + minute), "it was over")
      })
    )

    promised("is replaced by the next one, also by one without an end", () =>
      Effect.gen(function* () {
        const { control } = yield* Database
        yield* control.pause({ ...pause, until: now + minute })
        const next = { since: now + 1, by: "b", reason: "r", until: null }
        yield* control.pause(next)
        assert.deepStrictEqual(yield* control.paused(now + hour), next)
      })
    )
  })

  describe("a changed setting", () => {
    const change = {
      name: "GC_INTERVAL",
      value: "10 minutes",
      since: now,
      by: 'o\'brien "on call"',
      reason: "much garbage — ü\n\\n",
      until: now + hour
    }
    const lasting = { ...change, name: "GC_KEYS_PER_SECOND", value: "500", until: null }

    promised("is in force until it ends, beside a pause and others, by name", () =>
      Effect.gen(function* () {
        const { control } = yield* Database
        assert.deepStrictEqual(yield* control.orders(now), { pause: null, overrides: [] })
        const pause = { since: now, by: "b", reason: "r", until: now + minute }
        yield* control.pause(pause)
        yield* control.set(lasting)
        yield* control.set(change)
        assert.deepStrictEqual(yield* control.orders(now), { pause, overrides: [change, lasting] })
        assert.deepStrictEqual(yield* control.paused(now), pause)
        assert.deepStrictEqual(yield* control.orders(now + hour - 1), {
          pause: null,
          overrides: [change, lasting]
        })
        assert.deepStrictEqual(yield* control.orders(now + hour), { pause: null, overrides: [lasting] })
      })
    )

    promised("is replaced by the next of its name, and ended by that name alone", () =>
      Effect.gen(function* () {
        const { control } = yield* Database
        yield* control.set(change)
        yield* control.set(lasting)
        const next = { ...change, value: "1 hour", until: null }
        yield* control.set(next)
        assert.deepStrictEqual(yield* control.unset(change.name, now), next)
        assert.isNull(yield* control.unset(change.name, now))
        assert.deepStrictEqual((yield* control.orders(now)).overrides, [lasting])
        yield* control.set(change)
        assert.isNull(yield* control.unset(change.name, now + hour), "it was over")
        assert.deepStrictEqual((yield* control.orders(now)).overrides, [lasting])
      })
    )
  })
}
