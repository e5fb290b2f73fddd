/** Processes that are killed without warning and started again. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"

export interface Actor {
  readonly name: string
  /** Whether the present process has printed anything yet: before that it has done nothing. */
  readonly hasSpoken: () => boolean
  /** SIGKILL; a successor starts at once. */
  readonly kill: () => void
  /** SIGKILL, and no successor. */
  readonly end: () => Promise<void>
}

export interface ActorOptions {
  readonly name: string
  readonly command: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** Each line it prints on stdout. */
  readonly onLine: (line: string) => void
  /** It ended by itself, which nobody asked for; what it said on stderr last. */
  readonly onDeath: (code: number | null, words: string) => void
}

/** How much of what it says on stderr is kept. */
const wordsMax = 4000

export const start = ({ name, command, env, onLine, onDeath }: ActorOptions): Actor => {
  let child: ChildProcess
  let ended = false
  let spoken = false
  const run = () => {
    spoken = false
    const [program = "node", ...args] = command
    const own = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
    child = own
    let words = ""
    own.stderr.on("data", (chunk: Buffer) => {
      words = (words + chunk.toString()).slice(-wordsMax)
    })
    createInterface({ input: own.stdout }).on("line", (line) => {
      spoken = true
      onLine(line)
    })
    own.once("exit", (code, signal) => {
      if (signal !== "SIGKILL") onDeath(code, words)
      if (!ended) run()
    })
  }
  run()
  return {
    name,
    hasSpoken: () => spoken,
    kill: () => child.kill("SIGKILL"),
    end: async () => {
      ended = true
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, "exit")
      child.kill("SIGKILL")
      await gone
    }
  }
}
