/**
 * How much faster are two and four collectors than one, on the same garbage?
 *
 * Each sweeps once in its own process, and all begin at one instant. They share a fake store that delays each
 * answer. If the store deletes one object a request, waiting limits a collector, and more collectors should
 * help proportionally. If it deletes a thousand, the database and the processors are the limit.
 */

import { type Dataset, load } from "./harness/Dataset.ts"
import * as FakeStore from "./harness/FakeStore.ts"
import { type Answer, type Bench, ensure, type Figure, type Question } from "./harness/Question.ts"
import { type Measurement, measureTogether } from "./harness/Variant.ts"
import type { Outcome, Task } from "./sweep/Task.ts"
import { defaults, settingsFor } from "./sweep/Variants.ts"

const counts = [1, 2, 4] as const

/**
 * A single delete takes a millisecond of one core, mostly in the SDK, and a collector has fifty of them in
 * flight. With this latency, four collectors on two cores still wait for the store. With 20 ms, one collector
 * would use a whole core, and the bench would measure the machine.
 */
const singleLatencyMillis = 200
const batchLatencyMillis = 20

/** Minimum speed of four collectors, in times of one, where waiting for the store is the limit. */
const timesOneMin = 3

interface Scenario {
  readonly name: string
  readonly oneByOne: boolean
  readonly latencyMillis: number
  readonly orphans: number
  readonly batch: number
}

/** The question. */
export const question: Question = {
  name: "replicas",
  asks: "two and four collectors on the same garbage, beside one; the store answers late, and deletes 1 or 1000 objects",
  options: {
    single: {
      about: "orphans where the store deletes one object a request, default 40,000; 0: skip this part"
    },
    orphans: { about: "orphans where it deletes 1000, default 100,000; 0: skip this part" },
    latency: { about: "milliseconds until the store answers, default 200 where it deletes one, else 20" },
    batch: { about: "GC_BATCH where it deletes one, default 1000, the collector's default" },
    runs: { about: "runs of each number of collectors, default 1" }
  },
  ask: async (bench) => {
    const { given } = bench
    const runs = given.runs ?? 1
    const single: Scenario = {
      name: "one object a request",
      oneByOne: true,
      latencyMillis: given.latency ?? singleLatencyMillis,
      orphans: given.single ?? 40_000,
      batch: given.batch ?? defaults.batch
    }
    const batches: Scenario = {
      name: "1000 objects a request",
      oneByOne: false,
      latencyMillis: given.latency ?? batchLatencyMillis,
      orphans: given.orphans ?? 100_000,
      batch: defaults.batch
    }
    ensure(runs > 0, "--runs must be above 0")
    const figures: Array<Figure> = []
    for (const scenario of [single, batches]) {
      if (scenario.orphans === 0) continue
      figures.push(...figuresOf(scenario, await measureScenario(bench, scenario, runs)))
    }
    const parameters = {
      single: single.orphans,
      "its latency": single.latencyMillis,
      "its batch": single.batch,
      orphans: batches.orphans,
      "their latency": batches.latencyMillis,
      runs,
      seed: bench.seed
    }
    return answer(parameters, figures)
  }
}

/** The sweeps of several collectors that began at one instant. */
interface JointSweep {
  readonly measurements: ReadonlyArray<Measurement<Outcome>>
  /** Duration from the common beginning to the end of the last. */
  readonly millis: number
  /** Duration from the end of the first to the end of the last. */
  readonly apartMillis: number
}

type Round = ReadonlyMap<number, JointSweep>

const measureScenario = async (
  bench: Bench,
  scenario: Scenario,
  runs: number
): Promise<ReadonlyArray<Round>> => {
  const { orphans } = scenario
  const dataset = await load(bench.servers, { seed: bench.seed, blobs: 2 * orphans, orphans }, bench.log)
  try {
    const rounds: Array<Round> = []
    for (let run = 1; run <= runs; run++) {
      const round = new Map<number, JointSweep>()
      for (const count of run % 2 === 1 ? counts : counts.toReversed()) {
        round.set(count, await sweepTogether(bench, dataset, scenario, count))
      }
      rounds.push(round)
    }
    return rounds
  } finally {
    await dataset.drop()
  }
}

