/**
 * Does a sweep's memory grow with what there is to sweep? Two data sets, one many times the other, beside a store that
 * answers at once; and the bare loop on both, whose memory is what Node, the SDK and a page of rows take.
 */
import type { Effort } from "./harness/Contender.ts"
import { load } from "./harness/Dataset.ts"
import { type Answer, type Bench, insist, type Question, type Series } from "./harness/Question.ts"
import { besideStandIn, type Pair, perform, settingsFor } from "./sweep/Contest.ts"
import type { Outcome } from "./sweep/Task.ts"

/** What a container of 256 MB has room for. */
const rssMegabytesMax = 200
/** A tenth more for ten times the work would be noise; growth would be tenfold. */
const growthMax = 1.1

export const question: Question = {
  name: "memory",
  asks: "a sweep's memory at two sizes, beside the same SQL and DeleteObjects in a bare loop",
  options: {
    small: { about: "orphans in the smaller data set, among twice as many blobs, default 100,000" },
    large: { about: "orphans in the larger one, default 1,000,000" },
    blobs: { about: "blobs in the larger one, default twice its orphans" },
    runs: { about: "runs of each, default 1" }
  },
  ask: async (bench) => {
    const { given } = bench
    const small = given.small ?? 100_000
    const large = given.large ?? 1_000_000
    const blobs = given.blobs ?? 2 * large
    const runs = given.runs ?? 1
    insist(runs > 0, "no runs measure nothing")
    insist(small > 0 && large >= 2 * small, "the larger data set is at least twice the smaller one")
    const ofSmall = await rounds(bench, 2 * small, small, runs)
    const ofLarge = await rounds(bench, blobs, large, runs)
    return answer({ small, large, blobs, runs, seed: bench.seed }, ofSmall, ofLarge)
  }
}

const rounds = async (
  bench: Bench,
  blobs: number,
  orphans: number,
  runs: number
): Promise<ReadonlyArray<Pair>> => {
  const dataset = await load(bench.servers, { seed: bench.seed, blobs, orphans }, bench.log)
  const settings = settingsFor(dataset)
  const one = async (who: keyof Pair) => {
    const effort = await perform(bench, dataset, who, settings, besideStandIn(0))
    const { rssPeakBytes, millis } = effort
    bench.log(
      `${who} of ${orphans}: peak ${megabytes(rssPeakBytes).toFixed(0)} MB in ${(millis / 1000).toFixed(1)} s`
    )
    return effort
  }
  try {
    const pairs: Array<Pair> = []
    for (let run = 0; run < runs; run++) pairs.push({ floor: await one("floor"), sweep: await one("sweep") })
    return pairs
  } finally {
    await dataset.drop()
  }
}

const megabytes = (bytes: number) => bytes / 1e6

const peaks = (pairs: ReadonlyArray<Pair>) => {
  const of = (who: keyof Pair) => pairs.map((pair) => megabytes(pair[who].rssPeakBytes))
  return { measured: of("sweep"), floor: of("floor") }
}

const answer = (
  parameters: Readonly<Record<"small" | "large" | "blobs" | "runs" | "seed", number>>,
  ofSmall: ReadonlyArray<Pair>,
  ofLarge: ReadonlyArray<Pair>
): Answer => {
  const [small, large] = [peaks(ofSmall), peaks(ofLarge)]
  const growth = (whose: "measured" | "floor") =>
    large[whose].map((peak, run) => peak / (small[whose][run] ?? Number.NaN))
  return {
    parameters,
    figures: [
      { name: "peak RSS of the small sweep", unit: "MB", ...small, limit: rssMegabytesMax },
      { name: "peak RSS of the large sweep", unit: "MB", ...large, limit: rssMegabytesMax },
      {
        name: "the large one, in small ones",
        unit: "times",
        measured: growth("measured"),
        floor: growth("floor"),
        limit: growthMax
      }
    ],
    series: [
      ...overTime(`${parameters.small} orphans`, ofSmall),
      ...overTime(`${parameters.large} orphans`, ofLarge)
    ],
    verified: [
      `After each, exactly the orphans (${parameters.small}, ${parameters.large}) had lost their row, and the store had been told to delete exactly their objects.`,
      "Peaks are the kernel's high-water marks of the process, from its first instruction on."
    ]
  }
}

const overTime = (of: string, pairs: ReadonlyArray<Pair>): ReadonlyArray<Series> =>
  (["sweep", "floor"] as const).flatMap((who) => {
    const effort: Effort<Outcome> | undefined = pairs[0]?.[who]
    return effort === undefined
      ? []
      : [
          {
            name: `${who}, ${of}`,
            x: "share of its time",
            y: "RSS, MB",
            points: effort.rssOverTime.map(
              ({ millis, bytes }) => [millis / effort.millis, megabytes(bytes)] as const
            )
          }
        ]
  })
