/** The binding of the collector's tables, and the samples by which it is checked. */
import { Effect, Ref } from "effect"
import type { SqlError } from "effect/sql"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type {
  Binding,
  BindingState,
  Bound,
  Forgotten,
  Identity,
  LostTime,
  Rebinding,
  SampledBlob,
  ServerIdentity
} from "../Database.ts"
import { canNameObject, instantFor } from "./CatalogValues.ts"
import { isRefusal } from "./Errors.ts"
import { instant, millis, millisOrNull, qualified, type Sql } from "./Sql.ts"
import type { Catalog } from "./schema/SchemaGuard.ts"
import { looksUp } from "./Unreferenced.ts"
import { given, on, verbs } from "./Verbs.ts"

/** Returns the verbs of the binding. `known` is what the schema guard found. */
export const make = Effect.fnUntraced(function* (db: Sql, known: Effect.Effect<Catalog, DatabaseError>) {
  const tellsServer = yield* Ref.make(true)
  const plain = on(db)
  return verbs<Binding>(db, "binding", {
    read: Effect.flatMap(known, (catalog) => read(db, catalog, tellsServer)),
    bind: plain(bind),
    remember: plain(remember),
    suspect: plain(suspect),
    release: plain(release),
    rebind: plain(rebind),
    sample: given(db, known)(sample),
    due: plain(due)
  })
})

interface Row {
  readonly id: string | null
  readonly bound_at: Date
  readonly identity: Identity
  readonly server: string | null
  readonly timeline: string | null
  readonly swept_at: Date | null
  readonly usual_gap_millis: number | null
  readonly found_share_min: number
  readonly lost_from: Date | null
  readonly lost_to: Date | null
  readonly lost_found_at: Date | null
  readonly lost_why: string | null
  readonly server_here: string | null
  readonly timeline_here: string | null
  readonly listing_at: Date | null
  readonly listing_ended: boolean | null
}

/**
 * The system identifier stays with a data directory, and a copy made by `CREATE DATABASE … TEMPLATE` or from
 * a dump has an OID of its own. The timeline is that of the log's newest segment: the control file shows a
 * new one only after the next checkpoint. Any role may ask (PostgreSQL 15 and 18, 2026-11-29). Some services
 * refuse.
 */
const serverColumns = `
  (SELECT s.system_identifier::text FROM pg_control_system() s) || '/'
    || (SELECT d.oid::text FROM pg_database d WHERE d.datname = current_database()) AS server_here,
  CASE WHEN pg_is_in_recovery() THEN NULL ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline_here`

const noServerColumns = "NULL::text AS server_here, NULL::text AS timeline_here"

const read = Effect.fnUntraced(function* (db: Sql, catalog: Catalog, tellsServer: Ref.Ref<boolean>) {
  const { id, raw, sql } = db
  const ask = (columns: string) => sql<Row>`
    SELECT b.id, b.bound_at, b.identity, b.server, b.timeline, b.swept_at, b.usual_gap_millis, b.found_share_min,
      b.lost_from, b.lost_to, b.lost_found_at, b.lost_why,
      l.started_at AS listing_at, l.ended_at IS NOT NULL AS listing_ended, ${raw(columns)}
    FROM (SELECT 1) one LEFT JOIN ${id.binding} b ON true
      LEFT JOIN ${id.listings} l ON l.name = 'leftovers' AND l.started_at > to_timestamp(0)`
  const rows = (yield* Ref.get(tellsServer))
    ? yield* Effect.catchIf(ask(serverColumns), isRefusal, () =>
        Effect.andThen(Ref.set(tellsServer, false), ask(noServerColumns))
      )
    : yield* ask(noServerColumns)
  return toState(db, catalog, rows[0])
})

