/** Minutes of random work by processes that are killed at random, on servers that fail at random. */

import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import * as Postgres from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import type { Servers } from "../bench/harness/Servers.ts"
import * as FinalState from "./FinalState.ts"
import { layers, requestTimeoutMillis } from "./Layers.ts"
import type { Outcome } from "./Outcome.ts"
import * as Processes from "./Processes.ts"
import * as Rng from "./Rng.ts"
import * as S3Proxy from "./S3Proxy.ts"
import * as SqlProxy from "./SqlProxy.ts"

const writers = 4
const collectors = 3
/** Of a hundred requests to the store, those that a fault strikes. */
const s3FaultsPercent = 8
/** Of a thousand statements, those whose connection breaks. */
const sqlFaultsPermille = 4
/** From one kill to the next. Starting a process takes most of a second. */
const killMillis = { min: 400, max: 1600 }
/** Number of problems that the text lists. */
const problemsMax = 20

interface Options {
  readonly minutes: number
  readonly seed: string
  readonly log: (text: string) => void
}

type Counts = Record<string, number>

const add = (counts: Counts, what: string) => {
  counts[what] = (counts[what] ?? 0) + 1
}
const sum = (counts: Counts): number => Object.values(counts).reduce((a, b) => a + b, 0)

/** What happens during a run. */
interface Events {
  readonly faults: Counts
  readonly kills: Counts
  readonly work: Counts
  readonly lost: Array<string>
  readonly unexpected: Array<string>
  deleted: number
}

/** Runs the processes for some minutes, and then checks the final state. */
export const run = async (servers: Servers, { minutes, seed, log }: Options): Promise<Outcome> => {
  const rng = Rng.make(seed)
  const events: Events = { faults: {}, kills: {}, work: {}, lost: [], unexpected: [], deleted: 0 }
  const { faults, kills, lost } = events
  await Effect.runPromise(
    Effect.provide(
      Effect.orDie(Postgres.migrate(defaultNames, { createCatalog: "artifacts" })),
      layers(servers)
    )
  )
  const proxies = await startProxies(servers, rng, faults)
  const processes = startProcesses(proxies.env, seed, events)

  const until = performance.now() + minutes * 60_000
  while (performance.now() < until && lost.length === 0) {
    await sleep(killMillis.min + rng.below(killMillis.max - killMillis.min))
    const process = processes[rng.below(processes.length)]
    // Most processes do some work before they are killed; one in five need not.
    if (process === undefined || !(process.hasPrinted() || rng.below(5) === 0)) continue
    process.kill()
    add(kills, process.name)
    const secondsLeft = Math.round((until - performance.now()) / 1000)
    log(`${secondsLeft} s left, ${sum(kills)} kills, ${sum(faults)} faults`)
  }

  proxies.stopFaults()
  await Promise.all(processes.map((process) => process.end()))
  const late = await proxies.release()
  await proxies.close()
  const [isSettled, state] = await Effect.runPromise(
    Effect.provide(Effect.zip(FinalState.sweepUntilDone, FinalState.read), FinalState.services(servers))
  )
  return outcomeOf({ minutes, seed, late, isSettled }, events, state)
}

/** Starts the proxies, which let requests fail until `stopFaults`. */
const startProxies = async (servers: Servers, rng: Rng.Rng, faults: Counts) => {
  let isFaulty = true
  const s3 = await S3Proxy.start(
    servers.s3.endpoint,
    { before: () => (isFaulty ? s3Fault(rng, faults) : null), after: () => undefined },
    () => requestTimeoutMillis + rng.below(4 * requestTimeoutMillis)
  )
  const sql = await SqlProxy.start(servers.databaseUrl, {
    before: () => (isFaulty ? sqlFault(rng, faults) : null),
    after: () => undefined
  })
  return {
    env: { REAL_DATABASE_URL: sql.url, REAL_S3_ENDPOINT: s3.endpoint },
    stopFaults: () => {
      isFaulty = false
    },
    release: s3.release,
    close: () => Promise.all([s3.close(), sql.close()])
  }
}

