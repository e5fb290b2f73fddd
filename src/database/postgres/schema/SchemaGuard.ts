/**
 * The schema guard: reads from PostgreSQL's own catalogue what keeps blobs alive. What it cannot be safe on, Problems
 * says; it reads without needing any privilege, so that a missing one is reported and not stumbled over.
 *
 * The list of reference tables is never configured and never cached beyond one sweep: a table that gains a foreign
 * key to blobs protects them from that moment on (docs/design/protocol.md, "References").
 */
import { Array as Arr, Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { type SchemaProblem, SchemaRefused } from "../../../domain/SchemaRefused.ts"
import type { ReferenceTable, Watch } from "../../Database.ts"
import { qualified, quote, type Sql } from "../Sql.ts"
import { guardFingerprint, guardProblems, readTriggers } from "../triggers/unannounced/Installed.ts"
import { readWatch, watchOf } from "../triggers/watch/Installed.ts"
import { type DigestType, readDigestType } from "./DigestType.ts"
import { catalogMissing } from "./Migrations.ts"
import {
  type Access,
  accessProblems,
  type Column,
  columnProblems,
  type ForeignKey,
  keyProblems,
  type Table,
  tableProblems
} from "./Problems.ts"

/** What the guard found, in the form the statements need. */
export interface Catalog {
  readonly references: ReadonlyArray<ReferenceTable>
  readonly digest: DigestType
  /** The foreign keys that say so; those of partitions are their parents'. */
  readonly keys: ReadonlyArray<ForeignKey>
  /**
   * `no reference to b and no pin on it exists`: as joins over a slice, bounded to it where that is possible; without
   * bounds, looked up for each `b` by itself.
   */
  readonly referencePredicates: (
    bound?: (column: Statement.Fragment) => Statement.Fragment
  ) => Statement.Fragment
  /** Whether losses of references are noted by triggers. */
  readonly watch: Watch
  /** Foreign writers are guarded against: whoever kills a blob or a key that they may use leaves a tombstone. */
  readonly guarded: boolean
  /**
   * Changes whenever a foreign key to blobs comes, goes, changes its action or is no longer enforced, and when the guard
   * against foreign writers does.
   */
  readonly fingerprint: string
}

/** Tables that another part of the program keeps in this database, which the guard judges with the others. */
export interface SchemaExtension {
  /** Returns what is wrong with the tables, as far as they were ever made. `role` is quoted. */
  readonly problems: (db: Sql, role: string) => Effect.Effect<ReadonlyArray<SchemaProblem>, SqlError.SqlError>
}

/** Reads and judges the catalogue. Every problem is reported, not only the first. */
export const inspect = Effect.fnUntraced(function* (db: Sql, extensions: ReadonlyArray<SchemaExtension>) {
  const { names } = db
  const table = yield* readTable(db)
  if (table === null) return yield* new SchemaRefused({ problems: [catalogMissing(names)] })

  // Before the keys: one that is added in between makes the next purge see a change, and not miss the key.
  const fingerprint = yield* readFingerprint(db, table.oid)
  const columns = yield* readColumns(db, table.oid)
  const keys = yield* readForeignKeys(db, table.oid)
  const declared = keys.filter((key) => !key.inherited)
  const triggers = yield* readTriggers(db)
  const problems: ReadonlyArray<SchemaProblem> = [
    ...tableProblems(names, table),
    ...accessProblems(names, table.role, yield* readAccess(db), yield* readVersion(db)),
    ...(yield* Effect.forEach(extensions, (extension) => extension.problems(db, table.role))).flat(),
    ...columnProblems(names, columns),
    ...keyProblems(names, table.role, keys),
    ...guardProblems(names, declared, triggers)
  ]
  if (Arr.isReadonlyArrayNonEmpty(problems)) return yield* new SchemaRefused({ problems })

  const digest = columns.find((column) => column.name === names.digestColumn)
  return {
    references: declared.map((key) => ({
      table: `${key.schema}.${key.table}`,
      column: key.column,
      constraint: key.constraint
    })),
    keys: declared,
    digest: { type: digest?.type ?? "text", collate: digest?.collate ?? "" },
    referencePredicates: (bound) => predicates(db, declared, bound),
    watch: watchOf(names, keys, yield* readWatch(db)),
    guarded: triggers.length > 0,
    fingerprint
  } satisfies Catalog
})

/**
 * The foreign keys to blobs, those that partitions inherit by themselves, and the type of what names one; null where
 * there is no such table. Judges nothing.
 */
export const readReferences = Effect.fnUntraced(function* (db: Sql) {
  const table = yield* readTable(db)
  const digest = yield* readDigestType(db)
  if (table === null || digest === null) return null
  const keys = yield* readForeignKeys(db, table.oid)
  return {
    digest,
    keys: keys.filter((key) => !key.inherited),
    partitions: keys.filter((key) => key.inherited)
  }
})

/** The present fingerprint, for the purge to compare with. */
export const currentFingerprint = Effect.fnUntraced(function* (db: Sql) {
  const table = yield* readTable(db)
  return table === null ? "" : yield* readFingerprint(db, table.oid)
})

/** By its name in the catalogue: `to_regclass` fails where the role may not use the schema. */
const readTable = ({ sql, names }: Sql): Effect.Effect<Table | null, SqlError.SqlError> =>
  Effect.map(
    sql<Table>`
      SELECT t.oid::text AS oid, quote_ident(current_user) AS role, pg_is_in_recovery() AS standby,
        row_security_active(t.oid) AS rows_hidden,
        EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = t.oid AND NOT c.relispartition) AS inherited
      FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
      WHERE n.nspname = ${names.schema} AND t.relname = ${names.blobsTable} AND t.relkind IN ('r', 'p')`,
    (rows) => rows[0] ?? null
  )

/** Triggers of a foreign key `k` that would not fire. */
const disabledTriggers = `
  EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled NOT IN ('O', 'A'))`

/** NOT ENFORCED came with PostgreSQL 18; older servers have no such column. */
const enforced = `coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)`

const readFingerprint = (db: Sql, oid: string) =>
  Effect.zipWith(
    readKeysFingerprint(db, oid),
    readTriggers(db),
    (keys, triggers) => `${keys} ${guardFingerprint(triggers)}`
  )

const readKeysFingerprint = ({ sql, raw }: Sql, oid: string) =>
  Effect.map(
    sql<{ fingerprint: string }>`
      SELECT coalesce(string_agg(concat_ws(':', k.oid, k.confdeltype, enforced, disabled), ',' ORDER BY k.oid), '')
        AS fingerprint
      FROM pg_constraint k, LATERAL (SELECT ${raw(enforced)} AS enforced, ${raw(disabledTriggers)} AS disabled) s
      WHERE k.contype = 'f' AND k.confrelid = ${oid}::text::oid AND (k.conparentid = 0 OR s.disabled)`,
    (rows) => rows[0]?.fingerprint ?? ""
  )

const readColumns = ({ sql }: Sql, oid: string) =>
  sql<Column>`
    SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
      coalesce(' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(c.collname), '') AS collate,
      EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid
        AND i.indimmediate AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS unique,
      t.relkind = 'p' AS partitioned
    FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
    LEFT JOIN pg_collation c ON c.oid = a.attcollation
    LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE a.attrelid = ${oid}::text::oid AND a.attnum > 0 AND NOT a.attisdropped`

/**
 * Those that partitions inherit have a parent. They matter for one thing: their triggers can be disabled by
 * themselves. A hash index serves the purge, though not the scan; what else can be indexed serves neither.
 */
const readForeignKeys = ({ sql, raw }: Sql, oid: string) =>
  sql<ForeignKey>`
    SELECT k.conname AS constraint, n.nspname AS schema, t.relname AS table, a.attname AS column,
      f.attname AS referenced_column, cardinality(k.conkey) AS columns, k.confdeltype::text AS delete_action,
      k.conparentid <> 0 AS inherited, t.relkind = 'p' AS partitioned,
      (SELECT string_agg(quote_ident(c.attname), ', ' ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u (num, n)
        JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = u.num) AS column_list,
      (SELECT string_agg(quote_ident(c.attname), ', ' ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u (num, n)
        JOIN pg_attribute c ON c.attrelid = k.confrelid AND c.attnum = u.num) AS referenced_list,
      concat(
        CASE k.confmatchtype WHEN 'f' THEN ' MATCH FULL' END,
        CASE k.confupdtype WHEN 'r' THEN ' ON UPDATE RESTRICT' WHEN 'c' THEN ' ON UPDATE CASCADE'
          WHEN 'n' THEN ' ON UPDATE SET NULL' WHEN 'd' THEN ' ON UPDATE SET DEFAULT' END,
        CASE WHEN k.condeferrable THEN ' DEFERRABLE' END,
        CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' END) AS options,
      a.attcollation = f.attcollation AS same_collation,
      format_type(a.atttypid, a.atttypmod)
        || coalesce(' COLLATE ' || quote_ident(cn.nspname) || '.' || quote_ident(fc.collname), '') AS wanted_type,
      ${raw(enforced)} AS enforced, ${raw(disabledTriggers)} AS triggers_disabled,
      EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = k.conkey[1]
          AND m.amname IN ('btree', 'hash')) AS indexed,
      row_security_active(k.conrelid) AS rows_hidden,
      has_schema_privilege(n.oid, 'USAGE') AS reachable,
      has_table_privilege(k.conrelid, 'SELECT') AS readable
    FROM pg_constraint k
    JOIN pg_class t ON t.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
    JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
    LEFT JOIN pg_collation fc ON fc.oid = f.attcollation
    LEFT JOIN pg_namespace cn ON cn.oid = fc.collnamespace
    WHERE k.contype = 'f' AND k.confrelid = ${oid}::text::oid
    ORDER BY n.nspname, t.relname, k.conname`

/** What the collector does to which table. */
const readAccess = (db: Sql) => {
  const { names } = db
  const own = names.collectorSchema
  const all = "SELECT, INSERT, UPDATE, DELETE"
  const needs = [
    [names.schema, names.blobsTable, "SELECT, UPDATE, DELETE"],
    [own, "migrations", "SELECT"],
    [own, "orphans", all],
    [own, "journal", all],
    [own, "intents", all],
    [own, "scans", "SELECT, UPDATE"],
    [own, "candidates", "SELECT, DELETE"],
    [own, "pins", all],
    [own, "listings", "SELECT, INSERT, UPDATE"],
    [own, "listing_ranges", all],
    [own, "breakers", "SELECT, INSERT, UPDATE"],
    [own, "collectors", all],
    [own, "tombstones", "SELECT, INSERT"],
    [own, "buried_keys", "SELECT, INSERT"],
    [own, "suspects", "SELECT, DELETE"],
    [own, "upload_sessions", "SELECT, UPDATE, DELETE"],
    [own, "upload_chunks", "SELECT, DELETE"]
  ] as const
  return readPrivileges(db, needs)
}

/** Reads which of `needs` the role has. */
export const readPrivileges = (
  { sql }: Sql,
  needs: ReadonlyArray<readonly [schema: string, table: string, privileges: string]>
) =>
  sql<Access>`
    SELECT w.schema, w.name AS table, c.oid IS NOT NULL AS present,
      coalesce(has_schema_privilege(n.oid, 'USAGE'), true) AS reachable,
      (SELECT string_agg(p, ', ') FROM unnest(string_to_array(w.privileges, ', ')) p
        WHERE NOT has_table_privilege(c.oid, p)) AS missing
    FROM unnest(${needs.map(([schema]) => schema)}::text[], ${needs.map(([, name]) => name)}::text[],
      ${needs.map(([, , privileges]) => privileges)}::text[]) WITH ORDINALITY AS w (schema, name, privileges, n)
    LEFT JOIN pg_namespace n ON n.nspname = w.schema
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
    ORDER BY w.n`

/** The newest migration applied; null where that cannot be read. */
const readVersion = Effect.fnUntraced(function* ({ sql, names, raw }: Sql) {
  const readable = yield* sql`
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ${names.collectorSchema} AND c.relname = 'migrations'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')`
  if (readable.length === 0) return null
  const rows = yield* sql<{ id: number }>`
    SELECT coalesce(max(migration_id), 0)::int AS id FROM ${raw(qualified(names.collectorSchema, "migrations"))}`
  return rows[0]?.id ?? 0
})

/** Keeps a sub-query from being made a join: it is run for each row, by index, whatever the planner believes of its table. */
export const looksUp = "OFFSET 0"

/**
 * The bound is repeated inside each sub-query, because the planner cannot push it through an anti-join by itself
 * (19–23 s for 10 million blobs in closed ranges, 85–144 s without; measured 2026-11-22). What has no bound (few blobs, or
 * a key that points at another column than the digest) is looked up: a join may read all of the table.
 */
const predicates = (
  { sql, names, raw, id }: Sql,
  keys: ReadonlyArray<ForeignKey>,
  bound?: (column: Statement.Fragment) => Statement.Fragment
): Statement.Fragment => {
  const range = (column: string, isDigest: boolean) =>
    bound === undefined || !isDigest ? raw(` ${looksUp}`) : bound(raw(column))
  return sql.and([
    ...keys.map((key) => {
      const column = `r.${quote(key.column)}`
      return sql`NOT EXISTS (SELECT FROM ${raw(qualified(key.schema, key.table))} r
        WHERE ${raw(column)} = b.${raw(quote(key.referenced_column))}${range(column, key.referenced_column === names.digestColumn)})`
    }),
    sql`NOT EXISTS (SELECT FROM ${id.pins} p WHERE p.digest = b.${id.digest}${range("p.digest", true)})`
  ])
}
