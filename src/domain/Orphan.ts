/**
 * When an orphan may be purged. The rule is pure: the sweep, its dry run and the tests share it.
 *
 * An orphan waits twice. The *grace period* protects blobs that are about to be referenced. It counts from
 * the later of the blob's last use and its first sighting. Age since creation alone would not protect an old
 * blob that dedup has just found again. The *quarantine* is the undo window: the orphan is condemned, and one
 * reference saves it.
 */
import type { Digest } from "./Digest.ts"

/**
 * Why the loss of an orphan is no mistake in the references. The breaker counts such orphans apart.
 *
 * - `expired`: the collector deleted the manifests that needed it, and their own breaker judged them
 * - `unused`: from its upload until its pin ended, no sweep found a reference to it
 */
export type OrphanCause = "expired" | "unused"

/** A blob without references, and its age. Instants are milliseconds since the epoch. */
export interface Orphan {
  /** Digest of the blob. */
  readonly digest: Digest
  /** Size of the blob. */
  readonly sizeBytes: number
  /** Last time that the blob was created, uploaded again, or found again by dedup. */
  readonly usedAt: number
  /** First sighting: when a sweep first found it unreferenced; null before that. */
  readonly seenAt: number | null
  /** Beginning of its quarantine; null before that. */
  readonly condemnedAt: number | null
  /** Absent where it is unknown. */
  readonly cause?: OrphanCause
  /** A reference source holds the blob, and is not asked about it again before this instant. Absent without one. */
  readonly keptUntil?: number
  /** False if no object can have its key, so that nothing could be deleted. Default true. */
  readonly hasObject?: boolean
}

/** How long orphans wait, in milliseconds. */
export interface Waits {
  /** Grace period. */
  readonly graceMillis: number
  /** Quarantine. */
  readonly quarantineMillis: number
}

/**
 * The state of an orphan.
 *
 * - `kept`: a reference source holds it, and is not asked again yet
 * - `waiting`: within the grace period
 * - `condemnable`: the grace period is over, the quarantine begins now
 * - `quarantined`: condemned, the undo window is open
 * - `purgeable`: both waits are over
 */
export type OrphanState = "kept" | "waiting" | "condemnable" | "quarantined" | "purgeable"

/** Returns the state of an orphan at `now`. A wait of n ms is over when exactly n ms have passed. */
export const stateAt = (orphan: Orphan, now: number, waits: Waits): OrphanState => {
  if (orphan.condemnedAt === null && (orphan.keptUntil ?? now) > now) return "kept"
  const graceFrom = Math.max(orphan.usedAt, orphan.seenAt ?? now)
  if (graceFrom > now - waits.graceMillis) return "waiting"
  const quarantineFrom = orphan.condemnedAt ?? now
  if (quarantineFrom <= now - waits.quarantineMillis) return "purgeable"
  return orphan.condemnedAt === null ? "condemnable" : "quarantined"
}
