/** One window: the load on a fresh data set, with or without a sweep. Verifies the effects of both. */
import { cpus } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { Effect, Redacted } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import type { Dataset } from "../harness/Dataset.ts"
import * as FakeStore from "../harness/FakeStore.ts"
import { withConnection } from "../harness/Postgres.ts"
import { type Bench, ensure } from "../harness/Question.ts"
import { start, type VariantProcess } from "../harness/Variant.ts"
import { settingsFor } from "../sweep/Variants.ts"
import * as Replica from "../upload/Replica.ts"
import type { LoadOutcome, LoadTask } from "./Load.ts"
import type { SweeperOutcome, SweeperTask } from "./Sweeper.ts"
import { verifyPushes, verifyReferences } from "./Verify.ts"

/** Describes the sweep beside the load. */
export interface Condition {
  readonly sweeps: boolean
  /** GC_KEYS_PER_SECOND, or null for no ceiling. */
  readonly keysPerSecond: number | null
  /** GC_BATCH. */
  readonly batch: number
}

/** Describes the load. */
export type Load = Pick<LoadTask, "seed" | "seconds" | "referencesPerSecond" | "pushesPerSecond">

/** What was measured in a window. */
export interface Window {
  /** Latency of each reference in milliseconds. */
  readonly references: ReadonlyArray<number>
  /** Latency of each push in milliseconds. */
  readonly pushes: ReadonlyArray<number>
  /** Share of the processors in use, by all processes of the machine. */
  readonly busy: number
  /** Null without a sweep. */
  readonly sweep: {
    readonly keysPerSecond: number
    /** Cores that its process used, without its share of the work of the database and the store. */
    readonly cores: number
  } | null
}

/** Measures one window. */
export const measureWindow = async (
  bench: Bench,
  dataset: Dataset,
  load: Load,
  condition: Condition
): Promise<Window> => {
  const databaseUrl = await dataset.freshRows()
  await addRegistry(databaseUrl)
  const store = await FakeStore.start(bench.servers.s3)
  const replica = await Replica.start(databaseUrl, store.s3)
  try {
    const task: LoadTask = { ...load, databaseUrl, registryUrl: replica.url }
    const loading = await start<LoadOutcome>(new URL("./Load.js", import.meta.url), task, bench.nodeOptions)
    try {
      const sweeping = condition.sweeps
        ? await startSweep(bench, dataset, databaseUrl, store, condition)
        : null
      try {
        const window = await watch(loading, sweeping, store, dataset.shape.orphans, load.seconds)
        sweeping?.stop()
        const swept = await sweeping?.measurement
        await verify(databaseUrl, dataset, store, replica.url, window.load, swept?.outcome.deleted ?? 0)
        const { references, pushes } = window.load
        return { references, pushes, busy: window.busy, sweep: window.sweep }
      } finally {
        sweeping?.kill()
      }
    } finally {
      loading.kill()
    }
  } finally {
    await replica.stop()
    store.close()
  }
}

const addRegistry = (databaseUrl: string) => {
  const client = Postgres.layerClient({ url: Redacted.make(databaseUrl) })
  const adding = RegistryPostgres.migrate(defaultNames, { createCatalog: "artifacts", registry: true })
  return Effect.runPromise(Effect.provide(adding, client))
}

/** Starts a sweep. Returns when it has begun to delete, since scanning the catalogue is not measured. */
const startSweep = async (
  bench: Bench,
  dataset: Dataset,
  databaseUrl: string,
  store: FakeStore.FakeStore,
  { keysPerSecond, batch }: Condition
): Promise<VariantProcess<SweeperOutcome>> => {
  const settings = settingsFor(dataset)
  const task: SweeperTask = {
    ...settings,
    batch,
    databaseUrl,
    s3: store.s3,
    prefix: dataset.prefix,
    keysPerSecond
  }
  const file = new URL("./Sweeper.js", import.meta.url)
  const sweeping = await start<SweeperOutcome>(file, task, bench.nodeOptions)
  sweeping.begin()
  const ended = sweeping.measurement.then(() => true)
  while (store.keysDeleted() === 0) {
    const isOver = await Promise.race([ended, sleep(20, false)])
    ensure(!isOver, "the sweep ended before it deleted anything")
  }
  return sweeping
}

/** Runs the load to its end, and measures the sweep and the machine during it. */
const watch = async (
  loading: VariantProcess<LoadOutcome>,
  sweeping: VariantProcess<SweeperOutcome> | null,
  store: FakeStore.FakeStore,
  orphans: number,
  seconds: number
) => {
  const read = () => ({
    at: performance.now(),
    keys: store.keysDeleted(),
    sweeperMillis: sweeping?.cpuMillis() ?? 0,
    machine: machineMillis()
  })
  const before = read()
  loading.begin()
  const atHalfTime = sleep((seconds * 1000) / 2).then(() => store.keysDeleted())
  const { outcome } = await loading.measurement
  const middle = await atHalfTime
  const after = read()
  const keys = after.keys - before.keys
  if (sweeping === null) {
    ensure(keys === 0, `${keys} keys were deleted without a sweep`)
  } else {
    ensure(
      before.keys < middle && middle < after.keys && after.keys < orphans,
      `the sweep deleted ${middle - before.keys} and ${after.keys - middle} keys in the halves of a window and had ${orphans - after.keys} left, so it ended too early. Use more --orphans or fewer --seconds`
    )
  }
  const millis = after.at - before.at
  const total = after.machine.total - before.machine.total
  return {
    load: outcome,
    busy: 1 - (after.machine.idle - before.machine.idle) / total,
    sweep:
      sweeping === null
        ? null
        : {
            keysPerSecond: (keys * 1000) / millis,
            cores: (after.sweeperMillis - before.sweeperMillis) / millis
          }
  }
}

const machineMillis = () => {
  const times = cpus().map((cpu) => cpu.times)
  const sum = (of: (time: (typeof times)[number]) => number) => times.reduce((n, time) => n + of(time), 0)
  return {
    idle: sum(({ idle }) => idle),
    total: sum(({ idle, irq, nice, sys, user }) => idle + irq + nice + sys + user)
  }
}

/** Verifies that the load lost nothing, and that exactly what the sweep reports was deleted. */
const verify = async (
  databaseUrl: string,
  dataset: Dataset,
  store: FakeStore.FakeStore,
  registryUrl: string,
  load: LoadOutcome,
  deleted: number
): Promise<void> => {
  ensure(
    store.keysDeleted() === deleted && store.deleted.size === deleted,
    `the store received deletes of ${store.keysDeleted()} keys, and the sweep reports ${deleted}`
  )
  await dataset.verifyPart("the sweep", store.deleted)
  await withConnection(databaseUrl, (connection) => verifyReferences(connection, load))
  await verifyPushes(registryUrl, load)
}
