/** Runs those who purge, each in a process of its own on fresh rows, and verifies what they left. */
import { type Effort, measure } from "../harness/Contender.ts"
import type { Dataset } from "../harness/Dataset.ts"
import { type Connection, withConnection } from "../harness/Postgres.ts"
import { type Bench, insist } from "../harness/Question.ts"
import { condemned, deleteEach } from "./OneByOne.ts"
import type { Outcome, Task } from "./Task.ts"

const files = {
  floor: new URL("./Floor.js", import.meta.url),
  purge: new URL("./Collector.js", import.meta.url),
  baseline: new URL("./Baseline.js", import.meta.url)
}
export type Contender = keyof typeof files
export const contenders: ReadonlyArray<Contender> = ["floor", "purge", "baseline"]

export type Settings = Omit<Task, "databaseUrl">

export interface Performance {
  readonly effort: Effort<Outcome>
  /** Of write-ahead log, by all rows of the data set that a purge is to take away. */
  readonly walBytes: number
}

export const perform = async (
  bench: Bench,
  dataset: Dataset,
  who: Contender,
  settings: Settings
): Promise<Performance> => {
  const databaseUrl = await dataset.freshRows()
  return withConnection(databaseUrl, async (connection) => {
    // It would come to one contender and not to the next, and what it writes is nobody's.
    for (const table of ["blobs", "artifact_gc.orphans", "artifact_gc.journal"]) {
      await connection.query(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`)
    }
    const before = await walPosition(connection)
    const task: Task = { ...settings, databaseUrl }
    const effort = await measure<Outcome>(files[who], task, bench.nodeOptions)
    const { purged } = effort.outcome
    if (who === "baseline") {
      insist(purged === settings.sample, `${who} deleted ${purged} rows of ${settings.sample}`)
      await dataset.verifyRowsGone(who, (await condemned(connection)).slice(0, settings.sample))
      await deleteRest(connection, settings.sample)
    }
    const walBytes = (await walPosition(connection)) - before
    if (who === "baseline") {
      await dataset.verifyRows(who)
    } else {
      const { orphans } = dataset.shape
      insist(purged === orphans, `${who} purged ${purged} of ${orphans} orphans`)
      await dataset.verifyRows(who)
      await dataset.verifySettled(who)
    }
    return { effort, walBytes }
  })
}

/**
 * What a sample writes cannot be extrapolated: the first change of a page after a checkpoint writes the whole page. So the
 * others go in the same way, and quickly, because nobody waits for the disk.
 */
const deleteRest = async (connection: Connection, sample: number) => {
  await connection.query("SET synchronous_commit = off")
  const rest = (await condemned(connection)).slice(sample)
  const deleted = await deleteEach(connection, rest)
  insist(deleted === rest.length, `the rest of the baseline deleted ${deleted} rows of ${rest.length}`)
}

/** How far the server's log reaches, on disk or not yet, in bytes. */
const walPosition = async (connection: Connection): Promise<number> => {
  const [row] = await connection.query(
    "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 AS bytes"
  )
  return Number(row?.bytes)
}
