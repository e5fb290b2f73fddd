/** Adds what earlier sweeps deleted, by which a breaker tells usual from unusual. */
import { qualified, type Sql } from "../../Sql.ts"
import { statements } from "./Statements.ts"

/** Adds what earlier sweeps deleted, by which a breaker tells usual from unusual. */
export const createBreakerHistory = (db: Sql) => {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  return statements(
    db,
    `CREATE TABLE ${own("sweep_history")} (breaker text NOT NULL, at timestamptz NOT NULL)`
  )
}
