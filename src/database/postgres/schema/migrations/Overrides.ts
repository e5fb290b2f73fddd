/** Adds the reason of a changed setting. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds a column to the orders. That of a pause stays null, because its reason is its value. */
export const createOverrides = (db: Sql) =>
  statements(db, `ALTER TABLE ${qualified(db.names.collectorSchema, "control")} ADD COLUMN reason text`)
