/**
 * The SQL of a review: the collector's statements, as in sweep/Statements.ts. A rehearsal compares them with
 * the statements that the collector executes (Find.ts).
 */
import { type Sql, size, sql, unreferenced, usedAt } from "../sweep/Statements.ts"

const isUnreferenced = unreferenced(() => sql` OFFSET 0`)

/** Locks a page of candidates. */
export const lockCandidates = (limit: number): Sql => sql`
  SELECT c.id::text AS id, c.digest::text AS digest FROM artifact_gc.candidates c
  ORDER BY c.id LIMIT ${limit} FOR UPDATE SKIP LOCKED`

/** Records sightings of the candidates that are orphans. */
export const recordSightings = (now: Date, digests: ReadonlyArray<string>): Sql => sql`
  INSERT INTO artifact_gc.orphans AS o (digest, seen_at)
  SELECT b.digest, ${now}::timestamptz FROM unnest(${digests}::text[]::text[]) AS c (digest)
  CROSS JOIN LATERAL (SELECT * FROM public.blobs b WHERE b.digest = c.digest OFFSET 0) b
  WHERE ${isUnreferenced}
  ORDER BY b.digest
  ON CONFLICT (digest) DO UPDATE SET seen_at = EXCLUDED.seen_at, condemned_at = NULL, sweep = NULL
  RETURNING 1 AS sighted`

/** Deletes candidates. */
export const deleteCandidates = (ids: ReadonlyArray<string>): Sql => sql`
  DELETE FROM artifact_gc.candidates WHERE id = ANY(${ids}::text[]::bigint[])`

/** Reads a page of sightings, and whether each is still an orphan. */
export const readSightings = (after: string | null, limit: number): Sql => sql`
  WITH page AS MATERIALIZED (
    SELECT digest, seen_at, condemned_at, cause FROM artifact_gc.orphans
    ${after === null ? sql`` : sql`WHERE digest > ${after}::text::text`} ORDER BY digest LIMIT ${limit})
  SELECT p.digest::text AS digest, ${size}::float8 AS size_bytes, ${usedAt} AS used_at, p.seen_at, p.condemned_at,
    p.cause, coalesce(octet_length(b.object_key) BETWEEN 1 AND 1024, true) AS has_object,
    b.digest IS NOT NULL AND ${isUnreferenced} AS is_orphan
  FROM page p
  LEFT JOIN LATERAL (SELECT * FROM public.blobs b WHERE b.digest = p.digest OFFSET 0) b ON true
  ORDER BY p.digest`
