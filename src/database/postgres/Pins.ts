/** Pins: rows that keep blobs without references. A purge looks for them as for references. */
import { Effect } from "effect"
import type { Pin } from "../Database.ts"
import { instant, lastOf, type Sql } from "./Sql.ts"
import type { DigestType } from "./schema/DigestType.ts"

/**
 * Adds pins. Runs within a transaction that has locked their blobs. Of equal ids the last wins, and the
 * later expiry.
 */
export const pin = ({ sql, id, raw }: Sql, type: DigestType, pins: ReadonlyArray<Pin>) => {
  const rows = lastOf(pins, ({ id }) => id)
  return rows.length === 0
    ? Effect.void
    : Effect.asVoid(sql`
      INSERT INTO ${id.pins} AS p (id, digest, expires_at)
      SELECT i, d::${raw(type.type)}, e FROM unnest(${rows.map((p) => p.id)}::text[], ${rows.map((p) => p.digest)}::text[],
        ${rows.map((p) => instant(p.expiresAt))}::timestamptz[]) AS t (i, d, e)
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

/** Releases expired pins and returns how many. */
export const expirePins = ({ sql, id }: Sql, now: number, limit: number) =>
  Effect.map(
    sql`
      WITH due AS MATERIALIZED (
        SELECT id FROM ${id.pins} WHERE expires_at <= ${instant(now)}::timestamptz
        ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED)
      DELETE FROM ${id.pins} WHERE id = ANY(ARRAY(SELECT id FROM due)) RETURNING 1 AS gone`,
    (rows) => rows.length
  )