const startProcesses = (
  env: Readonly<Record<string, string>>,
  seed: string,
  events: Events
): ReadonlyArray<Processes.Process> => {
  const onLine = (line: string) => {
    const event = JSON.parse(line) as Record<string, string>
    if (event.lost !== undefined) events.lost.push(event.lost)
    else if (event.unexpected !== undefined) events.unexpected.push(event.unexpected)
    else add(events.work, `${event.did}: ${event.outcome ?? event.failed}`)
    events.deleted += Number(event.deleted ?? 0)
  }
  const start = (name: string, number: number, ...command: ReadonlyArray<string>) =>
    Processes.start({
      name,
      command: [process.execPath, ...command],
      env,
      onLine,
      onUnexpectedEnd: (code, stderr) =>
        void events.unexpected.push(`${name} ${number} ended with ${code}: ${stderr}`)
    })
  return [
    ...Array.from({ length: writers }, (_, n) =>
      start("writer", n, programPath("Writer.js"), `writer-${n}`, seed)
    ),
    ...Array.from({ length: collectors }, (_, n) => start("collector", n, programPath("Collector.js")))
  ]
}

const programPath = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const outcomeOf = (
  run: {
    readonly minutes: number
    readonly seed: string
    /** Number of requests that were still held back at the end. */
    readonly late: number
    readonly isSettled: boolean
  },
  { faults, kills, work, lost, unexpected, deleted }: Events,
  state: FinalState.FinalState
): Outcome => {
  const { minutes, seed, late, isSettled } = run
  const problems = [
    ...lost,
    ...state.lost,
    ...state.leaked.map((what) => `leaked: ${what}`),
    ...unexpected,
    ...(isSettled ? [] : ["sweeps did not come to an end"]),
    ...(sum(work) > 0 && (work["push: uploaded"] ?? 0) > 0 && deleted > 0
      ? []
      : ["no blob was uploaded or no object was deleted, so the run shows nothing"])
  ]
  const result = {
    minutes,
    seed,
    kills,
    faults,
    late,
    work,
    deleted,
    ...state,
    lost: lost.length + state.lost.length,
    leaked: state.leaked.length,
    problems
  }
  return {
    passed: problems.length === 0 ? 1 : 0,
    failed: problems.length === 0 ? 0 : 1,
    skipped: 0,
    result,
    text: [
      `${minutes} minutes, seed ${seed}: ${sum(kills)} kills, ${sum(faults)} faults, ${sum(work)} operations`,
      `  kills   ${listed(kills)}`,
      `  faults  ${listed(faults)}; ${late} requests still held back at the end`,
      `  work    ${listed(work)}; ${deleted} objects deleted`,
      `  left    ${state.references} references to ${state.blobs} blobs, ${state.objects} objects; all read back`,
      `  lost: ${result.lost}, leaked: ${result.leaked}`,
      ...problems.slice(0, problemsMax).map((problem) => `  PROBLEM ${problem}`)
    ].join("\n")
  }
}

const listed = (counts: Counts): string =>
  Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([what, n]) => `${n} ${what}`)
    .join(", ")

const s3Fault = (rng: Rng.Rng, faults: Counts): S3Proxy.S3Fault | null => {
  if (rng.below(100) >= s3FaultsPercent) return null
  const fault = rng.pick(["refuse", "lose", "slow down", "hold", "hold"] as const)
  add(faults, `store: ${fault}`)
  return fault
}

const sqlFault = (rng: Rng.Rng, faults: Counts): SqlProxy.SqlFault | null => {
  if (rng.below(1000) >= sqlFaultsPermille) return null
  const fault = rng.pick(["refuse", "lose"] as const)
  add(faults, `database: ${fault}`)
  return fault
}
