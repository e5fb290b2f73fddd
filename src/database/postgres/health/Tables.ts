/** What is read of the tables that scans read: vacuum, indexes, collations, and what holds vacuum back. */
import { Effect } from "effect"
import type { Statement } from "effect/sql"
import type { CollationHealth, HorizonHealth, IndexHealth, TableHealth } from "../../contract/Health.ts"
import { millisOrNull, type Sql } from "../Sql.ts"

/** Returns a table expression `t (oid, kind)` of the tables that scans read. */
const scanned = ({ names, sql }: Sql): Statement.Fragment => sql`(
  WITH blobs AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ${names.schema} AND c.relname = ${names.blobsTable} AND c.relkind IN ('r', 'p'))
  SELECT oid, 'blobs' AS kind FROM blobs
  UNION SELECT k.conrelid, 'reference' FROM pg_constraint k
    WHERE k.contype = 'f' AND k.confrelid IN (SELECT oid FROM blobs) AND k.conrelid <> k.confrelid
  UNION SELECT c.oid, 'own' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ${names.collectorSchema} AND c.relkind = 'r')`

interface Row {
  readonly table: string
  readonly kind: TableHealth["kind"]
  readonly pages: number
  readonly visible: number
  readonly rows: number
  readonly live: number
  readonly dead: number
  readonly changed: number
  readonly vacuumed_at: Date | null
  readonly autovacuumed: boolean
  readonly age: number
}

/** Returns the tables of blobs, of references and of the collector. A partitioned table has no rows of its own. */
export const tables = (db: Sql) =>
  Effect.map(
    db.sql<Row>`
      SELECT format('%I.%I', n.nspname, c.relname) AS table, t.kind, c.relpages::float8 AS pages,
        c.relallvisible::float8 AS visible, c.reltuples::float8 AS rows, coalesce(s.n_live_tup, 0)::float8 AS live,
        coalesce(s.n_dead_tup, 0)::float8 AS dead, coalesce(s.n_mod_since_analyze, 0)::float8 AS changed,
        greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at,
        coalesce((SELECT o.option_value FROM pg_options_to_table(c.reloptions) o
          WHERE o.option_name = 'autovacuum_enabled')::boolean, true) AS autovacuumed, age(c.relfrozenxid)::float8 AS age
      FROM ${scanned(db)} t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
      WHERE c.relkind = 'r' ORDER BY 1`,
    (rows) =>
      rows.map(
        (row): TableHealth => ({
          table: row.table,
          kind: row.kind,
          pages: row.pages,
          visiblePages: row.visible,
          rows: row.rows < 0 ? null : row.rows,
          liveRows: row.live,
          deadRows: row.dead,
          changedRows: row.changed,
          vacuumedAt: millisOrNull(row.vacuumed_at),
          isAutovacuumed: row.autovacuumed,
          age: row.age
        })
      )
  )

/** Returns the indexes and foreign keys that do their work in part. */
export const indexes = (db: Sql) => db.sql<IndexHealth>`
  WITH t AS ${scanned(db)}
  SELECT 'invalid' AS kind, format('%I.%I', n.nspname, c.relname) AS table, format('%I.%I', n.nspname, x.relname) AS name,
    '' AS column
  FROM t JOIN pg_index i ON i.indrelid = t.oid AND NOT i.indisvalid JOIN pg_class x ON x.oid = i.indexrelid
  JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'
  UNION ALL
  SELECT p.kind, format('%I.%I', n.nspname, c.relname), quote_ident(k.conname), quote_ident(a.attname)
  FROM t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f' AND k.conparentid = 0
    AND k.confrelid IN (SELECT b.oid FROM t b WHERE b.kind = 'blobs')
  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1],
  LATERAL (
    SELECT array_agg(m.amname) AS methods FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    WHERE i.indrelid = t.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = k.conkey[1]) u,
  LATERAL (
    SELECT 'unvalidated' AS kind WHERE NOT k.convalidated
    UNION ALL SELECT 'hash' WHERE 'hash' = ANY (u.methods) AND NOT 'btree' = ANY (u.methods)) p
  WHERE t.kind = 'reference'
  ORDER BY 1, 2, 3`

/** Returns the collations whose library has changed. A library that does not tell its version is not compared. */
export const collations = (db: Sql) => db.sql<CollationHealth>`
  WITH t AS ${scanned(db)},
  sorted AS (
    SELECT a.attcollation AS oid, format('%I.%I.%I', n.nspname, c.relname, a.attname) AS column
    FROM t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attcollation <> 0
    WHERE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND a.attnum = ANY (i.indkey::int2[]))),
  versions AS (
    SELECT l.oid, CASE WHEN l.collprovider = 'd' THEN 'default' ELSE format('%I.%I', n.nspname, l.collname) END AS collation,
      CASE WHEN l.collprovider = 'd' THEN d.datcollversion ELSE l.collversion END AS recorded,
      CASE WHEN l.collprovider = 'd' THEN pg_database_collation_actual_version(d.oid)
        ELSE pg_collation_actual_version(l.oid) END AS actual
    FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace, pg_database d
    WHERE d.datname = current_database() AND l.oid IN (SELECT oid FROM sorted))
  SELECT v.collation, v.recorded, v.actual, array_agg(s.column ORDER BY s.column) AS columns
  FROM versions v JOIN sorted s ON s.oid = v.oid WHERE v.recorded <> v.actual
  GROUP BY v.collation, v.recorded, v.actual ORDER BY 1`

/** Returns what keeps vacuum from removing dead rows, the oldest first. */
export const horizon = (db: Sql) =>
  Effect.map(
    db.sql<Omit<HorizonHealth, "since"> & { readonly since: Date | null }>`
      SELECT 'session' AS kind, a.pid::text AS name, a.xact_start AS since, age(a.backend_xmin)::float8 AS age
      FROM pg_stat_activity a
      WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
        AND a.datname = current_database()
      UNION ALL SELECT 'prepared', p.gid, p.prepared, age(p.transaction)::float8 FROM pg_prepared_xacts p
      WHERE p.database = current_database()
      UNION ALL SELECT 'slot', s.slot_name::text, NULL, greatest(age(s.xmin), age(s.catalog_xmin))::float8
      FROM pg_replication_slots s WHERE s.xmin IS NOT NULL
      ORDER BY 4 DESC`,
    (rows) =>
      rows.map(
        ({ age, kind, name, since }): HorizonHealth => ({ kind, name, since: millisOrNull(since), age })
      )
  )
