/** Owners of a server that can be killed: processes of their own which run the module as compiled JavaScript. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert } from "@effect/vitest"
import { Effect } from "effect"

const root = resolve(import.meta.dirname, "../../..")
export const isRoot = process.getuid?.() === 0
export const nobody = { uid: 65534, gid: 65534 }
/** As root only: whether another user can run Node and read this repository, which it cannot below /root. */
export const nobodyCanRun =
  isRoot &&
  spawnSync(process.execPath, ["-e", "require('effect')"], {
    ...nobody,
    cwd: "/",
    env: { NODE_PATH: join(root, "node_modules") }
  }).status === 0

/** Serves a directory until it is killed. */
const program = `
import { Effect } from "effect"
import { start } from "./database/Embedded.js"
const serve = Effect.gen(function* () {
  yield* start({ dataDirectory: process.argv[2], durable: false })
  console.log("ready")
  return yield* Effect.never
})
Effect.runPromise(Effect.scoped(serve)).catch((error) => { console.log(error.message); process.exit(1) })
`

/** Compiles the module into `directory`: Node 20 does not run TypeScript. */
export const compile = (directory: string) => {
  mkdirSync(directory)
  const config = {
    extends: join(root, "tsconfig.build.json"),
    compilerOptions: {
      rootDir: join(root, "src"),
      outDir: directory,
      declaration: false,
      sourceMap: false,
      typeRoots: [join(root, "node_modules/@types")]
    },
    include: [],
    files: [join(root, "src/database/Embedded.ts")]
  }
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(config))
  const tsc = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", directory], {
    encoding: "utf8"
  })
  assert.strictEqual(tsc.status, 0, tsc.stdout)
  writeFileSync(join(directory, "package.json"), `{"type":"module"}`)
  writeFileSync(join(directory, "serve.js"), program)
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"))
}

/** Starts `program` and waits for its first line, or for all it said if it failed. */
export const spawnOwner = (compiled: string, directory: string, as: { uid?: number; gid?: number } = {}) =>
  Effect.acquireRelease(
    Effect.callback<{ child: ChildProcess; said: string }>((resume) => {
      const child = spawn(process.execPath, [join(compiled, "serve.js"), directory], {
        cwd: "/",
        stdio: ["ignore", "pipe", "inherit"],
        ...as
      })
      child.stdout.once("data", (data) => resume(Effect.succeed({ child, said: String(data).trim() })))
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

export const isRunning = (pid: number) => {
  try {
    process.kill(pid, 0)
    // Where nobody reaps orphans the dead stay visible as zombies.
    return process.platform !== "linux" || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

export const until = (condition: () => boolean, what: string) =>
  Effect.gen(function* () {
    for (let attempt = 0; attempt < 200; attempt++) {
      if (condition()) return
      yield* Effect.sleep("25 millis")
    }
    return yield* Effect.die(new Error(`Still not true after 5 s: ${what}`))
  })
