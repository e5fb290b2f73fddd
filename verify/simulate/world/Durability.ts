/**
 * What a crash of the database server takes back. Commits are on the disk when they are answered, except the
 * strikes from the journal, whose commits do not wait. A later commit brings earlier ones to the disk.
 */
import { Effect } from "effect"
import type { RegistryState } from "../../../src/oci/database/Memory.ts"
import type { Rng } from "../../../src/testing/simulation/Simulation.ts"
import * as Snapshots from "./Snapshots.ts"
import type { Verb } from "./Verb.ts"

/** Knows which commits are on the disk. */
export interface Durability {
  /** Records what is on the disk before and after a verb takes effect. */
  readonly run: <A, E, R>(verb: Verb, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Returns whether a crash now would take commits back. */
  readonly isBehind: () => boolean
  /** Records that all commits are on the disk, as after a restore: a crash takes none of them back. */
  readonly settle: () => void
  /** Ends open transactions and takes back commits that are not on the disk. Returns how many. */
  readonly crash: () => number
}

/** Verbs that write nothing. */
const reading: ReadonlySet<Verb> = new Set<Verb>([
  "inspect",
  "skew",
  "backlog",
  "binding.read",
  "binding.due",
  "binding.sample",
  "control.orders",
  "control.paused",
  "history.page",
  "instants.ahead",
  "suspects.page",
  "candidates.watch",
  "candidates.sighted",
  "candidates.passDue",
  "orphans.readSlice",
  "orphans.find",
  "orphans.condemned",
  "orphans.due",
  "journal.deadLetters",
  "breakers.read",
  "breakers.exposure",
  "breakers.history",
  "audit.lookup",
  "audit.last",
  "blobs.locate",
  "blobs.owned",
  "sessions.read",
  "sessions.backlog",
  "manifests.find",
  "manifests.blob",
  "manifests.exposure",
  "host.rollback",
  "unannounced.look"
])

/** How many commits a crash takes back at most where none waits for the disk. */
const latestMax = 3

/** Creates the durability of a database. */
export const make = (rows: RegistryState, rng: Rng, commitsLate: boolean): Durability => {
  /** The database before each commit that is not on the disk, oldest first. */
  let before: Array<Snapshots.Snapshot> = []
  const record = (verb: Verb) => {
    if (reading.has(verb)) return
    const isLate = commitsLate || verb === "journal.confirm"
    before = isLate ? [...before, Snapshots.take(rows)].slice(-latestMax) : []
  }
  return {
    run: (verb, effect) =>
      Effect.suspend(() => {
        record(verb)
        return effect
      }),
    isBehind: () => before.length > 0,
    settle: () => {
      before = []
    },
    crash: () => {
      rows.transactions.clear()
      const lost = before.length === 0 ? 0 : 1 + rng.below(before.length)
      const last = before[before.length - lost]
      before = []
      if (lost === 0 || last === undefined) return 0
      Snapshots.restore(rows, last)
      return lost
    }
  }
}
