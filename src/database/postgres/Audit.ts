/** The audit's verbs. Keys are compared by bytes, as the store lists them. */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Audit, EndedAudit, KnownKey, RecordedAudit, Referrer } from "../Database.ts"
import { estimate, totals } from "./Breakers.ts"
import { sizeOf } from "./CatalogValues.ts"
import { instant, millis, qualified, quote, type Sql } from "./Sql.ts"
import type { ForeignKey } from "./schema/ForeignKeys.ts"
import type { Catalog } from "./schema/SchemaGuard.ts"
import { given, on, verbs } from "./Verbs.ts"

/** How many referring rows of a table are named. */
const sampleMax = 3

/** Returns the verbs of the audit. */
export const make = (db: Sql, catalog: Effect.Effect<Catalog, DatabaseError>): Audit => {
  const plain = on(db)
  return verbs<Audit>(
    db,
    "audit",
    {
      page: plain(page),
      lookup: plain(lookup),
      referrers: given(db, catalog)(referrers),
      estimate: estimate(db),
      stock: (withinMillis) =>
        db.transaction(totals(db), {
          statement_timeout: String(withinMillis),
          transaction_read_only: "on",
          max_parallel_workers_per_gather: "0",
          jit: "off"
        }),
      missingIndex: missingIndex(db),
      record: plain(record),
      last: last(db)
    },
    { stock: "once" }
  )
}

const record = ({ sql, id }: Sql, { endedAt, summary }: EndedAudit) =>
  Effect.asVoid(sql`
    INSERT INTO ${id.lastAudit} AS l (ended_at, summary)
    VALUES (${instant(endedAt)}::timestamptz, ${JSON.stringify(summary)}::text::jsonb)
    ON CONFLICT (only_row) DO UPDATE SET ended_at = EXCLUDED.ended_at, summary = EXCLUDED.summary
      WHERE l.ended_at <= EXCLUDED.ended_at`)

const last = ({ sql, id }: Sql) =>
  Effect.map(
    sql<{ ended_at: Date; summary: unknown }>`SELECT ended_at, summary FROM ${id.lastAudit}`,
    ([row]): RecordedAudit | null =>
      row === undefined ? null : { endedAt: millis(row.ended_at), summary: row.summary }
  )

interface Row {
  readonly object_key: string
  readonly owner: KnownKey["owner"]
  readonly digest: string | null
  readonly size_bytes: number | null
}

const toKnown = (row: Row): KnownKey => ({
  key: row.object_key as ObjectKey,
  owner: row.owner,
  digest: row.digest as Digest | null,
  sizeBytes: row.size_bytes
})

/**
 * Returns the rows of the four tables that own keys, each under a condition on its key and limited by
 * `rest`.
 */
const known = (
  db: Sql,
  condition: (key: Statement.Fragment) => Statement.Fragment,
  rest: Statement.Fragment
) => {
  const { sql, id } = db
  return sql`
  (SELECT b.${id.key}::text COLLATE "C" AS object_key, 'blob' AS owner, b.${id.digest}::text AS digest,
     CASE WHEN b.${id.size} IS NOT NULL THEN ${sizeOf(db)}::float8 END AS size_bytes
   FROM ${id.blobs} b WHERE ${condition(sql`b.${id.key}`)} ${rest})
  UNION ALL
  (SELECT o.object_key, 'chunk', o.digest, o.size_bytes::float8
   FROM ${id.uploadChunks} o WHERE ${condition(sql`o.object_key`)} ${rest})
  UNION ALL
  (SELECT o.object_key, 'intent', o.digest, NULL::float8
   FROM ${id.intents} o WHERE ${condition(sql`o.object_key`)} ${rest})
  UNION ALL
  (SELECT o.object_key, 'journal', o.digest, o.size_bytes::float8
   FROM ${id.journal} o WHERE ${condition(sql`o.object_key`)} ${rest})`
}

