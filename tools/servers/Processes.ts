/**
 * Child processes for throw-away servers: each belongs to a group that owns one temporary folder,
 * and stopping the group ends every process and removes the folder. What is in that folder is
 * never worth keeping, so nothing here shuts down politely.
 */
import { spawn } from "node:child_process"
import { accessSync, chmodSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

/** Something this machine does not have; the message says what, and how to get it. */
export class Missing extends Error {}

/** The full path of a program on PATH, or undefined. */
export const which = (program) => {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return join(folder, program)
    } catch {}
  }
  return undefined
}

/** `count` TCP ports that were free a moment ago; whoever binds them must cope with losing that race. */
export const freePorts = async (count) => {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve, reject) => {
          const server = createServer().once("error", reject)
          server.listen(0, "127.0.0.1", () => resolve(server))
        })
    )
  )
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Polls `ready` until it returns true; throws with `what` after `timeoutMillis`, or as soon as `daemon` died. */
export const until = async (what, daemon, timeoutMillis, ready) => {
  const deadline = performance.now() + timeoutMillis
  while (!(await ready())) {
    if (daemon.ended) throw new Error(`${what}: the process ended\n${daemon.log()}`)
    if (performance.now() > deadline)
      throw new Error(`${what}: not within ${timeoutMillis} ms\n${daemon.log()}`)
    await sleep(20)
  }
}

/**
 * Tries a start that races for free ports three times. Only a process that ended by itself is worth
 * another try: a start that was stopped, or that hangs, is not.
 */
export const retryStart = async (group, start) => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(attempt)
    } catch (error) {
      if (attempt === 3 || group.stopped || !String(error.message).includes("the process ended")) throw error
    }
  }
}

/**
 * Linux kills a daemon when this process dies, even by SIGKILL, so a crashed test run leaves nothing
 * behind. Elsewhere only an orderly stop does.
 */
export const dieWithParent = (command, args, signal) => {
  const setpriv = which("setpriv")
  return setpriv ? [setpriv, ["--pdeathsig", signal.slice(3), command, ...args]] : [command, args]
}

/** Runs a command to its end and returns its standard output; throws with everything it wrote if it fails. */
export const run = (command, args, options = {}, onSpawn = () => {}) =>
  new Promise((resolve, reject) => {
    const [program, programArgs] = dieWithParent(command, args, "SIGTERM")
    const child = spawn(program, programArgs, { ...options, stdio: ["ignore", "pipe", "pipe"] })
    onSpawn(child)
    let stdout = ""
    let all = ""
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text
      all += text
    })
    child.stderr.setEncoding("utf8").on("data", (text) => {
      all += text
    })
    child.once("error", reject)
    child.once("close", (code, signal) =>
      code === 0
        ? resolve(stdout)
        : reject(new Error(`${command} ${args.join(" ")} ended with ${code ?? signal}:\n${all.slice(-4000)}`))
    )
  })

/** A child of a killed process, such as initdb's, may write for a moment longer. */
const removeFolder = async (folder) => {
  for (let attempt = 1; ; attempt++) {
    try {
      return rmSync(folder, { recursive: true, force: true })
    } catch (error) {
      if (attempt === 60) throw error
      await sleep(50)
    }
  }
}

/** The processes of one set of servers and the folder they live in. */
export class Group {
  stopped = false
  #children = new Set()

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "artifact-gc-real-"))
    // PostgreSQL runs as another user when we are root, and must be able to walk to its own folder.
    chmodSync(this.folder, 0o711)
  }

  /** Runs a command of the start-up to its end. */
  run(command, args, options = {}) {
    this.#assertRunning()
    return run(command, args, options, (child) => this.#own(child, "SIGKILL"))
  }

  /**
   * Starts a process that runs until the group stops, in a session of its own: Ctrl-C then reaches
   * the tests first and the servers only when the tests have ended.
   */
  daemon(command, args, { stopSignal = "SIGKILL", logFile, ...options }) {
    this.#assertRunning()
    const [program, programArgs] = dieWithParent(command, args, stopSignal)
    const log = openSync(logFile, "a")
    const child = spawn(program, programArgs, { ...options, detached: true, stdio: ["ignore", log, log] })
    const daemon = {
      ended: false,
      log: () => readFileSync(logFile, "utf8").slice(-4000),
      pid: child.pid,
      stop: () => this.#stopChild(child, stopSignal),
      kill: () => this.#stopChild(child, "SIGKILL")
    }
    child.once("error", () => {
      daemon.ended = true
    })
    child.once("exit", () => {
      daemon.ended = true
    })
    this.#own(child, stopSignal)
    return daemon
  }

  /** Ends every process and removes the folder; safe to call twice, and during a start. */
  async stop() {
    this.stopped = true
    await Promise.all(Array.from(this.#children, (child) => this.#stopChild(child, child.stopSignal)))
    await removeFolder(this.folder)
  }

  #assertRunning() {
    if (this.stopped) throw new Error("the servers were stopped while they started")
  }

  #own(child, stopSignal) {
    child.stopSignal = stopSignal
    this.#children.add(child)
    child.once("exit", () => this.#children.delete(child))
    child.once("error", () => this.#children.delete(child))
  }

  async #stopChild(child, signal) {
    if (!this.#children.has(child)) return
    const exited = new Promise((resolve) => child.once("exit", resolve))
    child.kill(signal)
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000)
    await exited
    clearTimeout(timer)
  }
}
