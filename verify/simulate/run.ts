/**
 * `npm run simulate -- [options]`: plays many seeds, or one and prints each of its steps. The exit code is 1
 * if an invariant broke, and 2 if an option is wrong.
 */
import { appendFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { Worker } from "node:worker_threads"
import type { Shrunk } from "../../src/testing/simulation/Simulation.ts"
import * as Batch from "./Batch.ts"
import { mutantNamed, mutants } from "./Mutants.ts"

const usage = [
  "usage: npm run simulate -- [options]",
  "",
  "  --seeds N      number of seeds to play, default 2000",
  "  --from S       first seed, default 1",
  "  --minutes M    play seeds for M minutes, instead of --seeds",
  "  --seed S       play only this seed and print every step",
  "  --steps N      about how many steps before faults end, default 200; another N gives another run of a seed",
  "  --workers N    number of threads, default one for each core",
  "  --shrink       with --seed: also print the shortest run that breaks the same invariant",
  "  --json         print JSON",
  "  --mutant NAME  play the code without one of its protections; this must fail:",
  ...mutants.map(({ name, lacks }) => `      ${name.padEnd(26)} without ${lacks}`),
  ""
].join("\n")

class Usage extends Error {}

const read = (args: ReadonlyArray<string>) => {
  const text = { type: "string" } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: text,
      from: text,
      minutes: text,
      seed: text,
      steps: text,
      workers: text,
      mutant: text,
      json: { type: "boolean" },
      shrink: { type: "boolean" },
      help: { type: "boolean" }
    }
  })
  const number = (name: "seeds" | "from" | "minutes" | "seed" | "steps" | "workers"): number | null => {
    const given = values[name]
    if (given === undefined) return null
    const value = Number(given.replaceAll("_", ""))
    if (!Number.isSafeInteger(value) || value < 0) throw new Usage(`--${name} ${given}: not a whole number`)
    return value
  }
  const mutant = values.mutant ?? null
  if (mutant !== null && mutantNamed(mutant) === undefined)
    throw new Usage(`--mutant ${mutant}: no mutant has this name`)
  return {
    seeds: number("seeds") ?? 2000,
    from: number("from") ?? 1,
    minutes: number("minutes"),
    seed: number("seed"),
    steps: number("steps"),
    workers: Math.max(1, number("workers") ?? availableParallelism()),
    mutant,
    json: values.json === true,
    shrink: values.shrink === true,
    help: values.help === true
  }
}

type Settings = ReturnType<typeof read>

/** Seeds that a worker takes at a time. */
const seedsATime = 50

const progressMillis = 10_000

/** Plays all seeds on all workers. */
const playAll = async (settings: Settings): Promise<Batch.Totals> => {
  const { from, steps, mutant } = settings
  const deadline = settings.minutes === null ? null : performance.now() + settings.minutes * 60_000
  const end = deadline === null ? from + settings.seeds : Number.POSITIVE_INFINITY
  let next = from
  let totals = Batch.noTotals
  let loggedAt = performance.now()
  const take = (): Batch.Range | null => {
    const over = next >= end || (deadline !== null && performance.now() >= deadline)
    if (over || totals.failures.length >= failuresMax) return null
    const range = { from: next, seeds: Math.min(seedsATime, end - next), steps, mutant }
    next += range.seeds
    return range
  }
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL("worker.js", import.meta.url))
      const playNext = () => {
        const range = take()
        if (range === null) worker.terminate().then(() => resolve(), reject)
        else worker.postMessage(range)
      }
      worker.on("error", reject)
      worker.on("message", (done: Batch.Totals) => {
        totals = Batch.add(totals, done)
        if (performance.now() - loggedAt > progressMillis) {
          loggedAt = performance.now()
          process.stderr.write(
            `${totals.seeds} seeds, ${totals.steps} steps, ${totals.failures.length} broken\n`
          )
        }
        playNext()
      })
      playNext()
    })
  await Promise.all(Array.from({ length: settings.workers }, work))
  return totals
}

