/**
 * Orphans: how they are found and condemned.
 *
 * `find` and `record` are advisory. Only `purge` deletes anything (Purge.ts), and it uses nothing that was read
 * before it held the lock.
 */
import { Effect, Option } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { Orphan, OrphanCause } from "../../domain/Orphan.ts"
import type { ClaimedSlice, Orphans, ScanEnd, Slice } from "../Database.ts"
import { canNameObject, sizeOf, usedAt } from "./CatalogValues.ts"
import { condemned, keep, restore } from "./Condemned.ts"
import { unlessIdle } from "./Idle.ts"
import { held } from "./Pins.ts"
import { due, mayPurge, purge } from "./Purge.ts"
import { byIndex, instant, millis, type Sql } from "./Sql.ts"
import type { Catalog } from "./schema/SchemaGuard.ts"
import { looksUp } from "./Unreferenced.ts"
import { given, verbs } from "./Verbs.ts"

/**
 * Returns the verbs of orphans. `catalog` is what the schema guard found last. It fails before the guard
 * has passed.
 */
export const make = (db: Sql, catalog: Effect.Effect<Catalog, DatabaseError>): Orphans => {
  const known = given(db, catalog)
  return verbs<Orphans>(db, "orphans", {
    claimSlice: known(claimSlice),
    readSlice: known(readSlice),
    find: known(find),
    held: known(held),
    record: known(record),
    redate: known(redate),
    due: known(due),
    keep: known(keep),
    purge: unlessIdle(known(purge), {
      isAny: known(mayPurge),
      nothing: { purged: [], absolved: 0, busy: 0, next: null },
      found: ({ absolved, busy, purged }) => absolved + busy + purged.length > 0
    }),
    condemned: known(condemned),
    restore: known(restore)
  })
}

/** Returns the slice of the next `limit` blobs after `after`, by an index-only scan of the digests. */
const pageAfter = (
  { sql, raw, id }: Sql,
  digestType: string,
  after: Digest | null,
  limit: number
): Effect.Effect<Slice, SqlError.SqlError> => {
  const beyond = after === null ? raw("") : sql`WHERE ${id.digest} > ${after}::text::${raw(digestType)}`
  return Effect.map(
    sql<{ blobs: number; up_to: string | null }>`
      WITH page AS MATERIALIZED (SELECT ${id.digest} AS digest FROM ${id.blobs} ${beyond} ORDER BY 1 LIMIT ${limit})
      SELECT (SELECT count(*) FROM page)::int AS blobs,
        (SELECT digest FROM page ORDER BY digest DESC LIMIT 1)::text AS up_to`,
    (rows) => {
      const blobs = rows[0]?.blobs ?? 0
      const upTo = rows[0]?.up_to ?? null
      // A short page is the last one. Its open end includes blobs that are inserted behind it meanwhile.
      return { after, upTo: blobs < limit || upTo === null ? null : (upTo as Digest), blobs }
    }
  )
}

const readSlice = (db: Sql, { digest }: Catalog, after: Digest | null, limit: number) =>
  byIndex(db, pageAfter(db, digest.type, after, limit))

const claimSlice = (db: Sql, { digest }: Catalog, limit: number, end: ScanEnd | null) =>
  byIndex(
    db,
    Effect.gen(function* () {
      const { sql, raw, id } = db
      const comesRound =
        end === null
          ? sql`false`
          : end.after === null
            ? sql`pass >= ${end.pass}::bigint`
            : sql`pass > ${end.pass}::bigint OR (pass = ${end.pass}::bigint
                AND position::${raw(digest.type + digest.collate)} >= ${end.after}::text::${raw(digest.type)})`
      const rows = yield* sql<{ pass: number; position: string | null; done: boolean }>`
          SELECT pass::float8 AS pass, position, coalesce(${comesRound}, false) AS done
          FROM ${id.scans} WHERE name = 'orphans' FOR UPDATE`
      const scan = rows[0]
      if (scan === undefined || scan.done) return Option.none<ClaimedSlice>()
      const after = scan.position === null ? null : (scan.position as Digest)
      const slice = yield* pageAfter(db, digest.type, after, limit)
      yield* sql`
          UPDATE ${id.scans} SET position = ${slice.upTo}::text, pass = pass + ${slice.upTo === null ? 1 : 0}::int
          WHERE name = 'orphans'`
      return Option.some<ClaimedSlice>({ ...slice, pass: scan.pass })
    })
  )

/** Returns `AND column > after AND column <= upTo`, without the ends that the slice does not have. */
const within =
  ({ sql, raw }: Sql, { digest }: Catalog, slice: Slice) =>
  (column: Statement.Fragment): Statement.Fragment => {
    const type = raw(digest.type)
    const lower = slice.after === null ? raw("") : sql` AND ${column} > ${slice.after}::text::${type}`
    const upper = slice.upTo === null ? raw("") : sql` AND ${column} <= ${slice.upTo}::text::${type}`
    return sql`${lower}${upper}`
  }

/** An orphan as statements return it. */
export interface OrphanRow {
  readonly digest: string
  readonly size_bytes: number
  readonly used_at: Date
  readonly seen_at: Date | null
  readonly condemned_at: Date | null
  readonly cause: OrphanCause | null
  readonly kept_until: Date | null
  /** False if no object can have the blob's key. */
  readonly has_object: boolean
}

/**
 * Finds the orphans of a slice in two stages. The anti-join reads indexes only and is materialised, so that
 * heap pages are read for orphans alone (6–12 s for 10 million blobs instead of 19–23 s; measured
 * 2026-11-22).
 */
