/**
 * Orphans: how they are found, condemned and purged.
 *
 * `find` and `record` are advisory. Only `purge` deletes anything, and it uses nothing that was read before
 * it held the lock.
 */
import { Effect, Option } from "effect"
import { type SqlError, SqlError as SqlErrors, type Statement } from "effect/sql"
import { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Orphan, OrphanCause } from "../../domain/Orphan.ts"
import type {
  ClaimedSlice,
  Orphans,
  PurgedBlob,
  PurgePage,
  PurgeRequest,
  RefusedBlob,
  ScanEnd,
  Slice
} from "../Database.ts"
import { canNameObject, sizeOf, usedAt } from "./CatalogValues.ts"
import { condemned, restore } from "./Condemned.ts"
import { sqlState, translate } from "./Errors.ts"
import { unlessIdle } from "./Idle.ts"
import { held } from "./Pins.ts"
import { byIndex, instant, millis, type Sql } from "./Sql.ts"
import { type Catalog, currentFingerprint } from "./schema/SchemaGuard.ts"
import { lockDigests } from "./triggers/unannounced/AdvisoryLocks.ts"
import { renewed } from "./triggers/unannounced/Tombstones.ts"
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
    purge: unlessIdle(known(purge), {
      isAny: known((_, { digest }, request) =>
        condemnedPage(db, { ...request, limit: 1 }, db.raw(digest.type))
      ),
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
        ${usedAt(db, catalog.digest)} AS used_at, o.seen_at, o.condemned_at, o.cause,
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
      UPDATE ${id.orphans} SET seen_at = least(seen_at, ${at}),
        condemned_at = CASE WHEN condemned_at > ${at} THEN ${at} ELSE condemned_at END
      WHERE digest = ANY(ARRAY(
        SELECT digest FROM ${id.orphans} WHERE digest = ANY(${digests}::text[]::${raw(digest.type)}[])
          AND greatest(seen_at, condemned_at) > ${at}
        ORDER BY digest FOR UPDATE SKIP LOCKED))
      RETURNING 1 AS moved`,
    (rows) => rows.length
  )
}

interface CondemnedRow {
  readonly digest: string
  readonly condemned_at: Date
  readonly cause: OrphanCause | null
}

/**
 * Rows times reference tables of one page. PostgreSQL checks each deleted row against each foreign key, in 30 to 80 µs
 * of processor time beside 2,000 tables (measured 2026-11-30), so that a page of 1,000 rows would take minutes. Up to
 * 20 tables, a page is as large as asked for.
 */
const checksPerPage = 20_000

/** Tries a page as a whole, and again row by row where the database refuses one of its rows. */
const purge = (db: Sql, catalog: Catalog, request: PurgeRequest) => {
  const most = Math.max(1, Math.floor(checksPerPage / Math.max(1, catalog.keys.length)))
  const page = { ...request, limit: Math.min(request.limit, most) }
  return Effect.catchIf(purgeBy(db, catalog, page, deleteAndJournal), concernsRow, () =>
    purgeBy(db, catalog, page, isolating(deleteAndJournal))
  )
}

interface Deleted {
  readonly purged: ReadonlyArray<PurgedBlob>
  readonly refused: ReadonlyArray<RefusedBlob>
}

type Deleting = (
  db: Sql,
  catalog: Catalog,
  request: PurgeRequest,
  locked: ReadonlyArray<string>
) => Effect.Effect<Deleted, SqlError.SqlError>

const purgeBy = (db: Sql, catalog: Catalog, request: PurgeRequest, deleting: Deleting) => {
  const { sql, id, raw } = db
  const type = raw(catalog.digest.type)
  return db.transaction(
    Effect.gen(function* () {
      // Adding a foreign key needs a lock that conflicts with this one, so the set of reference tables cannot change
      // until the commit.
      yield* sql`LOCK TABLE ${id.blobs} IN ROW EXCLUSIVE MODE`
      if ((yield* currentFingerprint(db)) !== catalog.fingerprint) return yield* schemaChanged

      const page = yield* condemnedPage(db, request, type, sql`FOR UPDATE SKIP LOCKED`)
      const last = page.at(-1)
      if (last === undefined) {
        return { purged: [], absolved: 0, busy: 0, next: null } satisfies PurgePage
      }

      const claimed = page.map((row) => row.digest)
      const locked = (yield* sql<{ digest: string }>`
        SELECT ${id.digest}::text AS digest FROM ${id.blobs}
        WHERE ${id.digest} = ANY(${claimed}::text[]::${type}[]) ORDER BY ${id.digest} FOR UPDATE SKIP LOCKED`).map(
        (row) => row.digest
      )
      const free = catalog.unannouncedWriters ? yield* lockDigests(db, catalog.digest, locked) : locked
      const deleted = yield* deleting(db, catalog, request, free)
      const { refused } = deleted
      const causes = new Map(page.map(({ cause, digest }) => [digest, cause]))
      const purged = deleted.purged.map((blob): PurgedBlob => {
        const cause = causes.get(blob.digest)
        return cause == null ? blob : { ...blob, cause }
      })
      const busy = yield* stillThere(db, type, claimed, new Set(free))
      const stays = new Set([...busy, ...refused.map(({ digest }): string => digest)])
      const settled = claimed.filter((digest) => !stays.has(digest))
      yield* sql`DELETE FROM ${id.orphans} WHERE digest = ANY(${settled}::text[]::${type}[])`
      return {
        purged,
        absolved: settled.length - purged.length,
        busy: busy.size,
        ...(refused.length === 0 ? {} : { refused }),
        next:
          page.length < request.limit
            ? null
            : { condemnedAt: millis(last.condemned_at), digest: last.digest as Digest }
      } satisfies PurgePage
    })
  )
}

/** Classes of SQLSTATE that speak of a row: data, integrity, limits, and what a trigger raises. */
const ofRows = /^(?:22|23|44|54|P0|0A)/

const concernsRow = (error: unknown): error is SqlError.SqlError =>
  SqlErrors.isSqlError(error) && ofRows.test(sqlState(error) ?? "")

/** Halves the rows until those that the database refuses are alone. Each try is a savepoint. */
const isolating =
  (deleting: Deleting): Deleting =>
  (db, catalog, request, locked) => {
    const attempt = (rows: ReadonlyArray<string>): Effect.Effect<Deleted, SqlError.SqlError> =>
      Effect.catchIf(db.transaction(deleting(db, catalog, request, rows)), concernsRow, (error) => {
        const [only] = rows
        if (rows.length === 1 && only !== undefined) {
          const { detail } = translate("orphans.purge", error)
          return Effect.succeed({ purged: [], refused: [{ digest: only as Digest, detail }] })
        }
        const half = rows.length >> 1
        return Effect.zipWith(attempt(rows.slice(0, half)), attempt(rows.slice(half)), (a, b) => ({
          purged: [...a.purged, ...b.purged],
          refused: [...a.refused, ...b.refused]
        }))
      })
    // Deferred checks would speak at the commit, too late to tell which row they refuse.
    return Effect.andThen(db.sql`SET CONSTRAINTS ALL IMMEDIATE`, attempt(locked))
  }

const schemaChanged = new DatabaseError({
  operation: "orphans.purge",
  reason: "SchemaChanged",
  detail:
    "a foreign key to blobs, or a trigger against unannounced writers, was added, dropped or altered since the sweep began"
})

const condemnedPage = (
  { sql, id, raw }: Sql,
  request: PurgeRequest,
  type: Statement.Fragment,
  locking: Statement.Fragment = raw("")
) => {
  const after =
    request.after === null
      ? raw("")
      : sql`AND (condemned_at, digest) > (${instant(request.after.condemnedAt)}::timestamptz, ${request.after.digest}::text::${type})`
  return sql<CondemnedRow>`
    SELECT digest::text AS digest, condemned_at, cause FROM ${id.orphans}
    WHERE condemned_at <= ${instant(request.condemnedCutoff)}::timestamptz
      AND seen_at <= ${instant(request.seenCutoff)}::timestamptz ${after}
    ORDER BY condemned_at, digest LIMIT ${request.limit} ${locking}`
}

/**
 * Deletes rows and journals their keys. It is a statement of its own, after the one that took the locks:
 * its snapshot is newer than every reference that was committed before them. A later reference waits for
 * this transaction and then finds no blob. In a single statement the sub-queries would use a snapshot from
 * before the lock was granted.
 */
const deleteAndJournal = (
  db: Sql,
  catalog: Catalog,
  request: PurgeRequest,
  locked: ReadonlyArray<string>
) => {
  const { sql, id, raw } = db
  const lease = request.leaseUntil === null ? null : instant(request.leaseUntil)
  // For every blob, whatever its key: an unannounced writer may have seen the row and so sent nothing to its own key.
  const at = sql`${instant(request.now)}::timestamptz`
  const buried = sql`
      buried AS (
        INSERT INTO ${id.tombstones} (digest, since)
        SELECT digest::${raw(catalog.digest.type)}, ${at} FROM dead ORDER BY digest
        ON CONFLICT (digest) ${raw(renewed())}),
      buried_keys AS (
        INSERT INTO ${id.buriedKeys} (object_key, since) SELECT object_key, ${at} FROM dead ORDER BY object_key
        ON CONFLICT (object_key) ${raw(renewed())}),`
  return Effect.map(
    db.firing(sql<{ digest: string; object_key: string; size_bytes: number }>`
      WITH dead AS (
        DELETE FROM ${id.blobs} b
        WHERE b.${id.digest} = ANY(${locked}::text[]::${raw(catalog.digest.type)}[])
          AND ${usedAt(db, catalog.digest)} <= ${instant(request.usedCutoff)}::timestamptz
          AND ${catalog.referencePredicates(() => raw(""))}
          -- A key that cannot name an object cannot be deleted either, and would delay the keys of its batch.
          AND ${canNameObject(db)} AND ${db.asHost}
        RETURNING b.${id.digest}::text AS digest, b.${id.key} AS object_key, ${sizeOf(db)} AS size_bytes),${catalog.unannouncedWriters ? buried : raw("")}
      journaled AS (
        INSERT INTO ${id.journal} AS j (object_key, digest, size_bytes, reason, journaled_at, not_before, claimed_until,
          leases)
        SELECT object_key, digest, size_bytes, 'purged', ${at},
          ${instant(request.deleteNotBefore)}::timestamptz, ${lease}::timestamptz, ${lease === null ? 0 : 1}::int
        FROM dead ORDER BY object_key
        -- Only a writer that uses a key twice can meet its own journal row here, which starts again. Its leases go on,
        -- because a lessee may still send a DELETE.
        ON CONFLICT (object_key) DO UPDATE SET digest = EXCLUDED.digest, size_bytes = EXCLUDED.size_bytes,
          reason = EXCLUDED.reason, journaled_at = EXCLUDED.journaled_at, not_before = EXCLUDED.not_before,
          claimed_until = EXCLUDED.claimed_until, leases = j.leases + EXCLUDED.leases, attempts = 0, last_error = NULL,
          dead_at = NULL)
      SELECT digest, object_key, size_bytes::float8 AS size_bytes FROM dead`),
    (rows): Deleted => ({
      purged: rows.map((row) => ({
        digest: row.digest as Digest,
        key: row.object_key as ObjectKey,
        sizeBytes: row.size_bytes
      })),
      refused: []
    })
  )
}

/**
 * Returns those of the claimed that exist and are not `locked` here: another transaction uses or inserts
 * them.
 */
const stillThere = (
  { sql, id }: Sql,
  type: Statement.Fragment,
  claimed: ReadonlyArray<string>,
  locked: ReadonlySet<string>
) => {
  const rest = claimed.filter((digest) => !locked.has(digest))
  if (rest.length === 0) return Effect.succeed(new Set<string>())
  return Effect.map(
    sql<{ digest: string }>`
      SELECT ${id.digest}::text AS digest FROM ${id.blobs} WHERE ${id.digest} = ANY(${rest}::text[]::${type}[])`,
    (rows) => new Set(rows.map((row) => row.digest))
  )
}
