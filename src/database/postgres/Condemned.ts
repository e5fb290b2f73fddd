/** The quarantine: condemned blobs are listed and restored, and a reference source keeps them. */
import { Effect } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { type CondemnedBlob, type CondemnedSelection, type KeptBlob, restorePin } from "../Database.ts"
import { lockLive } from "./Blobs.ts"
import { sizeOf } from "./CatalogValues.ts"
import { pin } from "./Pins.ts"
import { instant, millis, type Sql } from "./Sql.ts"
import type { Catalog } from "./schema/SchemaGuard.ts"

interface Row {
  readonly digest: string
  readonly object_key: string
  readonly size_bytes: number
  readonly seen_at: Date
  readonly condemned_at: Date
  readonly sweep: string | null
}

/** Returns a page of condemned blobs. */
export const condemned = (
  db: Sql,
  { digest: digestType }: Catalog,
  selection: CondemnedSelection,
  after: Digest | null,
  limit: number
) => {
  const { sql, id, raw } = db
  const type = raw(digestType.type)
  const beyond = after === null ? raw("") : sql`AND o.digest > ${after}::text::${type}`
  const chosen =
    selection._tag === "All"
      ? raw("")
      : selection._tag === "Sweep"
        ? sql`AND o.sweep = ${selection.sweep}`
        : sql`AND o.digest = ANY(${selection.digests}::text[]::${type}[])`
  return Effect.map(
    sql<Row>`
      SELECT o.digest::text AS digest, b.${id.key} AS object_key, ${sizeOf(db)}::float8 AS size_bytes,
        o.seen_at, o.condemned_at, o.sweep
      FROM ${id.orphans} o JOIN ${id.blobs} b ON b.${id.digest} = o.digest
      WHERE o.condemned_at IS NOT NULL ${beyond} ${chosen}
      ORDER BY o.digest LIMIT ${limit}`,
    (rows): ReadonlyArray<CondemnedBlob> =>
      rows.map((row) => ({
        digest: row.digest as Digest,
        key: row.object_key as ObjectKey,
        sizeBytes: row.size_bytes,
        seenAt: millis(row.seen_at),
        condemnedAt: millis(row.condemned_at),
        sweep: row.sweep ?? ""
      }))
  )
}

/** Ends condemnations and pins the blobs. */
export const restore = (
  db: Sql,
  { digest: type }: Catalog,
  now: number,
  digests: ReadonlyArray<Digest>,
  pinUntil: number
) =>
  db.transaction(
    Effect.gen(function* () {
      const live = yield* lockLive(db, type, now, digests)
      yield* pin(
        db,
        type,
        [...live].map((digest) => ({ id: restorePin(digest), digest, expiresAt: pinUntil }))
      )
      return live
    })
  )

/** Ends condemnations of blobs that a reference source holds. Skips sightings that another transaction holds. */
export const keep = (
  db: Sql,
  { digest: { collate, type } }: Catalog,
  now: number,
  kept: ReadonlyArray<KeptBlob>
) => {
  const { id, raw, sql } = db
  const at = sql`${instant(now)}::timestamptz`
  return db.transaction(
    Effect.gen(function* () {
      const rows = yield* sql`
        WITH held AS MATERIALIZED (
          SELECT o.digest, k.until FROM unnest(${kept.map(({ digest }) => digest)}::text[],
            ${kept.map(({ until }) => instant(until))}::timestamptz[]) AS k (digest, until)
          JOIN ${id.orphans} o ON o.digest = k.digest::${raw(type + collate)}
          ORDER BY o.digest FOR UPDATE OF o SKIP LOCKED)
        UPDATE ${id.orphans} o SET seen_at = ${at}, condemned_at = NULL, sweep = NULL, cause = NULL,
          kept_until = held.until
        FROM held WHERE o.digest = held.digest
        RETURNING 1 AS kept`
      yield* sql`UPDATE ${id.referenceChecks} SET held_at = ${at} WHERE held_at IS NULL`
      return rows.length
    })
  )
}
