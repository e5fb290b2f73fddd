/**
 * Samples of values, and how many of them name a blob. No table is scanned: a few pages of each are read, and
 * only counts leave the database.
 */
import { Effect, Result } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { quote, type Sql } from "../Sql.ts"
import { looksUp } from "../Unreferenced.ts"
import type { Column, Family, SampledTable } from "./Columns.ts"

/** What the values of one column of blobs look like, by a sample. */
interface Shape {
  /** Where they are looked up: `b.column = (expression of token)`. */
  readonly equals: (token: string) => string
  /** Splits a text into what may be such a value. */
  readonly separators: string
  readonly least: number
  readonly most: number
  /** Begins each of them, or is empty. It is found faster than a text is split. */
  readonly prefix: string
}

/** What digests and keys look like. Null where values say nothing: no blob, numbers, short names. */
export interface Shapes {
  readonly digest: Shape | null
  readonly key: Shape | null
  /** There is no blob to compare with. */
  readonly isEmpty: boolean
}

/** What the sample of a column holds. */
export interface Sample {
  /** Values that were looked at. */
  readonly values: number
  /** Values that contain a digest, and those that are one. */
  readonly digests: number
  readonly wholeDigests: number
  /** Values that contain an object's key, and those that are one. */
  readonly keys: number
  readonly wholeKeys: number
}

/** Shorter values may be equal by chance. */
const leastLength = 8

/** How many rows of a table are looked at. */
const sampledRows = 200

/** A longer text is looked at to here. */
const sampledChars = 4000

/** How many tables a statement samples. */
const tablesMax = 20

const cast: Readonly<Partial<Record<Family, (token: string, collate: string) => string>>> = {
  text: (token, collate) => `(${token})::text${collate}`,
  uuid: (token) =>
    `CASE WHEN ${token} ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (${token})::uuid END`,
  bytes: (token) => `CASE WHEN ${token} ~* '^([0-9a-f]{2})+$' THEN decode(${token}, 'hex') END`
}

/** Returns a column's values as text. */
const asText = (column: string, family: Family): string =>
  family === "bytes" ? `encode(${column}, 'hex')` : `left(${column}::text, ${sampledChars})`

/** A column of blobs whose values are compared. */
export interface Compared {
  readonly column: string
  readonly family: Family
  readonly type: string
  readonly collate: string
}

/** Reads what digests and keys look like. */
export const readShapes = Effect.fnUntraced(function* (
  { id, raw, sql }: Sql,
  digest: Compared,
  key: Compared
) {
  const rows = yield* sql<{ digest: string; key: string }>`
    SELECT ${raw(asText(`b.${quote(digest.column)}`, digest.family))} AS digest,
      ${raw(asText(`b.${quote(key.column)}`, key.family))} AS key
    FROM ${id.blobs} b LIMIT ${sampledRows}`
  return {
    digest: shapeOf(
      digest,
      rows.map((row) => row.digest)
    ),
    key: shapeOf(
      key,
      rows.map((row) => row.key)
    ),
    isEmpty: rows.length === 0
  } satisfies Shapes as Shapes
})

const shapeOf = ({ collate, column, family, type }: Compared, all: ReadonlyArray<string>): Shape | null => {
  const values = all.filter((value) => value.length >= leastLength)
  const lengths = values.map((value) => value.length)
  const [least, most] = [Math.min(...lengths), Math.max(...lengths)]
  const to = cast[family]
  if (to === undefined || 2 * values.length <= all.length) return null
  const marks = [...new Set(values.join(""))].filter((mark) => !/[0-9A-Za-z]/.test(mark))
  const isPadded = type.startsWith("character(")
  return {
    equals: (token) =>
      `b.${quote(column)} = ${isPadded ? `(${token})::bpchar${collate}` : to(token, collate)}`,
    separators: `[^0-9A-Za-z${marks.map((mark) => (/[\w\s]/.test(mark) ? mark : `\\${mark}`)).join("")}]+`,
    // Digests of one algorithm have one length. Others may be shorter or longer than those of the sample.
    least: least === most ? least : Math.max(leastLength, Math.floor(least / 2)),
    most: least === most ? most : 2 * most,
    prefix: prefixOf(values)
  }
}

const prefixOf = ([first = "", ...others]: ReadonlyArray<string>): string => {
  let length = first.length
  for (const other of others) while (!other.startsWith(first.slice(0, length))) length -= 1
  return first.slice(0, length)
}

/** Samples, by relid and column, and the tables that could not be read. */
export interface Sampled {
  readonly samples: ReadonlyMap<string, Sample>
  readonly failed: ReadonlyArray<SampledTable>
}

/** Names a column in {@link Sampled}. */
export const sampleId = ({ column, relid }: Pick<Column, "relid" | "column">): string => `${relid} ${column}`

