/**
 * Deletes manifests that nothing needs any more, page by page, each in a transaction.
 *
 * It waits for no lock. It skips a manifest that another transaction has locked, and one whose deletion
 * would change a locked manifest. A due manifest that turns out to be needed is no longer due: when its
 * tag, index or subject is deleted, that transaction marks it untagged again.
 */
import { Effect } from "effect"
import type { Statement } from "effect/sql"
import { totals } from "../../../database/postgres/Breakers.ts"
import { sizeOf } from "../../../database/postgres/CatalogValues.ts"
import { instant, lastOf, qualified } from "../../../database/postgres/Sql.ts"
import type { DigestType } from "../../../database/postgres/schema/DigestType.ts"
import type { DatabaseError } from "../../../domain/DatabaseError.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type { DeleteOptions, UntaggedExposure } from "../contract/Manifests.ts"
import {
  type AttachedTag,
  attachedTags,
  dependents,
  isNeeded,
  type ManifestKey,
  remove,
  removeTags,
  rowsOf
} from "./ManifestRows.ts"
import type { RegistrySql } from "./RegistrySql.ts"

/** How many due manifests are locked at a time. The memory backend takes as many. */
const pageMax = 100

interface Candidate extends ManifestKey {
  /** The server's own text, which is more precise than milliseconds. */
  readonly untaggedAt: string
}

interface Page {
  readonly deleted: number
  /** What the deleted manifests were or referred to. */
  readonly released: ReadonlyArray<Digest>
  /** Where the next page begins; null when none is left. */
  readonly next: Candidate | null
}

/** Runs pages until `limit` manifests are deleted or none is left. Returns how many were deleted. */
export const expire = Effect.fnUntraced(function* (
  limit: number,
  page: (after: Candidate | null, size: number) => Effect.Effect<Page, DatabaseError>,
  onReleased: (digests: ReadonlyArray<Digest>) => Effect.Effect<void>
) {
  let deleted = 0
  let after: Candidate | null = null
  while (deleted < limit) {
    const done: Page = yield* page(after, Math.min(pageMax, limit - deleted))
    deleted += done.deleted
    if (done.released.length > 0) yield* onReleased(done.released)
    if (done.next === null) break
    after = done.next
  }
  return deleted
})

/** Deletes a page of due manifests. Runs within a transaction. */
export const expirePage = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  now: number,
  untaggedSince: number,
  after: Candidate | null,
  size: number,
  { withReferrers = false }: DeleteOptions
) {
  const page = yield* lockCandidates(db, type, untaggedSince, after, size)
  const next = page.length < size ? null : (page.at(-1) ?? null)
  if (page.length === 0) return { deleted: 0, released: [], next } satisfies Page
  const needed = yield* settle(db, type, page)
  const unneeded = page.filter((one) => !needed.has(nameOf(one)))
  const busy = yield* lockDependents(db, type, unneeded)
  const free = unneeded.filter((one) => !busy.has(nameOf(one)))
  const attached = withReferrers ? yield* lockAttached(db, type, free) : { tags: [], busy: new Set<string>() }
  const doomed = free.filter((one) => !attached.busy.has(nameOf(one)))
  const isDoomed = new Set(doomed.map(nameOf))
  const about = attached.tags.filter(({ of, repository }) => isDoomed.has(nameOf({ repository, digest: of })))
  yield* removeTags(db, type, now, about, "cascade")
  const released = yield* remove(db, type, now, doomed, "cascade")
  return { deleted: doomed.length, released, next } satisfies Page
})

/**
 * Gives a sighting to those of `digests` to which nothing in the registry refers any more, and to those that are held their
 * cause for the sighting that follows the hold. It is a transaction of its
 * own, after the one that deleted the manifests: inserting a sighting may wait for a writer that ends it, and that writer
 * may wait for a manifest.
 */
export const noteReleased = (
  { sql, id, raw }: RegistrySql,
  type: DigestType,
  now: number,
  digests: ReadonlyArray<Digest>
) =>
  Effect.asVoid(sql`
    WITH released AS MATERIALIZED (
      SELECT d.digest FROM unnest(${digests}::text[]::${raw(type.type)}[]) AS d (digest)
      WHERE EXISTS (SELECT FROM ${id.blobs} b WHERE b.${id.digest} = d.digest)
        AND NOT EXISTS (SELECT FROM ${id.manifests} m WHERE m.digest = d.digest)
        AND NOT EXISTS (SELECT FROM ${id.manifestReferences} r WHERE r.digest = d.digest)),
    pinned AS (
      UPDATE ${id.pins} SET cause = 'expired' WHERE id = ANY(ARRAY(
        SELECT p.id FROM ${id.pins} p JOIN released d ON d.digest = p.digest
        ORDER BY p.id FOR UPDATE OF p SKIP LOCKED)))
    INSERT INTO ${id.orphans} (digest, seen_at, cause)
    SELECT d.digest, ${instant(now)}::timestamptz, 'expired' FROM released d
    WHERE NOT EXISTS (SELECT FROM ${id.pins} p WHERE p.digest = d.digest)
    ORDER BY d.digest ON CONFLICT (digest) DO NOTHING`)

