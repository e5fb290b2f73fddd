/**
 * When a blob that nothing refers to may go. Pure: the same rule serves the sweep, its dry run and the tests.
 *
 * An orphan waits twice. The *grace period* protects what is about to be referenced: it runs from the later of the
 * blob's last use and the moment a sweep first saw it unreferenced. Age since creation alone would give a blob that
 * dedup has just found again no protection at all. The *quarantine* is the undo window: the orphan is condemned, and
 * one reference clears it.
 */
import type { Digest } from "./Digest.ts"

/** A blob without references, with what is known of its age. Instants are milliseconds since the epoch. */
export interface Orphan {
  readonly digest: Digest
  readonly sizeBytes: number
  /** Created, uploaded again, or found again by dedup: the last of these. */
  readonly usedAt: number
  /** When a sweep first saw it unreferenced; null before that. */
  readonly seenAt: number | null
  /** When its quarantine began; null before that. */
  readonly condemnedAt: number | null
}

/** How long orphans wait, in milliseconds. */
export interface Waits {
  readonly graceMillis: number
  readonly quarantineMillis: number
}

/**
 * - `waiting`: within the grace period
 * - `condemnable`: the grace period is over, the quarantine begins now
 * - `quarantined`: condemned, the undo window is open
 * - `purgeable`: both waits are over
 */
export type OrphanState = "waiting" | "condemnable" | "quarantined" | "purgeable"

/** The state of an orphan at `now`. A wait of n ms is over when n ms have passed: n itself counts. */
export const stateAt = (orphan: Orphan, now: number, waits: Waits): OrphanState => {
  const graceFrom = Math.max(orphan.usedAt, orphan.seenAt ?? now)
  if (graceFrom > now - waits.graceMillis) return "waiting"
  const quarantineFrom = orphan.condemnedAt ?? now
  if (quarantineFrom <= now - waits.quarantineMillis) return "purgeable"
  return orphan.condemnedAt === null ? "condemnable" : "quarantined"
}
