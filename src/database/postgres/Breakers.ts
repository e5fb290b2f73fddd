/** Breakers: their state, and the exposure by which they are judged. */
import { Effect } from "effect"
import {
  type BreakerDay,
  type BreakerName,
  type BreakerState,
  type Breakers,
  dayOf,
  type Exposure,
  historyMillis
} from "../Database.ts"
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
    list: list(db),
    trip: plain(trip),
    confirm: plain(confirm),
    exposure: plain(exposureOf),
    history: plain(history),
    note: plain(note)
  })
}

const columns = `name, tripped_at, confirmed_at, blobs::float8 AS blobs, bytes::float8 AS bytes,
  total_blobs::float8 AS total_blobs, total_bytes::float8 AS total_bytes`

const list = ({ sql, id, raw }: Sql) =>
  Effect.map(sql<BreakerRow>`SELECT ${raw(columns)} FROM ${id.breakers} ORDER BY name COLLATE "C"`, (rows) =>
    rows.map(toState)
  )

const read = ({ sql, id, raw }: Sql, name: BreakerName) =>
  Effect.map(
    sql<BreakerRow>`SELECT ${raw(columns)} FROM ${id.breakers} WHERE name = ${name}`,
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

/**
 * Confirms, never before the trip: a clock that was set back meanwhile cannot leave the breaker open. What a
 * person allows is the burst of its day, unless the totals are unknown.
 */
const confirm = ({ sql, id, raw }: Sql, now: number, names?: ReadonlyArray<BreakerName>) => {
  const named = names === undefined ? raw("") : sql`AND name = ANY(${names}::text[])`
  return Effect.map(
    sql<{ name: BreakerName }>`
      WITH closed AS (
        UPDATE ${id.breakers} SET confirmed_at = greatest(tripped_at, ${instant(now)}::timestamptz)
        WHERE (confirmed_at IS NULL OR confirmed_at < tripped_at) ${named}
        RETURNING name, blobs, bytes, total_blobs, total_bytes),
      noted AS (
        INSERT INTO ${id.breakerHistory} AS h (name, day, total_blobs, total_bytes, lost_blobs, lost_bytes,
          burst_blobs, burst_bytes, burst_total_blobs, burst_total_bytes)
        SELECT name, ${instant(dayOf(now))}::timestamptz, 0, 0, 0, 0, blobs, bytes, total_blobs, total_bytes
        FROM closed WHERE total_blobs > 0
        ON CONFLICT (name, day) DO UPDATE SET burst_blobs = EXCLUDED.burst_blobs, burst_bytes = EXCLUDED.burst_bytes,
          burst_total_blobs = EXCLUDED.burst_total_blobs, burst_total_bytes = EXCLUDED.burst_total_bytes)
      SELECT name FROM closed`,
    (rows) => rows.map((row) => row.name).sort()
  )
}

interface DayRow {
  readonly day: Date
  readonly total_blobs: number
  readonly total_bytes: number
  readonly lost_blobs: number
  readonly lost_bytes: number
  readonly burst_blobs: number | null
  readonly burst_bytes: number | null
  readonly burst_total_blobs: number | null
  readonly burst_total_bytes: number | null
}

const history = ({ sql, id }: Sql, name: BreakerName, since: number) =>
  Effect.map(
    sql<DayRow>`
      SELECT day, total_blobs::float8 AS total_blobs, total_bytes::float8 AS total_bytes,
        lost_blobs::float8 AS lost_blobs, lost_bytes::float8 AS lost_bytes, burst_blobs::float8 AS burst_blobs,
        burst_bytes::float8 AS burst_bytes, burst_total_blobs::float8 AS burst_total_blobs,
        burst_total_bytes::float8 AS burst_total_bytes
      FROM ${id.breakerHistory} WHERE name = ${name} AND day >= ${instant(dayOf(since))}::timestamptz
      ORDER BY day DESC`,
    (rows): ReadonlyArray<BreakerDay> =>
      rows.map((row) => ({
        day: millis(row.day),
        total: { blobs: row.total_blobs, bytes: row.total_bytes },
        lost: { blobs: row.lost_blobs, bytes: row.lost_bytes },
        burst:
          row.burst_blobs === null
            ? null
            : {
                blobs: row.burst_blobs,
                bytes: row.burst_bytes ?? 0,
                totalBlobs: row.burst_total_blobs ?? 0,
                totalBytes: row.burst_total_bytes ?? 0
              }
      }))
  )

const none = { blobs: 0, bytes: 0 }

const note = (
  { sql, id }: Sql,
  name: BreakerName,
  at: number,
  { burst = null, lost = none, total = none }: Partial<Omit<BreakerDay, "day">>
) => {
  const number = (n: number | undefined) => (n === undefined ? null : Math.round(n))
  return Effect.asVoid(sql`
    WITH forgotten AS (
      DELETE FROM ${id.breakerHistory}
      WHERE name = ${name} AND day < ${instant(dayOf(at - historyMillis))}::timestamptz)
    INSERT INTO ${id.breakerHistory} AS h (name, day, total_blobs, total_bytes, lost_blobs, lost_bytes,
      burst_blobs, burst_bytes, burst_total_blobs, burst_total_bytes)
    VALUES (${name}, ${instant(dayOf(at))}::timestamptz, ${number(total.blobs)}::float8::bigint,
      ${number(total.bytes)}::float8::numeric, ${number(lost.blobs)}::float8::bigint, ${number(lost.bytes)}::float8::numeric,
      ${number(burst?.blobs)}::float8::bigint, ${number(burst?.bytes)}::float8::numeric,
      ${number(burst?.totalBlobs)}::float8::bigint, ${number(burst?.totalBytes)}::float8::numeric)
    ON CONFLICT (name, day) DO UPDATE SET
      total_blobs = greatest(h.total_blobs, EXCLUDED.total_blobs),
      total_bytes = greatest(h.total_bytes, EXCLUDED.total_bytes),
      lost_blobs = h.lost_blobs + EXCLUDED.lost_blobs, lost_bytes = h.lost_bytes + EXCLUDED.lost_bytes,
      burst_blobs = coalesce(EXCLUDED.burst_blobs, h.burst_blobs),
      burst_bytes = coalesce(EXCLUDED.burst_bytes, h.burst_bytes),
      burst_total_blobs = coalesce(EXCLUDED.burst_total_blobs, h.burst_total_blobs),
      burst_total_bytes = coalesce(EXCLUDED.burst_total_bytes, h.burst_total_bytes)`)
}

/**
 * Up to here totals are counted, in about a second. Beyond, the planner's estimate is good enough for a
 * percentage.
 */
const countedMax = 1_000_000

/** How many rows give the average size of a blob where not all are read. */
const sampleRows = 10_000

const exposureOf = Effect.fnUntraced(function* (
  db: Sql,
  since: number | null,
  unless: number,
  until?: number
) {
  const { sql, id, raw } = db
  const later = since === null ? raw("") : sql`AND o.condemned_at > ${instant(since)}::timestamptz`
  const earlier = until === undefined ? raw("") : sql`AND o.condemned_at <= ${instant(until)}::timestamptz`
  const [found] = yield* sql<{ blobs: number; bytes: number }>`
    SELECT count(*)::float8 AS blobs, coalesce(sum(${sizeOf(db)}), 0)::float8 AS bytes
    FROM ${id.orphans} o JOIN ${id.blobs} b ON b.${id.digest} = o.digest
    WHERE o.condemned_at IS NOT NULL AND o.cause IS NULL ${later} ${earlier}`
  const { blobs = 0, bytes = 0 } = found ?? {}
  if (blobs <= unless) return { blobs, bytes, totalBlobs: 0, totalBytes: 0 } satisfies Exposure
  const total = yield* totals(db)
  const [apart] = yield* sql<{ blobs: number; bytes: number }>`
    SELECT count(*)::float8 AS blobs, coalesce(sum(${sizeOf(db)}), 0)::float8 AS bytes
    FROM ${id.orphans} o JOIN ${id.blobs} b ON b.${id.digest} = o.digest WHERE o.cause IS NOT NULL`
  return {
    blobs,
    bytes,
    totalBlobs: Math.max(blobs, total.blobs - (apart?.blobs ?? 0)),
    totalBytes: Math.max(bytes, total.bytes - (apart?.bytes ?? 0))
  } satisfies Exposure
})

/** Returns how many blobs there are, and their bytes. */
export const totals = Effect.fnUntraced(function* (db: Sql) {
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
