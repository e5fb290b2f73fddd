/** Measures the variants that find orphans, each in its own process, and verifies what they found. */
import { type BigShape, create, watch } from "../harness/BigCatalogue.ts"
import { withConnection } from "../harness/Postgres.ts"
import { type Bench, ensure } from "../harness/Question.ts"
import { type Measurement, measure } from "../harness/Variant.ts"
import { ensureSame, type Losses, orphansOf, plan } from "./Losses.ts"
import type { Found, Pass, Review, Task } from "./Task.ts"

const passFiles = {
  floor: new URL("./Floor.js", import.meta.url),
  find: new URL("./Collector.js", import.meta.url),
  baseline: new URL("./Baseline.js", import.meta.url)
}
const reviewFiles = {
  floor: new URL("./ReviewFloor.js", import.meta.url),
  find: new URL("./Reviewer.js", import.meta.url)
}
/** Names a variant of a pass. */
export type PassVariant = keyof typeof passFiles
/** Names a variant of a review. */
export type ReviewVariant = keyof typeof reviewFiles
/** Lists the variants of a pass. */
export const passVariants: ReadonlyArray<PassVariant> = ["floor", "find", "baseline"]
/** Lists the variants of a review. */
export const reviewVariants: ReadonlyArray<ReviewVariant> = ["floor", "find"]

/** A catalogue whose references are watched, and the orphans that must be found in it. */
export interface Catalogue {
  readonly url: string
  readonly orphans: Found
  readonly losses: Losses
  /** Drops the database. */
  readonly drop: () => Promise<void>
}

/** Makes a catalogue. `lost` of its blobs will lose their last reference, and equally many one of two. */
export const load = async (bench: Bench, name: string, shape: BigShape, lost: number): Promise<Catalogue> => {
  const drop = () =>
    withConnection(bench.servers.databaseUrl, async (connection) => {
      await connection.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    })
  try {
    const url = await create(bench.servers.databaseUrl, name, shape)
    await watch(url, true)
    const orphans = await orphansOf(url, shape)
    ensure(orphans.count > 0, "a catalogue without orphans measures nothing")
    return { url, orphans, losses: await plan(url, shape, lost), drop }
  } catch (error) {
    await drop()
    throw error
  }
}

/** The settings of all variants. */
export type Settings = Omit<Task, "databaseUrl">

/** Measures a pass over the whole catalogue, which changes nothing. */
export const pass = async (
  bench: Bench,
  { url, orphans }: Pick<Catalogue, "url" | "orphans">,
  variant: PassVariant,
  settings: Settings
): Promise<Measurement<Pass>> => {
  const task: Task = { ...settings, databaseUrl: url }
  const measurement = await measure<Pass>(passFiles[variant], task, bench.nodeOptions)
  ensureSame(`${variant} found`, measurement.outcome.found, orphans)
  return measurement
}

/** Measures a review of the candidates. Restores the catalogue afterwards. */
export const review = async (
  bench: Bench,
  { url, losses }: Pick<Catalogue, "url" | "losses">,
  variant: ReviewVariant,
  settings: Settings
): Promise<Measurement<Review>> => {
  await losses.make()
  const task: Task = { ...settings, databaseUrl: url }
  const measurement = await measure<Review>(reviewFiles[variant], task, bench.nodeOptions)
  const { candidates, found } = measurement.outcome
  ensure(
    candidates === 2 * losses.expected.count,
    `${variant} reviewed ${candidates} candidates of ${2 * losses.expected.count}`
  )
  ensureSame(`${variant} answered`, found, losses.expected)
  await losses.verify(variant)
  await losses.reverse()
  return measurement
}