const find = (db: Sql, catalog: Catalog, slice: Slice) => {
  const { sql, id, raw } = db
  const bound = within(db, catalog, slice)
  const orphans = Effect.map(
    sql<OrphanRow>`
      WITH ${catalog.unreferenced(bound)}
      SELECT b.${id.digest}::text AS digest, ${sizeOf(db)}::float8 AS size_bytes,
        ${usedAt(db, catalog.digest)} AS used_at, o.seen_at, o.condemned_at, o.cause, o.kept_until,
        ${canNameObject(db)} AS has_object
      FROM unreferenced u
      CROSS JOIN LATERAL (SELECT * FROM ${id.blobs} b WHERE b.${id.digest} = u.digest ${raw(looksUp)}) b
      LEFT JOIN LATERAL (SELECT * FROM ${id.orphans} o WHERE o.digest = u.digest ${raw(looksUp)}) o ON true
      ORDER BY u.digest`,
    (rows): ReadonlyArray<Orphan> => rows.map(orphanOf)
  )
  return byIndex(db, orphans)
}

/** Returns the row as an orphan. */
export const orphanOf = (row: OrphanRow): Orphan => ({
  digest: row.digest as Digest,
  sizeBytes: row.size_bytes,
  usedAt: millis(row.used_at),
  seenAt: row.seen_at === null ? null : millis(row.seen_at),
  condemnedAt: row.condemned_at === null ? null : millis(row.condemned_at),
  ...(row.cause === null ? {} : { cause: row.cause }),
  ...(row.kept_until === null ? {} : { keptUntil: millis(row.kept_until) }),
  ...(row.has_object ? {} : { hasObject: false })
})

/**
 * Records sightings in two statements that lock only the rows they change. The first inserts new sightings
 * in digest order. The second changes existing ones and skips those that another transaction adopts or
 * purges. Only the first can wait, and it holds no lock yet that another waits for. So collectors and
 * writers cannot deadlock. (In the other order, an insert waited for a row that had been cleared and not
 * yet committed.)
 *
 * A new sighting needs its blob: a collector that purged the blob meanwhile deleted blob and sighting in
 * one transaction. A sighting without a blob would stay in the backlog until the next scan.
 */
const record = (db: Sql, catalog: Catalog, slice: Slice, marks: Parameters<Orphans["record"]>[1]) => {
  const { sql, id, raw } = db
  const { type, collate } = catalog.digest
  const now = instant(marks.now)
  const clears = marks.clear ?? true
  const marked = sql`
    marks AS MATERIALIZED (
      SELECT s::${raw(type + collate)} AS digest, c IS NOT NULL AS doomed FROM unnest(${marks.seen}::text[]) s
      LEFT JOIN unnest(${marks.condemned}::text[]) c ON c = s)`
  return db.transaction(
    Effect.gen(function* () {
      yield* sql`
        WITH ${marked}
        INSERT INTO ${id.orphans} (digest, seen_at, condemned_at, sweep)
        SELECT m.digest, ${now}::timestamptz, CASE WHEN m.doomed THEN ${now}::timestamptz END,
          CASE WHEN m.doomed THEN ${marks.sweep}::text END FROM marks m
        WHERE NOT EXISTS (SELECT FROM ${id.orphans} o WHERE o.digest = m.digest)
          AND EXISTS (SELECT FROM ${id.blobs} b WHERE b.${id.digest} = m.digest ${raw(looksUp)})
        ORDER BY m.digest
        ON CONFLICT (digest) DO NOTHING`
      const cleared = yield* sql<{ cleared: number }>`
        WITH ${marked},
        held AS MATERIALIZED (
          SELECT o.digest, m.digest IS NULL AS stale FROM ${id.orphans} o LEFT JOIN marks m ON m.digest = o.digest
          WHERE (${clears ? sql`m.digest IS NULL OR ` : raw("")}(m.doomed AND o.condemned_at IS NULL))
            ${within(db, catalog, slice)(raw("o.digest"))}
          FOR UPDATE OF o SKIP LOCKED),
        cleared AS (
          DELETE FROM ${id.orphans} o WHERE o.digest = ANY(ARRAY(SELECT digest FROM held WHERE stale)) RETURNING 1),
        condemned AS (
          UPDATE ${id.orphans} o SET condemned_at = ${now}::timestamptz, sweep = ${marks.sweep}::text
          WHERE o.digest = ANY(ARRAY(SELECT digest FROM held WHERE NOT stale)))
        SELECT count(*)::int AS cleared FROM cleared`
      return cleared[0]?.cleared ?? 0
    })
  )
}

const redate = (db: Sql, { digest }: Catalog, now: number, digests: ReadonlyArray<Digest>) => {
  const { sql, id, raw } = db
  const at = sql`${instant(now)}::timestamptz`
  return Effect.map(
    sql`
      UPDATE ${id.orphans} SET seen_at = least(seen_at, ${at}), kept_until = NULL,
        condemned_at = CASE WHEN condemned_at > ${at} THEN ${at} ELSE condemned_at END
      WHERE digest = ANY(ARRAY(
        SELECT digest FROM ${id.orphans} WHERE digest = ANY(${digests}::text[]::${raw(digest.type)}[])
          AND greatest(seen_at, condemned_at) > ${at}
        ORDER BY digest FOR UPDATE SKIP LOCKED))
      RETURNING 1 AS moved`,
    (rows) => rows.length
  )
}