const toState = ({ names }: Sql, { digest }: Catalog, row: Row | undefined): BindingState => ({
  bound: row === undefined || row.id === null ? null : toBound(row.id, row),
  catalogue: {
    CATALOG_SCHEMA: names.schema,
    CATALOG_BLOBS_TABLE: names.blobsTable,
    CATALOG_DIGEST_COLUMN: names.digestColumn,
    "type of CATALOG_DIGEST_COLUMN": digest.type,
    CATALOG_KEY_COLUMN: names.keyColumn
  },
  here: { server: row?.server_here ?? null, timeline: row?.timeline_here ?? null },
  listing:
    row === undefined || row.listing_at === null
      ? null
      : { startedAt: millis(row.listing_at), ended: row.listing_ended === true }
})

const toBound = (id: string, row: Row): Bound => ({
  id,
  boundAt: millis(row.bound_at),
  identity: row.identity,
  server: row.server,
  timeline: row.timeline,
  sweptAt: millisOrNull(row.swept_at),
  usualGapMillis: row.usual_gap_millis,
  foundShareMin: row.found_share_min,
  lost:
    row.lost_from === null || row.lost_to === null || row.lost_found_at === null
      ? null
      : {
          from: millis(row.lost_from),
          to: millis(row.lost_to),
          foundAt: millis(row.lost_found_at),
          why: row.lost_why ?? ""
        }
})

const bind = ({ sql, id }: Sql, now: number, name: string, identity: Identity, here: ServerIdentity) =>
  Effect.asVoid(sql`
    INSERT INTO ${id.binding} (id, bound_at, identity, server, timeline)
    VALUES (${name}, ${instant(now)}::timestamptz, ${JSON.stringify(identity)}::text::jsonb, ${here.server}::text,
      ${here.timeline}::text)
    ON CONFLICT (only_row) DO NOTHING`)

const remember = (db: Sql, now: number, here: ServerIdentity, usualGapMillis: number | null) =>
  Effect.asVoid(db.sql`
    UPDATE ${db.id.binding} SET swept_at = ${instant(now)}::timestamptz, server = ${here.server}::text,
      timeline = ${here.timeline}::text, usual_gap_millis = ${usualGapMillis}::float8`)

const suspect = (db: Sql, lost: LostTime, here: ServerIdentity, usualGapMillis: number | null) => {
  const { id, sql } = db
  return db.transaction(
    Effect.asVoid(
      Effect.andThen(
        sql`
          UPDATE ${id.binding} SET
            lost_from = least(lost_from, ${instant(lost.from)}::timestamptz),
            lost_to = greatest(lost_to, ${instant(lost.to)}::timestamptz),
            lost_found_at = ${instant(lost.foundAt)}::timestamptz, lost_why = ${lost.why}::text,
            swept_at = ${instant(lost.to)}::timestamptz, server = ${here.server}::text,
            timeline = ${here.timeline}::text, usual_gap_millis = ${usualGapMillis}::float8`,
        sql`
          DELETE FROM ${id.journal} WHERE object_key = ANY(ARRAY(
            SELECT object_key FROM ${id.journal}
            WHERE reason = 'leftover' AND claimed_until IS NULL AND attempts = 0
            ORDER BY object_key FOR UPDATE SKIP LOCKED))`
      )
    )
  )
}

/** Leaves a time that another collector has found since. */
const release = ({ sql, id }: Sql, foundAt: number) =>
  Effect.asVoid(sql`
    UPDATE ${id.binding} SET lost_from = NULL, lost_to = NULL, lost_found_at = NULL, lost_why = NULL
    WHERE lost_found_at = ${instant(foundAt)}::timestamptz`)

/**
 * Forgets what names objects of the former store, or blobs of the former catalogue. A forgotten intent only
 * makes its writer begin again under a fresh key.
 */
