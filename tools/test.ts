#!/usr/bin/env node
/**
 * Runs the tests and says what it did not run:
 *
 *   node scripts/test.mjs [unit|real] [vitest's arguments]
 *
 * `real` starts PostgreSQL 15 and the S3 server first, unless REAL_DATABASE_URL names servers that
 * run already. Exit codes are vitest's; 1 also when not one test ran; 3 when the real servers cannot
 * be had here. ARTIFACT_GC_TEST_TALLY names a file to which "suite passed failed skipped" is appended.
 */
import { spawn } from "node:child_process"
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { constants, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Missing, runWithServers } from "./servers.mjs"

const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url))

const onNode20 = new URL("vitest-on-node20.mjs", import.meta.url).href

const commandLine = (suite, args, outputFile) => {
  const has = (name) => args.some((arg) => arg.startsWith(name))
  return [
    ...["--import", onNode20, vitest, "run", "--project", suite],
    // The file's JSON is what is counted; whoever chooses reporters gets theirs beside it.
    ...(has("--reporter=") ? [] : ["--reporter=default"]),
    ...(has("--reporter=json") ? [] : ["--reporter=json"]),
    ...(has("--outputFile") ? [] : [`--outputFile.json=${outputFile}`]),
    ...args
  ]
}

/** Runs node to its end, passing on the signals that ask this process to end; returns the exit code. */
const runNode = (args) =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: "inherit" })
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
    child.once("error", reject)
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
  })

/** What ran, as counts that cannot be better than the exit code. */
const count = (outputFile, exitCode) => {
  const none = { numPassedTests: 0, numFailedTests: 0, testResults: [] }
  const report = existsSync(outputFile) ? JSON.parse(readFileSync(outputFile, "utf8")) : none
  const passed = report.numPassedTests
  // A file that fails to load, or a hook that fails, has no failed test of its own.
  const brokenFiles = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")
  )
  const failed = report.numFailedTests + brokenFiles.length
  const skipped = report.testResults
    .flatMap((file) => file.assertionResults)
    .filter((test) => test.status !== "passed" && test.status !== "failed")
    .map((test) => test.fullName)
  return { passed, failed: failed === 0 && exitCode !== 0 ? 1 : failed, skipped }
}

const tell = (suite, { passed, failed, skipped }) => {
  const lines = skipped.slice(0, 20).map((name) => `skipped: ${name}`)
  if (skipped.length > 20) lines.push(`skipped: ${skipped.length - 20} more`)
  if (suite === "unit") {
    lines.push(
      "skipped here: real PostgreSQL 15 and the S3 server suites; run them with: npm run test:real",
      "(once before that: node scripts/servers.mjs install)"
    )
  }
  if (process.env.ARTIFACT_GC_TEST_TALLY) {
    appendFileSync(process.env.ARTIFACT_GC_TEST_TALLY, `${suite} ${passed} ${failed} ${skipped.length}\n`)
  }
  process.stdout.write(lines.map((line) => `${line}\n`).join(""))
}

const main = async (argv) => {
  const named = argv[0] === "unit" || argv[0] === "real"
  const suite = named ? argv[0] : "unit"
  const args = named ? argv.slice(1) : argv
  const folder = mkdtempSync(join(tmpdir(), "artifact-gc-test-"))
  try {
    const chosen = args.find((arg) => /^--outputFile(\.json)?=/.test(arg))
    const outputFile = chosen ? chosen.slice(chosen.indexOf("=") + 1) : join(folder, "report.json")
    // An old report must not be counted as this run's.
    rmSync(outputFile, { force: true })
    const command = commandLine(suite, args, outputFile)
    const exitCode =
      suite === "unit" || process.env.REAL_DATABASE_URL
        ? await runNode(command)
        : await runWithServers(process.execPath, command)
    const counts = count(outputFile, exitCode)
    const empty = counts.passed + counts.failed === 0
    if (empty) process.stderr.write("Not one test ran, which proves nothing: this counts as a failure.\n")
    tell(suite, empty ? { ...counts, failed: 1 } : counts)
    return exitCode || (empty || counts.failed > 0 ? 1 : 0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${error instanceof Missing ? error.message : error.stack}\n`)
    process.exit(error instanceof Missing ? 3 : 1)
  }
)
