/** Three runners as processes of their own: one sweeps, and another takes over when it ends or is killed. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { CatalogNames, Postgres } from "artifact-gc"
import { Embedded } from "artifact-gc/embedded"
import { Effect, Exit, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const root = fileURLToPath(new URL("../../", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "cluster-"))
const scope = Scope.makeUnsafe()
let server: Embedded.EmbeddedPostgres

/** Compiles the app, because not every Node that this package supports runs TypeScript. */
const compile = (): void => {
  const options = { noEmit: false, noCheck: true, outDir: join(folder, "out"), rootDir: root }
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        ...options,
        rewriteRelativeImportExtensions: true,
        typeRoots: [join(root, "node_modules/@types")],
        paths: Object.fromEntries(
          [
            ["artifact-gc", "index"],
            ["artifact-gc/embedded", "embedded"]
          ].map(([name, file]) => [name, [join(root, `src/${file}.ts`)]])
        )
      },
      include: [],
      files: [join(root, "examples/cluster/main.ts")]
    })
  )
  const tsc = join(root, "node_modules/typescript/bin/tsc")
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", join(folder, "tsconfig.json")], {
    encoding: "utf8"
  })
  assert.strictEqual(status, 0, stdout)
  // A package may import itself by its name.
  const exports = { ".": "./src/index.js", "./embedded": "./src/embedded.js" }
  writeFileSync(
    join(folder, "out/package.json"),
    JSON.stringify({ name: "artifact-gc", type: "module", exports })
  )
  symlinkSync(join(root, "node_modules"), join(folder, "out/node_modules"))
}

beforeAll(async () => {
  compile()
  server = await Effect.runPromise(
    Scope.provide(Embedded.start({ dataDirectory: join(folder, "data"), durable: false }), scope)
  )
  await Effect.runPromise(
    Effect.provide(
      Postgres.migrate(CatalogNames.defaultNames, { createCatalog: "artifacts" }),
      Postgres.layerClient(server)
    )
  )
}, 120_000)

/** Measures the cluster's own times instead of those of the demonstration, and prints them. Takes two minutes. */
const isMeasuring = process.env.CLUSTER_DEFAULTS === "1"

/** Milliseconds until another runner has swept. The lock of a killed runner expires after 5 seconds, or 35 by default. */
const bounds = isMeasuring ? { terminated: 30_000, killed: 90_000 } : { terminated: 10_000, killed: 20_000 }

/** The collectors that are registered in the catalogue. */
const collectors = (): Promise<ReadonlyArray<unknown>> =>
  Effect.runPromise(
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT id FROM artifact_gc.collectors`).pipe(
      Effect.provide(Postgres.layerClient(server))
    )
  )

/** Forgets them, as `artifact-gc collectors --forget` does. */
const forgetAll = () =>
  Effect.runPromise(
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM artifact_gc.collectors`).pipe(
      Effect.provide(Postgres.layerClient(server))
    )
  )

interface Runner {
  readonly child: ChildProcess
  readonly lines: Array<{ readonly at: number; readonly line: string }>
}

const runners = new Set<Runner>()

afterAll(async () => {
  for (const { child } of runners) child.kill("SIGKILL")
  await Effect.runPromise(Scope.close(scope, Exit.void))
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const listener = createServer()
    listener.listen(0, "127.0.0.1", () => {
      const address = listener.address()
      listener.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const start = async (as: "singleton" | "cron"): Promise<Runner> => {
  const child = spawn(process.execPath, [join(folder, "out/examples/cluster/main.js")], {
    env: {
      PATH: process.env.PATH,
      PGHOST: server.socketDirectory,
      PGPORT: String(server.port),
      PGUSER: server.user,
      PGDATABASE: server.database,
      OBJECTS: join(folder, "objects"),
      RUNNER_PORT: String(await freePort()),
      RUN_AS: as,
      FAST: isMeasuring ? "0" : "1"
    },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const runner: Runner = { child, lines: [] }
  runners.add(runner)
  child.once("exit", () => runners.delete(runner))
  for (const output of [child.stdout, child.stderr]) {
    output?.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.trim().split("\n")) runner.lines.push({ at: performance.now(), line })
    })
  }
  return runner
}

const sweepsOf = (runner: Runner, after = 0) =>
  runner.lines.filter(({ at, line }) => at > after && line.startsWith("swept "))

/** Waits until a runner has swept after `since`, and returns it and when. */
const nextSweep = async (among: ReadonlyArray<Runner>, since: number, withinMillis: number) => {
  while (performance.now() - since < withinMillis) {
    for (const runner of among) {
      const [first] = sweepsOf(runner, since)
      if (first !== undefined) return { runner, after: first.at - since }
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const said = among.flatMap(({ lines }) => lines.slice(-3).map(({ line }) => line))
  return assert.fail(`no runner swept within ${withinMillis} ms: ${said.join("\n")}`)
}

const ended = (child: ChildProcess) => new Promise((resolve) => child.once("exit", resolve))

describe.each(["singleton", "cron"] as const)("three runners with the collector as a %s", (as) => {
  it("hand over after SIGTERM and after kill -9", async () => {
    const all = [await start(as), await start(as), await start(as)]
    const first = await nextSweep(all, performance.now(), 60_000)
    // The last runner to join may have taken the collector over.
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const { runner: owner } = await nextSweep(all, performance.now(), 20_000)
    assert.include(all, first.runner)

    const terminated = performance.now()
    owner.child.kill("SIGTERM")
    await ended(owner.child)
    const others = all.filter((runner) => runner !== owner)
    const second = await nextSweep(others, terminated, bounds.terminated)
    if (as === "singleton") assert.lengthOf(await collectors(), 1, "the runner that ended has left")

    const killed = performance.now()
    second.runner.child.kill("SIGKILL")
    await ended(second.runner.child)
    const third = await nextSweep(
      others.filter((runner) => runner !== second.runner),
      killed,
      bounds.killed
    )
    if (as === "singleton") assert.lengthOf(await collectors(), 2, "the runner that was killed has not")
    if (isMeasuring) {
      process.stdout.write(
        `${as}: ${Math.round(second.after)} ms after SIGTERM, ${Math.round(third.after)} ms after kill -9\n`
      )
    }
    assert.isBelow(second.after, bounds.terminated)
    assert.isBelow(third.after, bounds.killed)
    const names = all.flatMap((runner) => sweepsOf(runner).map(({ line }) => line.split(" ")[1]))
    assert.strictEqual(new Set(names).size, names.length)
    for (const runner of all) runner.child.kill("SIGKILL")
    await Promise.all(all.map(({ child }) => child.exitCode ?? child.signalCode ?? ended(child)))
    await forgetAll()
  }, 240_000)
})
