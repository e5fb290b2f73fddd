/** Keeps results as files, and draws the report of all that were kept. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { availableParallelism, loadavg } from "node:os"
import * as Plot from "./Plot.ts"
import { connect } from "./Postgres.ts"
import * as Report from "./Report.ts"
import type { Machine, Result } from "./Result.ts"
import type { Servers } from "./Servers.ts"
import * as SourceTree from "./SourceTree.ts"

const results = new URL("verify/bench/results/", SourceTree.root)
/** The folder of results without a name. */
export const local = new URL("local/", results)

/** Describes this machine and the servers. */
export const machine = async (servers: Servers): Promise<Machine> => ({
  commit: SourceTree.commit(),
  node: process.versions.node,
  nodeOptions: process.env.NODE_OPTIONS ?? "",
  postgres: servers.databaseUrl === "" ? "none" : await postgresOf(servers),
  s3: servers.s3.server,
  cores: availableParallelism(),
  loadBefore: loadavg()[0] ?? Number.NaN,
  startedAt: new Date().toISOString()
})

const postgresOf = async (servers: Servers): Promise<string> => {
  const database = await connect(servers.databaseUrl)
  const setting = async (name: string) =>
    String((await database.query(`SELECT current_setting('${name}') AS value`))[0]?.value)
  const version = (await setting("server_version")).split(" ")[0]
  const fsync = await setting("fsync")
  const buffers = await setting("shared_buffers")
  await database.close()
  return `${version}, fsync ${fsync}, shared_buffers ${buffers}`
}

/**
 * Writes a result below verify/bench/results/ and returns its path. A result with a name is kept, and the
 * report of all kept results is written again.
 */
export const keep = (result: Result, name: string | null): string => {
  mkdirSync(local, { recursive: true })
  const stamp = result.startedAt.replace(/[:.]/g, "-")
  const file = name === null ? `local/${result.question}-${stamp}.json` : `${name}.json`
  writeFileSync(new URL(file, results), `${JSON.stringify(result, null, 2)}\n`)
  if (name !== null) writeReport()
  return `verify/bench/results/${file}`
}

const writeReport = () => {
  const kept = readdirSync(results)
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => ({
      name: file.replace(/\.json$/, ""),
      result: JSON.parse(readFileSync(new URL(file, results), "utf8")) as Result
    }))
  for (const { name, result } of kept) {
    writeFileSync(new URL(`${name}.svg`, results), Plot.svg(result))
  }
  writeFileSync(new URL("README.md", results), Report.all(kept))
}
