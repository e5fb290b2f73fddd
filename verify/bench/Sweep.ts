/**
 * How fast is a sweep, beside the same SQL and the same requests without a collector around them? And how much memory
 * does it take?
 *
 * Each run gives each contender, in a process of its own, the same data set in the same state; afterwards exactly the
 * orphans must be gone. See README.md for what this leaves out.
 */

import type { Effort } from "./harness/Contender.ts"
import { insistNoticed } from "./harness/Control.ts"
import { type Dataset, load } from "./harness/Dataset.ts"
import { type Answer, type Bench, type Figure, insist, type Question } from "./harness/Question.ts"
import { insistSame } from "./harness/Recorder.ts"
import type { BaselineOutcome } from "./sweep/Baseline.ts"
import {
  besideStandIn,
  defaults,
  onStore,
  type Pair,
  type Place,
  perform,
  performBaseline,
  settingsFor,
  type Trio
} from "./sweep/Contest.ts"
import type { Outcome } from "./sweep/Task.ts"

/** What a container of 256 MB has room for. */
const rssMegabytesMax = 200

export const question: Question = {
  name: "sweep",
  asks: "a sweep, beside the same SQL and DeleteObjects in a bare loop, and one row and object at a time",
  options: {
    blobs: { about: "blobs in the catalogue and the store, default twice the orphans" },
    orphans: { about: "those past their waits, default 100,000" },
    runs: { about: "runs of each contender, default 1" },
    sample: { about: "orphans the baseline deletes before it stops, default 2,000" },
    latency: { about: "milliseconds after which the stand-in for the store answers, default 0" },
    real: { about: "0: only beside a store that answers at once, for sizes the real one has no memory for" }
  },
  ask: async (bench) => {
    const { given, seed, log } = bench
    const orphans = given.orphans ?? (given.blobs === undefined ? 100_000 : Math.floor(given.blobs / 2))
    const blobs = given.blobs ?? 2 * orphans
    const runs = given.runs ?? 1
    const sample = Math.min(given.sample ?? 2000, orphans)
    const real = given.real ?? 1
    const latency = given.latency ?? 0
    insist(runs > 0, "no runs measure nothing")
    insist(sample > 0, "a sample of nothing measures nothing")
    const executions = await rehearse(bench)
    const dataset = await load(bench.servers, { seed, blobs, orphans }, log)
    try {
      const rounds: Array<Round> = []
      for (let run = 1; run <= runs; run++) {
        rounds.push({
          real: real === 0 ? null : await roundOnStore(bench, dataset, run, sample),
          beside: await roundBeside(bench, dataset, run, sample, latency)
        })
      }
      return answer({ blobs, orphans, runs, sample, latency, real, seed }, rounds, executions)
    } finally {
      await dataset.drop()
    }
  }
}

interface Round {
  readonly real: Trio | null
  /** Beside a stand-in for the store. */
  readonly beside: Trio
}

/** Floor and sweep take turns at being first. */
const pair = async (run: number, one: (who: keyof Pair) => Promise<Effort<Outcome>>): Promise<Pair> => {
  const first = run % 2 === 1 ? await one("floor") : null
  const sweep = await one("sweep")
  return { floor: first ?? (await one("floor")), sweep }
}

const seconds = ({ millis }: { readonly millis: number }) => `${(millis / 1000).toFixed(1)} s`

const roundOnStore = (bench: Bench, dataset: Dataset, run: number, sample: number): Promise<Trio> =>
  round(bench, dataset, run, sample, onStore, "")

const standIn = (latencyMillis: number) =>
  `a store that answers ${latencyMillis === 0 ? "at once" : `after ${latencyMillis} ms`}`

const roundBeside = (
  bench: Bench,
  dataset: Dataset,
  run: number,
  sample: number,
  latency: number
): Promise<Trio> => round(bench, dataset, run, sample, besideStandIn(latency), `beside ${standIn(latency)}, `)

