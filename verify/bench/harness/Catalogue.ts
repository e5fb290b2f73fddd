/**
 * The rows of a data set: a template database that is filled once, and copies of it, block by block the same.
 *
 * Two tables refer to blobs; all orphans are past the collector's default waits.
 */
import { Effect, Redacted } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import { type Blobs, sizeBytes } from "./Blobs.ts"
import { type Connection, urlOf, withConnection } from "./Postgres.ts"
import { insist } from "./Question.ts"

export interface Catalogue {
  /** The URL of a new copy, warm, right after a checkpoint. The copy before it is dropped. */
  readonly fresh: () => Promise<string>
  /** That the last copy has lost exactly the orphans' rows. Ends the run otherwise. */
  readonly verifySwept: (who: string) => Promise<void>
  /** That the last copy has lost exactly the rows of these digests. Ends the run otherwise. */
  readonly verifyGone: (who: string, digests: ReadonlyArray<string>) => Promise<void>
  /** That the last copy has lost exactly the rows of these keys, of those below `prefix`, and none is journaled. */
  readonly verifyKeysGone: (who: string, prefix: string, keys: ReadonlySet<string>) => Promise<void>
  /** That the collector remembers nothing in the last copy. Ends the run otherwise. */
  readonly verifySettled: (who: string) => Promise<void>
  readonly drop: () => Promise<void>
}

const dayMillis = 24 * 60 * 60 * 1000

/** As the default GC_SCAN_PAGE: an earlier sweep condemned so many blobs at one instant. */
const sliceBlobs = 10_000

/** `name` becomes part of the names of databases. */
export const load = async (databaseUrl: string, name: string, blobs: Blobs): Promise<Catalogue> => {
  const [template, copy] = [`artifact_gc_bench_${name}`, `artifact_gc_bench_${name}_copy`]
  const onServer = (...statements: ReadonlyArray<string>) =>
    withConnection(databaseUrl, async (connection) => {
      for (const statement of statements) await connection.query(statement)
    })
  const inCopy = <A>(work: (connection: Connection) => Promise<A>) =>
    withConnection(urlOf(databaseUrl, copy), work)

  await onServer(`CREATE DATABASE ${template}`)
  await fill(urlOf(databaseUrl, template), blobs)

  return {
    fresh: async () => {
      await onServer(
        `DROP DATABASE IF EXISTS ${copy} WITH (FORCE)`,
        `CREATE DATABASE ${copy} TEMPLATE ${template}`
      )
      await inCopy(warm)
      return urlOf(databaseUrl, copy)
    },
    verifySwept: (who) =>
      inCopy(async (connection) => {
        const { blobs: rows, orphans } = blobs.shape
        const [left] = await connection.query("SELECT count(*)::int AS rows FROM blobs")
        const [live] = await connection.query(
          `SELECT count(*)::int AS rows FROM blobs b
           WHERE digest IN (SELECT digest FROM artifacts UNION SELECT digest FROM local_files)`
        )
        insist(
          left?.rows === rows - orphans && live?.rows === rows - orphans,
          `${who} left ${left?.rows} rows, ${live?.rows} of them referenced, instead of exactly the ${rows - orphans} that are`
        )
      }),
    verifyGone: (who, digests) =>
      inCopy(async (connection) => {
        const expected = blobs.shape.blobs - new Set(digests).size
        const [left] = await connection.query(
          "SELECT count(*)::int AS rows, (count(*) FILTER (WHERE digest = ANY($1::text[])))::int AS dead FROM blobs",
          [digests]
        )
        insist(
          left?.rows === expected && left?.dead === 0,
          `${who} left ${left?.rows} rows instead of ${expected}, and ${left?.dead} of those it deleted`
        )
      }),
    verifyKeysGone: (who, prefix, keys) =>
      inCopy(async (connection) => {
        const expected = blobs.shape.blobs - keys.size
        const [row] = await connection.query(
          `SELECT count(*)::int AS rows, (count(*) FILTER (WHERE object_key = ANY($1::text[])))::int AS dead,
             (SELECT count(*)::int FROM artifact_gc.journal) AS journaled
           FROM blobs WHERE starts_with(object_key, $2)`,
          [[...keys], prefix]
        )
        insist(
          row?.rows === expected && row?.dead === 0 && row?.journaled === 0,
          `${who} left ${row?.rows} rows instead of ${expected}, ${row?.dead} of those it deleted, and ${row?.journaled} in the journal`
        )
      }),
    verifySettled: (who) =>
      inCopy(async (connection) => {
        for (const table of ["orphans", "journal", "intents"]) {
          const [row] = await connection.query(`SELECT count(*)::int AS count FROM artifact_gc.${table}`)
          insist(row?.count === 0, `${who} left ${row?.count} rows in ${table}`)
        }
      }),
    drop: () =>
      onServer(`DROP DATABASE IF EXISTS ${copy} WITH (FORCE)`, `DROP DATABASE ${template} WITH (FORCE)`)
  }
}

