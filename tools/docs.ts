/**
 * Writes the generated parts of the documentation: the tables of settings, exit codes and metrics. With `--check`
 * it writes nothing and exits with 1 if a document is out of date.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { exitCodes } from "../src/cli/ExitCode.ts"
import { sections } from "../src/config/settings.ts"
import { declared } from "../src/ops/Declared.ts"
import { documents } from "./Documents.ts"
import { runProgram, Usage } from "./Program.ts"
import { fileAt } from "./Repository.ts"

runProgram(async (args) => {
  const unknown = args.find((argument) => argument !== "--check")
  if (unknown !== undefined) throw new Usage(`${unknown}: unknown. usage: npm run docs [-- --check]`)
  const isCheck = args.includes("--check")
  let staleCount = 0
  for (const [path, generate] of Object.entries(documents({ sections, exitCodes, metrics: declared }))) {
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
  return staleCount === 0 ? 0 : 1
})
