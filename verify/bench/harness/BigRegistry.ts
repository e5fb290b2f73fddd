/**
 * A big registry that the server generates itself. Repositories have the same number of tags. Three tags in four name an image of
 * three blobs, the fourth an index of two images without a tag.
 */
import { Effect, Redacted } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import { type Connection, urlOf, withConnection } from "./Postgres.ts"

/** Describes a big registry. */
export interface RegistryShape {
  readonly seed: number
  readonly repositories: number
  /** Tags of each repository, an hour apart, the last pushed at `now`. */
  readonly tags: number
  readonly now: number
}

/** How much a registry has. */
export interface RegistryCounts {
  readonly tags: number
  readonly manifests: number
  readonly references: number
  readonly blobs: number
}

/** Returns how much a registry of this shape has. */
export const countsOf = ({ repositories, tags }: RegistryShape): RegistryCounts => {
  const all = repositories * tags
  const indexes = Math.floor(all / 4)
  const manifests = all + 2 * indexes
  const images = manifests - indexes
  return { tags: all, manifests, references: 3 * images + 2 * indexes, blobs: 2 * manifests }
}

/** Returns SQL for the name of the repository of tag number `n`, also SQL. */
export const repositoryOf = ({ tags }: Pick<RegistryShape, "tags">, n: string): string =>
  `'team-' || ((${n} - 1) / ${tags}) % 20 || '/app-' || (${n} - 1) / ${tags}`

/** Rows that one statement inserts: more would exceed the time-out of the connection. */
const rowsAtATime = 100_000

/** Creates the database `name` on the server of `databaseUrl` and returns its URL. */
export const create = async (databaseUrl: string, name: string, shape: RegistryShape): Promise<string> => {
  await withConnection(databaseUrl, (connection) => connection.query(`CREATE DATABASE ${name}`))
  const url = urlOf(databaseUrl, name)
  const client = Postgres.layerClient({ url: Redacted.make(url) })
  await Effect.runPromise(
    Effect.provide(RegistryPostgres.migrate(defaultNames, { createCatalog: "blobs", registry: true }), client)
  )
  await withConnection(url, (connection) => fill(connection, shape))
  return url
}

const fill = async (connection: Connection, shape: RegistryShape): Promise<void> => {
  const { now, seed, tags } = shape
  const counts = countsOf(shape)
  const digest = (n: string) => `'sha256:' || encode(sha256(('${seed}:' || ${n})::bytea), 'hex')`
  const slices = async (count: number, statement: (series: string) => string) => {
    for (let from = 1; from <= count; from += rowsAtATime)
      await connection.query(
        statement(`generate_series(${from}, ${Math.min(count, from + rowsAtATime - 1)}) n`)
      )
  }
  const registry = "artifact_registry"
  const pushed = `to_timestamp(${now / 1000}) - (${tags} - 1 - (n - 1) % ${tags}) * interval '1 hour'`
  // An image without a tag belongs to the index by whose number it is made.
  const owner = (n: string) =>
    `CASE WHEN ${n} > ${counts.tags} THEN 4 * ((${n} - ${counts.tags} + 1) / 2) ELSE ${n} END`
  await connection.query("SET synchronous_commit = off")
  // The rows are as the foreign keys want them, whose checks would take most of the time.
  await connection.query("SET session_replication_role = replica")
  await slices(
    counts.blobs,
    (series) => `
      INSERT INTO blobs (digest, object_key, size_bytes, created_at, last_used_at)
      SELECT ${digest("n")}, 'blobs/' || n, 1000, t, t FROM ${series}, (VALUES ('2026-01-01'::timestamptz)) AS v (t)`
  )
  await slices(
    counts.manifests,
    (series) => `
      INSERT INTO ${registry}.manifests (repository, digest, media_type, size_bytes, pushed_at, untagged_by)
      SELECT ${repositoryOf(shape, owner("n"))}, ${digest("n")}, 'application/vnd.oci.image.manifest.v1+json', 1000,
        '2026-01-01', CASE WHEN n > ${counts.tags} THEN 'never' END FROM ${series}`
  )
  await slices(
    counts.manifests,
    (series) => `
      INSERT INTO ${registry}.manifest_references (repository, manifest, digest, kind)
      SELECT ${repositoryOf(shape, owner("n"))}, ${digest("n")}, ${digest("r.d")}, r.kind FROM ${series},
        LATERAL (
          SELECT ${counts.manifests} + 1 + (n + 7919 * k) % ${counts.manifests} AS d,
            CASE k WHEN 0 THEN 'config' ELSE 'layer' END AS kind
          FROM generate_series(0, 2) k WHERE n > ${counts.tags} OR n % 4 <> 0
          UNION ALL
          SELECT ${counts.tags} + n / 2 - 1 + k, 'manifest' FROM generate_series(0, 1) k
          WHERE n <= ${counts.tags} AND n % 4 = 0) r`
  )
  await slices(
    counts.tags,
    (series) => `
      INSERT INTO ${registry}.tags (repository, name, digest, pushed_at)
      SELECT ${repositoryOf(shape, "n")}, 'build-' || (n - 1) % ${tags}, ${digest("n")}, ${pushed} FROM ${series}`
  )
  await connection.query("RESET session_replication_role")
  await connection.query("RESET synchronous_commit")
  await connection.query("VACUUM (ANALYZE)")
  await connection.query("CHECKPOINT")
}
