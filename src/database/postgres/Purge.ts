/**
 * Purges condemned orphans: deletes their rows and journals their keys, in one transaction. It uses nothing that
 * was read before it held the locks.
 */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import * as SqlErrors from "effect/sql/SqlError"
import { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { OrphanCause } from "../../domain/Orphan.ts"
import type {
  DuePage,
  DueRequest,
  PurgeCursor,
  PurgedBlob,
  PurgePage,
  PurgeRequest,
  RefusedBlob
} from "../Database.ts"
import { canNameObject, sizeOf, usedAt } from "./CatalogValues.ts"
import { sqlState, translate } from "./Errors.ts"
import { instant, millis, type Sql } from "./Sql.ts"
import { type Catalog, currentFingerprint } from "./schema/SchemaGuard.ts"
import { lockDigests } from "./triggers/unannounced/AdvisoryLocks.ts"
import { renewed } from "./triggers/unannounced/Tombstones.ts"

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

const mostOf = ({ keys }: Catalog): number =>
  Math.max(1, Math.floor(checksPerPage / Math.max(1, keys.length)))

/** Returns the page that `purge` would take. */
export const due = (db: Sql, catalog: Catalog, request: DueRequest) => {
  const limit = Math.min(request.limit, mostOf(catalog))
  const type = db.raw(catalog.digest.type)
  return Effect.map(
    db.sql<DueRow>`
      SELECT digest::text AS digest, seen_at, condemned_at, kept_until FROM ${db.id.orphans}
      WHERE ${isDue(db, request, type)} ORDER BY condemned_at, digest LIMIT ${limit}`,
    (rows): DuePage => {
      const last = rows.at(-1)
      return {
        orphans: rows.map((row) => ({
          digest: row.digest as Digest,
          seenAt: millis(row.seen_at),
          condemnedAt: millis(row.condemned_at),
          ...(row.kept_until === null ? {} : { keptUntil: millis(row.kept_until) })
        })),
        next: last === undefined || rows.length < limit ? null : cursorOf(last)
      }
    }
  )
}

interface DueRow {
  readonly digest: string
  readonly seen_at: Date
  readonly condemned_at: Date
  readonly kept_until: Date | null
}

const cursorOf = (row: Pick<DueRow, "digest" | "condemned_at">): PurgeCursor => ({
  condemnedAt: millis(row.condemned_at),
  digest: row.digest as Digest
})

/** Tries a page as a whole, and again row by row where the database refuses one of its rows. */
export const purge = (db: Sql, catalog: Catalog, request: PurgeRequest) => {
  const page = { ...request, limit: Math.min(request.limit, mostOf(catalog)) }
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
        next: page.length < request.limit ? null : cursorOf(last)
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

/** Asks for a row if there may be a condemned orphan to purge. */
export const mayPurge = (db: Sql, { digest }: Catalog, request: PurgeRequest) =>
  condemnedPage(db, { ...request, limit: 1 }, db.raw(digest.type))

const condemnedPage = (
  db: Sql,
  request: PurgeRequest,
  type: Statement.Fragment,
  locking: Statement.Fragment = db.raw("")
) => {
  const { sql, id, raw } = db
  const only =
    request.only === undefined ? raw("") : sql`AND digest = ANY(${request.only}::text[]::${type}[])`
  return sql<CondemnedRow>`
    SELECT digest::text AS digest, condemned_at, cause FROM ${id.orphans}
    WHERE ${isDue(db, request, type)} ${only}
    ORDER BY condemned_at, digest LIMIT ${request.limit} ${locking}`
}

const isDue = ({ sql, raw }: Sql, request: DueRequest, type: Statement.Fragment) => {
  const after =
    request.after === null
      ? raw("")
      : sql`AND (condemned_at, digest) > (${instant(request.after.condemnedAt)}::timestamptz, ${request.after.digest}::text::${type})`
  return sql`condemned_at <= ${instant(request.condemnedCutoff)}::timestamptz
      AND seen_at <= ${instant(request.seenCutoff)}::timestamptz ${after}`
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
  const buried = sql`,
      buried AS (
        INSERT INTO ${id.tombstones} (digest, since)
        SELECT digest::${raw(catalog.digest.type)}, ${at} FROM dead ORDER BY digest
        ON CONFLICT (digest) ${raw(renewed())}),
      -- After the journal's rows, which it reads: statements that lock both take them in this order.
      buried_keys AS (
        INSERT INTO ${id.buriedKeys} (object_key, since) SELECT object_key, ${at} FROM journaled ORDER BY object_key
        ON CONFLICT (object_key) ${raw(renewed())})`
  return Effect.map(
    db.firing(sql<{ digest: string; object_key: string; size_bytes: number }>`
      WITH dead AS (
        DELETE FROM ${id.blobs} b
        WHERE b.${id.digest} = ANY(${locked}::text[]::${raw(catalog.digest.type)}[])
          AND ${usedAt(db, catalog.digest)} <= ${instant(request.usedCutoff)}::timestamptz
          AND ${catalog.referencePredicates(() => raw(""))}
          -- A key that cannot name an object cannot be deleted either, and would delay the keys of its batch.
          AND ${canNameObject(db)} AND ${db.asHost}
        RETURNING b.${id.digest}::text AS digest, b.${id.key} AS object_key, ${sizeOf(db)} AS size_bytes),
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
          dead_at = NULL
        RETURNING object_key)${catalog.unannouncedWriters ? buried : raw("")}
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
