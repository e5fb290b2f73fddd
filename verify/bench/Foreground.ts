/**
 * What do others notice of a sweep? The same load in windows of equal length, in turns: with nothing else going on, beside
 * a sweep of default settings, and beside one with a ceiling.
 *
 * The load arrives at a fixed rate whatever becomes of it, and its latency counts from when it was to arrive. The store is
 * a stand-in that answers at once, so that the sweep is as fast as database and processors allow.
 */
import { quantile } from "./foreground/Arrivals.ts"
import { type Beside, type Load, measureWindow, type Window } from "./foreground/Window.ts"
import { load } from "./harness/Dataset.ts"
import { type Answer, type Figure, insist, type Question } from "./harness/Question.ts"
import { defaults } from "./sweep/Contest.ts"

/** What a sweep may do to the slowest hundredth, beside what they are without. */
const slowestTimesMax = 1.5

const insertsDefault = 200
const pushesDefault = 20
const ceilingDefault = 2000

/** More than a sweep has ever purged here. */
const orphansPerSecond = 20_000

type Who = "alone" | "sweep" | "ceiling"

export const question: Question = {
  name: "foreground",
  asks: "references and pushes beside a sweep, with and without a ceiling, and with nothing else going on",
  options: {
    seconds: { about: "length of a window, default 20" },
    rounds: { about: "windows of each kind, default 3" },
    rate: { about: "references a second, default 200" },
    pushes: { about: "pushes a second, default 20" },
    ceiling: { about: "GC_KEYS_PER_SECOND of the sweep that has one, default 2,000" },
    batch: { about: "GC_BATCH of both, default 1000" },
    orphans: { about: "orphans, which must last for a window, default 20,000 a second of it" }
  },
  ask: async (bench) => {
    const { given, log } = bench
    const seconds = given.seconds ?? 20
    const rounds = given.rounds ?? 3
    const rate = given.rate ?? insertsDefault
    const pushes = given.pushes ?? pushesDefault
    const ceiling = given.ceiling ?? ceilingDefault
    const batch = given.batch ?? defaults.batch
    const orphans = given.orphans ?? orphansPerSecond * seconds
    insist(seconds > 0 && rounds > 0, "no time measures nothing")
    insist(rate > 0 && pushes > 0 && ceiling > 0, "a rate of zero measures nothing")
    const what: Load = { seed: bench.seed, seconds, referencesPerSecond: rate, pushesPerSecond: pushes }
    const kinds: Readonly<Record<Who, Beside>> = {
      alone: { sweeps: false, keysPerSecond: null, batch },
      sweep: { sweeps: true, keysPerSecond: null, batch },
      ceiling: { sweeps: true, keysPerSecond: ceiling, batch }
    }
    const shape = { seed: bench.seed, blobs: orphans + Math.ceil(orphans / 4), orphans }
    const dataset = await load(bench.servers, shape, log)
    try {
      const windows: Record<Who, Array<Window>> = { alone: [], sweep: [], ceiling: [] }
      for (let round = 1; round <= rounds; round++) {
        for (const who of inTurn(round)) {
          const window = await measureWindow(
            bench,
            dataset,
            { ...what, seed: bench.seed + round },
            kinds[who]
          )
          windows[who].push(window)
          log(`round ${round}: ${who}: ${describe(window)}`)
        }
      }
      return answer({ seconds, rounds, rate, pushes, ceiling, batch, orphans, seed: bench.seed }, windows)
    } finally {
      await dataset.drop()
    }
  }
}

/** In each round another one is first. */
const inTurn = (round: number): ReadonlyArray<Who> => {
  const all: ReadonlyArray<Who> = ["alone", "sweep", "ceiling"]
  const first = (round - 1) % all.length
  return [...all.slice(first), ...all.slice(0, first)]
}

const describe = ({ references, pushes, busy, sweep }: Window): string => {
  const slowest = (millis: ReadonlyArray<number>) => quantile(millis, 0.99).toFixed(1)
  const swept =
    sweep === null
      ? ""
      : `; ${Math.round(sweep.keysPerSecond)} keys/s with ${sweep.cores.toFixed(2)} cores of the sweep's process`
  return `p99 of references ${slowest(references)} ms, of pushes ${slowest(pushes)} ms, processors ${Math.round(100 * busy)} % busy${swept}`
}

type Kind = "references" | "pushes"

const quantiles = [
  { name: "p50", share: 0.5 },
  { name: "p99", share: 0.99 },
  { name: "max", share: 1 }
] as const

const beside = { sweep: "beside a sweep", ceiling: "beside one with a ceiling" } as const

const answer = (
  parameters: Answer["parameters"],
  windows: Readonly<Record<Who, ReadonlyArray<Window>>>
): Answer => {
  /** A round has few pushes: its slowest hundredth is a handful. So ratios are those of all rounds together. */
  const slowestOfAll = (who: Who, kind: Kind) =>
    quantile(
      windows[who].flatMap((window) => window[kind]),
      0.99
    )
  const figures: Array<Figure> = []
  for (const kind of ["references", "pushes"] as const) {
    for (const who of ["sweep", "ceiling"] as const) {
      for (const { name, share } of quantiles) {
        const of = (whose: Who) => windows[whose].map((window) => quantile(window[kind], share))
        figures.push({
          name: `${kind}, ${name}, ${beside[who]}`,
          unit: "ms",
          measured: of(who),
          floor: of("alone")
        })
      }
      figures.push({
        name: `${kind}, p99 of all rounds, ${beside[who]}`,
        unit: "times without",
        measured: [slowestOfAll(who, kind) / slowestOfAll("alone", kind)],
        ...(who === "ceiling" ? { limit: slowestTimesMax } : {})
      })
    }
  }
  const ofSweep = (who: Who, value: (sweep: NonNullable<Window["sweep"]>) => number) =>
    windows[who].map(({ sweep }) => {
      insist(sweep !== null, `${who} had no sweep`)
      return value(sweep)
    })
  for (const who of ["sweep", "ceiling"] as const) {
    figures.push(
      {
        name: `deleted meanwhile, ${beside[who]}`,
        unit: "keys/s",
        measured: ofSweep(who, ({ keysPerSecond }) => keysPerSecond)
      },
      {
        name: `the sweep's own process, ${beside[who]}`,
        unit: "cores",
        measured: ofSweep(who, ({ cores }) => cores)
      },
      {
        name: `processors in use, ${beside[who]}`,
        unit: "%",
        measured: windows[who].map(({ busy }) => 100 * busy),
        floor: windows.alone.map(({ busy }) => 100 * busy)
      }
    )
  }
  return {
    parameters,
    figures,
    verified: [
      "After each window every reference that was inserted was there with its blob, and every blob that was pushed could be pulled and had its digest.",
      "Each sweep deleted in both halves of its window and had orphans left at its end; what it deleted were orphans, each once, exactly their rows were gone, and nothing was left in the journal. While nobody swept, nothing was deleted."
    ]
  }
}
