/** Adds what the collector remembers of reference sources: their names, and until when their answers count. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds `kept_until`, before which a blob that a source holds is not asked about again, and the sources by name. */
export const createReferenceSources = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(
    db,
    `ALTER TABLE ${own("orphans")} ADD COLUMN kept_until timestamptz`,
    `CREATE TABLE ${own("reference_sources")} (
       name text PRIMARY KEY,
       missing_at timestamptz)`
  )
}
