/**
 * The fault table: each scenario, with each of its steps, under each fault. The process is killed before or
 * after the step, the step fails, its answer is lost, or its effect is late. A step is a statement that
 * reaches PostgreSQL or a request that reaches the store.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect, type Layer, ManagedRuntime } from "effect"
import { SqlClient } from "effect/sql"
import * as Postgres from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import { createBucket } from "../../tools/servers/Bucket.ts"
import { urlOf, withConnection } from "../bench/harness/Postgres.ts"
import type { Servers } from "../bench/harness/Servers.ts"
import * as FinalState from "./FinalState.ts"
import type { Outcome } from "./Outcome.ts"
import * as S3Proxy from "./S3Proxy.ts"
import { type Scenario, scenarios, services } from "./Scenarios.ts"
import * as SqlProxy from "./SqlProxy.ts"

type Side = "store" | "database"

const faults = {
  store: ["killed before", "killed after", "refuse", "lose", "slow down", "hold"],
  database: ["killed before", "killed after", "refuse", "lose"]
} as const
type Fault = (typeof faults)[Side][number]

/** One case of the table. */
interface Case {
  readonly side: Side
  /** Number of the step on that side, from 0. */
  readonly step: number
  readonly fault: Fault
}

/** What the proxies do, and the steps that they have seen. */
interface TableState {
  current: Case | null
  /** Kills the process that runs the scenario. */
  kill: () => void
  hasStruck: boolean
  readonly seen: { store: Array<string>; database: number }
}

/** The result of one case. */
interface Row {
  readonly scenario: string
  readonly step: string
  readonly fault: string
  readonly hasStruck: boolean
  readonly problems: ReadonlyArray<string>
}

/** A bench that plays one case at a time, on a database and a bucket of its own. */
interface Bench {
  readonly own: Servers
  /** The same servers, reached through the proxies. */
  readonly behind: Servers
  readonly state: TableState
  /** Prepares cases and checks their final states, on connections without faults. */
  readonly runtime: ManagedRuntime.ManagedRuntime<Layer.Success<ReturnType<typeof services>>, unknown>
  /** Forwards the requests that the store's proxy holds. */
  readonly release: () => Promise<number>
  readonly close: () => Promise<void>
}

/** A scenario with its name. */
interface Story {
  readonly name: string
  readonly scenario: Scenario
}

interface Options {
  /** One case in `every` is played. */
  readonly every: number
  /** The first case that is played, below `every`. */
  readonly from: number
  /** Number of cases that are played at once. Each job beyond the first has a bucket `NAME-n` of its own. */
  readonly jobs: number
  readonly log: (text: string) => void
}

/** Runs every case, or one case in `every`. */
export const run = async (servers: Servers, { every, from, jobs, log }: Options): Promise<Outcome> => {
  const benches = await Promise.all(Array.from({ length: jobs }, (_, n) => startBench(servers, n)))
  const [first] = benches
  if (first === undefined) throw new Error("--jobs is below 1")
  const rows: Array<Row> = []
  let cases = 0
  for (const [name, scenario] of Object.entries(scenarios)) {
    const story: Story = { name, scenario }
    await clear(first)
    const steps = await countSteps(first, story)
    log(`${name}: ${steps.store.length} requests to the store, ${steps.database} statements`)
    const queue = casesOf(steps).filter(() => cases++ % every === from)
    const playQueue = async (bench: Bench) => {
      for (let one = queue.shift(); one !== undefined; one = queue.shift()) {
        const { hasStruck, problems } = await play(bench, story, one)
        const step = one.side === "store" ? (steps.store[one.step] ?? "?") : `statement ${one.step + 1}`
        rows.push({ scenario: name, step, fault: one.fault, hasStruck, problems })
        for (const problem of problems) log(`  ${step}, ${one.fault}: ${problem}`)
        await clear(bench)
      }
    }
    await Promise.all(benches.map(playQueue))
  }
  await Promise.all(benches.map(({ close }) => close()))
  return outcomeOf(cases, rows)
}

