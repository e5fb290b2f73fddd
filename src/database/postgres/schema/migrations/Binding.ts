/** Adds the binding of the collector's tables to one catalogue and one store. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/**
 * Adds the binding: one row at most. `server` and `timeline` are those of the last sweep, and the columns
 * `lost_…` a time of which the database may have forgotten what was written.
 */
export const createBinding = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(
    db,
    `CREATE TABLE ${own("binding")} (
       only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
       id text NOT NULL,
       bound_at timestamptz NOT NULL,
       identity jsonb NOT NULL,
       server text,
       timeline text,
       swept_at timestamptz,
       usual_gap_millis float8,
       found_share_min float8 NOT NULL DEFAULT 0.9,
       lost_from timestamptz,
       lost_to timestamptz,
       lost_found_at timestamptz,
       lost_why text,
       CHECK ((lost_from IS NULL) = (lost_to IS NULL) AND (lost_from IS NULL) = (lost_found_at IS NULL)
         AND (lost_from IS NULL) = (lost_why IS NULL)))`
  )
}
