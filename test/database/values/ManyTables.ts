/** Catalogues with many reference tables. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { tablesPerStage } from "../../../src/database/postgres/Unreferenced.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import { bench, sound } from "../../fixtures/database/CatalogueBench.ts"
import { nodesOf, treesOf } from "../../fixtures/database/Plans.ts"

const tables = 3 * tablesPerStage + 1
const everything = { after: null, upTo: null, blobs: 0 }

/** `tables` tables with one reference each, of which every fifth refers to a number instead of the digest. */
const catalogue = [
  ...sound.slice(0, 1),
  "ALTER TABLE $s.blobs ADD COLUMN number bigint UNIQUE",
  `INSERT INTO $s.blobs SELECT to_char(n, 'FM000'), 'k' || n, 1, timestamptz 'epoch', NULL, n
     FROM generate_series(1, ${2 * tables}) n`,
  ...Array.from({ length: tables }, (_, n) => [
    n % 5 === 0
      ? `CREATE TABLE $s.r${n} (blob bigint REFERENCES $s.blobs (number))`
      : `CREATE TABLE $s.r${n} (blob text COLLATE "C" REFERENCES $s.blobs)`,
    `CREATE INDEX ON $s.r${n} (blob)`,
    `INSERT INTO $s.r${n} SELECT ${n % 5 === 0 ? "number" : "digest"} FROM $s.blobs WHERE number = ${2 * n + 2}`
  ]).flat()
]

export const manyTables = (): void => {
  describe(`${tables} reference tables`, () => {
    it.effect("are joined in stages, and each of them keeps its blob", () =>
      Effect.gen(function* () {
        const b = yield* bench({ catalogue })
        const { inspect, orphans } = b.database
        assert.lengthOf(yield* inspect, tables)
        const [explained] = yield* treesOf("unreferenced", orphans.find(everything))
        if (explained === undefined) return assert.fail("no statement of stages")
        const stages = nodesOf(explained.root).flatMap(
          (node) => node["Subplan Name"]?.match(/^CTE (.*)/)?.[1] ?? []
        )
        assert.sameMembers(stages, ["stage_0", "stage_1", "stage_2", "unreferenced"])
        const found = (yield* orphans.find(everything)).map(({ digest }) => digest)
        assert.deepStrictEqual(
          found,
          Array.from({ length: tables }, (_, n) => String(2 * n + 1).padStart(3, "0") as Digest)
        )
        const all = (yield* b.run("SELECT digest FROM $s.blobs ORDER BY 1")).map(
          ({ digest }) => digest as Digest
        )
        yield* orphans.record(everything, { now: 10, seen: all, condemned: all, sweep: "s" })
        const page = yield* orphans.purge({
          now: 10,
          condemnedCutoff: 10,
          seenCutoff: 10,
          usedCutoff: 10,
          limit: 1000,
          after: null,
          deleteNotBefore: 10,
          leaseUntil: null
        })
        assert.deepStrictEqual(page.purged.map(({ digest }) => digest).sort(), found)
        assert.strictEqual(page.absolved, tables)
      })
    )
  })
}
