/**
 * How much faster are two and four collectors than one, on the same garbage?
 *
 * Each sweeps once in a process of its own, all begun at one instant, beside one stand-in for the store that answers each
 * request a while later. Where the store deletes one object a request, the waiting is what bounds a collector, and more of
 * them should help as much; where it deletes a thousand, database and processors do.
 */
import { type Effort, measureTogether } from "./harness/Contender.ts"
import { type Dataset, load } from "./harness/Dataset.ts"
import { type Answer, type Bench, type Figure, insist, type Question } from "./harness/Question.ts"
import * as StandIn from "./harness/StandIn.ts"
import { defaults, settingsFor } from "./sweep/Contest.ts"
import type { Outcome, Task } from "./sweep/Task.ts"

const counts = [1, 2, 4] as const

/**
 * A single delete is a millisecond of one core, nearly all of it the SDK's, and a collector has fifty of them in flight.
 * So long, the four that share two cores still have time to wait for the store; with a store that answers in 20 ms one
 * collector alone takes a core, and what is measured is the machine.
 */
const singleLatencyMillis = 200
const batchLatencyMillis = 20

/** What four have to be where waiting for the store is what bounds one. */
const timesOneMin = 3

interface Scenario {
  readonly name: string
  readonly oneByOne: boolean
  readonly latencyMillis: number
  readonly orphans: number
  readonly batch: number
}

export const question: Question = {
  name: "replicas",
  asks: "two and four collectors on the same garbage, beside one; store answers late, by objects or by thousands",
  options: {
    single: { about: "orphans where the store deletes one object a request, default 40,000; 0: not at all" },
    orphans: { about: "orphans where it deletes 1000, default 100,000; 0: not at all" },
    latency: { about: "milliseconds until the store answers, default 200 where it deletes one, else 20" },
    batch: { about: "GC_BATCH where it deletes one, default 1000 as the collector's" },
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
    insist(runs > 0, "no runs measure nothing")
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

/** What so many collectors did together. */
interface Together {
  readonly efforts: ReadonlyArray<Effort<Outcome>>
  /** From the common beginning to when the last had ended. */
  readonly millis: number
  /** From when the first had ended to when the last had. */
  readonly apartMillis: number
}

type Round = ReadonlyMap<number, Together>

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
      const round = new Map<number, Together>()
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
): Promise<Together> => {
  const standIn = await StandIn.start(bench.servers.s3, { latencyMillis, oneByOne })
  try {
    const task: Task = {
      ...settingsFor(dataset),
      batch,
      databaseUrl: await dataset.freshRows(),
      s3: standIn.place,
      prefix: dataset.prefix
    }
    const file = new URL("./sweep/Collector.js", import.meta.url)
    const entrants = Array.from({ length: count }, () => ({ file, task }))
    const efforts = await measureTogether<Outcome>(entrants, bench.nodeOptions)
    await verify(dataset, standIn, efforts)
    const ends = efforts.map(({ endedAt }) => endedAt)
    const millis = Math.max(...ends) - Math.min(...efforts.map(({ beganAt }) => beganAt))
    const cpu = efforts.map(({ cpuMillis }) => `${Math.round(cpuMillis / 1000)} s`).join(", ")
    bench.log(
      `${name}: ${count} deleted ${dataset.shape.orphans} in ${(millis / 1000).toFixed(1)} s (shares ${efforts
        .map(({ outcome }) => outcome.deleted)
        .join(
          ", "
        )}; ended after ${efforts.map((effort) => (effort.millis / 1000).toFixed(1)).join(", ")} s; CPU ${cpu})`
    )
    return { efforts, millis, apartMillis: Math.max(...ends) - Math.min(...ends) }
  } finally {
    standIn.close()
  }
}

/** That they shared the work: every orphan went, once, and each collector had some. */
const verify = async (
  dataset: Dataset,
  standIn: StandIn.StandIn,
  efforts: ReadonlyArray<Effort<Outcome>>
): Promise<void> => {
  const { orphans } = dataset.shape
  const who = `${efforts.length} collectors together`
  const shares = efforts.map(({ outcome }) => outcome.deleted)
  const sum = shares.reduce((total, share) => total + share, 0)
  insist(sum === orphans, `${who} say they deleted ${sum} of ${orphans} orphans`)
  await dataset.verifyBeside(who, standIn.deleted)
  const asked = standIn.keysDeleted()
  insist(asked === orphans, `${who} asked the store for ${asked} keys, not once for each of ${orphans}`)
  insist(
    shares.every((share) => share > 0),
    `of ${who}, one had nothing to do: ${shares.join(", ")}`
  )
}

const figuresOf = ({ name, oneByOne, orphans }: Scenario, rounds: ReadonlyArray<Round>) => {
  const of = (count: number, value: (together: Together) => number) =>
    rounds.map((round) => {
      const together = round.get(count)
      insist(together !== undefined, `${count} collectors were not measured`)
      return value(together)
    })
  const rate = ({ millis }: Together) => (orphans * 1000) / millis
  const cpu = ({ efforts }: Together) =>
    efforts.reduce((sum, { cpuMillis }) => sum + cpuMillis, 0) / (orphans / 1000)
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
      measured: of(last, ({ efforts }) => {
        const least = Math.min(...efforts.map(({ outcome }) => outcome.deleted))
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
    "After each, the collectors had together deleted exactly the orphans: their rows were gone, the store had been asked for each of their keys exactly once and for no other, and every referenced blob still had its row.",
    "Each collector had deleted some, their own counts added up to all, and the collector's tables were empty."
  ]
})
