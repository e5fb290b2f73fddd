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
}
