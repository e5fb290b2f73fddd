/**
 * The queue of blobs that may have lost their last reference, and the sightings that result from it. The
 * verbs are documented in database/contract/Candidates.ts. The triggers that fill the queue are in
 * Functions.ts.
 *
 * Transactions that change references only insert rows into the queue, and reviews delete them by id. So
 * neither waits for the other, and a row that is committed during a review stays for the next one.
 *
 * Locks: queue rows first, for which no other transaction waits, then sightings in digest order, as in every
 * verb.
 */
import { Effect, Option } from "effect"
import type { Statement } from "effect/sql"
import type { DatabaseError } from "../../../../domain/DatabaseError.ts"
import type { Digest } from "../../../../domain/Digest.ts"
import type { Orphan } from "../../../../domain/Orphan.ts"
import type { Candidates, Pass, Reviewed, Sighted } from "../../../Database.ts"
import { canNameObject, sizeOf, usedAt } from "../../CatalogValues.ts"
import { unlessIdle } from "../../Idle.ts"
import { type OrphanRow, orphanOf } from "../../Orphans.ts"
import { byIndex, instant, type Sql } from "../../Sql.ts"
import type { DigestType } from "../../schema/DigestType.ts"
import type { Catalog } from "../../schema/SchemaGuard.ts"
import { looksUp } from "../../Unreferenced.ts"
import { given, on, verbs } from "../../Verbs.ts"

/** Returns the verbs of candidates. `catalog` is what the schema guard found last. It fails before that. */
export const make = (db: Sql, catalog: Effect.Effect<Catalog, DatabaseError>): Candidates => {
  const plain = on(db)
  const known = given(db, catalog)
  return verbs<Candidates>(db, "candidates", {
    watch: Effect.map(catalog, ({ watch }) => watch),
    review: unlessIdle(known(review), {
      isAny: () => db.sql`SELECT 1 AS candidate FROM ${db.id.candidates} ORDER BY id LIMIT 1`,
      nothing: { candidates: 0, orphans: 0 },
      found: ({ candidates }) => candidates > 0
    }),
    sighted: unlessIdle(known(sighted), {
      isAny: known(
        (_, { digest }, after, _most) => db.sql`
          SELECT 1 AS sighting FROM ${db.id.orphans} ${beyond(db, digest, after)} ORDER BY digest LIMIT 1`
      ),
      nothing: { sightings: 0, orphans: [], stale: [], next: null },
      found: ({ sightings }) => sightings > 0
    }),
    settle: known(settle),
    passDue: plain(passDue),
    passDone: plain(passDone)
  })
}

/**
 * Look-ups of one page: rows times reference tables. Each takes about a microsecond, so that 10,000 rows are one page
 * beside up to 200 tables.
 */
const lookUpsPerPage = 2_000_000

const fitting = (limit: number, { keys }: Catalog): number =>
  Math.min(limit, Math.max(1, Math.floor(lookUpsPerPage / Math.max(1, keys.length))))

const review = (db: Sql, catalog: Catalog, now: number, most: number) => {
  const { sql, id, raw } = db
  const limit = fitting(most, catalog)
  const type = raw(catalog.digest.type)
  return byIndex(
    db,
    Effect.gen(function* () {
      const page = yield* sql<{ id: string; digest: string }>`
        SELECT c.id::text AS id, c.digest::text AS digest FROM ${id.candidates} c
        ORDER BY c.id LIMIT ${limit} FOR UPDATE SKIP LOCKED`
      if (page.length === 0) return { candidates: 0, orphans: 0 } satisfies Reviewed
      const digests = [...new Set(page.map((row) => row.digest))]
      // A statement of its own: its snapshot shows what was committed with the candidates that were read. The
      // waits of an older sighting begin again, because something kept the blob after it.
      const orphans = yield* sql`
        INSERT INTO ${id.orphans} AS o (digest, seen_at)
        SELECT b.${id.digest}, ${instant(now)}::timestamptz FROM unnest(${digests}::text[]::${type}[]) AS c (digest)
        CROSS JOIN LATERAL (SELECT * FROM ${id.blobs} b WHERE b.${id.digest} = c.digest ${raw(looksUp)}) b
        WHERE ${catalog.referencePredicates()}
        ORDER BY b.${id.digest}
        ON CONFLICT (digest) DO UPDATE SET seen_at = EXCLUDED.seen_at, condemned_at = NULL, sweep = NULL,
          kept_until = NULL
        RETURNING 1 AS sighted`
      yield* sql`DELETE FROM ${id.candidates} WHERE id = ANY(${page.map((row) => row.id)}::text[]::bigint[])`
      return { candidates: page.length, orphans: orphans.length } satisfies Reviewed
    })
  )
}

