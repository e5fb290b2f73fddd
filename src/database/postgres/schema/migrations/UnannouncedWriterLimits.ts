/** Adds what ends a tombstone. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds what ends a tombstone. */
export const createUnannouncedWriterLimits = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(db, `ALTER TABLE ${own("tombstones")} ADD COLUMN definite boolean NOT NULL DEFAULT false`)
}