/** Samples the columns of these tables. A table that cannot be read does not keep others from being. */
export const sample = Effect.fnUntraced(function* (
  db: Sql,
  shapes: Shapes,
  tables: ReadonlyArray<SampledTable>,
  columnsOf: (table: SampledTable) => ReadonlyArray<Column>
) {
  const samples = new Map<string, Sample>()
  const failed: Array<SampledTable> = []
  const read = Effect.fnUntraced(function* (some: ReadonlyArray<SampledTable>) {
    const columns = some.flatMap(columnsOf)
    const rows = yield* readSamples(db, shapes, some, columnsOf)
    for (const { n, ...found } of rows) {
      const column = columns[n]
      if (column !== undefined) samples.set(sampleId(column), found)
    }
  })
  for (let n = 0; n < tables.length; n += tablesMax) {
    const some = tables.slice(n, n + tablesMax)
    if (Result.isSuccess(yield* Effect.result(read(some)))) continue
    for (const table of some) {
      if (Result.isFailure(yield* Effect.result(read([table])))) failed.push(table)
    }
  }
  return { samples, failed } satisfies Sampled as Sampled
})

const readSamples = (
  db: Sql,
  shapes: Shapes,
  tables: ReadonlyArray<SampledTable>,
  columnsOf: (table: SampledTable) => ReadonlyArray<Column>
): Effect.Effect<ReadonlyArray<Sample & { readonly n: number }>, SqlError.SqlError> => {
  const { raw, sql } = db
  let n = 0
  const parts = tables.flatMap((table) => {
    const columns = columnsOf(table)
    if (columns.length === 0) return []
    const values = columns.map(({ column, family }) => `(${n++}, ${asText(`s.${quote(column)}`, family)})`)
    return [
      `SELECT v.n, v.value FROM ${sampleOf(table)} s, LATERAL (VALUES ${values.join(", ")}) v (n, value)`
    ]
  })
  if (parts.length === 0) return Effect.succeed([])
  return db.transaction(
    Effect.andThen(
      // Its cost is far below what the planner's estimate would have it compiled for.
      sql`SELECT set_config('jit', 'off', true)`,
      sql<Sample & { readonly n: number }>`
        WITH u AS MATERIALIZED (${raw(parts.join(" UNION ALL "))})
        SELECT u.n::int AS n, count(*)::int AS values,
          count(*) FILTER (WHERE ${within(db, shapes.digest)})::int AS digests,
          count(*) FILTER (WHERE ${whole(db, shapes.digest)})::int AS "wholeDigests",
          count(*) FILTER (WHERE ${within(db, shapes.key)})::int AS keys,
          count(*) FILTER (WHERE ${whole(db, shapes.key)})::int AS "wholeKeys"
        FROM u WHERE u.value <> '' GROUP BY u.n`
    )
  )
}

/**
 * PostgreSQL draws each page by itself, so a sample of n pages has none with probability e^-n. Of 15 that is once in three
 * million looks; of 5 it was once in 150, and what the table holds was not seen for a day.
 */
const pagesMin = 15

/** Returns the source of a few rows, of pages at random. Of a small table that is all of it. */
export const sampleOf = ({ rowsPerPage, source }: Pick<SampledTable, "rowsPerPage" | "source">): string => {
  const pages = Math.min(100, Math.max(pagesMin, Math.ceil(sampledRows / (rowsPerPage ?? sampledRows))))
  const size = `greatest(1, pg_relation_size('${source.replaceAll("'", "''")}'::regclass) / 8192.0)`
  return `(SELECT * FROM ${source} TABLESAMPLE SYSTEM (least(100, ${100 * pages} / ${size})) LIMIT ${sampledRows})`
}

/** The value contains what names a blob. */
const within = ({ id, raw, sql }: Sql, shape: Shape | null): Statement.Fragment =>
  shape === null
    ? raw("false")
    : sql`length(u.value) >= ${shape.least}::int AND strpos(u.value, ${shape.prefix}::text) > 0 AND EXISTS (
        SELECT FROM regexp_split_to_table(u.value, ${shape.separators}::text) AS k (token)
        WHERE length(k.token) BETWEEN ${shape.least}::int AND ${shape.most}::int
          AND EXISTS (SELECT FROM ${id.blobs} b WHERE ${raw(shape.equals("k.token"))} ${raw(looksUp)}))`

/** The value names a blob. */
const whole = ({ id, raw, sql }: Sql, shape: Shape | null): Statement.Fragment =>
  shape === null
    ? raw("false")
    : sql`length(u.value) BETWEEN ${shape.least}::int AND ${shape.most}::int
        AND strpos(u.value, ${shape.prefix}::text) > 0
        AND EXISTS (SELECT FROM ${id.blobs} b WHERE ${raw(shape.equals("u.value"))} ${raw(looksUp)})`
