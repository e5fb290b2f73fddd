/**
 * Checks the protocol's model (the .pml files here, docs/design/model.md) with spin, and that each of its
 * protections is needed. The usage text below says how.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { setPriority, tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { messageOf, runProgram, tally, Usage } from "../../tools/Program.ts"
import { cacheFolder } from "../../tools/servers/Servers.ts"
import { type Search, searches } from "./Searches.ts"
import { type Found, findTools, search } from "./Spin.ts"

const usage = `usage: npm run model [-- OPTIONS]

  no option      the searches that gate main, about a minute
  --full         all searches, up to half an hour and 10 GB of memory
  --only NAME    one search; may be repeated
  --trace NAME   the shortest way to the failure of a mutant, step by step
  --json         results for machines on standard output
  --help         this text

Exit codes: 0 when everything came out as expected; 1 on any surprise, and a search that was cut short is one;
2 for a wrong command line; 3 when this machine lacks something, which the message names.
ARTIFACT_GC_TEST_TALLY names a file to which "model passed failed skipped" is appended.
`

type Result = Search & Found

interface Column {
  readonly title: string
  readonly width: number
  readonly isNumber?: boolean
  readonly cell: (result: Result) => string | number | null
}

const columns: ReadonlyArray<Column> = [
  { title: "search", width: 30, cell: (r) => r.name },
  { title: "expected", width: 8, cell: (r) => r.expected },
  { title: "got", width: 8, cell: (r) => r.got },
  { title: "states", width: 11, isNumber: true, cell: (r) => r.states },
  { title: "transitions", width: 12, isNumber: true, cell: (r) => r.transitions },
  { title: "depth", width: 8, isNumber: true, cell: (r) => r.depth },
  {
    title: "MB",
    width: 6,
    isNumber: true,
    cell: (r) => (r.memoryMb === null ? null : Math.round(r.memoryMb))
  },
  { title: "s", width: 7, isNumber: true, cell: (r) => r.seconds },
  { title: "", width: 0, cell: (r) => r.shows }
]

const line = (text: (column: Column) => string | number | null): string =>
  columns
    .map((column) => {
      const cell = String(text(column) ?? "")
      return column.isNumber ? cell.padStart(column.width) : cell.padEnd(column.width)
    })
    .join(" ")
    .trimEnd()

const write = (text: string): void => void process.stdout.write(`${text}\n`)

const named = (names: ReadonlyArray<string>): ReadonlyArray<Search> =>
  names.map((name) => {
    const found = searches.find((candidate) => candidate.name === name)
    if (found) return found
    throw new Usage(`${name} is no search. There are: ${searches.map((each) => each.name).join(", ")}`)
  })

const options = (args: ReadonlyArray<string>) => {
  try {
    return parseArgs({
      args: [...args],
      options: {
        full: { type: "boolean" },
        quick: { type: "boolean" },
        json: { type: "boolean" },
        only: { type: "string", multiple: true },
        trace: { type: "string" },
        help: { type: "boolean" }
      }
    }).values
  } catch (error) {
    throw new Usage(`${messageOf(error)}\n\n${usage}`)
  }
}

/** Runs the searches one after the other: each may need gigabytes. */
const runAll = async (wanted: ReadonlyArray<Search>, json: boolean): Promise<ReadonlyArray<Result>> => {
  const tools = await findTools(cacheFolder())
  const folder = mkdtempSync(join(tmpdir(), "artifact-gc-model-"))
  const results: Array<Result> = []
  try {
    if (!json) write(line(({ title }) => title))
    for (const each of wanted) {
      const result: Result = { ...each, ...(await search(tools, each, folder)) }
      results.push(result)
      if (!json) write(line(({ cell }) => cell(result)))
      rmSync(join(folder, each.name), { recursive: true, force: true })
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return results
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const { full = false, quick = false, json = false, only, trace, help } = options(args)
  if (help) {
    process.stdout.write(usage)
    return 0
  }
  if (full && quick) throw new Usage("Choose one of --full and --quick.")
  const wanted =
    trace !== undefined ? named([trace]) : only ? named(only) : searches.filter((each) => full || !each.full)
  // A search takes all the time it can get, and other work on this machine should not feel it. CI runs nothing
  // beside it.
  if (!process.env.CI) setPriority(process.pid, 10)
  const results = await runAll(wanted, json)
  const surprises = results.filter(({ expected, got }) => expected !== got)
  tally("model", { passed: results.length - surprises.length, failed: surprises.length, skipped: 0 })
  if (json) {
    write(JSON.stringify({ surprises: surprises.map(({ name }) => name), searches: results }, null, 2))
  } else {
    for (const { name, trace: steps } of trace === undefined ? surprises : results) {
      write(`\n${name}:`)
      for (const step of steps) write(`  ${step}`)
    }
    write(`\n${results.length} searches, ${surprises.length} surprises`)
  }
  return surprises.length === 0 ? 0 : 1
}

runProgram(main)
