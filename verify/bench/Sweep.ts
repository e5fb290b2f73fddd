/**
 * How fast is a sweep, and how much memory does it take? The floor is the same SQL and the same requests in a
 * loop.
 *
 * Each run gives each variant, in its own process, the same data set in the same state. Afterwards exactly
 * the orphans must be gone. See README.md for what this does not measure.
 */

import { type Dataset, load } from "./harness/Dataset.ts"
import {
  type Answer,
  type Bench,
  ensure,
  ensureDetected,
  type Figure,
  type Question
} from "./harness/Question.ts"
import { ensureSame } from "./harness/Recorder.ts"
import type { Measurement } from "./harness/Variant.ts"
import type { BaselineOutcome } from "./sweep/Baseline.ts"
import type { Outcome } from "./sweep/Task.ts"
import {
  defaults,
  measureBaseline,
  measureVariant,
  onFakeStore,
  onRealStore,
  type Pair,
  type PairWithBaseline,
  type Setup,
  settingsFor
} from "./sweep/Variants.ts"

/** The memory that a container of 256 MB can give to a process. */
const rssMegabytesMax = 200

/** The question. */
export const question: Question = {
  name: "sweep",
  asks: "a sweep, beside the same SQL and DeleteObjects in a loop, and one row and object at a time",
  options: {
    blobs: { about: "blobs in the catalogue and the store, default twice the orphans" },
    orphans: { about: "orphans whose waits are over, default 100,000" },
    runs: { about: "runs of each variant, default 1" },
    sample: { about: "orphans the baseline deletes before it stops, default 2,000" },
    latency: { about: "milliseconds after which the fake store answers, default 0" },
    real: { about: "0: only with a fake store, for sizes that the real one has no memory for" }
  },
  ask: async (bench) => {
    const { given, seed, log } = bench
    const orphans = given.orphans ?? (given.blobs === undefined ? 100_000 : Math.floor(given.blobs / 2))
    const blobs = given.blobs ?? 2 * orphans
    const runs = given.runs ?? 1
    const sample = Math.min(given.sample ?? 2000, orphans)
    const real = given.real ?? 1
    const latency = given.latency ?? 0
    ensure(runs > 0, "--runs must be above 0")
    ensure(sample > 0, "--sample must be above 0")
    const executions = await rehearse(bench)
    const dataset = await load(bench.servers, { seed, blobs, orphans }, log)
    try {
      const rounds: Array<Round> = []
      for (let run = 1; run <= runs; run++) {
        rounds.push({
          real: real === 0 ? null : await roundOnRealStore(bench, dataset, run, sample),
          fake: await roundOnFakeStore(bench, dataset, run, sample, latency)
        })
      }
      return answer({ blobs, orphans, runs, sample, latency, real, seed }, rounds, executions)
    } finally {
      await dataset.drop()
    }
  }
}

interface Round {
  readonly real: PairWithBaseline | null
  readonly fake: PairWithBaseline
}

/** Measures floor and sweep. Each is first in every second run. */
const pair = async (
  run: number,
  measureOne: (variant: keyof Pair) => Promise<Measurement<Outcome>>
): Promise<Pair> => {
  const first = run % 2 === 1 ? await measureOne("floor") : null
  const sweep = await measureOne("sweep")
  return { floor: first ?? (await measureOne("floor")), sweep }
}

const seconds = ({ millis }: { readonly millis: number }) => `${(millis / 1000).toFixed(1)} s`

const roundOnRealStore = (
  bench: Bench,
  dataset: Dataset,
  run: number,
  sample: number
): Promise<PairWithBaseline> => round(bench, dataset, run, sample, onRealStore, "")

const fakeStore = (latencyMillis: number) =>
  `a store that answers ${latencyMillis === 0 ? "at once" : `after ${latencyMillis} ms`}`

const roundOnFakeStore = (
  bench: Bench,
  dataset: Dataset,
  run: number,
  sample: number,
  latency: number
): Promise<PairWithBaseline> =>
  round(bench, dataset, run, sample, onFakeStore(latency), `beside ${fakeStore(latency)}, `)

const round = async (
  bench: Bench,
  dataset: Dataset,
  run: number,
  sample: number,
  setup: Setup,
  where: string
): Promise<PairWithBaseline> => {
  const settings = settingsFor(dataset)
  const both = await pair(run, async (variant) => {
    const measurement = await measureVariant(bench, dataset, variant, settings, setup)
    bench.log(`run ${run}: ${where}${variant} deleted ${dataset.shape.orphans} in ${seconds(measurement)}`)
    return measurement
  })
  const baseline = await measureBaseline(bench, dataset, { ...settings, sample }, setup)
  bench.log(`run ${run}: ${where}baseline deleted ${sample} in ${seconds(baseline)}`)
  return { ...both, baseline }
}

/**
 * Checks three things on a small data set, before hours are spent: that the verification detects a sweep that
 * did not happen, that all variants work, and that the floor executes the collector's statements. Returns how
 * many statements were compared.
 */
