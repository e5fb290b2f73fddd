/**
 * The statements of suspects: blobs whose objects are in doubt. The triggers against unannounced writers
 * record them (docs/design/unannounced-writers.md).
 *
 * A suspicion names a digest and a key. It ends when no row has that key any more, and is forgotten later.
 * Each insert of an unannounced writer adds a suspicion of its own in the same transaction. So no visible
 * suspicion is needed by a row that is not visible yet.
 */
import type { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import type { Statement } from "effect/sql"
import type { DatabaseError } from "../../../../domain/DatabaseError.ts"
import type { Digest } from "../../../../domain/Digest.ts"
import type { ObjectKey } from "../../../../domain/ObjectKey.ts"
import type {
  DropOutcome,
  RekeyOutcome,
  Suspect,
  Suspects,
  TrustOutcome
} from "../../../contract/Suspects.ts"
import { sizeOf } from "../../CatalogValues.ts"
import { unlessIdle } from "../../Idle.ts"
import { instant, type Sql } from "../../Sql.ts"
import type { DigestType } from "../../schema/DigestType.ts"
import type { Catalog } from "../../schema/SchemaGuard.ts"
import { given, verbs } from "../../Verbs.ts"
import { lockDigests } from "./AdvisoryLocks.ts"
import { arrival } from "./Arrivals.ts"
import { buryKeys, endTombstones, renewed } from "./Tombstones.ts"

/** Returns the verbs of suspects. `catalog` is what the schema guard found last. It fails before that. */
export const make = (
  db: Sql,
  catalog: Effect.Effect<Catalog, DatabaseError>,
  client: PgClient.PgClient | null = null
): Suspects => {
  const known = given(db, catalog)
  return verbs<Suspects>(db, "suspects", {
    page: known(page),
    rekey: known(rekey),
    trust: known(trust),
    drop: known(drop),
    forget: unlessIdle(known(forget), {
      isAny: () => db.sql`SELECT 1 AS suspect FROM ${db.id.suspects} LIMIT 1`,
      nothing: 0,
      found: (forgotten) => forgotten > 0
    }),
    endTombstones: known(endTombstones),
    arrival: (seen) => arrival(db, catalog, client, seen)
  })
}

/** A key that is journaled, with the blob whose bytes it had. */
type DeadKey = Pick<Suspect, "digest" | "key" | "sizeBytes">

/** Returns the condition that row `b` of the blobs is suspect. */
export const isSuspect = ({ sql, id }: Sql): Statement.Fragment => sql`EXISTS (
  SELECT FROM ${id.suspects} s WHERE s.digest = b.${id.digest} AND s.object_key = b.${id.key})`

/**
 * Moves suspects to the fresh keys under which a native writer uploaded their bytes again: acknowledged bytes
 * are better than those of a suspect. Journals the old keys, and returns the copies whose blob now has their
 * key. The calling transaction holds the locks on the rows.
 */
export const replaceSuspects = Effect.fnUntraced(function* (
  db: Sql,
  type: DigestType,
  now: number,
  copies: ReadonlyArray<DeadKey>
) {
  if (copies.length === 0) return []
  const { sql, id, raw } = db
  const rows = [...new Map([...copies].reverse().map((copy) => [copy.digest, copy])).values()]
  const replaced = yield* db.firing(sql<{ digest: string; old_key: string }>`
    UPDATE ${id.blobs} b SET ${id.key} = t.k, ${id.size} = t.n
    FROM unnest(${rows.map((row) => row.digest)}::text[], ${rows.map((row) => row.key)}::text[],
      ${rows.map((row) => BigInt(row.sizeBytes))}::bigint[]) AS t (d, k, n)
    JOIN ${id.suspects} s ON s.digest = t.d::${raw(type.type)}
    WHERE b.${id.digest} = s.digest AND b.${id.key} = s.object_key AND ${db.asHost}
    RETURNING t.d AS digest, s.object_key AS old_key`)
  const oldKeys = new Map(replaced.map((row) => [row.digest, row.old_key as ObjectKey]))
  const settled = rows.filter((row) => oldKeys.has(row.digest))
  yield* bury(
    db,
    now,
    now,
    settled.map((row) => ({ ...row, key: oldKeys.get(row.digest) ?? row.key }))
  )
  return settled
})

/**
 * Journals keys that rows no longer have, and buries them. So a writer that uses the key again becomes
 * suspect in turn, and a late DELETE meets no referenced bytes. A key that is journaled already, even one
 * that a collector has claimed, gets a new entry in place of the old one, and keeps the count of its leases.
 */
const bury = (db: Sql, now: number, notBefore: number, rows: ReadonlyArray<DeadKey>) => {
  const { sql, id } = db
  if (rows.length === 0) return Effect.void
  const keys = rows.map((row) => row.key)
  // The journal's rows before the buried keys, as in every statement that locks both.
  return Effect.andThen(
    sql`
      INSERT INTO ${id.journal} (object_key, digest, size_bytes, reason, journaled_at, not_before)
      SELECT k, d, n, 'duplicate', ${instant(now)}::timestamptz, ${instant(notBefore)}::timestamptz
      FROM unnest(${keys}::text[], ${rows.map((row) => row.digest)}::text[],
        ${rows.map((row) => BigInt(row.sizeBytes))}::bigint[]) AS t (k, d, n)
      ORDER BY k
      ON CONFLICT (object_key) DO UPDATE SET digest = EXCLUDED.digest, size_bytes = EXCLUDED.size_bytes,
        reason = EXCLUDED.reason, journaled_at = EXCLUDED.journaled_at, not_before = EXCLUDED.not_before,
        claimed_until = NULL, attempts = 0, last_error = NULL, dead_at = NULL`,
    buryKeys(db, now, keys)
  )
}

interface SuspectRow {
  readonly digest: string
  readonly object_key: string
  readonly size_bytes: number
  readonly settled: boolean
  readonly latest: number
}

const page = (db: Sql, { digest: type }: Catalog, after: Digest | null, limit: number) => {
  const { sql, id, raw } = db
  const beyond = after === null ? raw("") : sql`WHERE s.digest > ${after}::text::${raw(type.type)}`
  return Effect.map(
    sql<SuspectRow>`
      SELECT s.digest::text AS digest, s.object_key, ${sizeOf(db)}::float8 AS size_bytes,
        s.latest::float8 AS latest, ${isSettled(db)} AS settled
      FROM (SELECT digest, object_key, max(id) AS latest FROM ${id.suspects} GROUP BY digest, object_key) s
      JOIN ${id.blobs} b ON b.${id.digest} = s.digest AND b.${id.key} = s.object_key
      ${beyond} ORDER BY s.digest LIMIT ${limit}`,
    (rows): ReadonlyArray<Suspect> =>
      rows.map((row) => ({
        digest: row.digest as Digest,
        key: row.object_key as ObjectKey,
        sizeBytes: row.size_bytes,
        settled: row.settled,
        latest: row.latest
      }))
  )
}

/**
 * Returns the condition that no DELETE of the key of suspicion `s` can be on its way. It needs a tombstone as
 * its witness: a suspicion without one is of an unknown cause.
 */
const isSettled = ({ sql, id }: Sql): Statement.Fragment => sql`
  (NOT EXISTS (SELECT FROM ${id.journal} j WHERE j.object_key = s.object_key)
    AND (SELECT count(*) > 0 AND NOT coalesce(bool_or(t.lasting), false) FROM (
      SELECT lasting FROM ${id.tombstones} WHERE digest = s.digest
      UNION ALL SELECT lasting FROM ${id.buriedKeys} WHERE object_key = s.object_key) t))`

/**
 * Locks the row and looks in the next statement, whose snapshot is newer. A purge or drop of the row since
 * the page was read waits for every insert in flight, so a row that was inserted again has a later suspicion.
 */
const trust = (db: Sql, { digest: type }: Catalog, { digest, key, latest }: Suspect) => {
  const { sql, id, raw } = db
  const own = sql`${digest}::text::${raw(type.type)}`
  return db.transaction(
    Effect.gen(function* () {
      const held = yield* sql`
        SELECT 1 AS held FROM ${id.blobs} b WHERE b.${id.digest} = ${own} AND b.${id.key} = ${key} FOR NO KEY UPDATE`
      const [found] = yield* sql<{ trusted: boolean | null }>`
        SELECT max(s.latest) = ${latest}::bigint AND bool_and(s.settled) AS trusted FROM (
          SELECT s.id AS latest, ${isSettled(db)} AS settled FROM ${id.suspects} s
          WHERE s.digest = ${own} AND s.object_key = ${key}) s`
      if (held.length === 0 || found?.trusted !== true) return "superseded" satisfies TrustOutcome
      yield* sql`
        WITH ended AS (DELETE FROM ${id.tombstones} WHERE digest = ${own}),
        dug AS (DELETE FROM ${id.buriedKeys} WHERE object_key = ${key})
        DELETE FROM ${id.suspects} WHERE digest = ${own} AND object_key = ${key} AND id <= ${latest}::bigint`
      return "verified" satisfies TrustOutcome
    })
  )
}

const rekey = (
  db: Sql,
  { digest: type }: Catalog,
  now: number,
  { digest, key, sizeBytes }: Suspect,
  to: ObjectKey,
  deleteNotBefore: number
) => {
  const { sql, id, raw } = db
  const own = sql`${digest}::text::${raw(type.type)}`
  return db.transaction(
    Effect.gen(function* () {
      const taken = yield* sql`DELETE FROM ${id.intents} WHERE object_key = ${to} RETURNING 1 AS taken`
      if (taken.length === 0) return "expired" satisfies RekeyOutcome
      // Its writer could not refer to it while it was suspect, so the waits begin again.
      yield* clearSighting(db, own, key)
      const moved = yield* db.firing(sql`
        UPDATE ${id.blobs} b SET ${id.key} = ${to}
        WHERE b.${id.digest} = ${own} AND b.${id.key} = ${key} AND ${isSuspect(db)} AND ${db.asHost}
        RETURNING 1 AS moved`)
      if (moved.length === 0) {
        yield* bury(db, now, now, [{ digest, key: to, sizeBytes }])
        return "superseded" satisfies RekeyOutcome
      }
      yield* bury(db, now, deleteNotBefore, [{ digest, key, sizeBytes }])
      return "adopted" satisfies RekeyOutcome
    })
  )
}

/**
 * Ends the sighting of a suspect. Precedes the lock on the blob, as in the verbs of writers, to avoid
 * deadlocks.
 */
const clearSighting = (db: Sql, digest: Statement.Fragment, key: ObjectKey) => {
  const { sql, id } = db
  return sql`
    DELETE FROM ${id.orphans} o WHERE o.digest = ${digest} AND EXISTS (
      SELECT FROM ${id.blobs} b WHERE b.${id.digest} = o.digest AND b.${id.key} = ${key} AND ${isSuspect(db)})`
}

/**
 * Takes the lock first and reads the references in the next statement, whose snapshot is newer, as a purge
 * does. Takes the digest's lock and leaves a tombstone, as a purge does, too: another writer may have seen the
 * row and sent nothing, and the tombstone that made the row suspect may have ended.
 */
const drop = (db: Sql, catalog: Catalog, now: number, { digest, key }: Suspect) => {
  const { sql, id, raw } = db
  const own = sql`${digest}::text::${raw(catalog.digest.type)}`
  const suspect = sql`b.${id.digest} = ${own} AND b.${id.key} = ${key} AND ${isSuspect(db)}`
  return db.transaction(
    Effect.gen(function* () {
      yield* clearSighting(db, own, key)
      const held = yield* sql`SELECT 1 AS held FROM ${id.blobs} b WHERE ${suspect} FOR UPDATE`
      if (held.length === 0) return "superseded" satisfies DropOutcome
      if ((yield* lockDigests(db, catalog.digest, [digest])).length === 0) return "busy" satisfies DropOutcome
      const gone = yield* db.firing(sql`
        DELETE FROM ${id.blobs} b WHERE ${suspect} AND ${catalog.referencePredicates(() => raw(""))} AND ${db.asHost}
        RETURNING 1 AS gone`)
      if (gone.length === 0) return "referenced" satisfies DropOutcome
      if (catalog.unannouncedWriters) {
        yield* sql`
          INSERT INTO ${id.tombstones} (digest, since) VALUES (${own}, ${instant(now)}::timestamptz)
          ON CONFLICT (digest) ${raw(renewed())}`
      }
      return "dropped" satisfies DropOutcome
    })
  )
}

/** Rows that another transaction locks are left for the next call, so that nothing waits here with rows in hand. */
const forget = ({ sql, id, raw }: Sql, { digest: type }: Catalog, limit: number) => {
  const idle = sql`NOT EXISTS (
    SELECT FROM ${id.blobs} b WHERE b.${id.digest} = s.digest AND b.${id.key} = s.object_key)`
  return Effect.map(
    sql`
      DELETE FROM ${id.suspects} WHERE id = ANY(ARRAY(
        SELECT s.id FROM ${id.suspects} s WHERE ${idle} AND s.digest = ANY(ARRAY(
          SELECT DISTINCT s.digest FROM ${id.suspects} s WHERE ${idle} LIMIT ${limit})::${raw(type.type)}[])
        ORDER BY s.id FOR UPDATE SKIP LOCKED))
      RETURNING 1 AS gone`,
    (rows) => rows.length
  )
}
