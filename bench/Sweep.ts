/**
 * How fast is a sweep, beside the same SQL and the same requests without a collector around them? And how much memory
 * does it take?
 *
 * Each run gives each contender, in a process of its own, the same data set in the same state; afterwards exactly the
 * orphans must be gone. See README.md for what this leaves out.
 */

import { type Effort, measure } from "./harness/Contender.ts"
import { type Dataset, load } from "./harness/Dataset.ts"
import {
  type Answer,
  type Bench,
  type Figure,
  Insufficient,
  insist,
  type Question
} from "./harness/Question.ts"
import * as StandIn from "./harness/StandIn.ts"
import type { BaselineOutcome, BaselineTask } from "./sweep/Baseline.ts"
import type { Outcome, Task } from "./sweep/Task.ts"

/** What a container of 256 MB has room for. */
const rssMegabytesMax = 200

/** The collector's defaults (GC_SCAN_PAGE, GC_BATCH, GC_DELETE_CONCURRENCY). */
const defaults = { scanPage: 10_000, batch: 1000, concurrency: 8, maxDeletes: 1_000_000 }

const contenders = {
  floor: new URL("./sweep/Floor.js", import.meta.url),
  sweep: new URL("./sweep/Collector.js", import.meta.url),
  baseline: new URL("./sweep/Baseline.js", import.meta.url)
}

export const question: Question = {
  name: "sweep",
  asks: "a sweep, beside the same SQL and DeleteObjects in a bare loop, and one row and object at a time",
  options: {
    blobs: { about: "blobs in the catalogue and the store, default twice the orphans" },
    orphans: { about: "those past their waits, default 100,000" },
    runs: { about: "runs of each contender, default 1" },
    sample: { about: "orphans the baseline deletes before it stops, default 2,000" },
    real: { about: "0: only beside a store that answers at once, for sizes the real one has no memory for" }
  },
  ask: async (bench) => {
    const { given, seed, log } = bench
    const orphans = given.orphans ?? (given.blobs === undefined ? 100_000 : Math.floor(given.blobs / 2))
    const blobs = given.blobs ?? 2 * orphans
    const runs = given.runs ?? 1
    const sample = Math.min(given.sample ?? 2000, orphans)
    const real = given.real ?? 1
    insist(runs > 0, "no runs measure nothing")
    insist(sample > 0, "a sample of nothing measures nothing")
    const executions = await rehearse(bench)
    const dataset = await load(bench.servers, { seed, blobs, orphans }, log)
    try {
      const rounds: Array<Round> = []
      for (let run = 1; run <= runs; run++) {
        rounds.push({
          real: real === 0 ? null : await roundOnStore(bench, dataset, run, sample),
          beside: await roundBeside(bench, dataset, run)
        })
      }
      return answer({ blobs, orphans, runs, sample, real, seed }, rounds, executions)
    } finally {
      await dataset.drop()
    }
  }
}

/** Floor and sweep, once each under the same conditions. */
interface Pair {
  readonly floor: Effort<Outcome>
  readonly sweep: Effort<Outcome>
}

interface Round {
  readonly real: RealRound | null
  /** Beside a store that answers at once. */
  readonly beside: Pair
}

interface RealRound extends Pair {
  readonly baseline: Effort<BaselineOutcome>
}

/** Floor and sweep take turns at being first. */
const pair = async (run: number, one: (who: keyof Pair) => Promise<Effort<Outcome>>): Promise<Pair> => {
  const first = run % 2 === 1 ? await one("floor") : null
  const sweep = await one("sweep")
  return { floor: first ?? (await one("floor")), sweep }
}

const settingsFor = ({ shape }: Dataset): Settings => ({
  ...defaults,
  maxDeletes: Math.max(defaults.maxDeletes, shape.orphans + 1),
  records: false
})

const seconds = ({ millis }: { readonly millis: number }) => `${(millis / 1000).toFixed(1)} s`

const roundOnStore = async (
  bench: Bench,
  dataset: Dataset,
  run: number,
  sample: number
): Promise<RealRound> => {
  const settings = settingsFor(dataset)
  const both = await pair(run, async (who) => {
    const effort = await perform(bench, dataset, who, settings)
    bench.log(`run ${run}: ${who} deleted ${dataset.shape.orphans} in ${seconds(effort)}`)
    return effort
  })
  const baseline = await performBaseline(bench, dataset, { ...settings, sample })
  bench.log(`run ${run}: baseline deleted ${sample} in ${seconds(baseline)}`)
  return { ...both, baseline }
}

