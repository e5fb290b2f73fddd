/** Pins: rows that keep blobs without references. A purge looks for them as for references. */
import { Effect } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { Held, Pin } from "../Database.ts"
import { byIndex, instant, lastOf, millisOrNull, type Sql } from "./Sql.ts"
import type { DigestType } from "./schema/DigestType.ts"
import type { Catalog } from "./schema/SchemaGuard.ts"
import { looksUp, unreferred } from "./Unreferenced.ts"

/**
 * Adds pins. Runs within a transaction that has locked their blobs. Of equal ids the last wins, and the
 * later expiry. The blobs of `newborn` were inserted by this transaction, without a reference.
 */
export const pin = (
  { sql, id, raw }: Sql,
  type: DigestType,
  pins: ReadonlyArray<Pin>,
  newborn: ReadonlySet<Digest> = new Set()
) => {
  const rows = lastOf(pins, ({ id }) => id)
  return rows.length === 0
    ? Effect.void
    : Effect.asVoid(sql`
      INSERT INTO ${id.pins} AS p (id, digest, expires_at, cause)
      SELECT i, d::${raw(type.type)}, e, CASE WHEN n THEN 'unused' END FROM unnest(${rows.map((p) => p.id)}::text[], ${rows.map((p) => p.digest)}::text[],
        ${rows.map((p) => instant(p.expiresAt))}::timestamptz[], ${rows.map((p) => newborn.has(p.digest))}::boolean[]) AS t (i, d, e, n)
      ORDER BY i
      ON CONFLICT (id) DO UPDATE SET digest = EXCLUDED.digest, expires_at = greatest(p.expires_at, EXCLUDED.expires_at)`)
}

/** Releases pins and returns how many existed. */
export const unpin = ({ sql, id }: Sql, ids: ReadonlyArray<string>) =>
  ids.length === 0
    ? Effect.succeed(0)
    : Effect.map(
        sql`
          DELETE FROM ${id.pins} WHERE id = ANY(ARRAY(
            SELECT id FROM ${id.pins} WHERE id = ANY(${ids}::text[]) ORDER BY id FOR UPDATE))
          RETURNING 1 AS gone`,
        (rows) => rows.length
      )

/**
 * Releases expired pins and returns how many. A pin with a cause leaves it to the sighting of its blob. The sightings are inserted in digest order, like all others.
 */
export const expirePins = ({ sql, id }: Sql, now: number, limit: number) =>
  Effect.map(
    sql<{ gone: number }>`
      WITH due AS MATERIALIZED (
        SELECT id FROM ${id.pins} WHERE expires_at <= ${instant(now)}::timestamptz
        ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED),
      ended AS (
        DELETE FROM ${id.pins} WHERE id = ANY(ARRAY(SELECT id FROM due)) RETURNING digest, cause),
      sighted AS (
        INSERT INTO ${id.orphans} (digest, seen_at, cause)
        SELECT DISTINCT ON (e.digest) e.digest, ${instant(now)}::timestamptz, e.cause FROM ended e
        WHERE e.cause IS NOT NULL AND EXISTS (SELECT FROM ${id.blobs} b WHERE b.${id.digest} = e.digest)
        ORDER BY e.digest ON CONFLICT (digest) DO NOTHING)
      SELECT count(*)::int AS gone FROM ended`,
    (rows) => rows[0]?.gone ?? 0
  )

/** Implements `orphans.held`. Skips pins that another transaction changes: the next sweep settles them. */
export const held = (db: Sql, { keys }: Catalog, now: number, settles: boolean) => {
  const { sql, id, raw } = db
  return Effect.gen(function* () {
    const some = yield* sql`SELECT FROM ${id.pins} LIMIT 1`
    if (some.length === 0) return { blobs: 0, until: null } satisfies Held
    const settled = sql`
      settled AS (
        UPDATE ${id.pins} SET cause = NULL WHERE id = ANY(ARRAY(
          SELECT p.id FROM ${id.pins} p JOIN judged j ON j.id = p.id
          WHERE p.cause IS NOT NULL AND NOT j.bare ORDER BY p.id FOR UPDATE OF p SKIP LOCKED)))`
    const rows = yield* byIndex(
      db,
      sql<{ blobs: number; until: Date | null }>`
        WITH judged AS MATERIALIZED (
          SELECT p.id, p.digest, p.expires_at, ${unreferred(db, keys)} AS bare FROM ${id.pins} p
          CROSS JOIN LATERAL (SELECT * FROM ${id.blobs} b WHERE b.${id.digest} = p.digest ${raw(looksUp)}) b)
        ${settles ? sql`, ${settled}` : raw("")}
        SELECT count(DISTINCT digest)::float8 AS blobs, max(expires_at) AS until FROM judged
        WHERE bare AND expires_at > ${instant(now)}::timestamptz`
    )
    return { blobs: rows[0]?.blobs ?? 0, until: millisOrNull(rows[0]?.until ?? null) } satisfies Held
  })
}