const round = async (
  bench: Bench,
  dataset: Dataset,
  run: number,
  sample: number,
  place: Place,
  where: string
): Promise<Trio> => {
  const settings = settingsFor(dataset)
  const both = await pair(run, async (who) => {
    const effort = await perform(bench, dataset, who, settings, place)
    bench.log(`run ${run}: ${where}${who} deleted ${dataset.shape.orphans} in ${seconds(effort)}`)
    return effort
  })
  const baseline = await performBaseline(bench, dataset, { ...settings, sample }, place)
  bench.log(`run ${run}: ${where}baseline deleted ${sample} in ${seconds(baseline)}`)
  return { ...both, baseline }
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
    await insistNoticed("that nothing had been swept", () => dataset.verify("nobody"))
    const floor = await perform(silent, dataset, "floor", settings, onStore)
    const sweep = await perform(silent, dataset, "sweep", settings, onStore)
    await perform(silent, dataset, "sweep", settings, besideStandIn(0))
    for (const place of [onStore, besideStandIn(0)]) {
      await performBaseline(silent, dataset, { ...settings, sample: 10 }, place)
    }
    return insistSame(
      "sweep",
      "verify/bench/sweep/Statements.ts",
      { floor: floor.outcome.statements, measured: sweep.outcome.statements },
      askedMoreMax
    )
  } finally {
    await dataset.drop()
  }
}

/**
 * A sweep's guards, its other phases and its closing count ask everything once, and the server's clock a second time. Three
 * phases ask for their breakers in the same words, the first and the last of them once more than the floor.
 */
const askedMoreMax = (statement: string) => (statement.includes("artifact_gc.breakers") ? 4 : 2)

/** Megabytes are millions of bytes. */
const megabytes = (bytes: number) => bytes / 1e6

const answer = (
  parameters: Answer["parameters"],
  rounds: ReadonlyArray<Round>,
  executions: number
): Answer => {
  const { blobs = 0, orphans = 0, sample = 0, latency = 0 } = parameters
  const real = rounds.flatMap((round) => (round.real === null ? [] : [round.real]))
  const beside = rounds.map((round) => round.beside)
  const both = (pairs: ReadonlyArray<Pair>, value: (effort: Effort<Outcome>) => number) => ({
    measured: pairs.map(({ sweep }) => value(sweep)),
    floor: pairs.map(({ floor }) => value(floor))
  })
  const baseline = (trios: ReadonlyArray<Trio>, value: (effort: Effort<BaselineOutcome>) => number) =>
    trios.map((round) => value(round.baseline))
  // What it would take for all, from what it took for the sample.
  const baselineRate = ({ outcome }: Effort<BaselineOutcome>) =>
    (orphans * 1000) / (outcome.scanMillis + (outcome.deleteMillis / sample) * orphans)
  const baselineCpu = ({ cpuMillis }: Effort<BaselineOutcome>) => (cpuMillis * 1000) / sample
  const rate = ({ millis }: Effort<Outcome>) => (orphans * 1000) / millis
  const cpu = ({ cpuMillis }: Effort<Outcome>) => (cpuMillis * 1000) / orphans
  const peak = ({ rssPeakBytes }: Effort<unknown>) => megabytes(rssPeakBytes)
  const figuresOnStore: ReadonlyArray<Figure> = [
    {
      name: "rate",
      unit: "orphans/s",
      ...both(real, rate),
      baseline: baseline(real, baselineRate)
    },
    {
      name: "CPU of the process",
      unit: "ms/1000 orphans",
      ...both(real, cpu),
      baseline: baseline(real, baselineCpu)
    },
    {
      name: "peak RSS",
      unit: "MB",
      ...both(real, peak),
      baseline: baseline(real, peak),
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
    {
      name: `rate beside ${standIn(latency)}`,
      unit: "orphans/s",
      ...both(beside, rate),
      baseline: baseline(beside, baselineRate)
    },
    {
      name: "CPU then",
      unit: "ms/1000 orphans",
      ...both(beside, cpu),
      baseline: baseline(beside, baselineCpu)
    },
    {
      name: "peak RSS then",
      unit: "MB",
      ...both(beside, peak),
      baseline: baseline(beside, peak),
      limit: rssMegabytesMax
    },
    {
      name: "RSS at the start",
      unit: "MB",
      ...both(beside, ({ rssBeforeBytes }) => megabytes(rssBeforeBytes))
    }
  ]
  return {
    parameters,
    figures: real.length === 0 ? atOnce : [...figuresOnStore, ...atOnce],
    verified: [
      `After each sweep and each floor, exactly the ${orphans} orphans had lost their row and their object (or the stand-in for the store had been told to delete exactly those), the ${blobs - orphans} referenced blobs had both, and the collector's tables were empty.`,
      `After each baseline, exactly its ${sample} orphans had; its rate is extrapolated from them.`,
      `In a rehearsal, floor and sweep executed the same ${executions} statements, as often; and verifying what nobody had swept failed.`
    ]
  }
}
