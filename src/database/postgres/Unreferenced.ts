/**
 * The condition that nothing refers to a blob, over any number of reference tables.
 *
 * The planner's time grows with the third power of the tables that one statement joins: 5.5 s for 800 anti-joins
 * (measured 2026-11-29), longer than a statement may take for 2,000. Each stage of a scan therefore joins
 * {@link tablesPerStage} of them, and other statements look up by index where there are more.
 */
import type { Statement } from "effect/sql"
import { qualified, quote, type Sql } from "./Sql.ts"
import type { ForeignKey } from "./schema/ForeignKeys.ts"

/** Keeps the planner from making a join of a sub-query, which then runs once for each row, by index. */
export const looksUp = "OFFSET 0"

/**
 * Reference tables that one stage joins. 2,000 tables are planned in 0.6 s by stages of 10, 0.8 s of 25 and 0.9 s
 * of 50. Most catalogues have fewer than 25 tables, and their statement has one stage.
 */
export const tablesPerStage = 25

/** A column of `b`, bounded to a slice. */
type Bound = (column: Statement.Fragment) => Statement.Fragment

/** A foreign key, as far as the condition depends on it. */
export type ReferenceKey = Pick<ForeignKey, "schema" | "table" | "column" | "referenced_column">

/**
 * Repeats the bound inside each sub-query, because the planner cannot push it through an anti-join by itself
 * (19–23 s for 10 million blobs in closed ranges, 85–144 s without; measured 2026-11-22). Looks up by index
 * what has no bound, because a join may read all of the table: few blobs, and keys that refer to another
 * column than the digest.
 */
const absent = ({ sql, raw, names }: Sql, key: ReferenceKey, bound: Bound | undefined) => {
  const column = raw(`r.${quote(key.column)}`)
  const isBounded = bound !== undefined && key.referenced_column === names.digestColumn
  return sql`NOT EXISTS (SELECT FROM ${raw(qualified(key.schema, key.table))} r
    WHERE ${column} = b.${raw(quote(key.referenced_column))}${isBounded ? bound(column) : raw(` ${looksUp}`)})`
}

const unpinned = ({ sql, raw, id }: Sql, bound: Bound | undefined) =>
  sql`NOT EXISTS (SELECT FROM ${id.pins} p
    WHERE p.digest = b.${id.digest}${bound === undefined ? raw(` ${looksUp}`) : bound(raw("p.digest"))})`

/**
 * Returns the condition that no reference to `b` and no pin on it exists. With a bound the sub-queries are joins.
 * Without one, and where there are too many tables to join, they are looked up for each `b`.
 */
export const predicates = (
  db: Sql,
  keys: ReadonlyArray<ReferenceKey>,
  wanted?: Bound
): Statement.Fragment => {
  const bound = keys.length > tablesPerStage ? undefined : wanted
  return db.sql.and([...keys.map((key) => absent(db, key, bound)), unpinned(db, bound)])
}

/** Returns the condition that no reference to `b` exists, whatever pins it has. Looked up for each `b`. */
export const unreferred = (db: Sql, keys: ReadonlyArray<ReferenceKey>): Statement.Fragment =>
  db.sql.and(keys.map((key) => absent(db, key, undefined)))

/**
 * Returns the common table expressions of which the last, `unreferenced`, holds as `digest` the blobs of a slice to
 * which nothing refers. Each but the first reads the one before.
 */
export const stages = (db: Sql, keys: ReadonlyArray<ReferenceKey>, bound: Bound): Statement.Fragment => {
  const { sql, raw, id, names } = db
  const groups = chunksOf(keys, tablesPerStage)
  const last = groups.length - 1
  const others = [...new Set(keys.map((key) => key.referenced_column))]
    .filter((column) => column !== names.digestColumn)
    .map((column) => `, b.${quote(column)}`)
    .join("")
  const made = groups.map((group, stage) => {
    const name = raw(stage === last ? "unreferenced" : `stage_${stage}`)
    const columns = stage === last ? raw(" AS digest") : raw(others)
    const from = stage === 0 ? id.blobs : raw(`stage_${stage - 1}`)
    const conditions = sql.and([
      ...group.map((key) => absent(db, key, bound)),
      ...(stage === 0 ? [unpinned(db, bound)] : [])
    ])
    return sql`${name} AS MATERIALIZED (
        SELECT b.${id.digest}${columns} FROM ${from} b
        WHERE ${conditions}${stage === 0 ? bound(raw(`b.${quote(names.digestColumn)}`)) : raw("")})`
  })
  return sql.join(", ", false)(made)
}

const chunksOf = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> => {
  const chunks: Array<ReadonlyArray<A>> = []
  for (let from = 0; from < items.length; from += size) chunks.push(items.slice(from, from + size))
  return chunks.length === 0 ? [[]] : chunks
}
