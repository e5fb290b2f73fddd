/**
 * `npm run torture -- [options]`: runs writers and collectors as processes on real servers, kills them again and
 * again, and lets their connections break. Then it reads everything back.
 *
 * It starts the servers itself, unless REAL_DATABASE_URL and REAL_S3_… name others. Everything in that bucket
 * is deleted. The exit code is 1 if a blob was lost, garbage was left, or no work was done.
 */
import { appendFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { runWithServers } from "../../tools/servers/Servers.ts"
import * as Servers from "../bench/harness/Servers.ts"
import * as FaultTable from "./FaultTable.ts"
import * as RandomWork from "./RandomWork.ts"

const usage = `usage: npm run torture -- [--minutes M] [--seed S] [--table [--every N [--from K]] [--jobs J]] [--json]

  --minutes M   minutes of random work, default 2
  --seed S      seed of the random numbers, default 1 (a run replays only roughly, since timing differs)
  --table       instead, play each step of each scenario under each fault, one by one
  --every N     with --table: play one in N of the cases, evenly over all of them, default 1
  --from K      with --every: begin with the case number K, from 0 to N - 1, default 0; all K together play every case
  --jobs J      with --table: play J cases at once, default 1. Each job beyond the first has a database and a
                bucket NAME-n of its own, which it creates
  --json        print JSON instead of text
`

const numberOf = (text: string | undefined, fallback: number): number => {
  const value = text === undefined ? fallback : Number(text)
  if (!(value > 0)) throw new Error(`"${text}" is not a number above zero\n\n${usage}`)
  return value
}

/** Returns the share of the cases that are played: the case `from` of each `every`. */
const shareOf = (every: string | undefined, from: string | undefined) => {
  const share = { every: numberOf(every, 1), from: Number(from ?? 0) }
  if (Number.isInteger(share.from) && share.from >= 0 && share.from < share.every) return share
  throw new Error(`"${from}" is not a whole number below --every\n\n${usage}`)
}

/** Starts the servers, and this program again with their addresses. */
const withServers = (args: ReadonlyArray<string>): Promise<number> =>
  runWithServers(process.execPath, [fileURLToPath(import.meta.url), ...args], { fsync: false })

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string" },
      seed: { type: "string" },
      table: { type: "boolean" },
      every: { type: "string" },
      from: { type: "string" },
      jobs: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean" }
    }
  })
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  const minutes = numberOf(values.minutes, 2)
  const servers = Servers.fromEnvironment()
  if (servers === null) return await withServers(args)
  const log = (text: string) => void process.stderr.write(`${text}\n`)
  const { passed, failed, skipped, result, text } = values.table
    ? await FaultTable.run(servers, {
        ...shareOf(values.every, values.from),
        jobs: numberOf(values.jobs, 1),
        log
      })
    : await RandomWork.run(servers, { minutes, seed: values.seed ?? "1", log })
  process.stdout.write(values.json ? `${JSON.stringify(result, null, 2)}\n` : `${text}\n`)
  if (process.env.ARTIFACT_GC_TEST_TALLY) {
    appendFileSync(process.env.ARTIFACT_GC_TEST_TALLY, `torture ${passed} ${failed} ${skipped}\n`)
  }
  return failed === 0 && passed > 0 ? 0 : 1
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    process.exit(2)
  }
)
