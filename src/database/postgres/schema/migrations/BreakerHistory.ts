/** Adds what breakers judge by: what each day of the last month had and lost, and why an orphan counts apart. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds what breakers judge by. Bytes are numeric, because a day's losses add up. */
export const createBreakerHistory = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(
    db,
    `ALTER TABLE ${own("orphans")} ADD COLUMN cause text CHECK (cause IN ('expired', 'unused'))`,
    `ALTER TABLE ${own("pins")} ADD COLUMN cause text CHECK (cause IN ('expired', 'unused'))`,
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
       PRIMARY KEY (name, day))`
  )
}
