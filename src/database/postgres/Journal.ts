/**
 * The journal: an outbox between the transaction that ends a key's life and the request that deletes its
 * object. Claims never wait for each other, and other verbs lock rows in key order, so collectors cannot
 * deadlock.
 *
 * Rows are changed by `= ANY(ARRAY(…))`, here and in the other files, not by a join or IN. The array is
 * made once under any plan, and its rows are found by index. These tables grow and shrink faster than their
 * statistics. A planner that takes them for empty would scan them whole, once a batch.
 */
import { Duration, Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { DeadLetter, Journal, JournalEntry, JournalReason, Postponement } from "../Database.ts"
import { unlessIdle } from "./Idle.ts"
import { expirePins } from "./Pins.ts"
import { instant, millis, type Sql } from "./Sql.ts"
import { lasts } from "./triggers/unannounced/Tombstones.ts"
import { on, verbs } from "./Verbs.ts"

interface EntryRow {
  readonly object_key: string
  readonly size_bytes: number
  readonly reason: JournalReason
  readonly attempts: number
  readonly upload_id: string | null
}

/** Returns the verbs of the journal. */
export const make = (db: Sql): Journal => {
  const plain = on(db)
  return verbs<Journal>(db, "journal", {
    claim: unlessIdle(plain(claim), {
      isAny: (now, leaseUntil, _limit) =>
        db.sql`SELECT 1 AS due FROM ${db.id.journal} WHERE ${isDue(db, now, leaseUntil)} LIMIT 1`,
      nothing: { entries: [], readopted: 0 },
      found: ({ entries, readopted }) => entries.length + readopted > 0
    }),
    confirm: plain(confirm),
    postpone: plain(postpone),
    deadLetters: plain(deadLetters),
    retry: plain(retry),
    reapIntents: unlessIdle(
      (now, deleteNotBefore, limit, expiredAfter) =>
        db.transaction(reapIntents(db, now, deleteNotBefore, limit, expiredAfter)),
      {
        isAny: (now, _deleteNotBefore, _limit, expiredAfter) =>
          db.sql`SELECT 1 AS due FROM ${db.id.intents} WHERE ${isExpired(db, now, expiredAfter)} LIMIT 1`,
        nothing: 0,
        found: (reaped) => reaped > 0
      }
    ),
    expirePins: unlessIdle(plain(expirePins), {
      isAny: (now, _limit) =>
        db.sql`SELECT 1 AS due FROM ${db.id.pins} WHERE expires_at <= ${instant(now)}::timestamptz LIMIT 1`,
      nothing: 0,
      found: (expired) => expired > 0
    })
  })
}

const toEntry = (row: EntryRow): JournalEntry => ({
  key: row.object_key as ObjectKey,
  sizeBytes: row.size_bytes,
  reason: row.reason,
  attempts: row.attempts,
  uploadId: row.upload_id
})

/** Longer than a lease of any collector. A lease that ends later was written while a clock was wrong. */
const leaseMax = Duration.toMillis(Duration.days(1))

/** Returns the condition that a claim at `now` may lease a key. */
const isDue = ({ sql }: Sql, now: number, leaseUntil: number) => sql`
  dead_at IS NULL AND not_before <= ${instant(now)}::timestamptz
    AND (claimed_until IS NULL OR claimed_until <= ${instant(now)}::timestamptz
      OR claimed_until > ${instant(leaseUntil + leaseMax)}::timestamptz)`

const claim = (db: Sql, now: number, leaseUntil: number, limit: number) => {
  const { sql, id, raw } = db
  return Effect.map(
    sql<EntryRow & { readonly readopted: boolean }>`
      WITH due AS MATERIALIZED (
        SELECT object_key FROM ${id.journal}
        WHERE ${isDue(db, now, leaseUntil)}
        ORDER BY not_before, object_key LIMIT ${limit} FOR UPDATE SKIP LOCKED),
      readopted AS (
        DELETE FROM ${id.journal} j
        WHERE j.object_key = ANY(ARRAY(SELECT object_key FROM due))
          AND (EXISTS (SELECT FROM ${id.blobs} b WHERE b.${id.key} = j.object_key)
            OR EXISTS (SELECT FROM ${id.uploadChunks} c WHERE c.object_key = j.object_key))
        RETURNING j.object_key, j.size_bytes, j.reason, j.attempts, j.upload_id, j.leases),
      lasting AS (${lasts(db, raw("readopted"), raw("leases > 0"))}),
      leased AS (
        UPDATE ${id.journal} j SET claimed_until = ${instant(leaseUntil)}::timestamptz, leases = j.leases + 1
        WHERE j.object_key = ANY(ARRAY(SELECT object_key FROM due))
          AND NOT EXISTS (SELECT FROM ${id.blobs} b WHERE b.${id.key} = j.object_key)
          AND NOT EXISTS (SELECT FROM ${id.uploadChunks} c WHERE c.object_key = j.object_key)
        RETURNING j.object_key, j.size_bytes, j.reason, j.attempts, j.upload_id)
      SELECT object_key, size_bytes::float8 AS size_bytes, reason, attempts, upload_id, true AS readopted FROM readopted
      UNION ALL
      SELECT object_key, size_bytes::float8, reason, attempts, upload_id, false FROM leased
      ORDER BY object_key`,
    (rows) => ({
      entries: rows.filter((row) => !row.readopted).map(toEntry),
      readopted: rows.filter((row) => row.readopted).length
    })
  )
}

/**
 * Strikes off keys. Does not wait for the disk, which spares half of a sweep's flushes. If the server
 * crashes before it has written the change, the keys are deleted again, and an absent object is success. A
 * commit that used a key again would be later, so it would be on disk only after this one.
 *
 * A buried key lasts if a DELETE of it may still take effect: it was leased more than once, so an earlier
 * lessee may be about to send one, or `resent` names it.
 */
const confirm = (db: Sql, keys: ReadonlyArray<ObjectKey>, resent: ReadonlyArray<ObjectKey> = []) => {
  const { sql, id, raw } = db
  if (keys.length === 0) return Effect.void
  return Effect.asVoid(sql`
    WITH struck AS (
      DELETE FROM ${id.journal} WHERE object_key = ANY(ARRAY(
        SELECT object_key FROM ${id.journal} WHERE object_key = ANY(${keys}::text[]) ORDER BY object_key FOR UPDATE))
        AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
      RETURNING object_key, leases)
    ${lasts(db, raw("struck"), sql`leases <> 1 OR object_key = ANY(${resent}::text[])`)}`)
}

const postpone = ({ sql, id }: Sql, list: ReadonlyArray<Postponement>) =>
  list.length === 0
    ? Effect.void
    : Effect.asVoid(sql`
      WITH p AS (
        SELECT * FROM unnest(
          ${list.map((p) => p.key)}::text[], ${list.map((p) => instant(p.notBefore))}::timestamptz[],
          ${list.map((p) => p.attempts)}::int[], ${list.map((p) => p.error)}::text[],
          -- An array of nothing but NULLs has no type on the wire, so instants travel as text.
          ${list.map((p) => (p.deadAt === null ? "" : instant(p.deadAt).toISOString()))}::text[]
        ) AS t (object_key, not_before, attempts, last_error, dead_at)),
      held AS MATERIALIZED (
        SELECT j.object_key FROM ${id.journal} j JOIN p USING (object_key) ORDER BY j.object_key FOR UPDATE OF j)
      UPDATE ${id.journal} j SET claimed_until = NULL, not_before = p.not_before, attempts = p.attempts,
        last_error = p.last_error, dead_at = nullif(p.dead_at, '')::timestamptz
      FROM p JOIN held USING (object_key) WHERE j.object_key = p.object_key`)

const deadLetters = ({ sql, id }: Sql, after: ObjectKey | null, limit: number) =>
  Effect.map(
    sql<EntryRow & { readonly last_error: string | null; readonly dead_at: Date }>`
      SELECT object_key, size_bytes::float8 AS size_bytes, reason, attempts, upload_id, last_error, dead_at
      FROM ${id.journal} WHERE dead_at IS NOT NULL AND object_key > ${after ?? ""}
      ORDER BY object_key LIMIT ${limit}`,
    (rows): ReadonlyArray<DeadLetter> =>
      rows.map((row) => ({ ...toEntry(row), lastError: row.last_error ?? "", deadAt: millis(row.dead_at) }))
  )

const retry = ({ sql, id, raw }: Sql, now: number, keys: ReadonlyArray<ObjectKey> | "all") =>
  Effect.map(
    sql`
      UPDATE ${id.journal} SET dead_at = NULL, attempts = 0, claimed_until = NULL, not_before = ${instant(now)}::timestamptz
      WHERE dead_at IS NOT NULL ${keys === "all" ? raw("") : sql`AND object_key = ANY(${keys}::text[])`}
      RETURNING 1 AS retried`,
    (rows) => rows.length
  )

/** Returns the condition that an upload was announced and not finished in time. */
const isExpired = ({ raw, sql }: Sql, now: number, expiredAfter?: number) => {
  const later =
    expiredAfter === undefined ? raw("") : sql`AND expires_at > ${instant(expiredAfter)}::timestamptz`
  return sql`expires_at <= ${instant(now)}::timestamptz ${later}`
}

const reapIntents = (db: Sql, now: number, deleteNotBefore: number, limit: number, expiredAfter?: number) => {
  const { sql, id } = db
  return Effect.map(
    sql`
      -- Materialised: as a sub-query a plan may run it once for each intent, and then it takes more than the limit.
      WITH due AS MATERIALIZED (
        SELECT object_key FROM ${id.intents} WHERE ${isExpired(db, now, expiredAfter)}
        ORDER BY object_key LIMIT ${limit} FOR UPDATE SKIP LOCKED),
      reaped AS (
        DELETE FROM ${id.intents} i WHERE i.object_key = ANY(ARRAY(SELECT object_key FROM due)) RETURNING i.object_key, i.digest, i.upload_id)
      INSERT INTO ${id.journal} (object_key, digest, size_bytes, reason, journaled_at, not_before, upload_id)
      SELECT object_key, digest, 0, 'reaped', ${instant(now)}::timestamptz, ${instant(deleteNotBefore)}::timestamptz,
        upload_id
      FROM reaped ORDER BY object_key
      ON CONFLICT (object_key) DO NOTHING
      RETURNING 1 AS journaled`,
    (rows) => rows.length
  )
}