const roundBeside = (bench: Bench, dataset: Dataset, run: number): Promise<Pair> =>
  pair(run, async (who) => {
    const effort = await performBeside(bench, dataset, who, settingsFor(dataset))
    bench.log(`run ${run}: beside a store that answers at once, ${who} took ${seconds(effort)}`)
    return effort
  })

type Settings = Pick<Task, "scanPage" | "batch" | "concurrency" | "maxDeletes" | "records">

/** Runs floor or sweep on a fresh data set and verifies what it left. */
const perform = async (bench: Bench, dataset: Dataset, who: keyof Pair, settings: Settings) => {
  const databaseUrl = await dataset.fresh()
  const effort = await run(bench, dataset, who, { ...settings, databaseUrl, s3: bench.servers.s3 })
  await dataset.verify(who)
  return effort
}

const performBeside = async (bench: Bench, dataset: Dataset, who: keyof Pair, settings: Settings) => {
  const standIn = await StandIn.start(bench.servers.s3)
  try {
    const databaseUrl = await dataset.freshRows()
    const effort = await run(bench, dataset, who, { ...settings, databaseUrl, s3: standIn.place })
    await dataset.verifyBeside(who, standIn.deleted)
    return effort
  } finally {
    standIn.close()
  }
}

const run = async (bench: Bench, dataset: Dataset, who: keyof Pair, task: Omit<Task, "prefix">) => {
  const { prefix } = dataset
  const effort = await measure<Outcome>(contenders[who], { ...task, prefix }, bench.nodeOptions)
  const { orphans } = dataset.shape
  const { deleted } = effort.outcome
  insist(deleted === orphans, `${who} says it deleted ${deleted} of ${orphans} orphans`)
  return effort
}

const performBaseline = async (
  bench: Bench,
  dataset: Dataset,
  settings: Settings & { readonly sample: number }
) => {
  const databaseUrl = await dataset.fresh()
  const task: BaselineTask = { ...settings, databaseUrl, s3: bench.servers.s3, prefix: dataset.prefix }
  const effort = await measure<BaselineOutcome>(contenders.baseline, task)
  const { found, digests } = effort.outcome
  insist(found === dataset.shape.orphans, `baseline found ${found} of ${dataset.shape.orphans} orphans`)
  insist(digests.length === settings.sample, `baseline deleted ${digests.length} of ${settings.sample}`)
  await dataset.verifySample("baseline", new Set(digests))
  return effort
}

/**
 * Three slices and two pages, to show three things before hours are spent: that the verification notices a sweep that
 * did not happen, that all contenders work, and that the floor issues the collector's statements. Answers how many
 * statements were compared.
 */
const rehearse = async (bench: Bench): Promise<number> => {
  bench.log("rehearsal")
  const silent = { ...bench, log: () => {}, nodeOptions: [] }
  const shape = { seed: bench.seed, blobs: 1200, orphans: 600 }
  const dataset = await load(bench.servers, shape, silent.log)
  const settings = { ...defaults, scanPage: 500, batch: 400, records: true }
  try {
    await dataset.fresh()
    const noticed = await dataset.verify("nobody").then(
      () => false,
      (error: unknown) => error instanceof Insufficient
    )
    insist(noticed, "the verification did not notice that nothing had been swept")
    const floor = await perform(silent, dataset, "floor", settings)
    const sweep = await perform(silent, dataset, "sweep", settings)
    await performBeside(silent, dataset, "sweep", settings)
    await performBaseline(silent, dataset, { ...settings, sample: 10 })
    return insistSameStatements(floor.outcome.statements, sweep.outcome.statements)
  } finally {
    await dataset.drop()
  }
}

/**
 * The floor executes nothing that the sweep does not execute as often, and the sweep nothing else more than twice: its
 * guards, its other phases and its closing count ask everything once, and the server's clock a second time.
 */
