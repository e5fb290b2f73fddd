/**
 * Rows of tags and manifests: locks in the order of Manifests.ts, and deletion with everything that depends
 * on them.
 */
import { Effect } from "effect"
import type { Statement } from "effect/sql"
import { instant, lastOf } from "../../../database/postgres/Sql.ts"
import type { DigestType } from "../../../database/postgres/schema/DigestType.ts"
import type { Digest } from "../../../domain/Digest.ts"
import { attachedTagsOf } from "../../Names.ts"
import type { UntaggedBy } from "../contract/Manifests.ts"
import type { RegistrySql } from "./RegistrySql.ts"

/** A manifest by its primary key. */
export interface ManifestKey {
  readonly repository: string
  readonly digest: Digest
}

/** Locks those of `names` that are tags of the repository, and returns the digests that they name. */
export const lockTags = ({ sql, id }: RegistrySql, repository: string, names: ReadonlyArray<string>) =>
  names.length === 0
    ? Effect.succeed(new Map<string, Digest>())
    : Effect.map(
        sql<{ name: string; digest: string }>`
          SELECT name, digest::text AS digest FROM ${id.tags}
          WHERE repository = ${repository} AND name = ANY(${names}::text[]) ORDER BY name FOR UPDATE`,
        (rows) => new Map(rows.map((row) => [row.name, row.digest as Digest]))
      )

/** Locks those of `digests` that are manifests of the repository, and returns them. */
export const lockManifests = (
  { sql, id, raw }: RegistrySql,
  type: DigestType,
  repository: string,
  digests: ReadonlyArray<Digest>
) =>
  Effect.map(
    sql<{ digest: string }>`
      SELECT m.digest::text AS digest FROM ${id.manifests} m
      WHERE m.repository = ${repository} AND m.digest = ANY(${digests}::text[]::${raw(type.type)}[])
      ORDER BY m.digest FOR UPDATE`,
    (rows) => new Set(rows.map((row) => row.digest as Digest))
  )

/**
 * Returns the condition that its repository needs the manifest `m`: a tag, an index, or a subject that
 * exists.
 */
export const isNeeded = ({ sql, id }: RegistrySql): Statement.Fragment => sql`(
  EXISTS (SELECT FROM ${id.tags} t WHERE t.repository = m.repository AND t.digest = m.digest)
  OR EXISTS (SELECT FROM ${id.manifestReferences} r
    WHERE r.repository = m.repository AND r.digest = m.digest AND r.kind = 'manifest')
  OR EXISTS (SELECT FROM ${id.manifests} s WHERE s.repository = m.repository AND s.digest = m.subject))`

/** Returns manifests as rows `k (repository, digest)`, for a statement to join. */
export const rowsOf = (
  { sql, raw }: RegistrySql,
  type: DigestType,
  keys: ReadonlyArray<ManifestKey>
): Statement.Fragment => sql`
  (SELECT r AS repository, d::${raw(type.type)} AS digest FROM unnest(
    ${keys.map((key) => key.repository)}::text[], ${keys.map((key) => key.digest)}::text[]) AS t (r, d)) k`

/**
 * Returns the manifests that the deletion of `k` changes: those that they list, and those that are about
 * them.
 */
export const dependents = (db: RegistrySql, keys: Statement.Fragment): Statement.Fragment => {
  const { sql, id } = db
  return sql`
    SELECT k.repository, k.digest AS of, m.digest FROM ${keys}
    JOIN ${id.manifestReferences} r ON r.repository = k.repository AND r.manifest = k.digest AND r.kind = 'manifest'
    JOIN ${id.manifests} m ON m.repository = r.repository AND m.digest = r.digest
    UNION
    SELECT k.repository, k.digest, m.digest FROM ${keys}
    JOIN ${id.manifests} m ON m.repository = k.repository AND m.subject = k.digest`
}

/** Marks those of the locked manifests that have no tag as untagged from `now` on, and how they came to be. */
export const release = (
  db: RegistrySql,
  type: DigestType,
  now: number,
  keys: ReadonlyArray<ManifestKey>,
  by: UntaggedBy
) => (keys.length === 0 ? Effect.void : releaseRows(db, now, rowsOf(db, type, keys), by))