const rebind = (
  db: Sql,
  now: number,
  identity: Identity,
  here: ServerIdentity,
  foundShareMin: number,
  changed: Rebinding
) => {
  const { id, names, raw, sql } = db
  const sessions = raw(qualified(names.collectorSchema, "upload_sessions"))
  const count = <A>(statement: Effect.Effect<ReadonlyArray<A>, SqlError.SqlError>) =>
    Effect.map(statement, (rows) => rows.length)
  return db.transaction(
    Effect.gen(function* () {
      yield* sql`
        UPDATE ${id.binding} SET identity = ${JSON.stringify(identity)}::text::jsonb, server = ${here.server}::text,
          bound_at = ${instant(now)}::timestamptz, found_share_min = ${foundShareMin}::float8`
      const forgotten: { -readonly [Name in keyof Forgotten]: number } = {
        journaled: 0,
        uploads: 0,
        orphans: 0
      }
      if (changed.store) {
        forgotten.journaled = yield* count(sql`DELETE FROM ${id.journal} RETURNING 1 AS gone`)
        const intents = yield* count(sql`DELETE FROM ${id.intents} RETURNING 1 AS gone`)
        const chunks = yield* count(sql`DELETE FROM ${id.uploadChunks} RETURNING 1 AS gone`)
        yield* sql`DELETE FROM ${sessions}`
        forgotten.uploads = intents + chunks
      }
      if (changed.store || changed.catalogue) {
        yield* sql`DELETE FROM ${id.listingRanges}`
        yield* sql`
          UPDATE ${id.listings} SET started_at = to_timestamp(0), ended_at = to_timestamp(0), listed = 0, unowned = 0`
      }
      if (changed.catalogue) {
        forgotten.orphans = yield* count(sql`DELETE FROM ${id.orphans} RETURNING 1 AS gone`)
        yield* sql`DELETE FROM ${id.candidates}`
        yield* sql`UPDATE ${id.scans} SET position = NULL, done = 0`
        yield* sql`DELETE FROM ${id.referenceKeys}`
        yield* sql`UPDATE ${id.referenceChecks} SET keys = '', held_at = NULL`
      }
      return forgotten satisfies Forgotten as Forgotten
    })
  )
}

/** So many pages of the table are read for a sample: each has tens of rows, and neighbours are alike. */
const pagesPerSample = 40

/** Of each row that is returned, so many are looked at: most may be garbage. */
const rowsPerSampled = 5

const sample = Effect.fnUntraced(function* (db: Sql, catalog: Catalog, createdBefore: number, limit: number) {
  const { id, names, raw, sql } = db
  const table = qualified(names.schema, names.blobsTable)
  const [size] = yield* sql<{ pages: number }>`
    SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::float8 / current_setting('block_size')::int AS pages
    FROM pg_class c WHERE (c.oid = to_regclass(${table}) AND c.relkind <> 'p')
      OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(${table})) WHERE isleaf)`
  const pages = size?.pages ?? 0
  const part = pages <= pagesPerSample ? "" : `TABLESAMPLE SYSTEM (${(100 * pagesPerSample) / pages})`
  // The first draw bounds how many references are looked up. All rows are read only of a table of few pages.
  const rows = yield* sql<SampledBlob>`
    SELECT b.${id.digest}::text AS digest, b.${id.key} AS key, NOT (${catalog.referencePredicates()}) AS referenced
    FROM (SELECT * FROM ${id.blobs} b ${raw(part)}
      WHERE b.${id.createdAt} <= ${instantFor(db, catalog.digest, names.createdAtColumn, createdBefore)}
        AND ${canNameObject(db)}
      ORDER BY random() LIMIT ${limit * rowsPerSampled}) b`
  const referenced = rows.filter((row) => row.referenced)
  return (referenced.length > 0 ? referenced : rows).slice(0, limit)
})

const due = (db: Sql, limit: number) => {
  const { id, raw, sql } = db
  return sql<SampledBlob>`
    SELECT b.${id.digest}::text AS digest, b.${id.key} AS key, false AS referenced
    FROM (SELECT digest FROM ${id.orphans} WHERE condemned_at IS NOT NULL ORDER BY condemned_at, digest LIMIT ${limit}) o,
      LATERAL (SELECT * FROM ${id.blobs} t WHERE t.${id.digest} = o.digest ${raw(looksUp)}) b
    WHERE ${canNameObject(db)}`
}
