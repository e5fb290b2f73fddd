/**
 * The columns that could hold a reference to a blob without a foreign key. Read from PostgreSQL's catalogue,
 * which needs no privilege.
 */
import { Effect } from "effect"
import { entryOf } from "../../../domain/CatalogNames.ts"
import { isSystem } from "../ReferenceMemory.ts"
import { qualified, type Sql } from "../Sql.ts"

/** How a type can hold a reference. `container`: text within JSON or an array. */
export type Family = "text" | "uuid" | "bytes" | "integer" | "container"

/** A column without a foreign key, in a table that is neither the collector's nor PostgreSQL's. */
export interface Column {
  readonly relid: string
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly family: Family
  /** The table is partitioned. Its partitions are not listed. */
  readonly partitioned: boolean
  /** A leading index serves it. */
  readonly indexed: boolean
}

/** A table whose values are sampled. */
export interface SampledTable {
  /** The table as other programs name it. */
  readonly relid: string
  readonly name: string
  /** What is read, quoted: the table, or its largest partition. */
  readonly source: string
  /** The role may read it, and row-level security hides nothing. */
  readonly readable: boolean
  /** About how many rows a page holds; null before the first ANALYZE. */
  readonly rowsPerPage: number | null
  /** Rows ever inserted, by the server's statistics. */
  readonly inserted: string
}

/** A column of the table of blobs by which a row can be referred to. */
export interface Identity {
  readonly column: string
  readonly family: Family
}

/** The family of type `t` whose elements have type `e`. Domains have the category of their base. */
const family = `
  CASE WHEN t.typcategory = 'S' THEN 'text' WHEN coalesce(b.oid, t.oid) = 'uuid'::regtype THEN 'uuid'
    WHEN coalesce(b.oid, t.oid) = 'bytea'::regtype THEN 'bytes'
    WHEN coalesce(b.oid, t.oid) IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'integer'
    WHEN coalesce(b.oid, t.oid) IN ('json'::regtype, 'jsonb'::regtype) THEN 'container'
    WHEN t.typcategory = 'A' AND (e.typcategory = 'S' OR e.oid = 'uuid'::regtype) THEN 'container' END`

const types = `
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type b ON b.oid = nullif(t.typbasetype, 0)
  LEFT JOIN pg_type e ON e.oid = nullif(t.typelem, 0)`

const isIndexed = `
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = a.attnum)`

/** The schema `n` is that of a collector. */
const isCollectors = `4 <= (SELECT count(*) FROM pg_class o WHERE o.relnamespace = n.oid
    AND o.relname IN ('orphans', 'journal', 'intents', 'buried_keys'))`

/**
 * Left out: PostgreSQL's own schemas, collectors' schemas, tables of extensions, partitions (their parent
 * stands for them), temporary tables, the table of blobs, and columns of foreign keys, whichever table they
 * refer to: such a column's value is kept alive by that table's row.
 */
const ofOthers = ({ names }: Pick<Sql, "names">, blobs: string, isOurs: string) => `
  c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND c.oid <> '${blobs}'::oid
  AND NOT ${isSystem("n.nspname")} AND n.nspname <> '${names.collectorSchema.replaceAll("'", "''")}'
  AND NOT (${isCollectors})
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  ${isOurs}`

/** Returns the columns of other tables that could refer to blobs. `ours` are tables to leave out. */
export const readColumns = (
  db: Sql,
  blobs: string,
  ours: ReadonlyArray<readonly [schema: string, table: string]>
) =>
  Effect.map(
    db.sql<Column & { readonly family: Family | null }>`
      SELECT c.oid::text AS relid, n.nspname AS schema, c.relname AS table, a.attname AS column,
        ${db.raw(family)} AS family, c.relkind = 'p' AS partitioned, ${db.raw(isIndexed)} AS indexed
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
      ${db.raw(types)}
      WHERE ${db.raw(ofOthers(db, blobs, ""))} AND a.attnum > 0 AND NOT a.attisdropped
        AND (n.nspname, c.relname) NOT IN (SELECT s, r FROM unnest(${ours.map(([schema]) => schema)}::text[],
          ${ours.map(([, table]) => table)}::text[]) AS o (s, r))
        AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = c.oid
          AND a.attnum = ANY (k.conkey))
      ORDER BY n.nspname, c.relname, a.attnum`,
    (rows) => rows.filter((row): row is Column => row.family !== null)
  )

