/**
 * `npm run torture -- --minutes M [--seed S] [--json]`: writers and collectors as processes on real servers, behind
 * networks that break, killed again and again; then everything is read back.
 *
 * The servers come from tools/servers, unless REAL_DATABASE_URL and REAL_S3_… name others (an empty bucket of
 * their own: everything in it is deleted). Exits 1 when anything was lost or leaked, or nothing was done.
 */
import { appendFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { runWithServers } from "../../tools/servers/Servers.ts"
import * as Servers from "../bench/harness/Servers.ts"
import type { Place } from "./Place.ts"
import * as Random from "./Random.ts"
import * as Table from "./Table.ts"

const usage = `usage: npm run torture -- [--minutes M] [--seed S] [--table [--every N]] [--json]

  --minutes M   minutes of random work, default 2
  --seed S      what the dice are rolled from, default 1 (processes run as fast as they run: it replays roughly)
  --table       instead, each step of each story under each fault, one by one
  --every N     with --table: one in N of the cases, evenly over all of them, default 1
  --json        print JSON instead of text
`

const numberOf = (text: string | undefined, fallback: number): number => {
  const value = text === undefined ? fallback : Number(text)
  if (!(value > 0)) throw new Error(`"${text}" is not a number above zero\n\n${usage}`)
  return value
}

/** Starts the servers and this program again beside them. */
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
      json: { type: "boolean" },
      help: { type: "boolean" }
    }
  })
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  const minutes = numberOf(values.minutes, 2)
  const servers: Place | null = Servers.fromEnvironment()
  if (servers === null) return await withServers(args)
  const log = (text: string) => void process.stderr.write(`${text}\n`)
  const { passed, failed, skipped, result, text } = values.table
    ? await Table.run(servers, { every: numberOf(values.every, 1), log })
    : await Random.run(servers, { minutes, seed: values.seed ?? "1", log })
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
