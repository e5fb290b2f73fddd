/**
 * The rows of a data set: a template database that is filled once, and copies of it with the same blocks.
 *
 * Two tables refer to blobs. The default waits of the collector are over for all orphans.
 */
import { Effect, Redacted } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import { type Blobs, sizeBytes } from "./Blobs.ts"
import { type Connection, urlOf, withConnection } from "./Postgres.ts"
import { ensure } from "./Question.ts"

/** A template and its last copy. Each `verify…` fails with NoFigures if the copy is not as it should be. */
export interface Catalogue {
  /**
   * Makes a new copy, with warm caches and right after a checkpoint, and returns its URL. Drops the copy
   * before.
   */
  readonly fresh: () => Promise<string>
  /** Verifies that the last copy lost exactly the rows of the orphans. */
  readonly verifySwept: (variant: string) => Promise<void>
  /** Verifies that the last copy lost exactly the rows of these digests. */
  readonly verifyGone: (variant: string, digests: ReadonlyArray<string>) => Promise<void>
  /** Verifies that exactly these keys below `prefix` lost their rows, and that none is journaled. */
  readonly verifyKeysGone: (variant: string, prefix: string, keys: ReadonlySet<string>) => Promise<void>
  /** Verifies that the tables of the collector are empty in the last copy. */
  readonly verifySettled: (variant: string) => Promise<void>
  /** Drops the databases. */
  readonly drop: () => Promise<void>
}

const dayMillis = 24 * 60 * 60 * 1000

/** The default GC_SCAN_PAGE: an earlier sweep condemned this many blobs at one instant. */
const sliceBlobs = 10_000

/** Runs work on the last copy. */
type InCopy = <A>(work: (connection: Connection) => Promise<A>) => Promise<A>

/** Fills the template. `name` becomes part of the names of the databases. */
export const load = async (databaseUrl: string, name: string, blobs: Blobs): Promise<Catalogue> => {
  const [template, copy] = [`artifact_gc_bench_${name}`, `artifact_gc_bench_${name}_copy`]
  const onServer = (...statements: ReadonlyArray<string>) =>
    withConnection(databaseUrl, async (connection) => {
      for (const statement of statements) await connection.query(statement)
    })
  const inCopy: InCopy = (work) => withConnection(urlOf(databaseUrl, copy), work)

  await onServer(`CREATE DATABASE ${template}`)
  await fill(urlOf(databaseUrl, template), blobs)

  return {
    ...verifications(inCopy, blobs),
    fresh: async () => {
      await onServer(
        `DROP DATABASE IF EXISTS ${copy} WITH (FORCE)`,
        `CREATE DATABASE ${copy} TEMPLATE ${template}`
      )
      await inCopy(warm)
      return urlOf(databaseUrl, copy)
    },
    drop: () =>
      onServer(`DROP DATABASE IF EXISTS ${copy} WITH (FORCE)`, `DROP DATABASE ${template} WITH (FORCE)`)
  }
}

const verifications = (
  inCopy: InCopy,
  blobs: Blobs
): Pick<Catalogue, "verifySwept" | "verifyGone" | "verifyKeysGone" | "verifySettled"> => ({
  verifySwept: (variant) =>
    inCopy(async (connection) => {
      const { blobs: rows, orphans } = blobs.shape
      const [left] = await connection.query("SELECT count(*)::int AS rows FROM blobs")
      const [live] = await connection.query(
        `SELECT count(*)::int AS rows FROM blobs b
         WHERE digest IN (SELECT digest FROM artifacts UNION SELECT digest FROM local_files)`
      )
      ensure(
        left?.rows === rows - orphans && live?.rows === rows - orphans,
        `${variant} left ${left?.rows} rows, ${live?.rows} of them referenced, instead of exactly ${rows - orphans}`
      )
    }),
  verifyGone: (variant, digests) =>
    inCopy(async (connection) => {
      const expected = blobs.shape.blobs - new Set(digests).size
      const [left] = await connection.query(
        "SELECT count(*)::int AS rows, (count(*) FILTER (WHERE digest = ANY($1::text[])))::int AS dead FROM blobs",
        [digests]
      )
      ensure(
        left?.rows === expected && left?.dead === 0,
        `${variant} left ${left?.rows} rows instead of ${expected}, and ${left?.dead} of those it deleted`
      )
    }),
  verifyKeysGone: (variant, prefix, keys) =>
    inCopy(async (connection) => {
      const expected = blobs.shape.blobs - keys.size
      const [row] = await connection.query(
        `SELECT count(*)::int AS rows, (count(*) FILTER (WHERE object_key = ANY($1::text[])))::int AS dead,
           (SELECT count(*)::int FROM artifact_gc.journal) AS journaled
         FROM blobs WHERE starts_with(object_key, $2)`,
        [[...keys], prefix]
      )
      ensure(
        row?.rows === expected && row?.dead === 0 && row?.journaled === 0,
        `${variant} left ${row?.rows} rows instead of ${expected}, ${row?.dead} of those it deleted, and ${row?.journaled} in the journal`
      )
    }),
  verifySettled: (variant) =>
    inCopy(async (connection) => {
      for (const table of ["orphans", "journal", "intents"]) {
        const [row] = await connection.query(`SELECT count(*)::int AS count FROM artifact_gc.${table}`)
        ensure(row?.count === 0, `${variant} left ${row?.count} rows in ${table}`)
      }
    })
})

const fill = async (url: string, blobs: Blobs) => {
  const client = Postgres.layerClient({ url: Redacted.make(url) })
  await Effect.runPromise(
    Effect.provide(Postgres.migrate(defaultNames, { createCatalog: "artifacts" }), client)
  )
  await withConnection(url, async (connection) => {
    const now = Date.now()
    const { length } = blobs.indices
    for (let from = 0; from < length; from += 5000) {
      const rows = blobs.indices.slice(from, from + 5000).map((index) => ({
        index,
        ...blobs.at(index),
        // Created between a month ago and a week ago.
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

/** Refers to blobs: six in ten by an artifact, three by a local file, one by both. */
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

/**
 * Condemns every orphan, as earlier sweeps do: seen three days ago, condemned two days ago, slice by slice.
 */
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

/** Reads every page once. The checkpoint leaves no work for the background writer. */
const warm = async (connection: Connection) => {
  for (const table of ["blobs", "artifacts", "local_files", "artifact_gc.orphans"]) {
    await connection.query(`SELECT count(*), max(t.*::text) FROM ${table} t`)
  }
  await connection.query("CHECKPOINT")
}
