/**
 * How many keys a second does listing a bucket come to, of which the search for leftovers, staged uploads and the audit
 * live, when the store answers at once? Beside fetching the same pages unread, and beside the SDK's own reading.
 */
import { type Effort, measure } from "./harness/Contender.ts"
import { type Answer, insist, type Question } from "./harness/Question.ts"
import { keyAt, pageKeys, start } from "./list/Pages.ts"
import type { Outcome } from "./list/Task.ts"

/** A hundred thousand keys a second of one core. */
const cpuMillisMax = 10

const contenders = {
  floor: new URL("./list/Floor.js", import.meta.url),
  list: new URL("./list/Collector.js", import.meta.url),
  sdk: new URL("./list/Sdk.js", import.meta.url)
}
type Contender = keyof typeof contenders

export const question: Question = {
  name: "list",
  asks: "listing a bucket, beside fetching its pages unread, and the SDK's own reading of them",
  options: {
    keys: { about: "keys in the bucket, in pages of 1000, default 1,000,000" },
    runs: { about: "runs of each contender, default 3" }
  },
  ask: async ({ servers, given, log, nodeOptions }) => {
    const keys = given.keys ?? 1_000_000
    const runs = given.runs ?? 3
    insist(keys > 0 && keys % pageKeys === 0, "--keys is a multiple of 1000")
    insist(runs > 0, "no runs measure nothing")
    const store = await start(servers.s3, keys / pageKeys)
    const efforts: Record<Contender, Array<Effort<Outcome>>> = { floor: [], list: [], sdk: [] }
    try {
      for (let run = 1; run <= runs; run++) {
        for (const who of Object.keys(contenders) as Array<Contender>) {
          const effort = await measure<Outcome>(contenders[who], { s3: store.place }, nodeOptions)
          verify(who, effort.outcome, keys)
          log(`run ${run}: ${who} listed ${keys} keys in ${(effort.millis / 1000).toFixed(1)} s`)
          efforts[who].push(effort)
        }
      }
    } finally {
      store.close()
    }
    return answer({ keys, runs }, efforts)
  }
}

/** All keys, in order to the last one, and every size but in the floor, which reads none. */
const verify = (who: Contender, { keys, bytes, lastKey }: Outcome, expected: number): void => {
  insist(keys === expected, `${who} listed ${keys} of ${expected} keys`)
  insist(lastKey === keyAt(expected - 1), `${who} ended at ${lastKey}`)
  const ofPage = (pageKeys * (pageKeys - 1)) / 2
  insist(who === "floor" || bytes === ofPage * (expected / pageKeys), `${who} added up ${bytes} bytes`)
}

const answer = (
  parameters: { readonly keys: number; readonly runs: number },
  efforts: Record<Contender, ReadonlyArray<Effort<Outcome>>>
): Answer => {
  const each = (value: (effort: Effort<Outcome>) => number) => ({
    measured: efforts.list.map(value),
    floor: efforts.floor.map(value),
    baseline: efforts.sdk.map(value)
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
      `Each contender came to the last of ${parameters.keys} keys; the listing and the SDK added up the right size of every one.`
    ]
  }
}
