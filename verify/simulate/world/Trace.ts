/** A run in words: one line a step, the same for the same seed. */
import { type Cause, type Exit, Option } from "effect"
import type { Process } from "./Gate.ts"
import { beginning } from "./Time.ts"
import { contents } from "./World.ts"

export interface Trace {
  readonly lines: ReadonlyArray<string>
  readonly add: (step: number, now: number, process: Process | null, what: string) => void
}

/** Whoever runs thousands of seeds wants no lines. */
export const silent: Trace = { lines: [], add: () => {} }

export const make = (): Trace => {
  const lines: Array<string> = []
  return {
    lines,
    add: (step, now, process, what) => {
      const who = process === null ? "" : process.name
      lines.push(`${String(step).padStart(5)}  ${clock(now)}  ${who.padEnd(12)}  ${short(what)}`)
    }
  }
}

/** Time since the beginning. */
const clock = (now: number): string => {
  const seconds = Math.floor((now - beginning) / 1000)
  const two = (n: number) => String(n).padStart(2, "0")
  return `+${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}

/** Digests by their names, keys without their folders, instants as times since the beginning. */
export const short = (text: string): string => {
  let shorter = text
  for (const { name, digest } of contents) {
    const hex = digest.slice("sha256:".length)
    shorter = shorter
      .replaceAll(`sha256/${hex.slice(0, 2)}/${hex}`, name)
      .replaceAll(digest, name)
      .replaceAll(hex, name)
  }
  return shorter.replaceAll(/\b1[78]\d{11}\b/g, (digits) => clock(Number(digits)))
}

/** Arguments and answers, on one line. */
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

export const showExit = (exit: Exit.Exit<unknown, unknown>): string => {
  if (exit._tag === "Success") return exit.value === undefined ? "done" : show(exit.value)
  return `failed: ${reason(exit.cause)}`
}

const reason = (cause: Cause.Cause<unknown>): string => {
  const error = cause.reasons.map((one) =>
    "error" in one ? one.error : "defect" in one ? one.defect : one._tag
  )
  return error.map((one) => (one instanceof Error ? one.message : String(one))).join("; ")
}