const releaseRows = ({ sql, id }: RegistrySql, now: number, rows: Statement.Fragment, by: UntaggedBy) => sql`
  UPDATE ${id.manifests} m SET untagged_at = ${instant(now)}::timestamptz, untagged_by = ${by}::text FROM ${rows}
  WHERE m.repository = k.repository AND m.digest = k.digest
    AND NOT EXISTS (SELECT FROM ${id.tags} t WHERE t.repository = m.repository AND t.digest = m.digest)`

/** A tag that is about another manifest, `of`. */
export interface AttachedTag {
  readonly repository: string
  readonly name: string
  /** The manifest that it names. */
  readonly digest: Digest
  readonly of: Digest
}

/** Returns the tags of manifests whose subject is one of `keys`, and those that name one of `keys` in their own name. */
export const attachedTags = (db: RegistrySql, type: DigestType, keys: ReadonlyArray<ManifestKey>) => {
  const { sql, id } = db
  const named = keys.flatMap(({ digest, repository }) =>
    attachedTagsOf(digest).map((name) => ({ repository, name, of: digest }))
  )
  return sql<AttachedTag>`
    SELECT t.repository, t.name, t.digest::text AS digest, k.digest::text AS of FROM ${rowsOf(db, type, keys)}
    JOIN ${id.manifests} m ON m.repository = k.repository AND m.subject = k.digest
    JOIN ${id.tags} t ON t.repository = m.repository AND t.digest = m.digest
    UNION
    SELECT t.repository, t.name, t.digest::text, n.of FROM unnest(
      ${named.map((one) => one.repository)}::text[], ${named.map((one) => one.name)}::text[],
      ${named.map((one) => one.of)}::text[]) AS n (repository, name, of)
    JOIN ${id.tags} t ON t.repository = n.repository AND t.name = n.name`
}

/** Removes locked tags whose manifests are locked, and marks those without another tag as untagged from `now` on. */
export const removeTags = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  now: number,
  tags: ReadonlyArray<Pick<AttachedTag, "repository" | "name" | "digest">>,
  by: UntaggedBy
) {
  if (tags.length === 0) return
  const { sql, id } = db
  yield* sql`
    DELETE FROM ${id.tags} WHERE (repository, name) IN (SELECT r, n FROM unnest(
      ${tags.map((tag) => tag.repository)}::text[], ${tags.map((tag) => tag.name)}::text[]) AS t (r, n))`
  yield* release(db, type, now, distinct(tags), by)
})

/** Returns the manifests of tags, each once: a statement must not change a row twice. */
const distinct = (tags: ReadonlyArray<ManifestKey>): ReadonlyArray<ManifestKey> =>
  lastOf(tags, ({ digest, repository }) => JSON.stringify([repository, digest]))

/**
 * Deletes locked manifests with their tags. The manifests that they kept are untagged from `now` on. Returns what
 * the deleted ones referred to, each digest once.
 */
export const remove = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  now: number,
  keys: ReadonlyArray<ManifestKey>,
  by: UntaggedBy
) {
  if (keys.length === 0) return []
  const { sql, id } = db
  const rows = rowsOf(db, type, keys)
  yield* releaseRows(db, now, sql`(${dependents(db, rows)}) k`, by)
  yield* sql`DELETE FROM ${id.tags} t USING ${rows} WHERE t.repository = k.repository AND t.digest = k.digest`
  const released = yield* sql<{ digest: string }>`
    WITH gone AS (
      DELETE FROM ${id.manifestReferences} r USING ${rows} WHERE r.repository = k.repository AND r.manifest = k.digest
      RETURNING r.digest, r.kind)
    SELECT DISTINCT digest::text AS digest FROM gone WHERE kind <> 'manifest'`
  yield* sql`DELETE FROM ${id.manifests} m USING ${rows} WHERE m.repository = k.repository AND m.digest = k.digest`
  return [...released, ...keys].map(({ digest }) => digest as Digest)
})
