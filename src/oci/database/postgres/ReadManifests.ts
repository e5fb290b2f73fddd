/** Reading of the registry's catalogue. Each verb is one statement that an index answers. */
import { Effect, Option } from "effect"
import type { Statement } from "effect/sql"
import { sizeOf } from "../../../database/postgres/CatalogValues.ts"
import { instant, millisOrNull, qualified } from "../../../database/postgres/Sql.ts"
import type { DigestType } from "../../../database/postgres/schema/DigestType.ts"
import { DatabaseError } from "../../../domain/DatabaseError.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"
import { holdId } from "../../Names.ts"
import type { Manifest, ManifestName, RepositoryBlob, StoredManifest } from "../contract/Manifests.ts"
import type { RegistrySql } from "./RegistrySql.ts"
import { readLackingPrivileges, readRegistryVersion, versionProblem } from "./RegistryTables.ts"

/** Fails unless a registry can work with the tables. */
export const probe = Effect.fnUntraced(function* (db: RegistrySql) {
  const operation = "manifests.probe"
  const problem = versionProblem(yield* readRegistryVersion(db))
  if (problem !== null) {
    const next = problem.fix.replace(/^R/, "r").replace(/\.$/, "")
    const detail = `${problem.problem}; ${next}`
    return yield* new DatabaseError({ operation, reason: "NotInstalled", detail })
  }
  const lacking = yield* readLackingPrivileges(db)
  if (lacking.length > 0) {
    const what = lacking.map(
      ({ table, missing }) => `${missing} on ${qualified(db.names.registrySchema, table)}`
    )
    const detail = `this role lacks ${what.join("; ")}`
    return yield* new DatabaseError({ operation, reason: "Denied", detail })
  }
})

interface Row {
  readonly repository: string
  readonly digest: string
  readonly media_type: string
  readonly size_bytes: number
  readonly artifact_type: string | null
  readonly annotations: string | null
  readonly subject: string | null
}

const columns = ({ sql }: RegistrySql): Statement.Fragment => sql`
  m.repository, m.digest::text AS digest, m.media_type, m.size_bytes::float8 AS size_bytes, m.artifact_type,
  m.annotations::text AS annotations, m.subject::text AS subject`

const toManifest = (row: Row): Manifest => ({
  repository: row.repository,
  digest: row.digest as Digest,
  mediaType: row.media_type,
  sizeBytes: row.size_bytes,
  artifactType: row.artifact_type,
  annotations: row.annotations === null ? null : JSON.parse(row.annotations),
  subject: row.subject as Digest | null
})

/** Returns a manifest by digest or tag. */
export const find = (db: RegistrySql, type: DigestType, repository: string, name: ManifestName) => {
  const { sql, id, raw } = db
  const chosen =
    name._tag === "Digest"
      ? sql`${name.digest}::text::${raw(type.type)}`
      : sql`(SELECT t.digest FROM ${id.tags} t WHERE t.repository = ${repository} AND t.name = ${name.tag})`
  return Effect.map(
    sql<Row & { readonly object_key: string; readonly untagged_at: Date | null }>`
      SELECT ${columns(db)}, m.untagged_at, b.${id.key} AS object_key
      FROM ${id.manifests} m JOIN ${id.blobs} b ON b.${id.digest} = m.digest
      WHERE m.repository = ${repository} AND m.digest = ${chosen}`,
    ([row]): Option.Option<StoredManifest> =>
      row === undefined
        ? Option.none()
        : Option.some({
            ...toManifest(row),
            key: row.object_key as ObjectKey,
            untaggedAt: millisOrNull(row.untagged_at)
          })
  )
}

/**
 * Returns a page of tags, or none if the repository has no manifest. Asks for an order: with EXISTS the
 * planner may scan the table in the hope to meet the repository soon.
 */
export const tags = (
  { sql, id, raw }: RegistrySql,
  repository: string,
  after: string | null,
  limit: number
) => {
  const beyond = after === null ? raw("") : sql`AND name > ${after}::text`
  return Effect.map(
    sql<{ known: boolean; names: ReadonlyArray<string> }>`
      SELECT (SELECT m.repository FROM ${id.manifests} m WHERE m.repository = ${repository}
          ORDER BY m.digest LIMIT 1) IS NOT NULL AS known,
        ARRAY(SELECT name FROM ${id.tags} WHERE repository = ${repository} ${beyond} ORDER BY name LIMIT ${limit}) AS names`,
    ([found]) => (found?.known === true ? Option.some(found.names) : Option.none())
  )
}

/**
 * Returns a page of repositories. Jumps from one to the next: the cost depends on their number, not on
 * their manifests.
 */
