/**
 * Rows with odd values. A sweep passes over each of them, and its report names the first few, so that one row neither
 * stops the others nor stays unnoticed.
 */
import type { GuardFinding } from "../domain/SweepReport.ts"

/**
 * - `key`: no object can have the blob's key
 * - `used`: the catalogue says that the blob was used in the future
 * - `seen`: the collector saw it in the future, while a clock was wrong
 * - `untagged`: a manifest was untagged in the future, while a clock was wrong
 * - `refused`: the database refuses to delete the row
 */
export type Oddity = "key" | "used" | "seen" | "untagged" | "refused"

/** The odd rows that a sweep has met. */
export interface OddRows {
  /** Adds rows by name. */
  readonly add: (oddity: Oddity, names: ReadonlyArray<string>) => void
  /** Returns a finding for each oddity that was met. */
  readonly findings: () => ReadonlyArray<GuardFinding>
}

/** How many rows of each kind a report names. */
const sampleMax = 3

const guards: Record<Oddity, GuardFinding["guard"]> = {
  key: "schema",
  used: "clock",
  seen: "clock",
  untagged: "clock",
  refused: "schema"
}

const nouns: Partial<Record<Oddity, string>> = { untagged: "manifest" }

const sentences: Record<Oddity, (rows: string) => string> = {
  key: (blobs) =>
    `No object can have the keys of ${blobs}: a key has 1 to 1024 bytes. They are kept, and the others are collected. Correct the keys, or delete the rows.`,
  used: (blobs) =>
    `The catalogue says that ${blobs} were used in the future. They are kept until then, and the others are collected. If a clock or CATALOG_TIME_ZONE was wrong, correct the times of their rows.`,
  seen: (blobs) =>
    `${blobs} were first seen or condemned in the future, while a clock was wrong. Their waits begin now.`,
  untagged: (manifests) =>
    `${manifests} were untagged in the future, while a clock was wrong. Their GC_UNTAGGED_GRACE begins now.`,
  refused: (blobs) =>
    `The database refuses to delete ${blobs}. They stay condemned, and the others are collected. Look at the triggers and constraints of the table of blobs.`
}

/** Returns an empty collection. */
export const make = (): OddRows => {
  const met = new Map<Oddity, { count: number; readonly sample: Array<string> }>()
  return {
    add: (oddity, names) => {
      if (names.length === 0) return
      const tally = met.get(oddity) ?? { count: 0, sample: [] }
      tally.count += names.length
      tally.sample.push(...names.slice(0, sampleMax - tally.sample.length))
      met.set(oddity, tally)
    },
    findings: () =>
      [...met].map(([oddity, { count, sample }]): GuardFinding => {
        const names = sample.map((name) => JSON.stringify(name)).join(", ")
        const more = count > sample.length ? ", …" : ""
        const rows = `${count} ${nouns[oddity] ?? "blob"}${count === 1 ? "" : "s"} (${names}${more})`
        return { guard: guards[oddity], decision: "allowed", message: sentences[oddity](rows) }
      })
  }
}