const rehearse = async (bench: Bench): Promise<number> => {
  bench.log("rehearsal")
  const silent = { ...bench, log: () => {}, nodeOptions: [] }
  const shape = { seed: bench.seed, blobs: 1200, orphans: 600 }
  const dataset = await load(bench.servers, shape, silent.log)
  const settings = { ...defaults, scanPage: 500, batch: 400, records: true }
  try {
    await dataset.fresh()
    await ensureDetected("that no sweep had run", () => dataset.verify("no variant"))
    const floor = await measureVariant(silent, dataset, "floor", settings, onRealStore)
    const sweep = await measureVariant(silent, dataset, "sweep", settings, onRealStore)
    await measureVariant(silent, dataset, "sweep", settings, onFakeStore(0))
    for (const setup of [onRealStore, onFakeStore(0)]) {
      await measureBaseline(silent, dataset, { ...settings, sample: 10 }, setup)
    }
    return ensureSame(
      "sweep",
      "verify/bench/sweep/Statements.ts",
      { floor: floor.outcome.statements, measured: sweep.outcome.statements },
      additionalMax
    )
  } finally {
    await dataset.drop()
  }
}

/**
 * How much more often than the floor a sweep may execute a statement. Its guards, its other phases and its
 * closing count execute each statement once. Three phases read their breakers with the same statement, the first
 * and the last of them once more than the floor. Both trigger sets are read with the same statement. Three phases ask
 * whether the registry's tables exist, and the clock guard asks twice more where an answer took long.
 */
const additionalMax = (statement: string) => {
  if (statement.includes("artifact_gc.breakers")) return 4
  const asksThrice = ["pg_trigger t ON t.tgfoid", "FROM clock_timestamp()", "AND c.relname ="]
  return asksThrice.some((part) => statement.includes(part)) ? 3 : 2
}

const megabytes = (bytes: number) => bytes / 1e6

type Parameters = Answer["parameters"]

/** Returns the samples of all variants, one for each round. */
const samples = (
  trios: ReadonlyArray<PairWithBaseline>,
  value: (measurement: Measurement<Outcome>) => number,
  baseline: (measurement: Measurement<BaselineOutcome>) => number
) => ({ ...pairSamples(trios, value), baseline: trios.map((trio) => baseline(trio.baseline)) })

const pairSamples = (pairs: ReadonlyArray<Pair>, value: (measurement: Measurement<Outcome>) => number) => ({
  measured: pairs.map(({ sweep }) => value(sweep)),
  floor: pairs.map(({ floor }) => value(floor))
})

/** Rate, CPU and peak memory. The baseline's rate is extrapolated from its sample. */
const commonFigures = (
  { orphans = 0, sample = 0 }: Parameters,
  trios: ReadonlyArray<PairWithBaseline>,
  names: { readonly rate: string; readonly cpu: string; readonly peak: string }
): ReadonlyArray<Figure> => {
  const peak = ({ rssPeakBytes }: Measurement<unknown>) => megabytes(rssPeakBytes)
  return [
    {
      name: names.rate,
      unit: "orphans/s",
      ...samples(
        trios,
        ({ millis }) => (orphans * 1000) / millis,
        ({ outcome }) => (orphans * 1000) / (outcome.scanMillis + (outcome.deleteMillis / sample) * orphans)
      )
    },
    {
      name: names.cpu,
      unit: "ms/1000 orphans",
      ...samples(
        trios,
        ({ cpuMillis }) => (cpuMillis * 1000) / orphans,
        ({ cpuMillis }) => (cpuMillis * 1000) / sample
      )
    },
    { name: names.peak, unit: "MB", ...samples(trios, peak, peak), limit: rssMegabytesMax }
  ]
}

const figuresOnRealStore = (
  parameters: Parameters,
  trios: ReadonlyArray<PairWithBaseline>
): ReadonlyArray<Figure> => [
  ...commonFigures(parameters, trios, { rate: "rate", cpu: "CPU of the process", peak: "peak RSS" }),
  { name: "scan", unit: "s", ...pairSamples(trios, ({ outcome }) => outcome.scanMillis / 1000) },
  { name: "purge and delete", unit: "s", ...pairSamples(trios, ({ outcome }) => outcome.purgeMillis / 1000) },
  {
    name: "everything else",
    unit: "s",
    measured: trios.map(
      ({ sweep }) => (sweep.millis - sweep.outcome.scanMillis - sweep.outcome.purgeMillis) / 1000
    )
  }
]

const figuresOnFakeStore = (
  parameters: Parameters,
  trios: ReadonlyArray<PairWithBaseline>
): ReadonlyArray<Figure> => [
  ...commonFigures(parameters, trios, {
    rate: `rate beside ${fakeStore(parameters.latency ?? 0)}`,
    cpu: "CPU then",
    peak: "peak RSS then"
  }),
  {
    name: "RSS at the start",
    unit: "MB",
    ...pairSamples(trios, ({ rssBeforeBytes }) => megabytes(rssBeforeBytes))
  }
]

const answer = (parameters: Parameters, rounds: ReadonlyArray<Round>, executions: number): Answer => {
  const { blobs = 0, orphans = 0, sample = 0 } = parameters
  const real = rounds.flatMap((round) => (round.real === null ? [] : [round.real]))
  const fake = rounds.map((round) => round.fake)
  return {
    parameters,
    figures: [
      ...(real.length === 0 ? [] : figuresOnRealStore(parameters, real)),
      ...figuresOnFakeStore(parameters, fake)
    ],
    verified: [
      `After each sweep and each floor, exactly the ${orphans} orphans had lost their row and their object (or the fake store had received deletes of exactly those). The ${blobs - orphans} referenced blobs had both, and the collector's tables were empty.`,
      `After each baseline, exactly its ${sample} orphans had lost both. Its rate is extrapolated from them.`,
      `In a rehearsal, floor and sweep executed the same ${executions} statements, equally often. Verifying a data set that no variant had swept failed.`
    ]
  }
}
