/**
 * Writes the generated parts of the documentation: the tables of settings, exit codes and metrics, the page of man, and the reference in
 * docs/api, which is no part of the repository. With `--check` it writes nothing and exits with 1 if a document is out of date. With
 * `--reference` it writes the reference alone.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { writeReference } from "./api/Reference.ts"
import { documents, type Tables } from "./Documents.ts"
import { runProgram, Usage } from "./Program.ts"
import { fileAt } from "./Repository.ts"
import { tables } from "./Tables.ts"

const flags = ["--check", "--reference"]

runProgram(async (args) => {
  const unknown = args.find((argument) => !flags.includes(argument))
  if (unknown !== undefined) {
    throw new Usage(`${unknown}: unknown. usage: npm run docs [-- --check | --reference]`)
  }
  const isCheck = args.includes("--check")
  const staleCount = args.includes("--reference") ? 0 : writeTables(isCheck, await tables())
  // Standard output is npm's when the package is packed: `npm pack --json` prints its answer there.
  if (!isCheck) for (const path of writeReference()) process.stderr.write(`wrote ${path}\n`)
  return staleCount === 0 ? 0 : 1
})

/** Writes what is made from the code, or counts the documents in which it is out of date. */
function writeTables(isCheck: boolean, made: Tables): number {
  let staleCount = 0
  for (const [path, generate] of Object.entries(documents(made))) {
    const file = fileAt(path)
    const before = existsSync(file) ? readFileSync(file, "utf8") : ""
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
