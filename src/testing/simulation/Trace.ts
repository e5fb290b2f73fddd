/** The log of a run: one line a step, the same for the same seed. */
import { type Cause, type Exit, Option } from "effect"
import type { Process } from "./Process.ts"
import { beginning } from "./Time.ts"

/** Collects the lines of a run. */
export interface Trace {
  readonly lines: ReadonlyArray<string>
  /** Adds a line. */
  readonly add: (step: number, now: number, process: Process | null, what: string) => void
}

/** Makes a line shorter, e.g. by names for digests. */
export type Shorten = (text: string) => string

/** Collects no lines, for runs of thousands of seeds. */
export const silent: Trace = { lines: [], add: () => {} }

/** Creates an empty trace. */
export const make = (shorten: () => Shorten): Trace => {
  const lines: Array<string> = []
  return {
    lines,
    add: (step, now, process, what) => {
      const name = process === null ? "" : process.name
      lines.push(
        `${String(step).padStart(5)}  ${clock(now)}  ${name.padEnd(12)}  ${withTimes(shorten()(what))}`
      )
    }
  }
}

/** Returns the time since the beginning. */
const clock = (now: number): string => {
  const seconds = Math.floor((now - beginning) / 1000)
  const two = (n: number) => String(n).padStart(2, "0")
  return `+${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}

/** Shortens instants to times since the beginning. */
export const withTimes = (text: string): string =>
  text.replaceAll(/\b1[78]\d{11}\b/g, (digits) => clock(Number(digits)))

const columnsMax = 220

/** Names digests A, B, C, in the order in which the trace mentions them first. Cuts long lines. */
export const namingDigests = (noncePrefix: string): Shorten => {
  const names = new Map<string, string>()
  const nonces = new RegExp(`${noncePrefix}0*`, "g")
  const named = (text: string) =>
    text.replaceAll(/(?:sha(?:256|512)[:/](?:[0-9a-f]{2}\/)?)?([0-9a-f]{64,128})/g, (_, hex: string) => {
      const known = names.get(hex)
      if (known !== undefined) return known
      const name = nameOf(names.size)
      names.set(hex, name)
      return name
    })
  return (text) => {
    const shorter = named(text.replaceAll(nonces, "n"))
    return shorter.length <= columnsMax ? shorter : `${shorter.slice(0, columnsMax)}…`
  }
}

/** Returns A to Z, then A1, B1 and so on. */
const nameOf = (place: number): string =>
  `${String.fromCharCode(65 + (place % 26))}${place < 26 ? "" : Math.floor(place / 26)}`

/** Prints an argument or an answer on one line. */
export const show = (value: unknown): string => {
  if (value === undefined) return ""
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (value instanceof Set) return `{${[...value].map(show).join(", ")}}`
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`
  if (Option.isOption(value)) return Option.isNone(value) ? "none" : show(value.value)
  if (typeof value === "function") return "a function"
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(([name, field]) => `${name}: ${show(field)}`)
    return `{${fields.join(", ")}}`
  }
  return String(value)
}

/** Prints the outcome of a request on one line. */
export const showExit = (exit: Exit.Exit<unknown, unknown>): string => {
  if (exit._tag === "Success") return exit.value === undefined ? "done" : show(exit.value)
  return `failed: ${showCause(exit.cause)}`
}

/** Prints the errors of a cause on one line. */
export const showCause = (cause: Cause.Cause<unknown>): string => {
  const errors = cause.reasons.map((part) =>
    "error" in part ? part.error : "defect" in part ? part.defect : part._tag
  )
  return errors.map((error) => (error instanceof Error ? error.message : String(error))).join("; ")
}
