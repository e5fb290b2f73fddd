/** Adds what the collector remembers of the reference tables. Names of breakers are the phases' own. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds what the collector remembers of the reference tables. Names of breakers are the phases' own. */
export const createReferences = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(db, `ALTER TABLE ${own("breakers")} DROP CONSTRAINT breakers_name_check`)
}
