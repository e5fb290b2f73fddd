/**
 * Writes the generated parts of the documentation: the tables of settings, exit codes and metrics, and the reference in
 * docs/api, which is no part of the repository. With `--check` it writes nothing and exits with 1 if a document is out of date. With
 * `--reference` it writes the reference alone.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { exitCodes } from "../src/cli/ExitCode.ts"
import { sections } from "../src/config/settings.ts"
import { declared } from "../src/ops/Declared.ts"
import { Status } from "../src/status/Status.ts"
import { writeReference } from "./api/Reference.ts"
import { documents } from "./Documents.ts"
import { runProgram, Usage } from "./Program.ts"
import { fileAt } from "./Repository.ts"

const flags = ["--check", "--reference"]

runProgram(async (args) => {
  const unknown = args.find((argument) => !flags.includes(argument))
  if (unknown !== undefined) {
    throw new Usage(`${unknown}: unknown. usage: npm run docs [-- --check | --reference]`)
  }
  const isCheck = args.includes("--check")
  const staleCount = args.includes("--reference") ? 0 : writeTables(isCheck)
  // Standard output is npm's when the package is packed: `npm pack --json` prints its answer there.
  if (!isCheck) for (const path of writeReference()) process.stderr.write(`wrote ${path}\n`)
  return staleCount === 0 ? 0 : 1
})

/** Writes the tables of settings, exit codes and metrics, or counts the documents in which they are out of date. */
function writeTables(isCheck: boolean): number {
  let staleCount = 0
  for (const [path, generate] of Object.entries(
    documents({ sections, exitCodes, metrics: declared, status: Status })
  )) {
    const file = fileAt(path)
    const before = readFileSync(file, "utf8")
    const after = generate(before)
    if (after === before) continue
    if (isCheck) {
      process.stderr.write(`${path} is out of date; run: npm run docs\n`)
      staleCount += 1
    } else {
      writeFileSync(file, after)
      process.stdout.write(`wrote ${path}\n`)
    }
  }
  return staleCount
}
