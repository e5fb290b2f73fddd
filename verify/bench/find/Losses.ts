/**
 * Losses of references, and taking them back: of some blobs the last reference goes, and of as many others one of two.
 * They lie evenly over the catalogue and are none of its orphans.
 */
import { type BigShape, digestOf } from "../harness/BigCatalogue.ts"
import { type Connection, withConnection } from "../harness/Postgres.ts"
import { insist } from "../harness/Question.ts"
import { checksumSql, type Found } from "./Task.ts"

export interface Losses {
  /** Those that have no reference left, as they must be found. */
  readonly expected: Found
  /** Makes them, and the triggers note them. Right after a checkpoint. */
  readonly lose: () => Promise<void>
  /** Everything as it was before, also what triggers and a review made of it. */
  readonly takeBack: () => Promise<void>
  /** That exactly those without a reference are sighted, and nothing is left to be reviewed. Ends the run otherwise. */
  readonly verify: (who: string) => Promise<void>
}

/** `each` blobs of either kind. References must be watched. */
export const plan = async (url: string, shape: BigShape, each: number): Promise<Losses> => {
  // Numbers that end in 1 lose their only reference, those in 2 one of two: artifacts all of them.
  const stride = Math.floor(shape.blobs / each / 10) * 10
  insist(each > 0 && stride > 0, `${shape.blobs} blobs are too few for ${each} of either kind`)
  const numbers = (digit: 1 | 2) => `generate_series(${digit}, ${(each - 1) * stride + digit}, ${stride}) n`
  const both = `(SELECT * FROM ${numbers(1)} UNION ALL SELECT * FROM ${numbers(2)}) AS b (n)`
  const digest = digestOf(shape, "n")
  const onDatabase = <A>(work: (connection: Connection) => Promise<A>) => withConnection(url, work)
  const expected = await onDatabase((connection) => sumUp(connection, digest, `FROM ${numbers(1)}`))
  return {
    expected,
    lose: () =>
      onDatabase(async (connection) => {
        await connection.query(
          `INSERT INTO local_files (path, digest, created_at)
           SELECT 'second-' || n, ${digest}, '2026-01-01' FROM ${numbers(2)}`
        )
        await connection.query(
          `DELETE FROM artifacts WHERE repository = 'bench' AND name = ANY(ARRAY(SELECT 'name-' || n FROM ${both}))`
        )
        const [queue] = await connection.query("SELECT count(*)::int AS n FROM artifact_gc.candidates")
        insist(queue?.n === 2 * each, `${queue?.n} losses were noted of ${2 * each}`)
        await connection.query("CHECKPOINT")
      }),
    takeBack: () =>
      onDatabase(async (connection) => {
        await connection.query(
          `INSERT INTO artifacts (repository, name, digest, created_at)
           SELECT 'bench', 'name-' || n, ${digest}, '2026-01-01' FROM ${both}`
        )
        await connection.query("DELETE FROM local_files WHERE path LIKE 'second-%'")
        await connection.query("DELETE FROM artifact_gc.orphans")
        await connection.query("DELETE FROM artifact_gc.candidates")
        // A pass that comes next shall find pages as the first one did, or its index-only scans are none.
        await connection.query(
          "VACUUM (ANALYZE) artifacts, local_files, artifact_gc.orphans, artifact_gc.candidates"
        )
        await connection.query("CHECKPOINT")
      }),
    verify: (who) =>
      onDatabase(async (connection) => {
        const sighted = await sumUp(connection, "digest", "FROM artifact_gc.orphans")
        insistSame(`${who} sighted`, sighted, expected)
        const [queue] = await connection.query("SELECT count(*)::int AS n FROM artifact_gc.candidates")
        insist(queue?.n === 0, `${who} left ${queue?.n} candidates`)
      })
  }
}

/** Every orphan of the catalogue, from their numbers and not from what refers to what. */
export const orphansOf = (url: string, shape: BigShape): Promise<Found> =>
  withConnection(url, (connection) =>
    sumUp(
      connection,
      digestOf(shape, "n"),
      `FROM generate_series(1, ${shape.blobs}) n WHERE n % ${shape.orphanEvery ?? "NULL"} = 0`
    )
  )

/** Ends the run unless `found` is exactly what was expected. `who` with a verb. */
export const insistSame = (who: string, found: Found, expected: Found): void =>
  insist(
    found.count === expected.count && found.checksum === expected.checksum,
    `${who} ${found.count} blobs, which are not exactly the ${expected.count} expected`
  )

const sumUp = async (connection: Connection, digest: string, from: string): Promise<Found> => {
  const [row] = await connection.query(
    `SELECT count(*)::int AS count, ${checksumSql("digest")} AS checksum FROM (SELECT ${digest} AS digest ${from}) d`
  )
  return { count: Number(row?.count), checksum: Number(row?.checksum) }
}
