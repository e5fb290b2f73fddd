/** Adds the reports of sweeps, and what each collector does. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds the history. Older programs neither read nor write it. */
export const createHistory = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(
    db,
    `CREATE TABLE ${own("history")} (
       id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
       sweep text NOT NULL,
       collector text NOT NULL,
       started_at timestamptz NOT NULL,
       ended_at timestamptz NOT NULL,
       outcome text NOT NULL,
       report jsonb NOT NULL)`,
    // A column without a default rewrites no row.
    `ALTER TABLE ${own("collectors")} ADD COLUMN activity jsonb`
  )
}