const startBench = async (servers: Servers, n: number): Promise<Bench> => {
  const name = `artifact_gc_torture_table_${n}`
  const bucket = n === 0 ? servers.s3.bucket : `${servers.s3.bucket}-${n}`
  const own: Servers = {
    databaseUrl: urlOf(servers.databaseUrl, name),
    s3: { ...servers.s3, bucket }
  }
  if (n > 0 && !(await createBucket(own.s3))) throw new Error(`the bucket ${bucket} could not be created`)
  await createDatabase(servers, name)
  const runtime = ManagedRuntime.make(services(own))
  await runtime.runPromise(Postgres.migrate(defaultNames, { createCatalog: "artifacts" }))
  const state: TableState = {
    current: null,
    kill: () => undefined,
    hasStruck: false,
    seen: { store: [], database: 0 }
  }
  const proxies = await startProxies(own, state)
  const close = async () => {
    await proxies.close()
    await runtime.dispose()
  }
  return { own, behind: proxies.servers, state, runtime, release: proxies.release, close }
}

const createDatabase = ({ databaseUrl }: Servers, name: string) =>
  withConnection(databaseUrl, async ({ query }) => {
    await query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await query(`CREATE DATABASE ${name}`)
  })

/** Starts the proxies, which count the steps and apply the fault of the present case. */
const startProxies = async (own: Servers, state: TableState) => {
  const stepOf = new WeakMap<S3Proxy.Exchange, number>()
  const s3 = await S3Proxy.start(own.s3.endpoint, {
    before: (exchange) => {
      const step = state.seen.store.push(exchange.operation) - 1
      stepOf.set(exchange, step)
      return apply(state, "store", step) as S3Proxy.S3Fault | null
    },
    after: (exchange) => killAfter(state, "store", stepOf.get(exchange) ?? -1)
  })
  const sql = await SqlProxy.start(own.databaseUrl, {
    before: () => apply(state, "database", state.seen.database++) as SqlProxy.SqlFault | null,
    after: () => killAfter(state, "database", state.seen.database - 1)
  })
  const behind: Servers = { databaseUrl: sql.url, s3: { ...own.s3, endpoint: s3.endpoint } }
  return { servers: behind, release: s3.release, close: () => Promise.all([s3.close(), sql.close()]) }
}

const outcomeOf = (cases: number, rows: ReadonlyArray<Row>): Outcome => {
  const struck = rows.filter(({ hasStruck }) => hasStruck)
  const bad = rows
    .filter(({ problems }) => problems.length > 0)
    .map(({ scenario, step, fault, hasStruck, problems }) => ({
      story: scenario,
      step,
      fault,
      struck: hasStruck,
      problems
    }))
  return {
    passed: struck.filter(({ problems }) => problems.length === 0).length,
    failed: bad.length,
    // Concurrent requests and statements sometimes come in another order or number. Such a case shows
    // nothing.
    skipped: rows.filter(({ hasStruck, problems }) => !hasStruck && problems.length === 0).length,
    result: { cases, played: rows.length, struck: struck.length, bad },
    text: [
      `${cases} cases (${Object.keys(scenarios).length} scenarios, each step, each fault), ${rows.length} played, in ${struck.length} the fault struck, ${bad.length} bad`,
      ...rows
        .filter(({ hasStruck }) => !hasStruck)
        .map(({ scenario, step, fault }) => `  did not strike: ${scenario}, ${step}, ${fault}`),
      ...bad.map(
        ({ story, step, fault, problems }) => `  ${story}, ${step}, ${fault}: ${problems.join("; ")}`
      )
    ].join("\n")
  }
}

const matches = (state: TableState, side: Side, step: number): Case | null =>
  !state.hasStruck && state.current?.side === side && state.current.step === step ? state.current : null

/**
 * Returns the fault that the proxy applies. A kill breaks the connection too, so that the step does not pass.
 */
const apply = (state: TableState, side: Side, step: number): string | null => {
  const one = matches(state, side, step)
  if (one === null || one.fault === "killed after") return null
  state.hasStruck = true
  if (one.fault !== "killed before") return one.fault
  state.kill()
  return "refuse"
}

