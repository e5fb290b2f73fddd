/**
 * Runs the tests, lists failures last, and says what it did not run. Its usage text is below.
 */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { onEndingSignal, runProgram, tally } from "./Program.ts"
import { fileAt, root } from "./Repository.ts"
import { endOf, exitCodeOf } from "./servers/Processes.ts"
import { runWithServers } from "./servers/Servers.ts"
import { onRealServers, slow, testFiles } from "./TestFiles.ts"
import { empty, type Outcome, outcomeOf, type Report } from "./TestReport.ts"

const usage = `usage: npm test [-- ARGUMENTS]            every test that needs no server of its own
       npm run test:fast [-- ARGUMENTS]   of these, the ones in memory: no PostgreSQL is started
       npm run test:real [-- ARGUMENTS]   the tests on PostgreSQL 15 and a real S3 server

ARGUMENTS are vitest's: a path or a part of one, -t NAME, --reporter=verbose, …
test:real also takes --store=radosgw (default), --store=minio or --store=versitygw.

test:real starts both servers first, unless REAL_DATABASE_URL names servers that run already.
Exit codes are vitest's. It is 1 also when no test ran, and 3 when the real servers cannot be had here.
ARTIFACT_GC_TEST_TALLY names a file to which "suite passed failed skipped" is appended.
`

const suites = ["unit", "fast", "real"] as const

/** The name of a project in vitest.config.ts, too. */
type Suite = (typeof suites)[number]

const commandLine = (suite: Suite, args: ReadonlyArray<string>, outputFile: string): Array<string> => {
  const has = (name: string) => args.some((arg) => arg.startsWith(name))
  return [
    ...[fileAt("node_modules/vitest/vitest.mjs"), "run", "--project", suite],
    // The report is what is counted. Reporters on the command line come beside it.
    ...(has("--reporter=") ? [] : ["--reporter=default"]),
    ...(has("--reporter=json") ? [] : ["--reporter=json"]),
    ...(has("--outputFile") ? [] : [`--outputFile.json=${outputFile}`]),
    ...args
  ]
}

/** Runs node to its end and returns its exit code. Passes on the signals that ask this process to end. */
const runNode = async (args: ReadonlyArray<string>): Promise<number> => {
  const child = spawn(process.execPath, args, { stdio: "inherit" })
  onEndingSignal((signal) => child.kill(signal))
  return exitCodeOf(await endOf(child))
}

const leftOut = (suite: Suite): ReadonlyArray<string> => {
  const left = (name: RegExp, why: string, command: string) =>
    `left out: ${testFiles(name).length} files that ${why}; run them with: ${command}`
  if (suite === "real") return []
  return [
    ...(suite === "fast" ? slow.map(({ name, why }) => left(name, why, "npm test")) : []),
    left(onRealServers, "need PostgreSQL 15 and a real S3 server", "npm run test:real")
  ]
}

/** How many skipped tests are listed by name. */
const skippedShownMax = 20

const tell = (suite: Suite, { passed, failed, skipped, failures }: Outcome): void => {
  tally(suite, { passed, failed, skipped: skipped.length })
  const more = skipped.length - skippedShownMax
  const lines = [
    ...skipped.slice(0, skippedShownMax).map((name) => `skipped: ${name}`),
    ...(more > 0 ? [`skipped: ${more} more`] : []),
    ...leftOut(suite),
    ...failures.map((failure) => `failed: ${failure}`),
    `${suite} on Node ${process.versions.node}: ${passed} passed, ${failed} failed, ${skipped.length} skipped`
  ]
  process.stdout.write(lines.map((line) => `${line}\n`).join(""))
}

const readReport = (file: string): Report =>
  existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Report) : empty

const main = async (argv: ReadonlyArray<string>): Promise<number> => {
  if (argv.includes("--help")) {
    process.stdout.write(usage)
    return 0
  }
  const named = suites.find((suite) => suite === argv[0])
  const suite = named ?? "unit"
  const given = named === undefined ? argv : argv.slice(1)
  const store = given.find((arg) => arg.startsWith("--store="))
  if (store !== undefined) process.env.ARTIFACT_GC_REAL_S3 = store.slice("--store=".length)
  const args = given.filter((arg) => arg !== store)
  const folder = mkdtempSync(join(tmpdir(), "artifact-gc-test-"))
  try {
    const chosen = args.find((arg) => /^--outputFile(\.json)?=/.test(arg))
    const outputFile = chosen ? chosen.slice(chosen.indexOf("=") + 1) : join(folder, "report.json")
    // An old report must not be counted as this run's.
    rmSync(outputFile, { force: true })
    const command = commandLine(suite, args, outputFile)
    const exitCode =
      suite !== "real" || process.env.REAL_DATABASE_URL
        ? await runNode(command)
        : await runWithServers(process.execPath, command)
    const outcome = outcomeOf(readReport(outputFile), exitCode, root)
    tell(suite, outcome)
    return exitCode || (outcome.failed > 0 ? 1 : 0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

runProgram(main)