export const repositories = ({ sql, id, raw }: RegistrySql, after: string | null, limit: number) => {
  const beyond = after === null ? raw("") : sql`WHERE repository > ${after}::text`
  return Effect.map(
    sql<{ repository: string }>`
      WITH RECURSIVE found (repository) AS (
        (SELECT repository FROM ${id.manifests} ${beyond} ORDER BY repository LIMIT 1)
        UNION ALL
        SELECT (SELECT m.repository FROM ${id.manifests} m WHERE m.repository > f.repository
          ORDER BY m.repository LIMIT 1)
        FROM found f WHERE f.repository IS NOT NULL)
      SELECT repository FROM found WHERE repository IS NOT NULL LIMIT ${limit}`,
    (rows) => rows.map((row) => row.repository)
  )
}

/** Returns the repositories that have no tag. */
export const withoutTags = ({ sql, id }: RegistrySql, names: ReadonlyArray<string>) =>
  Effect.map(
    sql<{ name: string }>`
      SELECT r.name FROM unnest(${names}::text[]) AS r (name)
      WHERE NOT EXISTS (SELECT FROM ${id.tags} t WHERE t.repository = r.name)
      ORDER BY r.name COLLATE "C"`,
    (rows) => rows.map(({ name }) => name)
  )

/** Returns a page of manifests about `subject`. */
export const referrers = (
  db: RegistrySql,
  type: DigestType,
  repository: string,
  subject: Digest,
  artifactType: string | null,
  after: Digest | null,
  limit: number
) => {
  const { sql, id, raw } = db
  const cast = raw(type.type)
  return Effect.map(
    sql<Row>`
      SELECT ${columns(db)} FROM ${id.manifests} m
      WHERE m.repository = ${repository} AND m.subject = ${subject}::text::${cast}
        ${after === null ? raw("") : sql`AND m.digest > ${after}::text::${cast}`}
        ${artifactType === null ? raw("") : sql`AND m.artifact_type = ${artifactType}`}
      ORDER BY m.digest LIMIT ${limit}`,
    (rows) => rows.map(toManifest)
  )
}

/** Returns indexes that list a manifest. */
export const listing = (
  { id, raw, sql }: RegistrySql,
  type: DigestType,
  repository: string,
  digest: Digest,
  limit: number
) =>
  Effect.map(
    sql<{ digest: string; untagged_at: Date | null }>`
      SELECT m.digest::text AS digest, m.untagged_at
      FROM ${id.manifestReferences} r
      JOIN ${id.manifests} m ON m.repository = r.repository AND m.digest = r.manifest
      WHERE r.repository = ${repository} AND r.digest = ${digest}::text::${raw(type.type)} AND r.kind = 'manifest'
      ORDER BY m.digest LIMIT ${limit}`,
    (rows) => rows.map((row) => ({ digest: row.digest as Digest, untaggedAt: millisOrNull(row.untagged_at) }))
  )

/** Returns the blob as the repository has it, or none. */
export const blob = (db: RegistrySql, type: DigestType, repository: string, digest: Digest) => {
  const { sql, id, raw } = db
  return Effect.map(
    sql<{ object_key: string; size_bytes: number; held_until: Date | null; referenced: boolean }>`
      SELECT b.${id.key} AS object_key, ${sizeOf(db)}::float8 AS size_bytes,
        (SELECT p.expires_at FROM ${id.pins} p WHERE p.id = ${holdId(repository, digest)}) AS held_until,
        (EXISTS (SELECT FROM ${id.manifests} m WHERE m.repository = ${repository} AND m.digest = b.${id.digest})
          OR EXISTS (SELECT FROM ${id.manifestReferences} r
            WHERE r.digest = b.${id.digest} AND r.repository = ${repository})) AS referenced
      FROM ${id.blobs} b WHERE b.${id.digest} = ${digest}::text::${raw(type.type)}`,
    ([row]): Option.Option<RepositoryBlob> =>
      row === undefined || (row.held_until === null && !row.referenced)
        ? Option.none()
        : Option.some({
            key: row.object_key as ObjectKey,
            sizeBytes: row.size_bytes,
            heldUntil: millisOrNull(row.held_until),
            isReferenced: row.referenced
          })
  )
}

/** Returns those of `digests` that the repository has. */
export const having = (
  { id, raw, sql }: RegistrySql,
  type: DigestType,
  now: number,
  repository: string,
  digests: ReadonlyArray<Digest>
) =>
  Effect.map(
    sql<{ digest: string }>`
      SELECT w.digest
      FROM unnest(${digests}::text[], ${digests.map((digest) => holdId(repository, digest))}::text[]) AS w (digest, hold)
      JOIN ${id.blobs} b ON b.${id.digest} = w.digest::${raw(type.type)}
      WHERE EXISTS (SELECT FROM ${id.pins} p WHERE p.id = w.hold AND p.expires_at > ${instant(now)})
        OR EXISTS (SELECT FROM ${id.manifests} m WHERE m.repository = ${repository} AND m.digest = b.${id.digest})
        OR EXISTS (SELECT FROM ${id.manifestReferences} r
          WHERE r.digest = b.${id.digest} AND r.repository = ${repository})`,
    (rows) => new Set(rows.map(({ digest }) => digest as Digest))
  )
