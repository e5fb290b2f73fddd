/** Processes that are killed without warning and restarted. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"

/** A process and its successors. */
export interface Process {
  readonly name: string
  /** Returns whether the present process has printed a line. Before that it has done nothing. */
  readonly hasPrinted: () => boolean
  /** Sends SIGKILL. A successor starts at once. */
  readonly kill: () => void
  /** Sends SIGKILL. No successor starts. */
  readonly end: () => Promise<void>
}

/** Describes a process. */
export interface ProcessOptions {
  readonly name: string
  readonly command: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** Is called with each line on stdout. */
  readonly onLine: (line: string) => void
  /** Is called when the process ends without SIGKILL, with the end of its stderr. */
  readonly onUnexpectedEnd: (code: number | null, stderr: string) => void
}

/** Number of characters of stderr that are kept. */
const stderrMax = 4000

/** Starts a process. */
export const start = ({ name, command, env, onLine, onUnexpectedEnd }: ProcessOptions): Process => {
  let child: ChildProcess
  let isEnded = false
  let hasPrinted = false
  const run = () => {
    hasPrinted = false
    const [program = "node", ...args] = command
    const own = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
    child = own
    let stderr = ""
    own.stderr.on("data", (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-stderrMax)
    })
    createInterface({ input: own.stdout }).on("line", (line) => {
      hasPrinted = true
      onLine(line)
    })
    own.once("exit", (code, signal) => {
      if (signal !== "SIGKILL") onUnexpectedEnd(code, stderr)
      if (!isEnded) run()
    })
  }
  run()
  return {
    name,
    hasPrinted: () => hasPrinted,
    kill: () => child.kill("SIGKILL"),
    end: async () => {
      isEnded = true
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, "exit")
      child.kill("SIGKILL")
      await exited
    }
  }
}
