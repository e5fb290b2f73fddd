/**
 * Idle upload sessions. Judged by the session's last activity, never by the age of an object: the first
 * chunk of a slow push is old while the push is alive.
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { JournalEntry } from "../../../database/Database.ts"
import { instant, millisOrNull } from "../../../database/postgres/Sql.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"
import type {
  ExpiredSessions,
  ExpireRequest,
  IdleSessions,
  OpenSessions,
  SessionState
} from "../contract/UploadSessions.ts"
import type { RegistrySql } from "./RegistrySql.ts"

/** Returns the condition that the session `s` is idle and under no lease at `now`. */
const isIdle = ({ sql }: RegistrySql, now: number, idleSince: number) => sql`
  s.last_activity_at <= ${instant(idleSince)}::timestamptz
  AND (s.lease_until IS NULL OR s.lease_until <= ${instant(now)}::timestamptz)`

/**
 * Ends idle sessions. Locks the sessions first and reads their chunks in a later statement: only under the
 * lock is the list of chunks complete. A session that another transaction changed meanwhile is judged again
 * as it is then.
 */
export const expire = Effect.fnUntraced(function* (
  db: RegistrySql,
  { deleteNotBefore, idleSince, leaseUntil, limit, now }: ExpireRequest
): Effect.fn.Return<ExpiredSessions, SqlError.SqlError> {
  const { sql, id } = db
  const found = yield* sql<{ id: string; state: SessionState }>`
    SELECT s.id, s.state FROM ${id.uploadSessions} s WHERE ${isIdle(db, now, idleSince)}
    ORDER BY s.last_activity_at, s.id LIMIT ${Math.max(1, limit)} FOR UPDATE SKIP LOCKED`
  const chosen = yield* withinLimit(db, found, limit)
  const ids = chosen.map((row) => row.id)
  const journaled = yield* journalChunks(db, ids, { now, notBefore: deleteNotBefore, leaseUntil })
  yield* sql`DELETE FROM ${id.uploadSessions} WHERE id = ANY(${ids}::text[])`
  const forgotten = chosen.filter(({ state }) => state === "done").length
  return { sessions: chosen.length - forgotten, forgotten, journaled }
})

/** Returns as many of `found` as have no more than `limit` sessions and chunks together, but at least one. */
const withinLimit = <Row extends { readonly id: string }>(
  { sql, id }: RegistrySql,
  found: ReadonlyArray<Row>,
  limit: number
) =>
  Effect.map(
    sql<{ id: string; chunks: number }>`
      SELECT session_id AS id, count(*)::float8 AS chunks FROM ${id.uploadChunks}
      WHERE session_id = ANY(${found.map((row) => row.id)}::text[]) GROUP BY session_id`,
    (counts) => {
      const chunks = new Map(counts.map((row) => [row.id, row.chunks]))
      let weight = 0
      return found.filter((row, index) => {
        weight += 1 + (chunks.get(row.id) ?? 0)
        return index === 0 || weight <= limit
      })
    }
  )

/** When the keys of journaled chunks may be deleted. */
interface Due {
  readonly now: number
  readonly notBefore: number
  readonly leaseUntil: number | null
}

/** Returns parts of a statement that journal all chunks of sessions whose rows the transaction holds. `dead` has their keys. */
export const journaling = ({ sql, id, raw }: RegistrySql, ids: ReadonlyArray<string>, due: Due) => sql`
  gone AS (
    DELETE FROM ${id.uploadChunks} WHERE session_id = ANY(${ids}::text[]) RETURNING object_key, size_bytes),
  dead AS (
    INSERT INTO ${id.journal} (object_key, size_bytes, reason, journaled_at, not_before, claimed_until)
    SELECT object_key, size_bytes, 'upload', ${instant(due.now)}::timestamptz, ${instant(due.notBefore)}::timestamptz,
      ${due.leaseUntil === null ? raw("NULL") : sql`${instant(due.leaseUntil)}`}::timestamptz
    FROM gone ORDER BY object_key
    ON CONFLICT (object_key) DO NOTHING
    RETURNING object_key, size_bytes)`

/**
 * Journals all chunks of sessions whose rows the transaction holds. Returns those it journaled, in key
 * order.
 */
export const journalChunks = (db: RegistrySql, ids: ReadonlyArray<string>, due: Due) =>
  Effect.map(
    db.sql<{ object_key: string; size_bytes: number }>`
      WITH ${journaling(db, ids, due)}
      SELECT object_key, size_bytes::float8 AS size_bytes FROM dead ORDER BY object_key`,
    (rows): ReadonlyArray<JournalEntry> =>
      rows.map((row) => ({
        key: row.object_key as ObjectKey,
        sizeBytes: row.size_bytes,
        reason: "upload",
        attempts: 0,
        uploadId: null
      }))
  )

/** Counts idle sessions that are not done, with their chunks and bytes. */
export const idle = (db: RegistrySql, now: number, idleSince: number) => {
  const { sql, id } = db
  return Effect.map(
    sql<IdleSessions>`
      WITH idle AS MATERIALIZED (
        SELECT s.id FROM ${id.uploadSessions} s WHERE s.state <> 'done' AND ${isIdle(db, now, idleSince)})
      SELECT (SELECT count(*) FROM idle)::float8 AS sessions, count(*)::float8 AS chunks,
        coalesce(sum(c.size_bytes), 0)::float8 AS bytes
      FROM ${id.uploadChunks} c JOIN idle ON idle.id = c.session_id`,
    ([row]): IdleSessions => ({
      sessions: row?.sessions ?? 0,
      chunks: row?.chunks ?? 0,
      bytes: row?.bytes ?? 0
    })
  )
}

/** Counts the sessions that are open or being finished. */
export const backlog = ({ sql, id }: RegistrySql) =>
  Effect.map(
    sql<{ sessions: number; oldest_activity_at: Date | null }>`
      SELECT count(*)::float8 AS sessions, min(last_activity_at) AS oldest_activity_at
      FROM ${id.uploadSessions} WHERE state <> 'done'`,
    ([row]): OpenSessions => ({
      sessions: row?.sessions ?? 0,
      oldestActivityAt: millisOrNull(row?.oldest_activity_at ?? null)
    })
  )
