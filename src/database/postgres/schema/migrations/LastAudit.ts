/** Adds the figures of the last audit of all keys. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds the last audit: one row at most. */
export const createLastAudit = (db: Sql) =>
  statements(
    db,
    `CREATE TABLE ${qualified(db.names.collectorSchema, "last_audit")} (
       only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
       ended_at timestamptz NOT NULL,
       summary jsonb NOT NULL)`
  )
