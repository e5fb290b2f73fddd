/**
 * Runs the contenders of a sweep, each in a process of its own on a fresh data set, and verifies what they left: on the
 * store that the servers are, or beside a stand-in for it.
 */
import { type Effort, measure } from "../harness/Contender.ts"
import type { Dataset } from "../harness/Dataset.ts"
import { type Bench, insist } from "../harness/Question.ts"
import type { S3Server } from "../harness/Servers.ts"
import * as StandIn from "../harness/StandIn.ts"
import type { BaselineOutcome, BaselineTask } from "./Baseline.ts"
import type { Outcome, Task } from "./Task.ts"

const contenders = {
  floor: new URL("./Floor.js", import.meta.url),
  sweep: new URL("./Collector.js", import.meta.url),
  baseline: new URL("./Baseline.js", import.meta.url)
}

/** The collector's defaults (GC_SCAN_PAGE, GC_BATCH, GC_DELETE_CONCURRENCY). */
export const defaults = { scanPage: 10_000, batch: 1000, concurrency: 8, maxDeletes: 1_000_000 }

/** Floor and sweep, once each under the same conditions. */
export interface Pair {
  readonly floor: Effort<Outcome>
  readonly sweep: Effort<Outcome>
}

export interface Trio extends Pair {
  readonly baseline: Effort<BaselineOutcome>
}

export type Settings = Pick<Task, "scanPage" | "batch" | "concurrency" | "maxDeletes" | "records">

export const settingsFor = ({ shape }: Dataset): Settings => ({
  ...defaults,
  maxDeletes: Math.max(defaults.maxDeletes, shape.orphans + 1),
  records: false
})

/** Where the objects are: what a contender is told, and how what it left is verified. */
interface Objects {
  readonly databaseUrl: string
  readonly s3: S3Server
  readonly verify: (who: string) => Promise<void>
  readonly verifySample: (who: string, gone: ReadonlySet<string>) => Promise<void>
}

/** Gives `work` a fresh data set. */
export type Place = <A>(bench: Bench, dataset: Dataset, work: (objects: Objects) => Promise<A>) => Promise<A>

export const onStore: Place = async ({ servers: { s3 } }, dataset, work) => {
  const { verify, verifySample } = dataset
  return work({ databaseUrl: await dataset.fresh(), s3, verify, verifySample })
}

/** Beside a stand-in that answers each request after so many milliseconds; 0 is at once. */
export const besideStandIn =
  (latencyMillis: number): Place =>
  async ({ servers }, dataset, work) => {
    const standIn = await StandIn.start(servers.s3, { latencyMillis })
    try {
      return await work({
        databaseUrl: await dataset.freshRows(),
        s3: standIn.place,
        verify: (who) => dataset.verifyBeside(who, standIn.deleted),
        verifySample: (who, gone) => dataset.verifySampleBeside(who, gone, standIn.deleted)
      })
    } finally {
      standIn.close()
    }
  }

/** Runs floor or sweep on a fresh data set and verifies what it left. */
export const perform = (bench: Bench, dataset: Dataset, who: keyof Pair, settings: Settings, place: Place) =>
  place(bench, dataset, async ({ databaseUrl, s3, verify }) => {
    const task: Task = { ...settings, databaseUrl, s3, prefix: dataset.prefix }
    const effort = await measure<Outcome>(contenders[who], task, bench.nodeOptions)
    const { orphans } = dataset.shape
    const { deleted } = effort.outcome
    insist(deleted === orphans, `${who} says it deleted ${deleted} of ${orphans} orphans`)
    await verify(who)
    return effort
  })

export const performBaseline = (
  bench: Bench,
  dataset: Dataset,
  settings: Settings & { readonly sample: number },
  place: Place
) =>
  place(bench, dataset, async ({ databaseUrl, s3, verifySample }) => {
    const task: BaselineTask = { ...settings, databaseUrl, s3, prefix: dataset.prefix }
    const effort = await measure<BaselineOutcome>(contenders.baseline, task)
    const { found, digests } = effort.outcome
    insist(found === dataset.shape.orphans, `baseline found ${found} of ${dataset.shape.orphans} orphans`)
    insist(digests.length === settings.sample, `baseline deleted ${digests.length} of ${settings.sample}`)
    await verifySample("baseline", new Set(digests))
    return effort
  })
