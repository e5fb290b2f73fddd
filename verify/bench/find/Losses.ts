/**
 * Losses of references, and their reversal. Some blobs lose their last reference, and equally many others one
 * of two. These blobs are spread evenly over the catalogue and are not among its orphans.
 */
import { type BigShape, digestOf } from "../harness/BigCatalogue.ts"
import { type Connection, withConnection } from "../harness/Postgres.ts"
import { ensure } from "../harness/Question.ts"
import { checksumSql, type Found } from "./Task.ts"

/** Makes and reverses losses. */
export interface Losses {
  /** The blobs without a reference, which must be found. */
  readonly expected: Found
  /** Removes the references, which the triggers record. Ends with a checkpoint. */
  readonly make: () => Promise<void>
  /** Restores the references, and deletes the rows that triggers and a review wrote. */
  readonly reverse: () => Promise<void>
  /** Verifies that exactly the blobs without a reference are sighted, and that no candidate is left. */
  readonly verify: (variant: string) => Promise<void>
}

/** Plans the losses of `each` blobs of both kinds. References must be watched. */
export const plan = async (url: string, shape: BigShape, each: number): Promise<Losses> => {
  // Blobs whose number ends in 1 lose their only reference, those that end in 2 one of two. All are
  // artifacts.
  const stride = Math.floor(shape.blobs / each / 10) * 10
  ensure(each > 0 && stride > 0, `${shape.blobs} blobs are too few for ${each} of both kinds`)
  const numbers = (digit: 1 | 2) => `generate_series(${digit}, ${(each - 1) * stride + digit}, ${stride}) n`
  const both = `(SELECT * FROM ${numbers(1)} UNION ALL SELECT * FROM ${numbers(2)}) AS b (n)`
  const digest = digestOf(shape, "n")
  const onDatabase = <A>(work: (connection: Connection) => Promise<A>) => withConnection(url, work)
  const expected = await onDatabase((connection) => sumUp(connection, digest, `FROM ${numbers(1)}`))
  return {
    expected,
    make: () =>
      onDatabase(async (connection) => {
        await connection.query(
          `INSERT INTO local_files (path, digest, created_at)
           SELECT 'second-' || n, ${digest}, '2026-01-01' FROM ${numbers(2)}`
        )
        await connection.query(
          `DELETE FROM artifacts WHERE repository = 'bench' AND name = ANY(ARRAY(SELECT 'name-' || n FROM ${both}))`
        )
        const [queue] = await connection.query("SELECT count(*)::int AS n FROM artifact_gc.candidates")
        ensure(queue?.n === 2 * each, `${queue?.n} losses were recorded of ${2 * each}`)
        await connection.query("CHECKPOINT")
      }),
    reverse: () =>
      onDatabase(async (connection) => {
        await connection.query(
          `INSERT INTO artifacts (repository, name, digest, created_at)
           SELECT 'bench', 'name-' || n, ${digest}, '2026-01-01' FROM ${both}`
        )
        await connection.query("DELETE FROM local_files WHERE path LIKE 'second-%'")
        await connection.query("DELETE FROM artifact_gc.orphans")
        await connection.query("DELETE FROM artifact_gc.candidates")
        // Without this, the index-only scans of the next pass would read the heap.
        await connection.query(
          "VACUUM (ANALYZE) artifacts, local_files, artifact_gc.orphans, artifact_gc.candidates"
        )
        await connection.query("CHECKPOINT")
      }),
    verify: (variant) =>
      onDatabase(async (connection) => {
        const sighted = await sumUp(connection, "digest", "FROM artifact_gc.orphans")
        ensureSame(`${variant} sighted`, sighted, expected)
        const [queue] = await connection.query("SELECT count(*)::int AS n FROM artifact_gc.candidates")
        ensure(queue?.n === 0, `${variant} left ${queue?.n} candidates`)
      })
  }
}

/** Returns the orphans of the catalogue, computed from their numbers and not from references. */
export const orphansOf = (url: string, shape: BigShape): Promise<Found> =>
  withConnection(url, (connection) =>
    sumUp(
      connection,
      digestOf(shape, "n"),
      `FROM generate_series(1, ${shape.blobs}) n WHERE n % ${shape.orphanEvery ?? "NULL"} = 0`
    )
  )

/** Fails with NoFigures unless `found` is as expected. `what` is a subject with a verb. */
export const ensureSame = (what: string, found: Found, expected: Found): void =>
  ensure(
    found.count === expected.count && found.checksum === expected.checksum,
    `${what} ${found.count} blobs, which are not exactly the ${expected.count} expected`
  )

const sumUp = async (connection: Connection, digest: string, from: string): Promise<Found> => {
  const [row] = await connection.query(
    `SELECT count(*)::int AS count, ${checksumSql("digest")} AS checksum FROM (SELECT ${digest} AS digest ${from}) d`
  )
  return { count: Number(row?.count), checksum: Number(row?.checksum) }
}