/** Reads at most a page of each table. The first page of the merged four is the answer. */
const page = (db: Sql, prefix: string, after: ObjectKey | null, limit: number) => {
  const { sql, raw } = db
  const end = afterPrefix(prefix)
  const condition = (key: Statement.Fragment) => sql`${key} COLLATE "C" >= ${prefix}::text
    ${after === null ? raw("") : sql`AND ${key} COLLATE "C" > ${after}::text`}
    ${end === null ? raw("") : sql`AND ${key} COLLATE "C" < ${end}::text`}`
  return Effect.map(
    sql<Row>`
      SELECT * FROM (${known(db, condition, sql`ORDER BY 1 LIMIT ${limit}`)}) k
      ORDER BY object_key COLLATE "C", owner LIMIT ${limit}`,
    (rows) => rows.map(toKnown)
  )
}

const lookup = (db: Sql, keys: ReadonlyArray<ObjectKey>) => {
  const { sql, raw } = db
  return Effect.map(
    sql<Row>`
      SELECT * FROM (${known(db, (key) => sql`${key} = ANY(${keys}::text[])`, raw(""))}) k
      ORDER BY object_key COLLATE "C", owner`,
    (rows) => rows.map(toKnown)
  )
}

/** Returns the first string that sorts after all that start with `prefix`, or null if there is none. */
export const afterPrefix = (prefix: string): string | null => {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0)
  while (points.at(-1) === 0x10ffff) points.pop()
  const last = points.pop()
  if (last === undefined) return null
  // The code points of surrogate pairs are no characters by themselves.
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
}

const referrers = (db: Sql, { keys, digest: type }: Catalog, digest: Digest) =>
  Effect.map(
    Effect.forEach(keys, (key) => referrer(db, key, type.type, digest)),
    (all) => all.filter(({ rows }) => rows > 0)
  )

const referrer = Effect.fnUntraced(function* (
  { sql, id, raw }: Sql,
  key: ForeignKey,
  digestType: string,
  digest: Digest
): Effect.fn.Return<Referrer, SqlError.SqlError> {
  const name = qualified(key.schema, key.table)
  const primary = yield* sql<{ column: string }>`
    SELECT a.attname AS column FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k (num, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
    WHERE i.indrelid = to_regclass(${name}) AND i.indisprimary ORDER BY k.n`
  const columns = primary.map(({ column }) => `r.${quote(column)}::text`)
  const rowName = raw(columns.length === 0 ? "r.ctid::text" : `concat_ws(' ', ${columns.join(", ")})`)
  const from = sql`FROM ${raw(name)} r WHERE r.${raw(quote(key.column))} = (
    SELECT b.${raw(quote(key.referenced_column))} FROM ${id.blobs} b
    WHERE b.${id.digest} = ${digest}::text::${raw(digestType)})`
  const [row] = yield* sql<{ rows: number; sample: ReadonlyArray<string> }>`
    SELECT (SELECT count(*) ${from})::float8 AS rows,
      ARRAY(SELECT ${rowName} ${from} ORDER BY (${rowName}) COLLATE "C" LIMIT ${sampleMax}) AS sample`
  return {
    table: `${key.schema}.${key.table}`,
    column: key.column,
    rows: row?.rows ?? 0,
    sample: row?.sample ?? []
  }
})

/** An index serves if it begins with the key in the order of "C", by the column's collation or its own. */
const missingIndex = ({ sql, names }: Sql) => {
  const blobs = qualified(names.schema, names.blobsTable)
  return Effect.map(
    sql<{ indexed: boolean; partitioned: boolean }>`
      SELECT t.relkind = 'p' AS partitioned,
        EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
          WHERE i.indrelid = t.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = a.attnum
            AND i.indcollation[0] = 'pg_catalog."C"'::regcollation AND m.amname = 'btree') AS indexed
      FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = ${names.keyColumn}
      WHERE t.oid = to_regclass(${blobs})`,
    ([found]) =>
      found === undefined || found.indexed
        ? null
        : `CREATE INDEX ${found.partitioned ? "" : "CONCURRENTLY "}ON ${blobs} (${quote(names.keyColumn)} COLLATE "C");`
  )
}
