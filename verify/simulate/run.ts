/**
 * `npm run simulate -- [options]`: plays many seeds, or one with every step of it. Exit code 1 when an invariant broke
 * in any of them, 2 for a command line that cannot be used.
 */
import { appendFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { Worker } from "node:worker_threads"
import * as Batch from "./Batch.ts"
import { mutants, named } from "./Mutants.ts"

const usage = [
  "usage: npm run simulate -- [options]",
  "",
  "  --seeds N      how many seeds to play, default 2000",
  "  --from S       the first of them, default 1",
  "  --minutes M    go on with the seeds that follow for so long, instead of --seeds",
  "  --seed S       play this one alone and print every step",
  "  --steps N      about how many steps before faults end, default 200; part of what a seed means",
  "  --workers N    threads, default one a core",
  "  --json         print JSON",
  "  --mutant NAME  play the code without one of its protections; it should fail:",
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
  if (mutant !== null && named(mutant) === undefined)
    throw new Usage(`--mutant ${mutant}: there is none of this name`)
  return {
    seeds: number("seeds") ?? 2000,
    from: number("from") ?? 1,
    minutes: number("minutes"),
    seed: number("seed"),
    steps: number("steps"),
    workers: Math.max(1, number("workers") ?? availableParallelism()),
    mutant,
    json: values.json === true,
    help: values.help === true
  }
}

type Settings = ReturnType<typeof read>

/** Seeds a worker takes at a time. */
const sliceOf = 50

const progressMillis = 10_000

/** Plays all seeds on all workers. */
const playAll = async (settings: Settings): Promise<Batch.Sum> => {
  const { from, steps, mutant } = settings
  const deadline = settings.minutes === null ? null : performance.now() + settings.minutes * 60_000
  const end = deadline === null ? from + settings.seeds : Number.POSITIVE_INFINITY
  let next = from
  let sum = Batch.nothing
  let told = performance.now()
  const take = (): Batch.Range | null => {
    const over = next >= end || (deadline !== null && performance.now() >= deadline)
    if (over || sum.failures.length >= failuresMax) return null
    const range = { from: next, seeds: Math.min(sliceOf, end - next), steps, mutant }
    next += range.seeds
    return range
  }
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL("worker.js", import.meta.url))
      const go = () => {
        const range = take()
        if (range === null) worker.terminate().then(() => resolve(), reject)
        else worker.postMessage(range)
      }
      worker.on("error", reject)
      worker.on("message", (done: Batch.Sum) => {
        sum = Batch.add(sum, done)
        if (performance.now() - told > progressMillis) {
          told = performance.now()
          process.stderr.write(`${sum.seeds} seeds, ${sum.steps} steps, ${sum.failures.length} broken\n`)
        }
        go()
      })
      go()
    })
  await Promise.all(Array.from({ length: settings.workers }, work))
  return sum
}

/** A defect shows in one seed of a few; more of them say nothing new. */
const failuresMax = 20

const replay = ({ steps, mutant }: Settings, seed: number): string =>
  [
    `npm run simulate -- --seed ${seed}`,
    ...(steps === null ? [] : [`--steps ${steps}`]),
    ...(mutant === null ? [] : [`--mutant ${mutant}`])
  ].join(" ")

/** What is told apart in the summary: a blob that is gone, an object that stays, anything else. */
const verdict = (failures: ReadonlyArray<Batch.Failure>) => {
  const leaked = failures.filter(({ broken }) => broken.startsWith("leaked")).length
  return { lost: failures.length - leaked, leaked }
}

const one = (settings: Settings, seed: number): number => {
  const outcome = Batch.play(seed, settings, true)
  if (settings.json) process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`)
  else {
    process.stdout.write(`${outcome.trace.join("\n")}\n`)
    process.stdout.write(`seed ${seed}: ${outcome.broken ?? "nothing is broken"}\n`)
  }
  return outcome.broken === null ? 0 : 1
}

const many = async (settings: Settings): Promise<number> => {
  const began = performance.now()
  const sum = await playAll(settings)
  const seconds = (performance.now() - began) / 1000
  const { lost, leaked } = verdict(sum.failures)
  const failed = sum.failures.length > 0
  const result = { seeds: sum.seeds, from: settings.from, steps: sum.steps, seconds, lost, leaked }
  if (settings.json) {
    process.stdout.write(
      `${JSON.stringify({ ...result, counts: sum.counts, failures: sum.failures }, null, 2)}\n`
    )
  } else {
    const first = sum.failures[0]
    if (first !== undefined) {
      const { trace } = Batch.play(first.seed, settings, true)
      process.stdout.write(`${trace.join("\n")}\n\n`)
    }
    for (const { seed, broken } of sum.failures)
      process.stdout.write(`seed ${seed}: ${broken}\n    ${replay(settings, seed)}\n`)
    const counts = Object.entries(sum.counts).sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [what, times] of counts) process.stdout.write(`${String(times).padStart(12)}  ${what}\n`)
    const speed = Math.round(sum.seeds / seconds)
    process.stdout.write(
      `${sum.seeds} seeds from ${settings.from}, ${sum.steps} steps, ${seconds.toFixed(1)} s (${speed} seeds/s); lost ${lost}, leaked ${leaked}\n`
    )
  }
  if (process.env.ARTIFACT_GC_TEST_TALLY)
    appendFileSync(process.env.ARTIFACT_GC_TEST_TALLY, `simulate ${failed ? 0 : 1} ${failed ? 1 : 0} 0\n`)
  return failed || sum.seeds === 0 ? 1 : 0
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const settings = read(args)
  if (settings.help) {
    process.stdout.write(usage)
    return 0
  }
  return settings.seed === null ? many(settings) : one(settings, settings.seed)
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
