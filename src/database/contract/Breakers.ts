/** Breakers: stops that stay until a person confirms. */
import type { Result } from "./Result.ts"

/** The name of a breaker, which its phase chooses. */
export type BreakerName = string

/**
 * How much would be deleted, of how much. Of manifests and leftovers only the numbers are known, not the
 * bytes.
 */
export interface Exposure {
  readonly blobs: number
  readonly bytes: number
  readonly totalBlobs: number
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

/** Stops that stay until a person confirms, and the numbers by which they are judged. */
export interface Breakers {
  /** Returns a breaker. One that never tripped is closed. */
  readonly read: (name: BreakerName) => Result<BreakerState>
  /** Opens a breaker at `now`. An open breaker keeps its first exposure. */
  readonly trip: (name: BreakerName, now: number, exposure: Exposure) => Result<void>
  /** Closes the open breakers and returns their names. What was condemned until `now` may be deleted. */
  readonly confirm: (now: number) => Result<ReadonlyArray<BreakerName>>
  /** Closes this breaker, whose cause is gone. Does nothing if it is closed. */
  readonly withdraw: (name: BreakerName, now: number) => Result<void>
  /**
   * Returns how much was condemned after `since` (null: ever), of how much. The totals are exact up to
   * about a million blobs, and beyond that the planner's estimate. They are zero, unread, unless more than
   * `unless` blobs are condemned.
   */
  readonly exposure: (since: number | null, unless: number) => Result<Exposure>
}
