/**
 * What does a year of hourly sweeps cost over the memory layers? Tests of apps let a year pass, and nearly all of its
 * sweeps find nothing. Processor time is counted, because it depends less on a busy machine than time does.
 */
import { type Answer, type Bench, ensure, type Question } from "./harness/Question.ts"
import { measure } from "./harness/Variant.ts"
import type { YearOutcome, YearTask } from "./year/Year.ts"

const hoursOfYear = 8760

/** The question. */
export const question: Question = {
  name: "year",
  asks: "processor time of hourly sweeps over the memory layers, with and without a writer",
  options: {
    hours: { about: "hours of virtual time, default 8,760" },
    runs: { about: "runs of each, default 1" }
  },
  needsServers: false,
  ask: async (bench) => {
    const hours = bench.given.hours ?? hoursOfYear
    const runs = bench.given.runs ?? 1
    // A blob is deleted two hours after its last reference, and each name is moved every fifty hours.
    ensure(hours >= 100, "--hours must be at least 100, or the writer leaves no garbage")
    ensure(runs > 0, "--runs must be above 0")
    const alone: Array<number> = []
    const writing: Array<number> = []
    for (let run = 0; run < runs; run++) {
      alone.push(await passing(bench, { hours, writes: false }))
      writing.push(await passing(bench, { hours, writes: true }))
    }
    return answer({ hours, runs }, alone, writing)
  }
}

/** Returns seconds of processor time. */
const passing = async (bench: Bench, task: YearTask): Promise<number> => {
  const { cpuMillis, outcome } = await measure<YearOutcome>(
    new URL("./year/Year.js", import.meta.url),
    task,
    bench.nodeOptions
  )
  const { blobs, complete, deleted, objects } = outcome
  ensure(complete === task.hours, `${complete} of ${task.hours} sweeps were complete`)
  ensure(objects === blobs, `the store has ${objects} objects, and the catalogue ${blobs} blobs`)
  const written = task.writes ? task.hours : 0
  ensure(
    deleted + blobs === written,
    `${written} blobs were written, ${deleted} deleted, and ${blobs} are left`
  )
  ensure(!task.writes || deleted > task.hours / 2, `only ${deleted} blobs were deleted`)
  bench.log(`${task.writes ? "with a writer" : "alone"}: ${(cpuMillis / 1000).toFixed(1)} s`)
  return cpuMillis / 1000
}

const answer = (
  parameters: Answer["parameters"],
  alone: ReadonlyArray<number>,
  writing: ReadonlyArray<number>
): Answer => ({
  parameters,
  figures: [
    { name: "processor time of the sweeps", unit: "s", measured: alone },
    { name: "the same with a writer", unit: "s", measured: writing, floor: alone }
  ],
  verified: [
    "Every sweep was complete. Every blob that the writer put was deleted or is left, and each that is left has its object."
  ]
})