const nameOf = ({ repository, digest }: ManifestKey): string => JSON.stringify([repository, digest])

/** Sorts by the columns, not by their texts in the answer: only the columns have the order of an index. */
const lockCandidates = (
  { sql, id, raw }: RegistrySql,
  type: DigestType,
  untaggedSince: number,
  after: Candidate | null,
  size: number
) => {
  const beyond =
    after === null
      ? raw("")
      : sql`AND (m.untagged_at, m.repository, m.digest) >
          (${after.untaggedAt}::timestamptz, ${after.repository}::text, ${after.digest}::text::${raw(type.type)})`
  return Effect.map(
    sql<{ repository: string; digest: string; untagged_at: string }>`
      SELECT m.repository, m.digest::text AS digest, m.untagged_at::text AS untagged_at FROM ${id.manifests} m
      WHERE m.untagged_at <= ${instant(untaggedSince)}::timestamptz ${beyond}
      ORDER BY m.untagged_at, m.repository, m.digest LIMIT ${size} FOR UPDATE SKIP LOCKED`,
    (rows): ReadonlyArray<Candidate> =>
      rows.map((row) => ({
        repository: row.repository,
        digest: row.digest as Digest,
        untaggedAt: row.untagged_at
      }))
  )
}

/** Returns those of the locked manifests that are needed. They are no longer due. */
const settle = (db: RegistrySql, type: DigestType, page: ReadonlyArray<ManifestKey>) => {
  const { sql, id } = db
  return Effect.map(
    sql<{ repository: string; digest: string }>`
      UPDATE ${id.manifests} m SET untagged_at = NULL FROM ${rowsOf(db, type, page)}
      WHERE m.repository = k.repository AND m.digest = k.digest AND ${isNeeded(db)}
      RETURNING m.repository, m.digest::text AS digest`,
    (rows) => new Set(rows.map(({ repository, digest }) => nameOf({ repository, digest: digest as Digest })))
  )
}

/**
 * Locks the manifests that the deletion of `keys` changes. Returns those of `keys` for which that fails
 * now.
 */
const lockDependents = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  keys: ReadonlyArray<ManifestKey>
) {
  if (keys.length === 0) return new Set<string>()
  const { sql, id } = db
  const concerned = yield* sql<{ repository: string; of: string; digest: string }>`
    SELECT repository, of::text AS of, digest::text AS digest
    FROM (${dependents(db, rowsOf(db, type, keys))}) d`
  if (concerned.length === 0) return new Set<string>()
  const wanted = concerned.map(({ repository, digest }) => ({ repository, digest: digest as Digest }))
  const held = yield* sql<{ repository: string; digest: string }>`
    SELECT m.repository, m.digest::text AS digest FROM ${id.manifests} m JOIN ${rowsOf(db, type, wanted)}
      ON m.repository = k.repository AND m.digest = k.digest
    FOR UPDATE OF m SKIP LOCKED`
  const free = new Set(held.map(({ repository, digest }) => nameOf({ repository, digest: digest as Digest })))
  return new Set(
    concerned
      .filter(({ repository, digest }) => !free.has(nameOf({ repository, digest: digest as Digest })))
      .map(({ repository, of }) => nameOf({ repository, digest: of as Digest }))
  )
})

/**
 * Locks the tags that are about `keys`, and the manifests that they name. Returns the tags, and those of `keys` for which that
 * fails now.
 */
const lockAttached = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  keys: ReadonlyArray<ManifestKey>
) {
  const { sql, id } = db
  const tags = keys.length === 0 ? [] : yield* attachedTags(db, type, keys)
  if (tags.length === 0) return { tags, busy: new Set<string>() }
  const held = yield* sql<{ repository: string; name: string; digest: string }>`
    SELECT t.repository, t.name, t.digest::text AS digest FROM ${id.tags} t
    WHERE (t.repository, t.name) IN (SELECT r, n FROM unnest(
      ${tags.map((tag) => tag.repository)}::text[], ${tags.map((tag) => tag.name)}::text[]) AS w (r, n))
    FOR UPDATE SKIP LOCKED`
  const named = yield* sql<{ repository: string; digest: string }>`
    SELECT m.repository, m.digest::text AS digest FROM ${id.manifests} m
    JOIN ${rowsOf(db, type, lastOf(tags, nameOf))} ON m.repository = k.repository AND m.digest = k.digest
    FOR UPDATE OF m SKIP LOCKED`
  const freeTags = new Set(
    held.map(({ digest, name, repository }) => JSON.stringify([repository, name, digest]))
  )
  const freeManifests = new Set(
    named.map(({ digest, repository }) => nameOf({ repository, digest: digest as Digest }))
  )
  const isFree = (tag: AttachedTag) =>
    freeTags.has(JSON.stringify([tag.repository, tag.name, tag.digest])) && freeManifests.has(nameOf(tag))
  const busy = tags.flatMap((tag) =>
    isFree(tag) ? [] : nameOf({ repository: tag.repository, digest: tag.of })
  )
  return { tags, busy: new Set(busy) }
})

