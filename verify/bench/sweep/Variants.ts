/**
 * Measures the variants of a sweep, each in its own process on a fresh data set, and verifies what they left.
 * The store is the real one or a fake one.
 */

import type { Dataset } from "../harness/Dataset.ts"
import * as FakeStore from "../harness/FakeStore.ts"
import { type Bench, ensure } from "../harness/Question.ts"
import type { S3Server } from "../harness/Servers.ts"
import { type Measurement, measure } from "../harness/Variant.ts"
import type { BaselineOutcome, BaselineTask } from "./Baseline.ts"
import type { Outcome, Task } from "./Task.ts"

const files = {
  floor: new URL("./Floor.js", import.meta.url),
  sweep: new URL("./Collector.js", import.meta.url),
  baseline: new URL("./Baseline.js", import.meta.url)
}

/** The collector's defaults (GC_SCAN_PAGE, GC_BATCH, GC_DELETE_CONCURRENCY). */
export const defaults = { scanPage: 10_000, batch: 1000, concurrency: 8, maxDeletes: 1_000_000 }

/** Measurements of floor and sweep under the same conditions. */
export interface Pair {
  readonly floor: Measurement<Outcome>
  readonly sweep: Measurement<Outcome>
}

/** Measurements of all three variants. */
export interface PairWithBaseline extends Pair {
  readonly baseline: Measurement<BaselineOutcome>
}

/** The settings of all variants. */
export type Settings = Pick<Task, "scanPage" | "batch" | "concurrency" | "maxDeletes" | "records">

/** Returns the default settings, with a limit on deletes that the data set does not reach. */
export const settingsFor = ({ shape }: Dataset): Settings => ({
  ...defaults,
  maxDeletes: Math.max(defaults.maxDeletes, shape.orphans + 1),
  records: false
})

/** A fresh copy of a data set, and how to verify what a variant left of it. */
interface FreshCopy {
  readonly databaseUrl: string
  readonly s3: S3Server
  readonly verify: (variant: string) => Promise<void>
  readonly verifySample: (variant: string, gone: ReadonlySet<string>) => Promise<void>
}

/** Runs `work` on a fresh copy of the data set. */
export type Setup = <A>(bench: Bench, dataset: Dataset, work: (copy: FreshCopy) => Promise<A>) => Promise<A>

/** Uses the real store. */
export const onRealStore: Setup = async ({ servers: { s3 } }, dataset, work) => {
  const { verify, verifySample } = dataset
  return work({ databaseUrl: await dataset.fresh(), s3, verify, verifySample })
}

/** Uses a fake store that answers each request after `latencyMillis`. */
export const onFakeStore =
  (latencyMillis: number): Setup =>
  async ({ servers }, dataset, work) => {
    const store = await FakeStore.start(servers.s3, { latencyMillis })
    try {
      return await work({
        databaseUrl: await dataset.freshRows(),
        s3: store.s3,
        verify: (variant) => dataset.verifyOnFakeStore(variant, store.deleted),
        verifySample: (variant, gone) => dataset.verifySampleOnFakeStore(variant, gone, store.deleted)
      })
    } finally {
      store.close()
    }
  }

/** Measures floor or sweep and verifies what it left. */
export const measureVariant = (
  bench: Bench,
  dataset: Dataset,
  variant: keyof Pair,
  settings: Settings,
  setup: Setup
) =>
  setup(bench, dataset, async ({ databaseUrl, s3, verify }) => {
    const task: Task = { ...settings, databaseUrl, s3, prefix: dataset.prefix }
    const measurement = await measure<Outcome>(files[variant], task, bench.nodeOptions)
    const { orphans } = dataset.shape
    const { deleted } = measurement.outcome
    ensure(deleted === orphans, `${variant} reports that it deleted ${deleted} of ${orphans} orphans`)
    await verify(variant)
    return measurement
  })

/** Measures the baseline on a sample of the orphans and verifies what it left. */
export const measureBaseline = (
  bench: Bench,
  dataset: Dataset,
  settings: Settings & { readonly sample: number },
  setup: Setup
) =>
  setup(bench, dataset, async ({ databaseUrl, s3, verifySample }) => {
    const task: BaselineTask = { ...settings, databaseUrl, s3, prefix: dataset.prefix }
    const measurement = await measure<BaselineOutcome>(files.baseline, task)
    const { found, digests } = measurement.outcome
    ensure(found === dataset.shape.orphans, `baseline found ${found} of ${dataset.shape.orphans} orphans`)
    ensure(digests.length === settings.sample, `baseline deleted ${digests.length} of ${settings.sample}`)
    await verifySample("baseline", new Set(digests))
    return measurement
  })
