/** Several statements that only read, as one statement: one round trip, and one snapshot for all of them. */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { Sql } from "./Sql.ts"

type RowOf<S> = S extends Statement.Statement<infer Row> ? Row : never

/** The rows of each statement. */
export type Rows<Statements> = { readonly [Name in keyof Statements]: ReadonlyArray<RowOf<Statements[Name]>> }

/**
 * Asks them all. Rows travel as JSON, so their values must be texts, numbers, booleans or arrays of these.
 * `before` are common table expressions that the statements may use.
 */
export const together = <Statements extends Readonly<Record<string, Statement.Statement<object>>>>(
  { raw, sql }: Sql,
  statements: Statements,
  before: Statement.Fragment = raw("")
): Effect.Effect<Rows<Statements>, SqlError.SqlError> => {
  const asked = Object.entries(statements).map(
    ([name, statement]) =>
      sql`(SELECT coalesce(json_agg(r), '[]') FROM (${statement}) r) AS ${raw(`"${name}"`)}`
  )
  return Effect.map(
    sql<Rows<Statements>>`${before} SELECT ${sql.csv(asked)}`,
    ([row]) => row as Rows<Statements>
  )
}
