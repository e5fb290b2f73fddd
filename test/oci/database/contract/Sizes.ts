/** How much space the repositories of a registry use. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Database } from "../../../fixtures/Database.ts"
import { blob, now, type Promised, rows, write } from "../../../fixtures/samples.ts"
import { app, child, config, layer, manifestRow, tagRow } from "./Manifests.ts"

/** Longer than any of these takes. */
const ample = 20_000

const largest = (limit: number) =>
  Effect.flatMap(Database, ({ sizes }) => sizes.largest(limit, ample)).pipe(
    Effect.map(({ repositories, share }) => {
      assert.strictEqual(share, 1)
      return repositories
    })
  )

/** Blob `n` has `2 ** n` bytes, so that each sum tells its parts. */
const powers = (...ns: ReadonlyArray<number>) => ns.map((n) => blob(n, { sizeBytes: 2 ** n }))

/** What every database promises of sizes. */
export const sizes = (promised: Promised): void => {
  describe("sizes.largest", () => {
    promised("counts each blob of a repository once, and as freed what no other repository needs", () =>
      Effect.gen(function* () {
        const other = { repository: "other" }
        yield* write({
          blobs: powers(1, 2, 3, 4, 5, 6, 7, 20),
          manifests: [
            manifestRow(1, null, [config(2), layer(3), layer(2)]),
            manifestRow(4, now, [config(2), layer(5)]),
            manifestRow(1, null, [config(2), layer(3)], other),
            manifestRow(6, null, [child(1), layer(7)], other)
          ],
          tags: [tagRow("latest", 1), tagRow("1.0", 1), tagRow("latest", 6, "other")]
        })
        const before = yield* rows
        const sizeOf = (...ns: ReadonlyArray<number>) => ns.reduce((sum, n) => sum + 2 ** n, 0)
        assert.deepStrictEqual(yield* largest(10), [
          { ...other, manifests: 2, tags: 1, bytes: sizeOf(1, 2, 3, 6, 7), freedBytes: sizeOf(6, 7) },
          { repository: app, manifests: 2, tags: 2, bytes: sizeOf(1, 2, 3, 4, 5), freedBytes: sizeOf(4, 5) }
        ])
        assert.deepStrictEqual(yield* rows, before, "nothing is changed")
      })
    )

    promised("returns the largest, and of equal ones the first by name in bytes", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* largest(10), [])
        const names = ["b", "a/b", "Z", "a.b", "a"]
        yield* write({
          blobs: powers(1, 2),
          manifests: [
            ...names.map((repository) => manifestRow(1, null, [], { repository })),
            manifestRow(2, null, [], { repository: "most" })
          ]
        })
        const found = yield* largest(4)
        assert.deepStrictEqual(
          found.map(({ repository }) => repository),
          ["most", "Z", "a", "a.b"]
        )
        assert.deepStrictEqual(found[1], { repository: "Z", manifests: 1, tags: 0, bytes: 2, freedBytes: 0 })
      })
    )
  })
}
