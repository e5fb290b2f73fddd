/** The log on stderr: lines for people on a terminal, lines of JSON for machines. */
import { Cause, Logger, type LogLevel, References } from "effect"
import { printable, printableLines } from "../domain/printable.ts"
import { canColor, canRewrite, eraseLine } from "./Terminal.ts"

/** What one entry of the log says to people. */
export interface Entry {
  readonly date: Date
  readonly level: LogLevel.LogLevel
  readonly message: unknown
  readonly annotations: Readonly<Record<string, unknown>>
  readonly cause: Cause.Cause<unknown>
}

const colors: Partial<Record<LogLevel.LogLevel, string>> = {
  Debug: "34",
  Info: "32",
  Warn: "33",
  Error: "31",
  Fatal: "1;31"
}

const partOf = (part: unknown): string =>
  typeof part === "string" ? printableLines(part) : printableLines(JSON.stringify(part) ?? String(part))

/** Annotations that people do not read: the message says what the tag of an error means, and `docs` has its own line. */
const unsaid: ReadonlySet<string> = new Set(["error", "docs"])

/** Returns the annotations that fit into a line. A whole report does not, and the JSON log has it. */
const notes = (annotations: Entry["annotations"]): string => {
  const short = Object.entries(annotations).flatMap(([name, value]) =>
    ["string", "number", "boolean"].includes(typeof value) && !unsaid.has(name)
      ? [`${name}=${printable(String(value))}`]
      : []
  )
  return short.length === 0 ? "" : `  (${short.join(", ")})`
}

/** As wide as time and level, so that further lines of a message stand below its first. */
const margin = " ".repeat("00:00:00 ERROR ".length)

/** Returns an entry as lines for people: time of day, level, message, short annotations, cause. */
export const lines = ({ annotations, cause, date, level, message }: Entry, isColored: boolean): string => {
  const paint = (code: string | undefined, text: string) =>
    isColored && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text
  const parts: ReadonlyArray<unknown> = Array.isArray(message) ? message : [message]
  const time = date.toTimeString().slice(0, 8)
  const { docs } = annotations
  const note = notes(annotations)
  const [first = "", ...more] = [
    `${parts.map(partOf).join(" ")}${note === "" ? "" : paint("2", note)}`,
    ...(typeof docs === "string" ? [`See ${printable(docs)}.`] : []),
    ...(cause.reasons.length === 0 ? [] : [printableLines(Cause.pretty(cause))])
  ]
    .join("\n")
    .split("\n")
  return [
    `${paint("2", time)} ${paint(colors[level], level.toUpperCase().padEnd(5))} ${first}`,
    ...more.map((text) => `${margin}${text}`)
  ].join("\n")
}

const textLogger = Logger.make<unknown, void>(({ cause, date, fiber, logLevel, message }) => {
  const annotations = fiber.getRef(References.CurrentLogAnnotations)
  const [out, variables] = [process.stderr, process.env]
  const entry = { annotations, cause, date, level: logLevel, message }
  // A line of progress may stand there, and is shown again below.
  const erase = canRewrite(out, variables) ? eraseLine : ""
  out.write(`${erase}${lines(entry, canColor(out, variables))}\n`)
})

const jsonLogger = Logger.withConsoleError(Logger.formatJson)

/** Returns the logger that asks for its form at each line, because the command line is read after the first may be written. */
export const logger = (isText: () => boolean): Logger.Logger<unknown, void> =>
  Logger.make<unknown, void>((options) => (isText() ? textLogger.log(options) : jsonLogger.log(options)))