const sweepTogether = async (
  bench: Bench,
  dataset: Dataset,
  { name, latencyMillis, oneByOne, batch }: Scenario,
  count: number
): Promise<JointSweep> => {
  const store = await FakeStore.start(bench.servers.s3, { latencyMillis, oneByOne })
  try {
    const task: Task = {
      ...settingsFor(dataset),
      batch,
      databaseUrl: await dataset.freshRows(),
      s3: store.s3,
      prefix: dataset.prefix
    }
    const file = new URL("./sweep/Collector.js", import.meta.url)
    const variants = Array.from({ length: count }, () => ({ file, task }))
    const measurements = await measureTogether<Outcome>(variants, bench.nodeOptions)
    await verify(dataset, store, measurements)
    const ends = measurements.map(({ endedAt }) => endedAt)
    const millis = Math.max(...ends) - Math.min(...measurements.map(({ beganAt }) => beganAt))
    const cpu = measurements.map(({ cpuMillis }) => `${Math.round(cpuMillis / 1000)} s`).join(", ")
    bench.log(
      `${name}: ${count} deleted ${dataset.shape.orphans} in ${(millis / 1000).toFixed(1)} s (shares ${measurements
        .map(({ outcome }) => outcome.deleted)
        .join(
          ", "
        )}; ended after ${measurements.map((measurement) => (measurement.millis / 1000).toFixed(1)).join(", ")} s; CPU ${cpu})`
    )
    return { measurements, millis, apartMillis: Math.max(...ends) - Math.min(...ends) }
  } finally {
    store.close()
  }
}

/** Verifies that they shared the work: every orphan was deleted once, and each collector deleted some. */
const verify = async (
  dataset: Dataset,
  store: FakeStore.FakeStore,
  measurements: ReadonlyArray<Measurement<Outcome>>
): Promise<void> => {
  const { orphans } = dataset.shape
  const name = `${measurements.length} collectors together`
  const shares = measurements.map(({ outcome }) => outcome.deleted)
  const sum = shares.reduce((total, share) => total + share, 0)
  ensure(sum === orphans, `${name} report that they deleted ${sum} of ${orphans} orphans`)
  await dataset.verifyOnFakeStore(name, store.deleted)
  const asked = store.keysDeleted()
  ensure(asked === orphans, `${name} requested the delete of ${asked} keys, not once for each of ${orphans}`)
  ensure(
    shares.every((share) => share > 0),
    `of ${name}, one deleted nothing: ${shares.join(", ")}`
  )
}

const figuresOf = ({ name, oneByOne, orphans }: Scenario, rounds: ReadonlyArray<Round>) => {
  const of = (count: number, value: (together: JointSweep) => number) =>
    rounds.map((round) => {
      const together = round.get(count)
      ensure(together !== undefined, `${count} collectors were not measured`)
      return value(together)
    })
  const rate = ({ millis }: JointSweep) => (orphans * 1000) / millis
  const cpu = ({ measurements }: JointSweep) =>
    measurements.reduce((sum, { cpuMillis }) => sum + cpuMillis, 0) / (orphans / 1000)
  const one = of(1, rate)
  const ratio = (count: number) => of(count, rate).map((value, run) => value / (one[run] ?? Number.NaN))
  const last = counts.at(-1) ?? 1
  const figures: ReadonlyArray<Figure> = [
    ...counts.map((count) => ({
      name: `${name}: rate of ${count}`,
      unit: "orphans/s",
      measured: of(count, rate)
    })),
    ...counts.slice(1).map((count) => ({
      name: `${name}: ${count} beside one`,
      unit: "times",
      measured: ratio(count),
      ...(oneByOne && count === last ? { atLeast: timesOneMin } : {})
    })),
    {
      name: `${name}: smallest share, of ${last}`,
      unit: "% of an equal one",
      measured: of(last, ({ measurements }) => {
        const least = Math.min(...measurements.map(({ outcome }) => outcome.deleted))
        return (100 * last * least) / orphans
      })
    },
    {
      name: `${name}: of ${last}, the last ended after the first by`,
      unit: "s",
      measured: of(last, ({ apartMillis }) => apartMillis / 1000)
    },
    ...[1, last].map((count) => ({
      name: `${name}: CPU of ${count}`,
      unit: "ms/1000 orphans",
      measured: of(count, cpu)
    }))
  ]
  return figures
}

const answer = (parameters: Answer["parameters"], figures: ReadonlyArray<Figure>): Answer => ({
  parameters,
  figures,
  verified: [
    "After each, the collectors had together deleted exactly the orphans. Their rows were gone, the fake store had received exactly one delete of each of their keys and of no other key, and every referenced blob still had its row.",
    "Each collector had deleted some, their counts added up to all, and the collector's tables were empty."
  ]
})
