/** Where a catalogue is too large to be counted for a percentage. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { onProcessClock } from "../../../src/database/postgres/Sql.ts"
import { Database } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { blob, condemned } from "../../fixtures/samples.ts"
import { Tables } from "../../fixtures/Tables.ts"

/** What the planner believes, as after an ANALYZE; nothing in a test lasts long enough for another. */
const believe = (rows: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.asVoid(sql`UPDATE pg_class SET reltuples = ${rows} WHERE oid = 'public.blobs'::regclass`)
  ).pipe(Effect.orDie, onProcessClock)

export const estimates = (server: Databases.Server): void => {
  describe("an exposure", () => {
    it.effect("is of all blobs counted up to a million, and of those the planner believes in beyond", () =>
      Effect.gen(function* () {
        const { breakers } = yield* Database
        const many = Array.from({ length: 50 }, (_, n) => blob(n + 1, { sizeBytes: 7 }))
        yield* (yield* Tables).write({ blobs: many, orphans: [condemned(1), condemned(2)] })
        yield* believe(999_999)
        const found = { blobs: 2, bytes: 14 }
        assert.deepStrictEqual(yield* breakers.exposure(null, 0), {
          ...found,
          totalBlobs: 50,
          totalBytes: 350
        })
        yield* believe(1_000_000)
        const estimated = yield* breakers.exposure(null, 0)
        assert.deepInclude(estimated, { ...found, totalBlobs: 1_000_000 })
        // A sample of so few rows may be empty, and then only the counted bytes are known.
        assert.include([found.bytes, 7_000_000], estimated.totalBytes)
        yield* believe(-1)
        assert.deepInclude(yield* breakers.exposure(null, 0), { totalBlobs: 50 })
      }).pipe(Effect.provide(Databases.postgres(server)), Effect.scoped)
    )
  })
}