const fill = async (url: string, blobs: Blobs) => {
  const client = Postgres.layerClient({ url: Redacted.make(url) })
  await Effect.runPromise(Effect.provide(Postgres.migrate(defaultNames, { createCatalog: true }), client))
  await withConnection(url, async (connection) => {
    const now = Date.now()
    const { length } = blobs.indices
    for (let from = 0; from < length; from += 5000) {
      const rows = blobs.indices.slice(from, from + 5000).map((index) => ({
        index,
        ...blobs.at(index),
        // From a month ago to a week ago.
        createdAt: new Date(now - dayMillis * (30 - (23 * index) / length))
      }))
      await connection.query(
        `INSERT INTO blobs (digest, object_key, size_bytes, created_at, last_used_at)
         SELECT d, k, ${sizeBytes}, t, t FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS b (d, k, t)`,
        [rows.map(({ digest }) => digest), rows.map(({ key }) => key), rows.map(({ createdAt }) => createdAt)]
      )
      await refer(
        connection,
        rows.filter(({ index }) => !blobs.isOrphan(index))
      )
    }
    await condemn(connection, now)
    await connection.query("VACUUM (ANALYZE)")
  })
}

interface Referenced {
  readonly index: number
  readonly digest: string
  readonly createdAt: Date
}

/** Six in ten by an artifact, three by a local file, one by both. */
const refer = async (connection: Connection, rows: ReadonlyArray<Referenced>) => {
  const columns = (some: ReadonlyArray<Referenced>) => [
    some.map(({ index }) => `name-${index}`),
    some.map(({ digest }) => digest),
    some.map(({ createdAt }) => createdAt)
  ]
  await connection.query(
    `INSERT INTO artifacts (repository, name, digest, created_at)
     SELECT 'bench', n, d, t FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS r (n, d, t)`,
    columns(rows.filter(({ index }) => index % 10 < 7))
  )
  await connection.query(
    `INSERT INTO local_files (path, digest, created_at)
     SELECT n, d, t FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS r (n, d, t)`,
    columns(rows.filter(({ index }) => index % 10 >= 6))
  )
}

/** What earlier sweeps leave behind: every orphan seen three days ago and condemned two days ago, slice by slice. */
const condemn = (connection: Connection, now: number) =>
  connection.query(
    `INSERT INTO artifact_gc.orphans (digest, seen_at, condemned_at)
     SELECT digest, $1::timestamptz + later, $2::timestamptz + later
     FROM (SELECT digest, ((row_number() OVER (ORDER BY digest) - 1) / ${sliceBlobs}) * interval '1 second' AS later
       FROM blobs) b
     WHERE NOT EXISTS (SELECT FROM artifacts r WHERE r.digest = b.digest)
       AND NOT EXISTS (SELECT FROM local_files r WHERE r.digest = b.digest)
     ORDER BY digest`,
    [new Date(now - 3 * dayMillis), new Date(now - 2 * dayMillis)]
  )

/** Every page is read once, and the checkpoint leaves nothing for the background writer to do meanwhile. */
const warm = async (connection: Connection) => {
  for (const table of ["blobs", "artifacts", "local_files", "artifact_gc.orphans"]) {
    await connection.query(`SELECT count(*), max(t.*::text) FROM ${table} t`)
  }
  await connection.query("CHECKPOINT")
}
