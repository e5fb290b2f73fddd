/** Breakers: stops that stay until a person confirms. */
import type { Result } from "./Result.ts"

/** The name of a breaker, which its phase chooses. */
export type BreakerName = string

/**
 * How much would be deleted, of how much. Of leftovers and staged uploads only the numbers are known, not
 * the bytes.
 */
export interface Exposure {
  /** How many would be deleted. */
  readonly blobs: number
  /** Their size, in bytes. */
  readonly bytes: number
  /** How many exist. */
  readonly totalBlobs: number
  /** Their size, in bytes. */
  readonly totalBytes: number
}

/** A breaker as it is stored. */
export interface BreakerState {
  readonly name: BreakerName
  /** Null if it never tripped. */
  readonly trippedAt: number | null
  /** What it last tripped over; null if it never did. */
  readonly exposure: Exposure | null
  /** When a person last confirmed. The breaker is open while this is earlier than `trippedAt`. */
  readonly confirmedAt: number | null
}

/** Returns whether nothing may be deleted until a person confirms. */
export const isOpen = ({ trippedAt, confirmedAt }: BreakerState): boolean =>
  trippedAt !== null && (confirmedAt === null || confirmedAt < trippedAt)

/** A number of things and their bytes. */
export interface Stock {
  readonly blobs: number
  readonly bytes: number
}

/** What a breaker saw on one day, in UTC. */
export interface BreakerDay {
  /** The first instant of the day. */
  readonly day: number
  /** The most that there was; zero if it was not counted. */
  readonly total: Stock
  /** What was deleted and counts. */
  readonly lost: Stock
  /** The last exposure above the bounds that was let through; null without one. */
  readonly burst: Exposure | null
}

const dayMillis = 24 * 60 * 60 * 1000

/** How long a day is remembered. */
export const historyMillis = 30 * dayMillis

/** Returns the first instant of the day of `at`, in UTC. */
export const dayOf = (at: number): number => Math.floor(at / dayMillis) * dayMillis

/** Stops that stay until a person confirms, and the numbers by which they are judged. */
export interface Breakers {
  /** Returns a breaker. One that never tripped is closed. */
  readonly read: (name: BreakerName) => Result<BreakerState>
  /** Returns the breakers that ever tripped, by name. */
  readonly list: Result<ReadonlyArray<BreakerState>>
  /** Opens a breaker at `now`. An open breaker keeps its first exposure. */
  readonly trip: (name: BreakerName, now: number, exposure: Exposure) => Result<void>
  /**
   * Closes those of `names` that are open (default: all) and returns their names. What was condemned until
   * `now` may be deleted. Notes what each tripped over as a burst of that day.
   */
  readonly confirm: (now: number, names?: ReadonlyArray<BreakerName>) => Result<ReadonlyArray<BreakerName>>
  /**
   * Returns how much was condemned after `since` (null: ever) and until `until` (default: ever), of how
   * much. Orphans with a {@link OrphanCause} count neither here nor there. The totals are exact up to about
   * a million blobs, and beyond that the planner's estimate. They are zero, unread, unless more than
   * `unless` blobs are condemned.
   */
  readonly exposure: (since: number | null, unless: number, until?: number) => Result<Exposure>
  /** Returns the days since `since` on which something was noted, the newest first. */
  readonly history: (name: BreakerName, since: number) => Result<ReadonlyArray<BreakerDay>>
  /**
   * Adds to the day of `at`: the larger total, the sum of what was lost, the last burst. Forgets days that
   * are older than {@link historyMillis}.
   */
  readonly note: (name: BreakerName, at: number, seen: Partial<Omit<BreakerDay, "day">>) => Result<void>
}