const killAfter = (state: TableState, side: Side, step: number) => {
  if (matches(state, side, step)?.fault !== "killed after") return
  state.hasStruck = true
  state.kill()
}

const casesOf = (steps: TableState["seen"]): ReadonlyArray<Case> => [
  ...steps.store.flatMap((_, step) => faults.store.map((fault): Case => ({ side: "store", step, fault }))),
  ...Array.from({ length: steps.database }, (_, step) =>
    faults.database.map((fault): Case => ({ side: "database", step, fault }))
  ).flat()
]

const reset = (state: TableState, current: Case | null) => {
  state.current = current
  state.hasStruck = false
  state.seen.store.length = 0
  state.seen.database = 0
}

/** Runs the scenario without a fault, in a process of its own, and returns its steps. */
const countSteps = async (bench: Bench, { name, scenario }: Story) => {
  const { behind, runtime, state } = bench
  await runtime.runPromise(scenario.arrange)
  reset(state, null)
  const code = await actInProcess(name, behind, state)
  if (code !== 0) throw new Error(`"${name}" fails without a fault (exit code ${code})`)
  const steps = { store: [...state.seen.store], database: state.seen.database }
  await clear(bench)
  return steps
}

/** Plays one case and returns the problems that the final state shows. */
const play = async (
  { behind, state, runtime, release }: Bench,
  { name, scenario }: Story,
  one: Case
): Promise<Pick<Row, "hasStruck" | "problems">> => {
  await runtime.runPromise(scenario.arrange)
  reset(state, one)
  const hasSucceeded = one.fault.startsWith("killed")
    ? (await actInProcess(name, behind, state)) === 0
    : await Effect.runPromise(
        scenario.act.pipe(
          Effect.provide(services(behind)),
          Effect.match({ onSuccess: () => true, onFailure: () => false })
        )
      )
  const { hasStruck } = state
  reset(state, null)
  // Once before late requests have arrived, and once after.
  const settled = Effect.zip(FinalState.sweepUntilDone, FinalState.read)
  const [isSettledEarly, early] = await runtime.runPromise(settled)
  await release()
  const [isSettled, final] = await runtime.runPromise(settled)
  const { acknowledges } = scenario
  const problems = [
    ...(isSettledEarly && isSettled ? [] : ["sweeps did not come to an end"]),
    ...early.lost.map((what) => `lost before late requests arrived: ${what}`),
    ...final.lost.map((what) => `lost: ${what}`),
    ...final.leaked.map((what) => `leaked: ${what}`),
    ...(acknowledges !== null && hasSucceeded && !(await runtime.runPromise(isReferenced(acknowledges)))
      ? ["it was acknowledged, and its reference does not exist"]
      : [])
  ]
  return { hasStruck, problems }
}

/** Runs the scenario in a process of its own. Returns its exit code, or null if it was killed. */
const actInProcess = (
  name: string,
  { databaseUrl, s3 }: Servers,
  state: TableState
): Promise<number | null> =>
  new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL("ScenarioProcess.js", import.meta.url)), name],
      {
        stdio: ["ignore", "ignore", "inherit"],
        env: {
          ...process.env,
          REAL_DATABASE_URL: databaseUrl,
          REAL_S3_ENDPOINT: s3.endpoint,
          REAL_S3_BUCKET: s3.bucket
        }
      }
    )
    state.kill = () => child.kill("SIGKILL")
    child.once("error", reject)
    child.once("exit", (code) => resolve(code))
  })

const isReferenced = (name: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT FROM artifacts a JOIN blobs b USING (digest) WHERE a.name = ${name}`
    return rows.length > 0
  })

/**
 * Removes every reference and collects everything. Rows and objects that are left are a defect of the case
 * before.
 */
const clear = async ({ runtime }: Bench) => {
  const { objects, blobs, leaked } = await runtime.runPromise(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`DELETE FROM artifacts`
      yield* sql`DELETE FROM local_files`
      yield* FinalState.sweepUntilDone
      return yield* FinalState.read
    })
  )
  if (objects + blobs + leaked.length > 0) {
    throw new Error(
      `removing every reference left ${objects} objects and ${blobs} rows: ${leaked.join(", ")}`
    )
  }
}
