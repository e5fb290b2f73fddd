/** Measures the variants of a purge, each in its own process on fresh rows, and verifies what they left. */

import type { Dataset } from "../harness/Dataset.ts"
import { type Connection, withConnection } from "../harness/Postgres.ts"
import { type Bench, ensure } from "../harness/Question.ts"
import { type Measurement, measure } from "../harness/Variant.ts"
import { condemned, deleteEach } from "./OneByOne.ts"
import type { Outcome, Task } from "./Task.ts"

const files = {
  floor: new URL("./Floor.js", import.meta.url),
  purge: new URL("./Collector.js", import.meta.url),
  baseline: new URL("./Baseline.js", import.meta.url)
}
/** Names a variant. */
export type Variant = keyof typeof files
/** Lists the variants. */
export const variants: ReadonlyArray<Variant> = ["floor", "purge", "baseline"]

/** The settings of all variants. */
export type Settings = Omit<Task, "databaseUrl">

/** What a purge took. */
export interface PurgeMeasurement {
  readonly measurement: Measurement<Outcome>
  /** Bytes of write-ahead log for all rows that a purge deletes. */
  readonly walBytes: number
}

/** Measures a variant and verifies what it left. */
export const measureVariant = async (
  bench: Bench,
  dataset: Dataset,
  variant: Variant,
  settings: Settings
): Promise<PurgeMeasurement> => {
  const databaseUrl = await dataset.freshRows()
  return withConnection(databaseUrl, async (connection) => {
    // Autovacuum would run during some variants only, and its log would be counted.
    for (const table of ["blobs", "artifact_gc.orphans", "artifact_gc.journal"]) {
      await connection.query(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`)
    }
    const before = await walPosition(connection)
    const task: Task = { ...settings, databaseUrl }
    const measurement = await measure<Outcome>(files[variant], task, bench.nodeOptions)
    const { purged } = measurement.outcome
    if (variant === "baseline") {
      ensure(purged === settings.sample, `${variant} deleted ${purged} rows of ${settings.sample}`)
      await dataset.verifyRowsGone(variant, (await condemned(connection)).slice(0, settings.sample))
      await deleteRest(connection, settings.sample)
    }
    const walBytes = (await walPosition(connection)) - before
    if (variant === "baseline") {
      await dataset.verifyRows(variant)
    } else {
      const { orphans } = dataset.shape
      ensure(purged === orphans, `${variant} purged ${purged} of ${orphans} orphans`)
      await dataset.verifyRows(variant)
      await dataset.verifySettled(variant)
    }
    return { measurement, walBytes }
  })
}

/**
 * Deletes the other rows in the same way, without waiting for the disk. The log of a sample cannot be
 * extrapolated, because the first change of a page after a checkpoint writes the whole page.
 */
const deleteRest = async (connection: Connection, sample: number) => {
  await connection.query("SET synchronous_commit = off")
  const rest = (await condemned(connection)).slice(sample)
  const deleted = await deleteEach(connection, rest)
  ensure(deleted === rest.length, `the rest of the baseline deleted ${deleted} rows of ${rest.length}`)
}

/** Returns the insert position of the server's log in bytes. */
const walPosition = async (connection: Connection): Promise<number> => {
  const [row] = await connection.query(
    "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 AS bytes"
  )
  return Number(row?.bytes)
}
