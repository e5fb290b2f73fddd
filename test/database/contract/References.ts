/** What sweeps remember of the references. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { ColumnName } from "../../../src/domain/CatalogNames.ts"
import { Database } from "../../fixtures/Database.ts"
import { minute, now, type Promised } from "../../fixtures/samples.ts"

const none = {
  missing: [],
  dropped: [],
  undeclared: [],
  hint: null,
  unread: [],
  sources: [],
  isComplete: false
}
const keys = 4

const check = Effect.fnUntraced(function* (at: number, record = true) {
  const { references } = yield* Database
  return yield* references.check(at, record)
})

export const references = (promised: Promised): void => {
  describe("references", () => {
    promised("are complete at the first check and at those after it", () =>
      Effect.gen(function* () {
        for (const at of [now, now + minute]) {
          assert.deepStrictEqual(yield* check(at), { ...none, keys, firstHeld: false })
        }
      })
    )

    promised("that were not recorded are not missed, and those that do not exist are not forgotten", () =>
      Effect.gen(function* () {
        const { references } = yield* Database
        const unknown: ColumnName = { schema: "public", table: "artifacts", column: "unknown" }
        yield* references.forget([unknown])
        yield* references.forget([])
        assert.deepStrictEqual(yield* check(now, false), { ...none, keys, firstHeld: false })
        assert.deepStrictEqual(yield* check(now), { ...none, keys, firstHeld: false })
      })
    )

    promised("were held where an earlier sweep saw that", () =>
      Effect.gen(function* () {
        const { references } = yield* Database
        assert.isTrue(yield* references.everHeld)
      })
    )
  })
}
