/**
 * What sweeps remember of the references: the foreign keys by name, and whether a reference table ever held a
 * row. A check costs one short statement while nothing changed.
 */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import { type ColumnName, columnNameOf } from "../../domain/CatalogNames.ts"
import type { MissingReference } from "../contract/References.ts"
import { byIndex, instant, millisOrNull, qualified, quote, type Sql } from "./Sql.ts"
import type { ForeignKey } from "./schema/ForeignKeys.ts"

/** The memory, with what one statement can tell of the present. */
export interface Recalled {
  /** Identifies the keys of the last sweep, or says that one was gone. */
  readonly keys: string
  readonly held: boolean
  readonly sniffed_at: Date | null
  readonly fingerprint: string
  /** The suspects found, as they were stored. */
  readonly suspects: unknown
  readonly unread: ReadonlyArray<string>
  /** Identifies the tables and the numbers of their columns as they are now. */
  readonly tables: string
  /** A table that was empty has gained rows. */
  readonly filled: boolean
  /** A dropped table exists again. */
  readonly returned: boolean
  /** The reference sources of earlier sweeps. */
  readonly sources: ReadonlyArray<{ readonly name: string; readonly missing: number | null }>
  /** The entries of CATALOG_NOT_REFERENCES that name no column. */
  readonly unknown: ReadonlyArray<string>
}

/** Schemas of PostgreSQL itself. A name in the statement's scope precedes it. */
export const isSystem = (schema: string) => `(${schema} ~ '^pg_' OR ${schema} = 'information_schema')`

/**
 * Reads the memory. The fingerprint of the tables costs a scan of pg_class, and changes when a table, or a
 * column of one, is added. Statistics count inserted rows without opening the tables.
 */
export const recall = Effect.fnUntraced(function* ({ id, names, raw, sql }: Sql) {
  const entries = names.notReferences ?? []
  const named = entries.map((entry) => columnNameOf(entry, names.schema) ?? nowhere)
  const unknown =
    entries.length === 0
      ? raw("'{}'::text[]")
      : sql`ARRAY(SELECT e.entry FROM unnest(${entries}::text[], ${named.map(({ schema }) => schema)}::text[],
          ${named.map(({ table }) => table)}::text[], ${named.map(({ column }) => column)}::text[])
            AS e (entry, schema, tab, col)
          WHERE NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = e.schema AND c.relname = e.tab
              AND a.attname = e.col AND a.attnum > 0 AND NOT a.attisdropped))`
  const [row] = yield* sql<Recalled>`
    SELECT m.keys, m.held_at IS NOT NULL AS held, m.sniffed_at, m.fingerprint, m.suspects,
      ARRAY(SELECT jsonb_array_elements_text(m.unread)) AS unread,
      (SELECT concat(count(*), ':', bit_xor(hashtextextended(c.relname::text, c.oid::bigint * 2000 + c.relnatts)))
        FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
          AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace n WHERE ${raw(isSystem("n.nspname"))})) AS tables,
      EXISTS (SELECT FROM jsonb_each_text(m.empty_tables) e
        WHERE pg_stat_get_tuples_inserted(e.key::oid) IS DISTINCT FROM e.value::bigint) AS filled,
      EXISTS (SELECT FROM ${id.referenceKeys} k JOIN pg_namespace n ON n.nspname = k.table_schema
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = k.table_name WHERE k.dropped) AS returned,
      (SELECT coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'missing', 1000 * extract(epoch FROM s.missing_at))
        ORDER BY s.name COLLATE "C"), '[]') FROM ${id.referenceSources} s) AS sources,
      ${unknown} AS unknown
    FROM ${id.referenceChecks} m`
  return row ?? nothing
})

const nowhere: ColumnName = { schema: "", table: "", column: "" }

const nothing: Recalled = {
  ...{ keys: "", held: false, sniffed_at: null, fingerprint: "", suspects: [], unread: [] },
  ...{ tables: "", filled: false, returned: false, unknown: [], sources: [] }
}

/** In place of a set's identity: a key of it was gone. */
export const incomplete = "incomplete"

/** Returns a short text that identifies this set of keys. */
export const setOf = (keys: ReadonlyArray<ForeignKey>): string => {
  const hash = createHash("sha256")
  for (const { attnum, column, relid, schema, table } of keys) {
    hash.update(JSON.stringify([schema, table, column, relid, attnum]))
  }
  return hash.digest("hex")
}

interface KeyRow {
  readonly table_schema: string
  readonly table_name: string
  readonly column_name: string
  readonly referenced_column: string
  readonly relid: string
  readonly attnum: number
  readonly missing_at: Date | null
  readonly dropped: boolean
  /** Its table exists. */
  readonly present: boolean
}

/** How the present keys differ from the remembered ones. */
export interface KeyChanges {
  readonly missing: ReadonlyArray<MissingReference>
  readonly dropped: ReadonlyArray<ColumnName>
}

/**
 * Compares the keys with the remembered ones. A key that has a new name is no other key. A dropped table took
 * its references with it, like a deletion of its rows, and is only told; it stays in the memory, and its key is
 * missing if the table returns without.
 */
