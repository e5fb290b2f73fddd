/**
 * How much does a sweep slow down other work? The same load runs in windows of equal length: alone, beside a
 * sweep with default settings, and beside a sweep with a ceiling. The order of the windows rotates.
 *
 * The load arrives at a fixed rate, and latency counts from the intended arrival. A fake store answers at
 * once, so that the sweep is as fast as the database and the processors allow.
 */
import { quantile } from "./foreground/OpenLoop.ts"
import { type Condition, type Load, measureWindow, type Window } from "./foreground/Window.ts"
import { load } from "./harness/Dataset.ts"
import { type Answer, ensure, type Figure, type Question } from "./harness/Question.ts"
import { rotated } from "./harness/Rotation.ts"
import { defaults } from "./sweep/Variants.ts"

/** Maximum ratio of the 99th percentile with a sweep to the one without. */
const slowestTimesMax = 1.5

const insertsDefault = 200
const pushesDefault = 20
const ceilingDefault = 2000

/** More than the fastest sweep measured here purges in a second. */
const orphansPerSecond = 20_000

type ConditionName = "alone" | "sweep" | "ceiling"

/** The question. */
export const question: Question = {
  name: "foreground",
  asks: "references and pushes beside a sweep, with and without a ceiling, and without a sweep",
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
    ensure(seconds > 0 && rounds > 0, "--seconds and --rounds must be above 0")
    ensure(rate > 0 && pushes > 0 && ceiling > 0, "--rate, --pushes and --ceiling must be above 0")
    const work: Load = { seed: bench.seed, seconds, referencesPerSecond: rate, pushesPerSecond: pushes }
    const conditions: Readonly<Record<ConditionName, Condition>> = {
      alone: { sweeps: false, keysPerSecond: null, batch },
      sweep: { sweeps: true, keysPerSecond: null, batch },
      ceiling: { sweeps: true, keysPerSecond: ceiling, batch }
    }
    const shape = { seed: bench.seed, blobs: orphans + Math.ceil(orphans / 4), orphans }
    const dataset = await load(bench.servers, shape, log)
    try {
      const windows: Record<ConditionName, Array<Window>> = { alone: [], sweep: [], ceiling: [] }
      for (let round = 1; round <= rounds; round++) {
        for (const name of rotated(round, conditionNames)) {
          const window = await measureWindow(
            bench,
            dataset,
            { ...work, seed: bench.seed + round },
            conditions[name]
          )
          windows[name].push(window)
          log(`round ${round}: ${name}: ${describe(window)}`)
        }
      }
      return answer({ seconds, rounds, rate, pushes, ceiling, batch, orphans, seed: bench.seed }, windows)
    } finally {
      await dataset.drop()
    }
  }
}

const conditionNames: ReadonlyArray<ConditionName> = ["alone", "sweep", "ceiling"]

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
  windows: Readonly<Record<ConditionName, ReadonlyArray<Window>>>
): Answer => {
  // The slowest hundredth of one round is only a few pushes. So ratios are those of all rounds together.
  const slowestOfAll = (name: ConditionName, kind: Kind) =>
    quantile(
      windows[name].flatMap((window) => window[kind]),
      0.99
    )
  const figures: Array<Figure> = []
  for (const kind of ["references", "pushes"] as const) {
    for (const condition of ["sweep", "ceiling"] as const) {
      for (const { name, share } of quantiles) {
        const of = (whose: ConditionName) => windows[whose].map((window) => quantile(window[kind], share))
        figures.push({
          name: `${kind}, ${name}, ${beside[condition]}`,
          unit: "ms",
          measured: of(condition),
          floor: of("alone")
        })
      }
      figures.push({
        name: `${kind}, p99 of all rounds, ${beside[condition]}`,
        unit: "times without",
        measured: [slowestOfAll(condition, kind) / slowestOfAll("alone", kind)],
        ...(condition === "ceiling" ? { limit: slowestTimesMax } : {})
      })
    }
  }
  const ofSweep = (name: ConditionName, value: (sweep: NonNullable<Window["sweep"]>) => number) =>
    windows[name].map(({ sweep }) => {
      ensure(sweep !== null, `${name} had no sweep`)
      return value(sweep)
    })
  for (const condition of ["sweep", "ceiling"] as const) {
    figures.push(
      {
        name: `deleted meanwhile, ${beside[condition]}`,
        unit: "keys/s",
        measured: ofSweep(condition, ({ keysPerSecond }) => keysPerSecond)
      },
      {
        name: `the sweep's own process, ${beside[condition]}`,
        unit: "cores",
        measured: ofSweep(condition, ({ cores }) => cores)
      },
      {
        name: `processors in use, ${beside[condition]}`,
        unit: "%",
        measured: windows[condition].map(({ busy }) => 100 * busy),
        floor: windows.alone.map(({ busy }) => 100 * busy)
      }
    )
  }
  return {
    parameters,
    figures,
    verified: [
      "After each window every inserted reference existed with its blob, and every pushed blob could be pulled and had its digest.",
      "Each sweep deleted in both halves of its window and had orphans left at its end. It deleted only orphans, each once. Exactly their rows were gone, and the journal was empty. Without a sweep, nothing was deleted."
    ]
  }
}
