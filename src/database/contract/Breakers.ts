/** Breakers: stops that stay until a person confirms. */
import type { Result } from "./Result.ts"

/** What a breaker guards. */
export type BreakerName = "manifests" | "orphans" | "leftovers"

/** Why a breaker tripped: how much would go, of how much. Of manifests and leftovers only the numbers are told. */
export interface Exposure {
  readonly blobs: number
  readonly bytes: number
  readonly totalBlobs: number
  readonly totalBytes: number
}

export interface BreakerState {
  readonly name: BreakerName
  /** Null when it never tripped. */
  readonly trippedAt: number | null
  readonly exposure: Exposure | null
  /** When a person last confirmed; the breaker is open while this is earlier than `trippedAt`. */
  readonly confirmedAt: number | null
}

/** Whether nothing may be deleted until a person confirms. */
export const isOpen = ({ trippedAt, confirmedAt }: BreakerState): boolean =>
  trippedAt !== null && (confirmedAt === null || confirmedAt < trippedAt)

/** Stops that stay until a person confirms, and what they are judged by. */
export interface Breakers {
  readonly read: (name: BreakerName) => Result<BreakerState>
  /** Opens it at `now`; the first exposure of an open breaker is kept. */
  readonly trip: (name: BreakerName, now: number, exposure: Exposure) => Result<void>
  /** Closes those that are open; what was condemned until `now` may go. The names that were open. */
  readonly confirm: (now: number) => Result<ReadonlyArray<BreakerName>>
  /**
   * How much stands condemned since `since` (null: ever), of how much. The totals are exact up to about a million
   * blobs and the planner's estimate beyond; they are zero, unread, unless more than `unless` blobs are condemned.
   */
  readonly exposure: (since: number | null, unless: number) => Result<Exposure>
}
