/**
 * How many keys a second can be listed when the store answers at once? The search for leftovers, staged
 * uploads and the audit depend on it. The floor fetches the same pages without parsing them, the baseline
 * uses the SDK's parser.
 */

import { type Answer, ensure, type Question } from "./harness/Question.ts"
import { type Measurement, measure } from "./harness/Variant.ts"
import { keyAt, pageKeys, start } from "./list/Pages.ts"
import type { Outcome } from "./list/Task.ts"

/** Allows a hundred thousand keys a second on one core. */
const cpuMillisMax = 10

const files = {
  floor: new URL("./list/Floor.js", import.meta.url),
  list: new URL("./list/Collector.js", import.meta.url),
  sdk: new URL("./list/Sdk.js", import.meta.url)
}
type Variant = keyof typeof files

/** The question. */
export const question: Question = {
  name: "list",
  asks: "listing a bucket, beside fetching its pages without parsing, and listing with the SDK's parser",
  options: {
    keys: { about: "keys in the bucket, in pages of 1000, default 1,000,000" },
    runs: { about: "runs of each variant, default 3" }
  },
  ask: async ({ servers, given, log, nodeOptions }) => {
    const keys = given.keys ?? 1_000_000
    const runs = given.runs ?? 3
    ensure(keys > 0 && keys % pageKeys === 0, "--keys must be a multiple of 1000")
    ensure(runs > 0, "--runs must be above 0")
    const store = await start(servers.s3, keys / pageKeys)
    const measurements: Record<Variant, Array<Measurement<Outcome>>> = { floor: [], list: [], sdk: [] }
    try {
      for (let run = 1; run <= runs; run++) {
        for (const variant of Object.keys(files) as Array<Variant>) {
          const measurement = await measure<Outcome>(files[variant], { s3: store.s3 }, nodeOptions)
          verify(variant, measurement.outcome, keys)
          log(`run ${run}: ${variant} listed ${keys} keys in ${(measurement.millis / 1000).toFixed(1)} s`)
          measurements[variant].push(measurement)
        }
      }
    } finally {
      store.close()
    }
    return answer({ keys, runs }, measurements)
  }
}

/** Verifies the number of keys, the last key, and the sum of sizes, which the floor does not read. */
const verify = (variant: Variant, { keys, bytes, lastKey }: Outcome, expected: number): void => {
  ensure(keys === expected, `${variant} listed ${keys} of ${expected} keys`)
  ensure(lastKey === keyAt(expected - 1), `${variant} ended at ${lastKey}`)
  const ofPage = (pageKeys * (pageKeys - 1)) / 2
  ensure(
    variant === "floor" || bytes === ofPage * (expected / pageKeys),
    `${variant} added up ${bytes} bytes`
  )
}

const answer = (
  parameters: { readonly keys: number; readonly runs: number },
  measurements: Record<Variant, ReadonlyArray<Measurement<Outcome>>>
): Answer => {
  const each = (value: (measurement: Measurement<Outcome>) => number) => ({
    measured: measurements.list.map(value),
    floor: measurements.floor.map(value),
    baseline: measurements.sdk.map(value)
  })
  return {
    parameters,
    figures: [
      { name: "rate", unit: "keys/s", ...each(({ millis }) => (parameters.keys * 1000) / millis) },
      {
        name: "CPU of the process",
        unit: "ms/1000 keys",
        ...each(({ cpuMillis }) => (cpuMillis * 1000) / parameters.keys),
        limit: cpuMillisMax
      },
      { name: "peak RSS", unit: "MB", ...each(({ rssPeakBytes }) => rssPeakBytes / 1e6) }
    ],
    verified: [
      `Each variant listed ${parameters.keys} keys up to the last one. The listing and the SDK summed up the right sizes.`
    ]
  }
}
