/** One window: the same load on the same data, with a sweep beside it or without, and what became of either verified. */
import { cpus } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { Effect, Redacted } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import { type Contender, start } from "../harness/Contender.ts"
import type { Dataset } from "../harness/Dataset.ts"
import { withConnection } from "../harness/Postgres.ts"
import { type Bench, insist } from "../harness/Question.ts"
import * as StandIn from "../harness/StandIn.ts"
import { settingsFor } from "../sweep/Contest.ts"
import * as Replica from "../upload/Replica.ts"
import type { LoadOutcome, LoadTask } from "./Load.ts"
import type { SweeperOutcome, SweeperTask } from "./Sweeper.ts"
import { verifyPushes, verifyReferences } from "./Verify.ts"

/** What goes on beside the load. */
export interface Beside {
  readonly sweeps: boolean
  readonly keysPerSecond: number | null
  /** GC_BATCH. */
  readonly batch: number
}

export type Load = Pick<LoadTask, "seed" | "seconds" | "referencesPerSecond" | "pushesPerSecond">

export interface Window {
  readonly references: ReadonlyArray<number>
  readonly pushes: ReadonlyArray<number>
  /** How much of the processors was in use, by whomever, as a share. */
  readonly busy: number
  /** Null where nobody swept. */
  readonly sweep: {
    readonly keysPerSecond: number
    /** Cores that its process used; of the database's and the store's work it has more. */
    readonly cores: number
  } | null
}

export const measureWindow = async (
  bench: Bench,
  dataset: Dataset,
  load: Load,
  beside: Beside
): Promise<Window> => {
  const databaseUrl = await dataset.freshRows()
  await addRegistry(databaseUrl)
  const store = await StandIn.start(bench.servers.s3)
  const replica = await Replica.start(databaseUrl, store.place)
  try {
    const task: LoadTask = { ...load, databaseUrl, registryUrl: replica.url }
    const loading = await start<LoadOutcome>(new URL("./Load.js", import.meta.url), task, bench.nodeOptions)
    try {
      const sweeping = beside.sweeps ? await sweepBeside(bench, dataset, databaseUrl, store, beside) : null
      try {
        const window = await watch(loading, sweeping, store, dataset.shape.orphans, load.seconds)
        sweeping?.stop()
        const swept = await sweeping?.effort
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
  const adding = RegistryPostgres.migrate(defaultNames, { createCatalog: true, registry: true })
  return Effect.runPromise(Effect.provide(adding, client))
}

/** Starts a sweep and answers when it has begun to delete: scanning the catalogue is no part of what is asked. */
const sweepBeside = async (
  bench: Bench,
  dataset: Dataset,
  databaseUrl: string,
  store: StandIn.StandIn,
  { keysPerSecond, batch }: Beside
): Promise<Contender<SweeperOutcome>> => {
  const settings = settingsFor(dataset)
  const task: SweeperTask = {
    ...settings,
    batch,
    databaseUrl,
    s3: store.place,
    prefix: dataset.prefix,
    keysPerSecond
  }
  const file = new URL("./Sweeper.js", import.meta.url)
  const sweeping = await start<SweeperOutcome>(file, task, bench.nodeOptions)
  sweeping.begin()
  const ended = sweeping.effort.then(() => true)
  while (store.keysDeleted() === 0) {
    const isOver = await Promise.race([ended, sleep(20, false)])
    insist(!isOver, "the sweep ended before it deleted anything")
  }
  return sweeping
}

/** Runs the load to its end, and says what else went on from its first instant to its last. */
const watch = async (
  loading: Contender<LoadOutcome>,
  sweeping: Contender<SweeperOutcome> | null,
  store: StandIn.StandIn,
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
  const inTheMiddle = sleep((seconds * 1000) / 2).then(() => store.keysDeleted())
  const { outcome } = await loading.effort
  const middle = await inTheMiddle
  const after = read()
  const keys = after.keys - before.keys
  if (sweeping === null) {
    insist(keys === 0, `${keys} keys were deleted while nobody swept`)
  } else {
    insist(
      before.keys < middle && middle < after.keys && after.keys < orphans,
      `the sweep deleted ${middle - before.keys} and ${after.keys - middle} keys in the halves of a window and had ${orphans - after.keys} left, so it did not last; more --orphans, or fewer --seconds`
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

/** Nothing of the load was lost, and of the data set exactly what the sweep says it deleted. */
const verify = async (
  databaseUrl: string,
  dataset: Dataset,
  store: StandIn.StandIn,
  registryUrl: string,
  load: LoadOutcome,
  deleted: number
): Promise<void> => {
  insist(
    store.keysDeleted() === deleted && store.deleted.size === deleted,
    `the store was told ${store.keysDeleted()} keys, of which the sweep knows ${deleted}`
  )
  await dataset.verifyPart("the sweep", store.deleted)
  await withConnection(databaseUrl, (connection) => verifyReferences(connection, load))
  await verifyPushes(registryUrl, load)
}