const insistSameStatements = (
  floor: Readonly<Record<string, number>>,
  sweep: Readonly<Record<string, number>>
): number => {
  const difference = (statement: string) => (sweep[statement] ?? 0) - (floor[statement] ?? 0)
  const drifted = Object.keys({ ...floor, ...sweep }).filter((statement) => {
    const more = difference(statement)
    // Three phases ask for their breakers in the same words, the first and the last of them once more than the floor.
    return more < 0 || more > (statement.includes("artifact_gc.breakers") ? 4 : 2)
  })
  const lines = drifted.map(
    (statement) => `  sweep ${sweep[statement] ?? 0}, floor ${floor[statement] ?? 0}: ${statement}`
  )
  insist(
    drifted.length === 0,
    `bench/sweep/Statements.ts and the collector no longer execute the same statements as often:\n${lines.join("\n")}`
  )
  insist(Object.keys(floor).length > 0, "the floor executed no statement")
  return Object.values(floor).reduce((sum, count) => sum + count, 0)
}

/** Megabytes are millions of bytes. */
const megabytes = (bytes: number) => bytes / 1e6

const answer = (
  parameters: Answer["parameters"],
  rounds: ReadonlyArray<Round>,
  executions: number
): Answer => {
  const { blobs = 0, orphans = 0, sample = 0 } = parameters
  const real = rounds.flatMap((round) => (round.real === null ? [] : [round.real]))
  const beside = rounds.map((round) => round.beside)
  const both = (pairs: ReadonlyArray<Pair>, value: (effort: Effort<Outcome>) => number) => ({
    measured: pairs.map(({ sweep }) => value(sweep)),
    floor: pairs.map(({ floor }) => value(floor))
  })
  const baseline = (value: (effort: Effort<BaselineOutcome>) => number) =>
    real.map((round) => value(round.baseline))
  const rate = ({ millis }: Effort<Outcome>) => (orphans * 1000) / millis
  const cpu = ({ cpuMillis }: Effort<Outcome>) => (cpuMillis * 1000) / orphans
  const peak = ({ rssPeakBytes }: Effort<unknown>) => megabytes(rssPeakBytes)
  const onStore: ReadonlyArray<Figure> = [
    {
      name: "rate",
      unit: "orphans/s",
      ...both(real, rate),
      // What it would take for all, from what it took for the sample.
      baseline: baseline(
        ({ outcome }) => (orphans * 1000) / (outcome.scanMillis + (outcome.deleteMillis / sample) * orphans)
      )
    },
    {
      name: "CPU of the process",
      unit: "ms/1000 orphans",
      ...both(real, cpu),
      baseline: baseline(({ cpuMillis }) => (cpuMillis * 1000) / sample)
    },
    {
      name: "peak RSS",
      unit: "MB",
      ...both(real, peak),
      baseline: baseline(peak),
      limit: rssMegabytesMax
    },
    { name: "scan", unit: "s", ...both(real, ({ outcome }) => outcome.scanMillis / 1000) },
    { name: "purge and delete", unit: "s", ...both(real, ({ outcome }) => outcome.purgeMillis / 1000) },
    {
      name: "everything else",
      unit: "s",
      measured: real.map(
        ({ sweep }) => (sweep.millis - sweep.outcome.scanMillis - sweep.outcome.purgeMillis) / 1000
      )
    }
  ]
  const atOnce: ReadonlyArray<Figure> = [
    { name: "rate, store answers at once", unit: "orphans/s", ...both(beside, rate) },
    { name: "CPU then", unit: "ms/1000 orphans", ...both(beside, cpu) },
    { name: "peak RSS then", unit: "MB", ...both(beside, peak), limit: rssMegabytesMax },
    {
      name: "RSS at the start",
      unit: "MB",
      ...both(beside, ({ rssBeforeBytes }) => megabytes(rssBeforeBytes))
    }
  ]
  return {
    parameters,
    figures: real.length === 0 ? atOnce : [...onStore, ...atOnce],
    verified: [
      `After each sweep and each floor, exactly the ${orphans} orphans had lost their row and their object (or the store that answers at once had been told to delete exactly those), the ${blobs - orphans} referenced blobs had both, and the collector's tables were empty.`,
      ...(real.length === 0
        ? []
        : [`After each baseline, exactly its ${sample} orphans had; its rate is extrapolated from them.`]),
      `In a rehearsal, floor and sweep executed the same ${executions} statements, as often; and verifying what nobody had swept failed.`
    ]
  }
}
