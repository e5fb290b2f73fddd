/** Runs those who find orphans, each in a process of its own, and verifies what they found. */
import { type BigShape, create, watch } from "../harness/BigCatalogue.ts"
import { type Effort, measure } from "../harness/Contender.ts"
import { withConnection } from "../harness/Postgres.ts"
import { type Bench, insist } from "../harness/Question.ts"
import { insistSame, type Losses, orphansOf, plan } from "./Losses.ts"
import type { Found, Pass, Review, Task } from "./Task.ts"

const passing = {
  floor: new URL("./Floor.js", import.meta.url),
  find: new URL("./Collector.js", import.meta.url),
  baseline: new URL("./Baseline.js", import.meta.url)
}
const reviewing = {
  floor: new URL("./ReviewFloor.js", import.meta.url),
  find: new URL("./Reviewer.js", import.meta.url)
}
export type Passing = keyof typeof passing
export type Reviewing = keyof typeof reviewing
export const passers: ReadonlyArray<Passing> = ["floor", "find", "baseline"]
export const reviewers: ReadonlyArray<Reviewing> = ["floor", "find"]

/** A catalogue whose references are watched, and what is to be found in it. */
export interface Catalogue {
  readonly url: string
  readonly orphans: Found
  readonly losses: Losses
  readonly drop: () => Promise<void>
}

/** `lost` blobs will lose their last reference, and as many one of two. */
export const load = async (bench: Bench, name: string, shape: BigShape, lost: number): Promise<Catalogue> => {
  const drop = () =>
    withConnection(bench.servers.databaseUrl, async (connection) => {
      await connection.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    })
  try {
    const url = await create(bench.servers.databaseUrl, name, shape)
    await watch(url, true)
    const orphans = await orphansOf(url, shape)
    insist(orphans.count > 0, "a catalogue without orphans measures nothing")
    return { url, orphans, losses: await plan(url, shape, lost), drop }
  } catch (error) {
    await drop()
    throw error
  }
}

export type Settings = Omit<Task, "databaseUrl">

/** A pass over everything, which changes nothing. */
export const pass = async (
  bench: Bench,
  { url, orphans }: Pick<Catalogue, "url" | "orphans">,
  who: Passing,
  settings: Settings
): Promise<Effort<Pass>> => {
  const task: Task = { ...settings, databaseUrl: url }
  const effort = await measure<Pass>(passing[who], task, bench.nodeOptions)
  insistSame(`${who} found`, effort.outcome.found, orphans)
  return effort
}

/** A review of what lost a reference. The catalogue is afterwards as it was before. */
export const review = async (
  bench: Bench,
  { url, losses }: Pick<Catalogue, "url" | "losses">,
  who: Reviewing,
  settings: Settings
): Promise<Effort<Review>> => {
  await losses.lose()
  const task: Task = { ...settings, databaseUrl: url }
  const effort = await measure<Review>(reviewing[who], task, bench.nodeOptions)
  const { candidates, found } = effort.outcome
  insist(
    candidates === 2 * losses.expected.count,
    `${who} reviewed ${candidates} candidates of ${2 * losses.expected.count}`
  )
  insistSame(`${who} answered`, found, losses.expected)
  await losses.verify(who)
  await losses.takeBack()
  return effort
}
