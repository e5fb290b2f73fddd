/** The instants in the collector's own rows, as far as a wrong clock may have written them. */
import type { Result } from "./Result.ts"

/** How far ahead an instant may lie. Times are in milliseconds. */
export interface InstantLimits {
  readonly now: number
  /** Of an instant that was present when it was written: as far as clocks may differ. */
  readonly toleranceMillis: number
  /** Of a lease, of any collector. */
  readonly leaseMillis: number
  /** Of the end of an announced upload, of any writer. */
  readonly uploadMillis: number
  /** From the journaling of a leftover to its deletion. */
  readonly leftoverMillis: number
  /** From the journaling of any other key to its deletion. */
  readonly deleteMillis: number
  /** From a failed deletion to the next attempt. */
  readonly backoffMillis: number
}

/**
 * Finds and corrects instants that lie further ahead than any wait explains. They were written while a clock was wrong,
 * and what they date would wait for as long as the clock was ahead. Sightings are corrected where they are read
 * (`orphans.redate`). Pins are left alone, because an operator may choose any end. A writer may choose any end of an
 * announced upload, too, so intents are corrected only where another instant shows that a clock was wrong.
 */
export interface Instants {
  /** Returns the names of the tables that have such instants, by indexes and from small tables alone. */
  readonly ahead: (limits: InstantLimits) => Result<ReadonlyArray<string>>
  /**
   * Moves them to `now`, or to where they would be if they had been written at `now`. Returns how many rows it changed,
   * by table, without tables of none. Skips rows that other transactions hold.
   */
  readonly correct: (limits: InstantLimits) => Result<Readonly<Record<string, number>>>
}

/** Returns how far ahead a key in the journal may be due. */
export const journalMillis = (limits: InstantLimits): number =>
  Math.max(limits.leftoverMillis, limits.deleteMillis, limits.backoffMillis) + limits.toleranceMillis
