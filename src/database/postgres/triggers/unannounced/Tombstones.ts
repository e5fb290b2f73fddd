/**
 * Tombstones: what makes an unannounced writer's row suspect, and when that ends
 * (docs/design/unannounced-writers.md).
 *
 * `tombstones` names digests whose row was deleted: a writer that saw the row may still insert one without
 * bytes. `buried_keys` names keys that were journaled: a DELETE may still be on its way, or met the bytes of
 * a writer that has not inserted its row yet. Both end a while after the last of these writers has ended.
 * A buried key stays for ever if any DELETE of it had no definite answer.
 */
import { Effect } from "effect"
import type { Statement } from "effect/sql"
import type { ObjectKey } from "../../../../domain/ObjectKey.ts"
import { instant, type Sql } from "../../Sql.ts"

/** Returns what an INSERT does where the tombstone exists: its end begins anew, and what lasts goes on. */
export const renewed = (): string => "DO UPDATE SET since = EXCLUDED.since, settled_at = NULL, holders = NULL"

/** Inserts or renews the buried keys of `keys`, an expression that returns a set of texts. */
export const buryKeys = ({ sql, id, raw }: Sql, now: number, keys: ReadonlyArray<ObjectKey>) =>
  sql`
    INSERT INTO ${id.buriedKeys} (object_key, since)
    SELECT k, ${instant(now)}::timestamptz FROM unnest(${keys}::text[]) k ORDER BY k
    ON CONFLICT (object_key) ${raw(renewed())}`

/**
 * Returns the statement that makes keys last whose DELETE may take effect later. `struck` is a WITH query of
 * journal rows that were deleted, with their keys and leases.
 */
export const lasts = (
  { sql, id }: Sql,
  struck: Statement.Fragment,
  indefinite: Statement.Fragment
): Statement.Fragment => sql`
  UPDATE ${id.buriedKeys} SET lasting = true
  WHERE object_key = ANY(ARRAY(SELECT object_key FROM ${struck} WHERE ${indefinite}))`

/**
 * Returns the transactions that hold a lock on the table of blobs, as all that have read it do until they
 * end. Unlike `pg_stat_activity`, `pg_locks` hides nothing from a role without special rights, and compares no
 * clocks.
 */
const readHolders = ({ sql, names }: Sql) =>
  Effect.map(
    sql<{ holders: ReadonlyArray<string> }>`
      SELECT coalesce(array_agg(DISTINCT l.virtualtransaction || ' ' || coalesce(l.pid::text, '')), '{}') AS holders
      FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
      WHERE l.locktype = 'relation' AND l.granted AND n.nspname = ${names.schema} AND c.relname = ${names.blobsTable}
        AND l.pid IS DISTINCT FROM pg_backend_pid()`,
    (rows) => rows[0]?.holders ?? []
  )

/**
 * Ends up to `limit` tombstones of each kind. They stay where the triggers are not installed.
 *
 * The first call that finds a tombstone with no DELETE under way records the transactions that use the table
 * of blobs. A later call deletes it when `patienceMillis` have passed and all of these transactions have
 * ended.
 */
export const endTombstones = (
  db: Sql,
  { unannouncedWriters }: { readonly unannouncedWriters: boolean },
  now: number,
  patienceMillis: number,
  limit: number
) => {
  const { sql, id, raw } = db
  if (!unannouncedWriters) return Effect.succeed({ ended: 0, begun: 0 })
  const cutoff = instant(now - patienceMillis)
  return db.transaction(
    Effect.gen(function* () {
      const work = yield* sql<{ any: boolean }>`
        SELECT EXISTS (SELECT FROM ${id.tombstones} WHERE NOT lasting)
          OR EXISTS (SELECT FROM ${id.buriedKeys} WHERE NOT lasting) AS any`
      if (work[0]?.any !== true) return { ended: 0, begun: 0 }
      const holders = yield* readHolders(db)
      const over = sql`NOT lasting AND settled_at <= ${cutoff}::timestamptz AND NOT holders && ${holders}::text[]`
      const settled = sql`settled_at = ${instant(now)}::timestamptz, holders = ${holders}::text[]`
      let [ended, begun] = [0, 0]
      for (const [table, key, condition] of [
        [id.tombstones, raw("digest"), raw("true")],
        [
          id.buriedKeys,
          raw("object_key"),
          sql`NOT EXISTS (SELECT FROM ${id.journal} j WHERE j.object_key = t.object_key)`
        ]
      ] as const) {
        const gone = yield* sql`
          DELETE FROM ${table} WHERE ${key} = ANY(ARRAY(
            SELECT ${key} FROM ${table} WHERE ${over} LIMIT ${limit} FOR UPDATE SKIP LOCKED)) RETURNING 1 AS gone`
        const settling = yield* sql`
          UPDATE ${table} SET ${settled} WHERE ${key} = ANY(ARRAY(
            SELECT ${key} FROM ${table} t WHERE NOT lasting AND settled_at IS NULL AND ${condition}
            LIMIT ${limit} FOR UPDATE SKIP LOCKED)) RETURNING 1 AS settling`
        ended += gone.length
        begun += settling.length
      }
      return { ended, begun }
    })
  )
}