export const compareKeys = Effect.fnUntraced(function* (
  db: Sql,
  keys: ReadonlyArray<ForeignKey>,
  record: boolean
) {
  const { id, names, sql } = db
  const known = yield* sql<KeyRow>`
    SELECT k.table_schema, k.table_name, k.column_name, k.referenced_column, k.relid::text AS relid, k.attnum,
      k.missing_at, k.dropped, c.oid IS NOT NULL AS present
    FROM ${id.referenceKeys} k LEFT JOIN pg_namespace n ON n.nspname = k.table_schema
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = k.table_name AND c.relkind IN ('r', 'p')
    ORDER BY 1, 2, 3`
  const byName = new Set(keys.map(nameId))
  const byPlace = new Set(keys.map(({ attnum, relid }) => `${relid}.${attnum}`))
  const gone = known.filter((row) => !byName.has(nameId(columnOf(row))))
  const renamed = gone.filter((row) => byPlace.has(`${row.relid}.${row.attnum}`))
  const lost = gone.filter((row) => !renamed.includes(row))
  const missing = lost.filter(({ present }) => present)
  const dropped = lost.filter(({ present }) => !present)
  if (record) {
    yield* db.transaction(
      Effect.gen(function* () {
        yield* rememberKeys(db, keys)
        yield* forgetKeys(db, renamed.map(columnOf))
        yield* setDropped(db, dropped.map(columnOf))
        yield* sql`UPDATE ${id.referenceChecks} SET keys = ${missing.length === 0 ? setOf(keys) : incomplete}`
      })
    )
  }
  return {
    missing: missing.map((row) => ({
      ...columnOf(row),
      missingAt: millisOrNull(row.missing_at),
      fix: `ALTER TABLE ${qualified(row.table_schema, row.table_name)} ADD FOREIGN KEY (${quote(row.column_name)}) REFERENCES ${qualified(names.schema, names.blobsTable)} (${quote(row.referenced_column)}) NOT VALID;`
    })),
    dropped: dropped.filter((row) => !row.dropped).map(columnOf)
  } satisfies KeyChanges as KeyChanges
})

const nameId = ({ column, schema, table }: ColumnName): string => JSON.stringify([schema, table, column])

const columnOf = (row: KeyRow): ColumnName => ({
  schema: row.table_schema,
  table: row.table_name,
  column: row.column_name
})

/** Three arrays for `unnest`. */
const arrays = ({ sql }: Sql, columns: ReadonlyArray<ColumnName>) =>
  sql`${columns.map(({ schema }) => schema)}::text[], ${columns.map(({ table }) => table)}::text[],
    ${columns.map(({ column }) => column)}::text[]`

const rememberKeys = (db: Sql, keys: ReadonlyArray<ForeignKey>) =>
  keys.length === 0
    ? Effect.void
    : db.sql`
        INSERT INTO ${db.id.referenceKeys} AS k (table_schema, table_name, column_name, referenced_column, relid, attnum)
        SELECT DISTINCT ON (s, t, c) s, t, c, r, o, a FROM unnest(${arrays(db, keys)},
          ${keys.map((key) => key.referenced_column)}::text[], ${keys.map(({ relid }) => BigInt(relid))}::bigint[],
          ${keys.map(({ attnum }) => attnum)}::int[]) AS u (s, t, c, r, o, a)
        ON CONFLICT (table_schema, table_name, column_name) DO UPDATE SET referenced_column = EXCLUDED.referenced_column,
          relid = EXCLUDED.relid, attnum = EXCLUDED.attnum, missing_at = NULL, dropped = false
        WHERE (k.relid, k.attnum, k.referenced_column, k.dropped) IS DISTINCT FROM
          (EXCLUDED.relid, EXCLUDED.attnum, EXCLUDED.referenced_column, false) OR k.missing_at IS NOT NULL`

/** Forgets these keys. */
export const forgetKeys = (db: Sql, columns: ReadonlyArray<ColumnName>) =>
  columns.length === 0
    ? Effect.void
    : Effect.asVoid(db.sql`
        DELETE FROM ${db.id.referenceKeys} WHERE (table_schema, table_name, column_name) IN
          (SELECT s, t, c FROM unnest(${arrays(db, columns)}) AS u (s, t, c))`)

const setDropped = (db: Sql, columns: ReadonlyArray<ColumnName>) =>
  columns.length === 0
    ? Effect.void
    : db.sql`
        UPDATE ${db.id.referenceKeys} SET dropped = true, missing_at = NULL
        WHERE NOT dropped AND (table_schema, table_name, column_name) IN
          (SELECT s, t, c FROM unnest(${arrays(db, columns)}) AS u (s, t, c))`

/** Records that a sweep at `now` refused because these keys are gone. */
export const missKeys = (db: Sql, now: number, columns: ReadonlyArray<ColumnName>) =>
  Effect.asVoid(db.sql`
    UPDATE ${db.id.referenceKeys} SET missing_at = ${instant(now)}::timestamptz, dropped = false
    WHERE (table_schema, table_name, column_name) IN
      (SELECT s, t, c FROM unnest(${arrays(db, columns)}) AS u (s, t, c))`)

/**
 * Returns whether a reference table holds or held a row. A table with a file that is not empty held one, even
 * if all its rows are deleted, which costs no scan. Where the column may be NULL, a row must refer to a blob now.
 */
export const holdsRow = Effect.fnUntraced(function* (db: Sql, keys: ReadonlyArray<ForeignKey>) {
  const { raw, sql } = db
  const filled = yield* sql<{ relid: string }>`
    SELECT t.relid::text AS relid FROM unnest(${[...new Set(keys.map(({ relid }) => relid))]}::text[]::oid[]) AS t (relid)
    WHERE pg_relation_size(t.relid) > 0
      OR EXISTS (SELECT FROM pg_partition_tree(t.relid) p WHERE p.isleaf AND pg_relation_size(p.relid) > 0)`
  const oids = new Set(filled.map(({ relid }) => relid))
  const candidates = keys.filter(({ relid }) => oids.has(relid))
  if (candidates.some(({ required }) => required)) return true
  for (const { column, schema, table } of candidates) {
    const found = yield* byIndex(
      db,
      sql`SELECT FROM ${raw(qualified(schema, table))} r WHERE r.${raw(quote(column))} IS NOT NULL LIMIT 1`
    )
    if (found.length > 0) return true
  }
  return false
})
