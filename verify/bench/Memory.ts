/**
 * Does a sweep's memory grow with the amount of garbage? It sweeps two data sets of different sizes with a
 * fake store that answers at once. The floor is the loop, whose memory is that of Node, the SDK and a page of
 * rows.
 */

import { load } from "./harness/Dataset.ts"
import { type Answer, type Bench, ensure, type Question, type Series } from "./harness/Question.ts"
import type { Measurement } from "./harness/Variant.ts"
import type { Outcome } from "./sweep/Task.ts"
import { measureVariant, onFakeStore, type Pair, settingsFor } from "./sweep/Variants.ts"

/** The memory that a container of 256 MB can give to a process. */
const rssMegabytesMax = 200
/** A tenth more memory for ten times the work is noise. Proportional growth would be tenfold. */
const growthMax = 1.1

/** The question. */
export const question: Question = {
  name: "memory",
  asks: "a sweep's memory at two sizes, beside the same SQL and DeleteObjects in a loop",
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
    ensure(runs > 0, "--runs must be above 0")
    ensure(small > 0 && large >= 2 * small, "--large must be at least twice --small")
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
  const measureOne = async (variant: keyof Pair) => {
    const measurement = await measureVariant(bench, dataset, variant, settings, onFakeStore(0))
    const { rssPeakBytes, millis } = measurement
    bench.log(
      `${variant} of ${orphans}: peak ${megabytes(rssPeakBytes).toFixed(0)} MB in ${(millis / 1000).toFixed(1)} s`
    )
    return measurement
  }
  try {
    const pairs: Array<Pair> = []
    for (let run = 0; run < runs; run++)
      pairs.push({ floor: await measureOne("floor"), sweep: await measureOne("sweep") })
    return pairs
  } finally {
    await dataset.drop()
  }
}

const megabytes = (bytes: number) => bytes / 1e6

const peaks = (pairs: ReadonlyArray<Pair>) => {
  const of = (variant: keyof Pair) => pairs.map((pair) => megabytes(pair[variant].rssPeakBytes))
  return { measured: of("sweep"), floor: of("floor") }
}

const answer = (
  parameters: Readonly<Record<"small" | "large" | "blobs" | "runs" | "seed", number>>,
  ofSmall: ReadonlyArray<Pair>,
  ofLarge: ReadonlyArray<Pair>
): Answer => {
  const [small, large] = [peaks(ofSmall), peaks(ofLarge)]
  const growth = (variant: "measured" | "floor") =>
    large[variant].map((peak, run) => peak / (small[variant][run] ?? Number.NaN))
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
      `After each, exactly the orphans (${parameters.small}, ${parameters.large}) had lost their row, and the fake store had received deletes of exactly their objects.`,
      "Peaks are the kernel's high-water marks of the process, from its first instruction on."
    ]
  }
}

const overTime = (of: string, pairs: ReadonlyArray<Pair>): ReadonlyArray<Series> =>
  (["sweep", "floor"] as const).flatMap((variant) => {
    const measurement: Measurement<Outcome> | undefined = pairs[0]?.[variant]
    return measurement === undefined
      ? []
      : [
          {
            name: `${variant}, ${of}`,
            x: "share of its time",
            y: "RSS, MB",
            points: measurement.rssOverTime.map(
              ({ millis, bytes }) => [millis / measurement.millis, megabytes(bytes)] as const
            )
          }
        ]
  })