interface SightedRow extends Omit<OrphanRow, "used_at" | "size_bytes"> {
  /** Null, as `size_bytes` is, if the blob does not exist any more. */
  readonly used_at: Date | null
  readonly size_bytes: number | null
  readonly is_orphan: boolean
}

/** Returns the condition that a sighting follows `after`. */
const beyond = ({ raw, sql }: Sql, { type }: DigestType, after: Digest | null) =>
  after === null ? raw("") : sql`WHERE digest > ${after}::text::${raw(type)}`

const sighted = (db: Sql, catalog: Catalog, after: Digest | null, most: number) => {
  const { sql, id, raw } = db
  const limit = fitting(most, catalog)
  const looked = Effect.map(
    sql<SightedRow>`
      WITH page AS MATERIALIZED (
        SELECT digest, seen_at, condemned_at, cause, kept_until FROM ${id.orphans}
        ${beyond(db, catalog.digest, after)} ORDER BY digest LIMIT ${limit})
      SELECT p.digest::text AS digest, ${sizeOf(db)}::float8 AS size_bytes,
        ${usedAt(db, catalog.digest)} AS used_at, p.seen_at, p.condemned_at, p.cause, p.kept_until,
        coalesce(${canNameObject(db)}, true) AS has_object,
        b.${id.digest} IS NOT NULL AND ${catalog.referencePredicates()} AS is_orphan
      FROM page p
      LEFT JOIN LATERAL (SELECT * FROM ${id.blobs} b WHERE b.${id.digest} = p.digest ${raw(looksUp)}) b ON true
      ORDER BY p.digest`,
    (rows): Sighted => ({
      sightings: rows.length,
      orphans: rows.flatMap((row): ReadonlyArray<Orphan> => {
        const { is_orphan, used_at, size_bytes } = row
        return is_orphan && used_at !== null
          ? [orphanOf({ ...row, used_at, size_bytes: size_bytes ?? 0 })]
          : []
      }),
      stale: rows.filter((row) => !row.is_orphan).map((row) => row.digest as Digest),
      next: rows.length < limit ? null : ((rows.at(-1)?.digest as Digest | undefined) ?? null)
    })
  )
  return byIndex(db, looked)
}

/**
 * Locks the sightings in one statement and decides in the next, whose snapshot is newer. If a candidate was
 * reviewed before the lock was granted, that snapshot shows its lost reference. A later review waits for the
 * lock, and then records a new sighting.
 */
const settle = (db: Sql, catalog: Catalog, marks: Parameters<Candidates["settle"]>[0]) => {
  const { sql, id, raw } = db
  const type = raw(catalog.digest.type)
  const lock = (digests: ReadonlyArray<Digest>, condition: Statement.Fragment) =>
    Effect.map(
      sql<{ digest: string }>`
        SELECT digest::text AS digest FROM ${id.orphans} WHERE digest = ANY(${digests}::text[]::${type}[]) ${condition}
        ORDER BY digest FOR UPDATE SKIP LOCKED`,
      (rows) => rows.map((row) => row.digest)
    )
  return byIndex(
    db,
    Effect.gen(function* () {
      if (marks.condemned.length > 0) {
        const doomed = yield* lock(marks.condemned, sql`AND condemned_at IS NULL`)
        yield* sql`
          UPDATE ${id.orphans} SET condemned_at = ${instant(marks.now)}::timestamptz, sweep = ${marks.sweep}::text
          WHERE digest = ANY(${doomed}::text[]::${type}[])`
      }
      if (marks.stale.length === 0) return 0
      const stale = yield* lock(marks.stale, raw(""))
      const ended = yield* sql`
        DELETE FROM ${id.orphans} o WHERE o.digest = ANY(${stale}::text[]::${type}[])
          AND NOT EXISTS (SELECT FROM ${id.blobs} b
            WHERE b.${id.digest} = o.digest AND ${catalog.referencePredicates()} ${raw(looksUp)})
        RETURNING 1 AS ended`
      return ended.length
    })
  )
}

const passDue = ({ sql, id }: Sql, now: number, everyMillis: number) =>
  Effect.map(
    sql<{ wanted: number }>`
      SELECT wanted::float8 AS wanted FROM ${id.scans}
      WHERE name = 'orphans' AND (done < wanted OR position IS NOT NULL OR started_at IS NULL
        OR started_at <= ${instant(now - everyMillis)}::timestamptz)`,
    (rows) => Option.map(Option.fromUndefinedOr(rows[0]), ({ wanted }): Pass => ({ wanted, startedAt: now }))
  )

const passDone = ({ sql, id }: Sql, { wanted, startedAt }: Pass) =>
  Effect.asVoid(sql`
    UPDATE ${id.scans} SET done = greatest(done, ${wanted}::float8::bigint), started_at = ${instant(startedAt)}::timestamptz
    WHERE name = 'orphans'`)
