/** Breakers: their state, and the exposure by which they are judged. */
import { Effect } from "effect"
import type { BreakerName, BreakerState, Breakers, Exposure } from "../Database.ts"
import { sizeOf } from "./CatalogValues.ts"
import { instant, millis, millisOrNull, qualified, type Sql } from "./Sql.ts"
import { on, verbs } from "./Verbs.ts"

interface BreakerRow {
  readonly name: BreakerName
  readonly tripped_at: Date
  readonly confirmed_at: Date | null
  readonly blobs: number
  readonly bytes: number
  readonly total_blobs: number
  readonly total_bytes: number
}

const toState = (row: BreakerRow): BreakerState => ({
  name: row.name,
  trippedAt: millis(row.tripped_at),
  exposure: {
    blobs: row.blobs,
    bytes: row.bytes,
    totalBlobs: row.total_blobs,
    totalBytes: row.total_bytes
  },
  confirmedAt: millisOrNull(row.confirmed_at)
})

/** Returns the verbs of breakers. */
export const make = (db: Sql): Breakers => {
  const plain = on(db)
  return verbs<Breakers>(db, "breakers", {
    read: plain(read),
    trip: plain(trip),
    confirm: plain(confirm),
    exposure: plain(exposureOf)
  })
}

const read = ({ sql, id }: Sql, name: BreakerName) =>
  Effect.map(
    sql<BreakerRow>`
      SELECT name, tripped_at, confirmed_at, blobs::float8 AS blobs, bytes::float8 AS bytes,
        total_blobs::float8 AS total_blobs, total_bytes::float8 AS total_bytes
      FROM ${id.breakers} WHERE name = ${name}`,
    (rows): BreakerState =>
      rows[0] === undefined ? { name, trippedAt: null, exposure: null, confirmedAt: null } : toState(rows[0])
  )

/** Returns a sum of sizes as a parameter. Sums of absurd sizes are larger than a bigint. */
const whole = (bytes: number): bigint => {
  const max = 2n ** 63n - 1n
  const rounded = BigInt(Math.round(bytes))
  return rounded > max ? max : rounded
}

/** Opens a breaker. An open one keeps the exposure for which it opened. */
const trip = ({ sql, id }: Sql, name: BreakerName, now: number, e: Exposure) =>
  Effect.asVoid(sql`
    INSERT INTO ${id.breakers} AS b (name, tripped_at, blobs, bytes, total_blobs, total_bytes)
    VALUES (${name}, ${instant(now)}::timestamptz, ${BigInt(e.blobs)}::bigint, ${whole(e.bytes)}::bigint,
      ${BigInt(e.totalBlobs)}::bigint, ${whole(e.totalBytes)}::bigint)
    ON CONFLICT (name) DO UPDATE SET tripped_at = EXCLUDED.tripped_at, blobs = EXCLUDED.blobs, bytes = EXCLUDED.bytes,
      total_blobs = EXCLUDED.total_blobs, total_bytes = EXCLUDED.total_bytes
    WHERE b.confirmed_at >= b.tripped_at`)

/** Confirms, never before the trip: a clock that was set back meanwhile cannot leave the breaker open. */
const confirm = ({ sql, id }: Sql, now: number) =>
  Effect.map(
    sql<{ name: BreakerName }>`
      UPDATE ${id.breakers} SET confirmed_at = greatest(tripped_at, ${instant(now)}::timestamptz)
      WHERE confirmed_at IS NULL OR confirmed_at < tripped_at RETURNING name`,
    (rows) => rows.map((row) => row.name).sort()
  )

/**
 * Up to here totals are counted, in about a second. Beyond, the planner's estimate is good enough for a
 * percentage.
 */
const countedMax = 1_000_000

/** How many rows give the average size of a blob where not all are read. */
const sampleRows = 10_000

const exposureOf = Effect.fnUntraced(function* (db: Sql, since: number | null, unless: number) {
  const { sql, id, raw } = db
  const later = since === null ? raw("") : sql`AND o.condemned_at > ${instant(since)}::timestamptz`
  const [found] = yield* sql<{ blobs: number; bytes: number }>`
    SELECT count(*)::float8 AS blobs, coalesce(sum(${sizeOf(db)}), 0)::float8 AS bytes
    FROM ${id.orphans} o JOIN ${id.blobs} b ON b.${id.digest} = o.digest
    WHERE o.condemned_at IS NOT NULL ${later}`
  const { blobs = 0, bytes = 0 } = found ?? {}
  const total = blobs > unless ? yield* totals(db) : { blobs: 0, bytes: 0 }
  return { blobs, bytes, totalBlobs: total.blobs, totalBytes: total.bytes } satisfies Exposure
})

const totals = Effect.fnUntraced(function* (db: Sql) {
  const { sql, id, raw } = db
  const about = yield* estimate(db)
  const exact = about < countedMax
  const sample = exact ? raw("") : raw(`TABLESAMPLE SYSTEM (${(100 * sampleRows) / about})`)
  const [row] = yield* sql<{ blobs: number; bytes: number }>`
    SELECT count(*)::float8 AS blobs, coalesce(sum(${sizeOf(db)}), 0)::float8 AS bytes FROM ${id.blobs} b ${sample}`
  const { blobs = 0, bytes = 0 } = row ?? {}
  if (exact) return { blobs, bytes }
  return { blobs: about, bytes: blobs === 0 ? 0 : Math.round((bytes / blobs) * about) }
})

/**
 * Returns the planner's number of blobs, zero before the first ANALYZE. A table without partitions is no
 * tree, and a partitioned table's own number counts its partitions again.
 */
export const estimate = ({ sql, names }: Sql) => {
  const table = qualified(names.schema, names.blobsTable)
  return Effect.map(
    sql<{ blobs: number }>`
      SELECT coalesce(sum(greatest(reltuples, 0)), 0)::float8 AS blobs FROM pg_class
      WHERE (oid = to_regclass(${table}) AND relkind <> 'p')
        OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass(${table})) WHERE isleaf)`,
    (rows) => Math.round(rows[0]?.blobs ?? 0)
  )
}
