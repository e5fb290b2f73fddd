/**
 * A big catalogue made by the server itself, in minutes where writing rows takes hours: blobs by number, each referred
 * to once, by an artifact or by a local file; but for the orphans, every so many.
 */
import { Effect, Redacted } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import { urlOf, withConnection } from "./Postgres.ts"

export interface BigShape {
  readonly seed: number
  readonly blobs: number
  /** The blobs whose number is a multiple of it are orphans; null: none is. */
  readonly orphanEvery: number | null
}

/** SQL for the digest of blob number `n`, which is SQL too. A hash, so numbers in order lie scattered over the index. */
export const digestOf = ({ seed }: Pick<BigShape, "seed">, n: string): string =>
  `'sha256:' || encode(sha256(('${seed}:' || ${n})::bytea), 'hex')`

/** Creates the database `name` on the server of `databaseUrl` and answers its URL. */
export const create = async (databaseUrl: string, name: string, shape: BigShape): Promise<string> => {
  const { blobs, orphanEvery } = shape
  const digest = digestOf(shape, "n")
  const referenced = orphanEvery === null ? "" : `AND n % ${orphanEvery} <> 0`
  await withConnection(databaseUrl, (connection) => connection.query(`CREATE DATABASE ${name}`))
  const url = urlOf(databaseUrl, name)
  const client = Postgres.layerClient({ url: Redacted.make(url) })
  await Effect.runPromise(Effect.provide(Postgres.migrate(defaultNames, { createCatalog: true }), client))
  await withConnection(url, async (connection) => {
    await connection.query("SET synchronous_commit = off")
    // A statement of ten million rows would take longer than a connection likes to wait.
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
    // While commits are not on disk, their rows do not become all-visible, and index-only scans are none.
    await connection.query("RESET synchronous_commit")
    await connection.query("CHECKPOINT")
    await connection.query("VACUUM (ANALYZE)")
    await connection.query("CHECKPOINT")
  })
  return url
}

/** From now on, as by `migrate --watch-references`; or no longer. */
export const watch = async (url: string, on: boolean): Promise<void> => {
  const client = Postgres.layerClient({ url: Redacted.make(url) })
  const change = on ? Postgres.watchReferences(defaultNames) : Postgres.unwatchReferences(defaultNames)
  await Effect.runPromise(Effect.provide(change, client))
}
