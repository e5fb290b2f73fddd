/** The log of a run: one line a step, the same for the same seed. */
import { type Cause, type Exit, Option } from "effect"
import { known, noncePrefix } from "./Contents.ts"
import type { Process } from "./Process.ts"
import { beginning } from "./Time.ts"

/** Collects the lines of a run. */
export interface Trace {
  readonly lines: ReadonlyArray<string>
  /** Adds a line. */
  readonly add: (step: number, now: number, process: Process | null, what: string) => void
}

/** Collects no lines, for runs of thousands of seeds. */
export const silent: Trace = { lines: [], add: () => {} }

/** Creates an empty trace. */
export const make = (): Trace => {
  const lines: Array<string> = []
  return {
    lines,
    add: (step, now, process, what) => {
      const name = process === null ? "" : process.name
      lines.push(`${String(step).padStart(5)}  ${clock(now)}  ${name.padEnd(12)}  ${short(what)}`)
    }
  }
}

/** Returns the time since the beginning. */
const clock = (now: number): string => {
  const seconds = Math.floor((now - beginning) / 1000)
  const two = (n: number) => String(n).padStart(2, "0")
  return `+${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}

/**
 * Shortens digests to their names, keys to the part after their folders, and instants to times since the
 * beginning.
 */
export const short = (text: string): string => {
  let shorter = text
  for (const { name, digest } of known()) {
    const hex = digest.slice("sha256:".length)
    shorter = shorter
      .replaceAll(`sha256/${hex.slice(0, 2)}/${hex}`, name)
      .replaceAll(digest, name)
      .replaceAll(hex, name)
  }
  shorter = shorter.replaceAll(nonces, "n")
  return shorter.replaceAll(/\b1[78]\d{11}\b/g, (digits) => clock(Number(digits)))
}

const nonces = new RegExp(`${noncePrefix}0*`, "g")

/** Prints an argument or an answer on one line. */
export const show = (value: unknown): string => {
  if (value === undefined) return ""
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (value instanceof Set) return `{${[...value].map(show).join(", ")}}`
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`
  if (Option.isOption(value)) return Option.isNone(value) ? "none" : show(value.value)
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(([name, field]) => `${name}: ${show(field)}`)
    return `{${fields.join(", ")}}`
  }
  return String(value)
}

/** Prints the outcome of a request on one line. */
export const showExit = (exit: Exit.Exit<unknown, unknown>): string => {
  if (exit._tag === "Success") return exit.value === undefined ? "done" : show(exit.value)
  return `failed: ${reason(exit.cause)}`
}

const reason = (cause: Cause.Cause<unknown>): string => {
  const errors = cause.reasons.map((part) =>
    "error" in part ? part.error : "defect" in part ? part.defect : part._tag
  )
  return errors.map((error) => (error instanceof Error ? error.message : String(error))).join("; ")
}
