#!/usr/bin/env node
/**
 * Checks the protocol's model (model/, docs/design/model.md) with spin, and that each of its protections is needed:
 *
 *   npm run model                       the searches that gate main, about a minute
 *   npm run model -- --full             all of them, up to half an hour and 10 GB of memory
 *   npm run model -- --only NAME        one search; may be repeated
 *   npm run model -- --trace NAME       the shortest way to the failure of a mutant, step by step
 *   npm run model -- --json             results for machines on standard output
 *
 * Exit codes: 0 when everything came out as expected; 1 on any surprise, and a search that was cut short is one;
 * 2 for a wrong command line; 3 when this machine lacks something, the message says what. ARTIFACT_GC_TEST_TALLY
 * names a file to which "model passed failed skipped" is appended.
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs"
import { setPriority, tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { searches } from "./model/searches.mjs"
import { findTools, search } from "./model/spin.mjs"
import { cacheFolder, Missing } from "./servers.mjs"

const columns = [
  ["search", 30, (r) => r.name],
  ["expected", 8, (r) => r.expected],
  ["got", 8, (r) => r.got],
  ["states", 11, (r) => r.states ?? "", "right"],
  ["transitions", 12, (r) => r.transitions ?? "", "right"],
  ["depth", 8, (r) => r.depth ?? "", "right"],
  ["MB", 6, (r) => (r.memoryMb === null ? "" : Math.round(r.memoryMb)), "right"],
  ["s", 7, (r) => r.seconds ?? "", "right"],
  ["", 0, (r) => r.shows]
]

const line = (cell) =>
  columns
    .map((column) => {
      const text = String(cell(column))
      return column[3] ? text.padStart(column[1]) : text.padEnd(column[1])
    })
    .join(" ")
    .trimEnd()

const write = (text) => process.stdout.write(`${text}\n`)

class Usage extends Error {}

const named = (names) =>
  names.map((name) => {
    const found = searches.find((candidate) => candidate.name === name)
    if (found) return found
    throw new Usage(`${name} is no search. There are: ${searches.map((each) => each.name).join(", ")}`)
  })

const options = (argv) => {
  try {
    return parseArgs({
      args: argv,
      options: {
        full: { type: "boolean" },
        quick: { type: "boolean" },
        json: { type: "boolean" },
        only: { type: "string", multiple: true },
        trace: { type: "string" }
      }
    }).values
  } catch (error) {
    throw new Usage(error.message)
  }
}

/** Runs the searches one after the other: each may need gigabytes. */
const runAll = async (wanted, json) => {
  const tools = await findTools(cacheFolder())
  const folder = mkdtempSync(join(tmpdir(), "artifact-gc-model-"))
  const results = []
  try {
    if (!json) write(line(([title]) => title))
    for (const each of wanted) {
      const result = { ...each, ...(await search(tools, each, folder)) }
      results.push(result)
      if (!json) write(line(([, , cell]) => cell(result)))
      rmSync(join(folder, each.name), { recursive: true, force: true })
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return results
}

const main = async (argv) => {
  const { full, quick, json, only, trace } = options(argv)
  if (full && quick) throw new Usage("Choose one of --full and --quick.")
  const wanted =
    trace !== undefined ? named([trace]) : only ? named(only) : searches.filter((each) => full || !each.full)
  // A search takes all it can get; whoever works here meanwhile should not feel it. The gate's machine has no one else.
  if (!process.env.CI) setPriority(process.pid, 10)
  const results = await runAll(wanted, json)
  const surprises = results.filter(({ expected, got }) => expected !== got)
  if (process.env.ARTIFACT_GC_TEST_TALLY) {
    const counts = `${results.length - surprises.length} ${surprises.length} 0`
    appendFileSync(process.env.ARTIFACT_GC_TEST_TALLY, `model ${counts}\n`)
  }
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

const exitCode = (error) => (error instanceof Usage ? 2 : error instanceof Missing ? 3 : 1)

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${exitCode(error) === 1 ? error.stack : error.message}\n`)
    process.exit(exitCode(error))
  }
)
