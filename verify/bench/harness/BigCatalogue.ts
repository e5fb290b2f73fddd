/**
 * A big catalogue that the server generates itself, in minutes instead of hours. Blobs are numbered. Each has
 * one reference, by an artifact or by a local file, except the orphans at regular intervals.
 */
import { Effect, Redacted } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import { urlOf, withConnection } from "./Postgres.ts"

/** Describes a big catalogue. */
export interface BigShape {
  readonly seed: number
  readonly blobs: number
  /** Blobs whose number is a multiple of it are orphans. Null means no orphans. */
  readonly orphanEvery: number | null
}

/**
 * Returns SQL for the digest of the blob with number `n`, also SQL. Hashes scatter neighbours over the index.
 */
export const digestOf = ({ seed }: Pick<BigShape, "seed">, n: string): string =>
  `'sha256:' || encode(sha256(('${seed}:' || ${n})::bytea), 'hex')`

/** Creates the database `name` on the server of `databaseUrl` and returns its URL. */
export const create = async (databaseUrl: string, name: string, shape: BigShape): Promise<string> => {
  const { blobs, orphanEvery } = shape
  const digest = digestOf(shape, "n")
  const referenced = orphanEvery === null ? "" : `AND n % ${orphanEvery} <> 0`
  await withConnection(databaseUrl, (connection) => connection.query(`CREATE DATABASE ${name}`))
  const url = urlOf(databaseUrl, name)
  const client = Postgres.layerClient({ url: Redacted.make(url) })
  await Effect.runPromise(
    Effect.provide(Postgres.migrate(defaultNames, { createCatalog: "artifacts" }), client)
  )
  await withConnection(url, async (connection) => {
    await connection.query("SET synchronous_commit = off")
    // One statement for ten million rows would exceed the time-out of the connection.
    for (let from = 1; from <= blobs; from += 500_000) {
      const to = Math.min(blobs, from + 499_999)
      await connection.query(
        `INSERT INTO blobs (digest, object_key, size_bytes, created_at, last_used_at)
         SELECT ${digest}, 'blobs/' || n, 1000, t, t
         FROM generate_series(${from}, ${to}) n, (VALUES ('2026-01-01'::timestamptz)) AS v (t) ORDER BY 1`
      )
      await connection.query(
        `INSERT INTO artifacts (repository, name, digest, created_at)
         SELECT 'bench', 'name-' || n, ${digest}, '2026-01-01'
         FROM generate_series(${from}, ${to}) n WHERE n % 10 < 6 ${referenced}`
      )
      await connection.query(
        `INSERT INTO local_files (path, digest, created_at)
         SELECT 'path-' || n, ${digest}, '2026-01-01'
         FROM generate_series(${from}, ${to}) n WHERE n % 10 >= 6 ${referenced}`
      )
    }
    // Rows become all-visible only after their commit is on disk. Without that, index-only scans read the
    // heap.
    await connection.query("RESET synchronous_commit")
    await connection.query("CHECKPOINT")
    await connection.query("VACUUM (ANALYZE)")
    await connection.query("CHECKPOINT")
  })
  return url
}

/** Watches references, as `migrate --watch-references` does, or stops watching them. */
export const watch = async (url: string, on: boolean): Promise<void> => {
  const client = Postgres.layerClient({ url: Redacted.make(url) })
  const change = on ? Postgres.watchReferences(defaultNames) : Postgres.unwatchReferences(defaultNames)
  await Effect.runPromise(Effect.provide(change, client))
}
