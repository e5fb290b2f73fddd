/** Adds what operators tell all collectors of a catalogue. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds the orders, by name. The value of `pause` is its reason. */
export const createControl = (db: Sql) =>
  statements(
    db,
    `CREATE TABLE ${qualified(db.names.collectorSchema, "control")} (
       name text PRIMARY KEY,
       value text NOT NULL,
       set_by text NOT NULL,
       set_at timestamptz NOT NULL,
       expires_at timestamptz)`
  )
