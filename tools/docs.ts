// Writes the generated parts of the documentation: the table of settings and the table of exit codes.
// `node scripts/docs.mjs` writes, `--check` fails when something would change. Needs `npm run build` first.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { documents } from "./documents.mjs"

const root = new URL("../", import.meta.url)
const { sections } = await import(new URL("dist/config/settings.js", root).href)
const { exitCodes } = await import(new URL("dist/cli/ExitCode.js", root).href)

let stale = 0
for (const [path, generate] of Object.entries(documents({ sections, exitCodes }))) {
  const file = fileURLToPath(new URL(path, root))
  const before = readFileSync(file, "utf8")
  const after = generate(before)
  if (after === before) continue
  if (process.argv.includes("--check")) {
    process.stderr.write(`${path} is out of date; run: npm run docs\n`)
    stale += 1
  } else {
    writeFileSync(file, after)
    process.stdout.write(`wrote ${path}\n`)
  }
}
process.exitCode = stale === 0 ? 0 : 1
