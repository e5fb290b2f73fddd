/**
 * Child processes of throw-away servers. Each belongs to a group, which owns one temporary folder. Stopping
 * the group ends every process and removes the folder. Nothing in that folder is worth keeping, so servers
 * are stopped at once, without a checkpoint.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process"
import { accessSync, chmodSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { type AddressInfo, createServer, type Server } from "node:net"
import { constants as osConstants, tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { messageOf } from "../Program.ts"

/** How a child is started, apart from its standard streams. */
export type RunOptions = Pick<SpawnOptions, "cwd" | "env" | "uid" | "gid">

export interface DaemonOptions extends RunOptions {
  /** The file to which standard output and standard error are appended. */
  readonly logFile: string
  /** The signal that ends it. Default: SIGKILL. */
  readonly stopSignal?: NodeJS.Signals
}

/** A process that runs until it is stopped, or until its group is. */
export interface Daemon {
  readonly ended: boolean
  readonly pid: number | undefined
  /** Returns the end of what it has written. */
  readonly log: () => string
  readonly stop: () => Promise<void>
  /** Ends it with SIGKILL, whatever its stop signal is. */
  readonly kill: () => Promise<void>
}

/** Returns the full path of a program on PATH, or undefined. */
export const which = (program: string): string | undefined => {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return join(folder, program)
    } catch {}
  }
  return undefined
}

const listening = (): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject)
    server.listen(0, "127.0.0.1", () => resolve(server))
  })

/**
 * Returns `count` TCP ports that were free a moment ago. Another process may bind them first, so a start that
 * uses them must be worth a second attempt.
 */
export const freePorts = async (count: number): Promise<ReadonlyArray<number>> => {
  const servers = await Promise.all(Array.from({ length: count }, listening))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Returns one TCP port that was free a moment ago. */
export const freePort = async (): Promise<number> => {
  const [port] = await freePorts(1)
  if (port === undefined) throw new Error("No TCP port is free.")
  return port
}

/**
 * Polls `ready` until it returns true. Fails with `what` after `timeoutMillis`, or as soon as `daemon` has
 * ended.
 */
export const until = async (
  what: string,
  daemon: Daemon,
  timeoutMillis: number,
  ready: () => boolean | Promise<boolean>
): Promise<void> => {
  const deadline = performance.now() + timeoutMillis
  while (!(await ready())) {
    if (daemon.ended) throw new Error(`${what}: the process ended\n${daemon.log()}`)
    if (performance.now() > deadline)
      throw new Error(`${what}: not within ${timeoutMillis} ms\n${daemon.log()}`)
    await sleep(20)
  }
}

/**
 * Makes up to three attempts at a start that races for free ports. Repeats it only when the process ended by
 * itself: a start that was stopped, or that hangs, would fail again.
 */
export const retryStart = async <A>(group: Group, start: (attempt: number) => Promise<A>): Promise<A> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(attempt)
    } catch (error) {
      if (attempt === 3 || group.stopped || !messageOf(error).includes("the process ended")) throw error
    }
  }
}

/**
 * Wraps a command so that Linux kills it when this process dies, also by SIGKILL: a crashed test run leaves
 * no process behind. Elsewhere only an orderly stop ends it.
 */
export const dieWithParent = (
  command: string,
  args: ReadonlyArray<string>,
  signal: NodeJS.Signals
): readonly [program: string, args: ReadonlyArray<string>] => {
  const setpriv = which("setpriv")
  return setpriv ? [setpriv, ["--pdeathsig", signal.slice(3), command, ...args]] : [command, args]
}

/** What a child that ended is remembered by: its exit code, or the signal that ended it. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Returns the exit code as a shell reports it: 128 and the signal's number after a signal. */
export const exitCodeOf = ({ code, signal }: Ending): number =>
  code ?? 128 + (signal === null ? 0 : osConstants.signals[signal])

/** Waits for a child's end. Fails if it cannot be started. */
export const endOf = (child: ChildProcess): Promise<Ending> =>
  new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("exit", (code, signal) => resolve({ code, signal }))
  })

/** What a command wrote, and how it ended. */
export interface Output extends Ending {
  readonly stdout: string
  /** Standard output and standard error, in the order in which they arrived. */
  readonly all: string
}

