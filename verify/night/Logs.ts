/** The warnings and errors of the replicas. Each must say what to do, or what the program does by itself. */
import { readFileSync } from "node:fs"

/** A line of a log at or above WARN. */
export interface Warning {
  readonly level: string
  readonly message: string
}

interface Line {
  readonly level?: string
  readonly message?: unknown
}

const textOf = (message: unknown): string => {
  if (Array.isArray(message)) return message.map(textOf).join(" ")
  return typeof message === "object" && message !== null ? JSON.stringify(message) : String(message ?? "")
}

/** Returns whether a line is Node's own about a collection of its heap. */
const isCollection = (line: string): boolean => /^\[\d+:0x[0-9a-f]+\]/.test(line)

/** Reads the warnings and errors of a log in JSON. A line that is neither JSON nor about a collection counts as one. */
export const warningsOf = (logFile: string): ReadonlyArray<Warning> =>
  readFileSync(logFile, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "" && !isCollection(line))
    .flatMap((line): ReadonlyArray<Warning> => {
      try {
        const { level = "", message }: Line = JSON.parse(line)
        return /^(WARN|ERROR|FATAL)/i.test(level) ? [{ level, message: textOf(message) }] : []
      } catch {
        return [{ level: "no JSON", message: line }]
      }
    })

/** Tells the reader to do something. */
const instructs =
  /(^|[.!:;] |\n\s*|fix: )(Check|Choose|Confirm|Create|Give|Look|Make|Open|Raise|Read|Repair|Repeat|Restart|Run|See|Set|Start|Stop|Upgrade|Wait|Free|Let)\b|\bartifact-gc [a-z]+/

/** Tells that the program acts by itself. */
const actsItself =
  /(next|later) (sweep|attempt)s?\b|tries again|try again|is repeated|are repeated|retries|is retried|are retried|can repeat|is read again|sent again|continues/

/** Returns whether a warning has a next step. */
export const hasAction = ({ message }: Warning): boolean =>
  instructs.test(message) || actsItself.test(message)

const general = (message: string): string =>
  message
    .replaceAll(/"[^"]*"/g, '"…"')
    .replaceAll(/sha256:[0-9a-f]+/g, "sha256:…")
    .replaceAll(/[0-9a-f-]{8,}/g, "…")
    .replaceAll(/\d+/g, "N")
    .slice(0, 300)

/** Counts warnings by their text without numbers and names, the most frequent first. */
export const grouped = (warnings: ReadonlyArray<Warning>): ReadonlyArray<readonly [string, number]> => {
  const counts = new Map<string, number>()
  for (const { level, message } of warnings) {
    const text = `${level} ${general(message)}`
    counts.set(text, (counts.get(text) ?? 0) + 1)
  }
  return [...counts].sort((a, b) => b[1] - a[1])
}
