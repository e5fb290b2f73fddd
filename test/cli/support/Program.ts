/** The compiled program as its users have it: a process with arguments, an environment, two streams and an end. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert } from "vitest"

const root = fileURLToPath(new URL("../../../", import.meta.url))

export interface Program {
  /** `main.js`. */
  readonly path: string
  /** An empty working directory. */
  readonly directory: (name: string) => string
  /** Processes of any kind that have something to do with a directory; none where nobody can say. */
  readonly processesIn: (directory: string) => ReadonlyArray<string>
  /** Ends what a failed test left running, and removes all of it. */
  readonly remove: () => void
}

/** Compiles the program once, for all tests of a file. */
export const build = (): Program => {
  const scratch = mkdtempSync(join(tmpdir(), "gc-binary-"))
  const tsc = spawnSync(
    process.execPath,
    [
      join(root, "node_modules/typescript/bin/tsc"),
      ...["-p", join(root, "tsconfig.build.json"), "--outDir", join(scratch, "dist")],
      // Types are checked elsewhere.
      ...["--declaration", "false", "--sourceMap", "false", "--noCheck"]
    ],
    { encoding: "utf8" }
  )
  if (tsc.status !== 0) rmSync(scratch, { recursive: true })
  assert.strictEqual(tsc.status, 0, tsc.stdout)
  writeFileSync(join(scratch, "package.json"), '{"type":"module"}')
  symlinkSync(join(root, "node_modules"), join(scratch, "node_modules"))
  return {
    path: join(scratch, "dist/main.js"),
    directory: (name) => {
      const path = join(scratch, name)
      mkdirSync(path)
      return path
    },
    processesIn,
    remove: () => {
      for (const child of running) child.kill("SIGKILL")
      rmSync(scratch, { recursive: true, force: true, maxRetries: 5 })
    }
  }
}

const processesIn = (directory: string): ReadonlyArray<string> =>
  process.platform !== "linux"
    ? []
    : readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .map(commandLine)
        .filter((line) => line.includes(directory))

const commandLine = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
  } catch {
    return ""
  }
}

const running = new Set<ChildProcess>()

export interface Run {
  readonly child: ChildProcess
  /** What it has said so far. */
  readonly out: () => string
  readonly err: () => string
  /** Resolves when stderr matches `pattern` for the `times`-th time; rejects when the process ends before. */
  readonly says: (pattern: RegExp, times?: number) => Promise<void>
  /** Resolves with its exit code, or the signal that ended it, once both streams are read. */
  readonly ended: Promise<number | NodeJS.Signals>
}

export interface RunOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a command without any setting in its environment but those given. */
export const start = (command: string, args: ReadonlyArray<string>, { cwd, env = {} }: RunOptions): Run => {
  const { PATH = "", HOME = "" } = process.env
  const child = spawn(command, args, { cwd, env: { PATH, HOME, ...env }, stdio: ["ignore", "pipe", "pipe"] })
  running.add(child)
  child.once("exit", () => running.delete(child))
  let [out, err] = ["", ""]
  child.stdout.setEncoding("utf8").on("data", (data: string) => {
    out += data
  })
  child.stderr.setEncoding("utf8").on("data", (data: string) => {
    err += data
  })
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => resolve(code ?? signal ?? -1))
  })
  const says = (pattern: RegExp, times = 1) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if ([...err.matchAll(new RegExp(pattern, "g"))].length < times) return
        child.stderr.off("data", look)
        resolve()
      }
      child.stderr.on("data", look)
      look()
      void ended.then((how) => reject(new Error(`It ended (${how}) and never said ${pattern}:\n${err}`)))
    })
  return { child, out: () => out, err: () => err, says, ended }
}

/** Each line of a log that is JSON; fails the test when one is not. */
export const logLines = (err: string): ReadonlyArray<{ readonly message: string; readonly level: string }> =>
  err
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))