export interface CaptureOptions extends RunOptions {
  /** The signal that it gets when this process dies. Default: SIGTERM. */
  readonly parentSignal?: NodeJS.Signals
  readonly onSpawn?: (child: ChildProcess) => void
}

/** Runs a command to its end and returns what it wrote. Its exit code is part of the answer. */
export const capture = (
  command: string,
  args: ReadonlyArray<string>,
  { parentSignal = "SIGTERM", onSpawn = () => {}, ...options }: CaptureOptions = {}
): Promise<Output> =>
  new Promise((resolve, reject) => {
    const [program, programArgs] = dieWithParent(command, args, parentSignal)
    const child = spawn(program, programArgs, { ...options, stdio: ["ignore", "pipe", "pipe"] })
    onSpawn(child)
    let stdout = ""
    let all = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      all += text
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      all += text
    })
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code, signal, stdout, all }))
  })

/**
 * Runs a command to its end and returns its standard output. Fails with the end of what it wrote if it fails.
 */
export const run = async (
  command: string,
  args: ReadonlyArray<string>,
  options: CaptureOptions = {}
): Promise<string> => {
  const { code, signal, stdout, all } = await capture(command, args, options)
  if (code === 0) return stdout
  throw new Error(`${command} ${args.join(" ")} ended with ${code ?? signal}:\n${all.slice(-4000)}`)
}

/** Retries, because a child of a killed process, such as initdb's, may write for a moment longer. */
const removeFolder = async (folder: string): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return rmSync(folder, { recursive: true, force: true })
    } catch (error) {
      if (attempt === 60) throw error
      await sleep(50)
    }
  }
}

/** The processes of one set of servers, and the folder that they write to. */
export class Group {
  readonly folder: string
  #stopped = false
  readonly #children = new Map<ChildProcess, NodeJS.Signals>()

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "artifact-gc-real-"))
    // PostgreSQL runs as another user when we are root, and must be able to walk to its own folder.
    chmodSync(this.folder, 0o711)
  }

  /** Tells whether {@link stop} was called. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Runs a command of the start-up to its end and returns its standard output. */
  async run(command: string, args: ReadonlyArray<string>, options: RunOptions = {}): Promise<string> {
    this.#assertRunning()
    return run(command, args, { ...options, onSpawn: (child) => this.#own(child, "SIGKILL") })
  }

  /**
   * Starts a process that runs until the group stops. It has a session of its own: Ctrl-C reaches the tests
   * first, and the servers only when the tests have ended.
   */
  daemon(
    command: string,
    args: ReadonlyArray<string>,
    { stopSignal = "SIGKILL", logFile, ...options }: DaemonOptions
  ): Daemon {
    this.#assertRunning()
    const [program, programArgs] = dieWithParent(command, args, stopSignal)
    const log = openSync(logFile, "a")
    const child = spawn(program, programArgs, { ...options, detached: true, stdio: ["ignore", log, log] })
    let ended = false
    const end = () => {
      ended = true
    }
    child.once("error", end).once("exit", end)
    this.#own(child, stopSignal)
    return {
      get ended() {
        return ended
      },
      pid: child.pid,
      log: () => readFileSync(logFile, "utf8").slice(-4000),
      stop: () => this.#stopChild(child, stopSignal),
      kill: () => this.#stopChild(child, "SIGKILL")
    }
  }

  /** Ends every process and removes the folder. May be called twice, and during a start. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(Array.from(this.#children, ([child, signal]) => this.#stopChild(child, signal)))
    await removeFolder(this.folder)
  }

  #assertRunning(): void {
    if (this.#stopped) throw new Error("the servers were stopped while they started")
  }

  #own(child: ChildProcess, stopSignal: NodeJS.Signals): void {
    this.#children.set(child, stopSignal)
    const forget = () => this.#children.delete(child)
    child.once("exit", forget).once("error", forget)
  }

  async #stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (!this.#children.has(child)) return
    const exited = new Promise((resolve) => child.once("exit", resolve))
    child.kill(signal)
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000)
    await exited
    clearTimeout(timer)
  }
}