/**
 * Returns the digest columns of tables of blobs to which other collectors in this database are bound, as entries of
 * CATALOG_NOT_REFERENCES. Equal bytes have equal digests there, and a row of such a table is no reference: its blob and its
 * object are its own. Their key columns are not among them, because an object of two catalogues would be lost. Bindings
 * that this role cannot read are left out.
 */
export const readBoundDigests = Effect.fnUntraced(function* ({ names, raw, sql }: Sql) {
  const schemas = yield* sql<{ schema: string }>`
    SELECT n.nspname AS schema FROM pg_namespace n JOIN pg_class b ON b.relnamespace = n.oid AND b.relname = 'binding'
    WHERE n.nspname <> ${names.collectorSchema} AND b.relkind = 'r' AND ${raw(isCollectors)}
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(b.oid, 'SELECT')`
  const bound = yield* Effect.forEach(
    schemas,
    ({ schema }) => sql<{
      schema: string | null
      table: string | null
      column: string | null
    }>`
      SELECT identity ->> 'CATALOG_SCHEMA' AS schema, identity ->> 'CATALOG_BLOBS_TABLE' AS table,
        identity ->> 'CATALOG_DIGEST_COLUMN' AS column FROM ${raw(qualified(schema, "binding"))}`
  )
  return bound
    .flat()
    .flatMap(({ column, schema, table }) =>
      column === null || schema === null || table === null ? [] : [entryOf({ schema, table, column })]
    )
})

/** Returns how each of these tables is sampled. */
export const readTables = ({ sql }: Sql, relids: ReadonlyArray<string>) =>
  Effect.map(
    sql<{
      relid: string
      schema: string
      table: string
      source_schema: string
      source_table: string
      readable: boolean
      rows_per_page: number | null
      inserted: string
    }>`
      SELECT t.relid::text AS relid, n.nspname AS schema, c.relname AS table, sn.nspname AS source_schema,
        s.relname AS source_table, pg_stat_get_tuples_inserted(s.oid)::text AS inserted,
        has_schema_privilege(sn.oid, 'USAGE') AND has_table_privilege(s.oid, 'SELECT')
          AND NOT row_security_active(s.oid) AS readable,
        CASE WHEN s.relpages > 0 AND s.reltuples > 0 THEN (s.reltuples / s.relpages)::float8 END AS rows_per_page
      FROM unnest(${relids}::text[]::oid[]) AS t (relid)
      JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class s ON s.oid = CASE WHEN c.relkind <> 'p' THEN c.oid ELSE
        (SELECT l.oid FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid
         WHERE p.isleaf AND l.relkind = 'r' ORDER BY l.relpages DESC, l.oid DESC LIMIT 1) END
      JOIN pg_namespace sn ON sn.oid = s.relnamespace`,
    (rows): ReadonlyArray<SampledTable> =>
      rows.map((row) => ({
        relid: row.relid,
        name: `${row.schema}.${row.table}`,
        source: qualified(row.source_schema, row.source_table),
        readable: row.readable,
        rowsPerPage: row.rows_per_page,
        inserted: row.inserted
      }))
  )

/** Returns the columns of blobs that are unique by themselves: those that a reference can hold. */
export const readIdentities = (db: Sql, blobs: string) =>
  Effect.map(
    db.sql<{ column: string; family: Family | null }>`
      SELECT a.attname AS column, ${db.raw(family)} AS family FROM pg_attribute a ${db.raw(types)}
      WHERE a.attrelid = ${blobs}::text::oid AND a.attnum > 0 AND NOT a.attisdropped
        AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid
          AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
      ORDER BY a.attnum`,
    (rows) => rows.filter((row): row is Identity => row.family !== null)
  )
