/** Adds the binding of the collector's tables to one catalogue and one store. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds the binding of the collector's tables to one catalogue and one store. */
export const createBinding = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(db, `CREATE TABLE ${own("binding")} (id text PRIMARY KEY)`)
}