/** Playing stops after this many failures, since further ones seldom show another defect. */
const failuresMax = 20

const replay = ({ steps, mutant }: Settings, seed: number): string =>
  [
    `npm run simulate -- --seed ${seed}`,
    ...(steps === null ? [] : [`--steps ${steps}`]),
    ...(mutant === null ? [] : [`--mutant ${mutant}`])
  ].join(" ")

/** Counts leaks (garbage that is left) and all other failures. */
const lostAndLeaked = (failures: ReadonlyArray<Batch.Failure>) => {
  const leaked = failures.filter(({ broken }) => broken.startsWith("leaked")).length
  return { lost: failures.length - leaked, leaked }
}

/** Most runs that look for a shorter one. */
const shrinkRuns = 500

const shortest = ({ message, runs, steps, trace }: Shrunk): string =>
  `${trace.join("\n")}\nthe shortest of ${runs} runs, ${steps} steps before faults end: ${message}`

const playOne = (settings: Settings, seed: number): number => {
  const outcome = Batch.play(seed, settings, true, settings.shrink ? shrinkRuns : 0)
  if (settings.json) process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`)
  else {
    process.stdout.write(`${outcome.trace.join("\n")}\n`)
    process.stdout.write(`seed ${seed}: ${outcome.broken ?? "no invariant broke"}\n`)
    if (outcome.shrunk !== null) process.stdout.write(`\n${shortest(outcome.shrunk)}\n`)
  }
  return outcome.broken === null ? 0 : 1
}

const playMany = async (settings: Settings): Promise<number> => {
  const began = performance.now()
  const totals = await playAll(settings)
  const seconds = (performance.now() - began) / 1000
  const { lost, leaked } = lostAndLeaked(totals.failures)
  const failed = totals.failures.length > 0
  const result = { seeds: totals.seeds, from: settings.from, steps: totals.steps, seconds, lost, leaked }
  if (settings.json) {
    process.stdout.write(
      `${JSON.stringify({ ...result, counts: totals.counts, failures: totals.failures }, null, 2)}\n`
    )
  } else {
    const first = totals.failures[0]
    if (first !== undefined) {
      const { shrunk, trace } = Batch.play(first.seed, settings, true, shrinkRuns)
      process.stdout.write(`${shrunk === null ? trace.join("\n") : shortest(shrunk)}\n\n`)
    }
    for (const { seed, broken } of totals.failures)
      process.stdout.write(`seed ${seed}: ${broken}\n    ${replay(settings, seed)}\n`)
    const counts = Object.entries(totals.counts).sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [what, times] of counts) process.stdout.write(`${String(times).padStart(12)}  ${what}\n`)
    const speed = Math.round(totals.seeds / seconds)
    process.stdout.write(
      `${totals.seeds} seeds from ${settings.from}, ${totals.steps} steps, ${seconds.toFixed(1)} s (${speed} seeds/s); lost ${lost}, leaked ${leaked}\n`
    )
  }
  if (process.env.ARTIFACT_GC_TEST_TALLY)
    appendFileSync(process.env.ARTIFACT_GC_TEST_TALLY, `simulate ${failed ? 0 : 1} ${failed ? 1 : 0} 0\n`)
  return failed || totals.seeds === 0 ? 1 : 0
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const settings = read(args)
  if (settings.help) {
    process.stdout.write(usage)
    return 0
  }
  return settings.seed === null ? playMany(settings) : playOne(settings, settings.seed)
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    const unusable =
      error instanceof Usage || String((error as { code?: string }).code).startsWith("ERR_PARSE_ARGS")
    process.stderr.write(unusable ? `${(error as Error).message}\n${usage}` : `${(error as Error).stack}\n`)
    process.exitCode = unusable ? 2 : 1
  }
)