/** Implements `manifests.redate`. The index shows at once that no manifest lies ahead, which is the rule. */
export const redate = Effect.fnUntraced(function* (
  db: RegistrySql,
  now: number,
  latest: number,
  limit: number
) {
  const { sql, id } = db
  const ahead = sql`untagged_at > ${instant(latest)}::timestamptz`
  const [found] = yield* sql<{
    any: boolean
  }>`SELECT EXISTS (SELECT FROM ${id.manifests} WHERE ${ahead}) AS any`
  if (found?.any !== true) return []
  const rows = yield* db.transaction(
    sql<{ name: string }>`
      UPDATE ${id.manifests} m SET untagged_at = ${instant(now)}::timestamptz
      FROM (SELECT repository, digest FROM ${id.manifests} WHERE ${ahead}
        ORDER BY repository, digest LIMIT ${limit} FOR UPDATE SKIP LOCKED) k
      WHERE m.repository = k.repository AND m.digest = k.digest
      RETURNING m.repository || '@' || m.digest::text AS name`
  )
  return rows.map(({ name }) => name).sort()
})

/** Counts due manifests that nothing needs. */
export const untagged = (db: RegistrySql, untaggedSince: number) => {
  const { sql, id } = db
  return Effect.map(
    sql<{ n: number }>`
      SELECT count(*)::float8 AS n FROM ${id.manifests} m
      WHERE m.untagged_at <= ${instant(untaggedSince)}::timestamptz AND NOT ${isNeeded(db)}`,
    (rows) => rows[0]?.n ?? 0
  )
}

/** Up to here manifests are counted exactly, which costs a scan of about a second. */
const countMax = 1_000_000

/** The exposure of a registry that is not installed. */
export const noExposure: UntaggedExposure = { untagged: 0, total: 0, bytes: 0, totalBytes: 0 }

/** Implements `manifests.exposure`. */
export const exposure = Effect.fnUntraced(function* (
  db: RegistrySql,
  after: number | null,
  untaggedSince: number,
  unless: number
) {
  const { sql, id, raw } = db
  const cutoff = sql`${instant(untaggedSince)}::timestamptz`
  const later = after === null ? raw("") : sql`AND m.untagged_at > ${instant(after)}::timestamptz`
  const isLost = sql`coalesce(m.untagged_by, 'deleted') = 'deleted' ${later}`
  const [found] = yield* sql<{ lost: number; since: Date | null; remains: boolean }>`
    SELECT count(*) FILTER (WHERE ${isLost})::float8 AS lost,
      min(m.untagged_at) FILTER (WHERE ${isLost}) AS since,
      EXISTS (SELECT FROM ${id.manifests} WHERE untagged_at IS NULL) AS remains
    FROM ${id.manifests} m WHERE m.untagged_at <= ${cutoff} AND NOT ${isNeeded(db)}`
  const { lost = 0, remains = true, since = null } = found ?? {}
  if (lost <= unless && (remains || lost === 0)) return { ...noExposure, untagged: lost }
  const all = yield* countManifests(db, since, cutoff)
  const untagged = remains ? Math.max(0, lost - all.pushed) : lost
  const total = all.named + untagged
  if (untagged === 0) return { ...noExposure, total }
  const [needed] = yield* sql<{ bytes: number }>`
    SELECT coalesce(sum(${sizeOf(db)}), 0)::float8 AS bytes FROM ${id.blobs} b WHERE b.${id.digest} IN (
      SELECT unnest(ARRAY[m.digest, r.digest]) FROM ${id.manifests} m
      LEFT JOIN ${id.manifestReferences} r ON r.repository = m.repository AND r.manifest = m.digest
      WHERE m.untagged_at <= ${cutoff} AND ${isLost} AND NOT ${isNeeded(db)})`
  const { bytes: totalBytes } = yield* totals(db)
  const bytes = Math.round(((needed?.bytes ?? 0) * untagged) / lost)
  return { untagged, total, bytes, totalBytes } satisfies UntaggedExposure
})

/** Counts the manifests with a name, and those that were pushed with one between `since` and `until`. */
const countManifests = Effect.fnUntraced(function* (
  { sql, id, names }: RegistrySql,
  since: Date | null,
  until: Statement.Fragment
) {
  const [all] = yield* sql<{ counted: number; estimated: number; pushed: number }>`
    SELECT (SELECT count(*) FROM (
        SELECT FROM ${id.manifests} WHERE untagged_at IS NULL LIMIT ${countMax}) c)::float8 AS counted,
      (SELECT reltuples FROM pg_class
        WHERE oid = to_regclass(${qualified(names.registrySchema, "manifests")}))::float8 AS estimated,
      (SELECT count(*) FROM ${id.manifests} WHERE pushed_at > ${since}::timestamptz AND pushed_at <= ${until}
        AND untagged_by IS DISTINCT FROM 'never')::float8 AS pushed`
  const counted = all?.counted ?? 0
  const named = counted < countMax ? counted : Math.max(counted, all?.estimated ?? 0)
  return { named: Math.round(named), pushed: all?.pushed ?? 0 }
})
