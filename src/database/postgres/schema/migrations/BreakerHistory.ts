/**
 * Adds what breakers judge by: what each day of the last month had and lost, why an orphan counts apart, and whether the
 * catalogue existed before the collector.
 */
import { Effect } from "effect"
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/**
 * Adds what breakers judge by. `isOwnCatalogue`: this run of `migrate` created the catalogue. An earlier run is told by
 * the two reference tables that it created beside it.
 */
export const createBreakerHistory = (db: Sql, isOwnCatalogue: () => boolean) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  const { sql, raw, names } = db
  return Effect.gen(function* () {
    yield* statements(
      db,
      // A blob may be thousands of days old, and neither table has a row for each.
      `ALTER TABLE ${own("orphans")} ADD COLUMN cause text CHECK (cause IN ('expired', 'unused'))`,
      `ALTER TABLE ${own("pins")} ADD COLUMN newborn boolean NOT NULL DEFAULT false`,
      `CREATE TABLE ${own("breaker_history")} (
         name text NOT NULL,
         day timestamptz NOT NULL,
         total_blobs bigint NOT NULL,
         total_bytes numeric NOT NULL,
         lost_blobs bigint NOT NULL,
         lost_bytes numeric NOT NULL,
         burst_blobs bigint,
         burst_bytes numeric,
         burst_total_blobs bigint,
         burst_total_bytes numeric,
         PRIMARY KEY (name, day))`,
      `CREATE TABLE ${own("origin")} (catalogue_existed boolean NOT NULL)`
    )
    const table = (name: string) => qualified(names.schema, name)
    yield* sql`
      INSERT INTO ${raw(own("origin"))} (catalogue_existed)
      SELECT NOT (${isOwnCatalogue()}::boolean OR (to_regclass(${table("artifacts")}) IS NOT NULL
        AND to_regclass(${table("local_files")}) IS NOT NULL))`
  })
}
