/**
 * `npm run bench -- <question> [options]`: measures the answer to one question and prints its figures. It
 * prints no figures, and the exit code is 1, if a verification fails.
 *
 * It starts the servers itself, unless REAL_DATABASE_URL and REAL_S3_… name others.
 */
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { runWithServers } from "../../tools/servers/Servers.ts"
import { question as collect } from "./Collect.ts"
import { question as find } from "./Find.ts"
import { question as foreground } from "./Foreground.ts"
import { check, NoFigures, type Question } from "./harness/Question.ts"
import * as Report from "./harness/Report.ts"
import * as Result from "./harness/Result.ts"
import * as Results from "./harness/Results.ts"
import * as Servers from "./harness/Servers.ts"
import { question as idle } from "./Idle.ts"
import { question as list } from "./List.ts"
import { question as memory } from "./Memory.ts"
import { question as operating } from "./Operating.ts"
import { question as purge } from "./Purge.ts"
import { question as registry } from "./Registry.ts"
import { question as replicas } from "./Replicas.ts"
import { question as retention } from "./Retention.ts"
import { question as sweep } from "./Sweep.ts"
import { question as upload } from "./Upload.ts"
import { question as year } from "./Year.ts"

/** All questions. The name of a question is its command. */
const questions: ReadonlyArray<Question> = [
  sweep,
  memory,
  find,
  purge,
  idle,
  retention,
  year,
  list,
  upload,
  registry,
  collect,
  replicas,
  foreground,
  operating
]

const usage = () =>
  [
    "usage: npm run bench -- <question> [options]",
    "",
    ...questions.flatMap((question) => [
      `  ${question.name}   ${question.asks}`,
      ...Object.entries(question.options).map(([name, { about }]) => `      --${name} N   ${about}`)
    ]),
    "",
    "  --seed N      seed of the data set, default 1",
    "  --json        print JSON instead of a table",
    "  --keep NAME   keep the result as verify/bench/results/NAME.json, and draw the report of all kept results again",
    "  --profile     write CPU profiles to verify/bench/results/local/; profiling distorts the figures",
    ""
  ].join("\n")

class Usage extends Error {}

const wholeNumber = (name: string, text: string): number => {
  const value = Number(text.replaceAll("_", ""))
  if (!Number.isSafeInteger(value) || value < 0) throw new Usage(`--${name} ${text}: not a whole number`)
  return value
}

const keepName = (name: unknown): string | null => {
  if (typeof name !== "string") return null
  if (!/^[a-z0-9-]+$/.test(name))
    throw new Usage(`--keep ${name}: a name consists of small letters, digits and dashes`)
  return name
}

const read = (args: ReadonlyArray<string>) => {
  const question = questions.find(({ name }) => name === args[0])
  if (question === undefined) throw new Usage(args[0] === undefined ? "" : `no question "${args[0]}"`)
  const numbers = [...Object.keys(question.options), "seed"]
  const switches = ["json", "profile"]
  const { values } = parseArgs({
    args: args.slice(1),
    options: Object.fromEntries([
      ...switches.map((name) => [name, { type: "boolean" }] as const),
      ...[...numbers, "keep"].map((name) => [name, { type: "string" }] as const)
    ])
  }) as { readonly values: Readonly<Record<string, unknown>> }
  const given = Object.fromEntries(
    Object.entries(values).flatMap(([name, text]) =>
      typeof text === "string" && name !== "keep" ? [[name, wholeNumber(name, text)]] : []
    )
  )
  const on = (name: string) => values[name] === true
  return { question, given, json: on("json"), keep: keepName(values.keep), profile: on("profile") }
}

/** Starts the servers, and this program again with their addresses. */
const withServers = (args: ReadonlyArray<string>): Promise<number> =>
  runWithServers(process.execPath, [fileURLToPath(import.meta.url), ...args], { env: Servers.throwAway })

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  if (args.includes("--help")) {
    process.stdout.write(usage())
    return 0
  }
  const { question, given, json, keep, profile } = read(args)
  const servers = question.needsServers === false ? Servers.none : Servers.fromEnvironment()
  if (servers === null) return await withServers(args)
  const began = performance.now()
  const log = (text: string) =>
    process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${text}\n`)
  const machine = await Results.machine(servers)
  if (machine.loadBefore > 1) {
    log(`the machine is busy (load ${machine.loadBefore.toFixed(1)}): compare ratios, not figures`)
  }
  const answer = await question.ask({
    servers,
    given,
    seed: given.seed ?? 1,
    log,
    nodeOptions: profile ? ["--cpu-prof", `--cpu-prof-dir=${fileURLToPath(Results.local)}`] : []
  })
  check(answer)
  const result = Result.of(question, answer, machine, args)
  const kept = Results.keep(result, keep)
  process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : Report.text(result))
  log(`written to ${kept}`)
  for (const sentence of result.overLimit) process.stderr.write(`${sentence}\n`)
  return result.overLimit.length === 0 ? 0 : 1
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    if (error instanceof Usage || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS")) {
      process.stderr.write(`${(error as Error).message}\n${usage()}`)
      process.exit(2)
    }
    const text = error instanceof NoFigures ? error.message : error instanceof Error ? error.stack : error
    process.stderr.write(`No figures: ${text}\n`)
    process.exit(1)
  }
)
