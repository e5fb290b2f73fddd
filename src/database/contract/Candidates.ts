/**
 * Finding orphans by what changed, instead of by looking at every blob.
 *
 * Triggers (`migrate --watch-references`) note a blob whenever a row that kept it goes, when it is inserted, and when its
 * sighting ends, for whatever reason: it is a candidate then. A candidate that nothing refers to becomes a sighting, as one that a scan finds; sightings are what
 * the waits are counted by, and each sweep looks at them again. So a sweep costs what changed since the last one, and what
 * waits.
 *
 * No loss goes unnoticed: candidates are only ever added by those who change something, in the same transaction, and one
 * is taken away only together with the sighting that it became or the look that found it of use, in a snapshot that is
 * newer than it. What happens out of band (triggers switched off, TRUNCATE, a partition that is detached) is found by a
 * scan of everything now and then.
 */
import type { Option } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { Orphan } from "../../domain/Orphan.ts"
import type { Result } from "./Result.ts"

/** Whether changes are noted everywhere where they must be. */
export interface Watch {
  /** All of the triggers are there and enabled. */
  readonly isOn: boolean
  /** `schema.table` of those that lack theirs although others have them; empty where nobody asked to watch. */
  readonly unwatched: ReadonlyArray<string>
}

export interface Reviewed {
  /** Candidates that were taken off the queue; fewer than asked for when no more are to be had. */
  readonly candidates: number
  /** Blobs among them that nothing refers to, now sighted. */
  readonly orphans: number
}

/** A page of sightings, looked at again. */
export interface Sighted {
  /** How many there were. */
  readonly sightings: number
  /** Those to which still nothing refers, in digest order. */
  readonly orphans: ReadonlyArray<Orphan>
  /** Those that something refers to again, or that are gone. */
  readonly stale: ReadonlyArray<Digest>
  /** Where the next page begins; null when this was the last. */
  readonly next: Digest | null
}

/** A scan of everything. */
export interface Pass {
  /** Rises whenever something makes another scan necessary. */
  readonly wanted: number
  /** When somebody asked for it. */
  readonly startedAt: number
}

export interface Candidates {
  /** Valid until the next `Database.inspect`, which reads it. */
  readonly watch: Result<Watch>
  /**
   * Takes up to `limit` candidates off the queue, the oldest first, and sights those that nothing refers to: first seen at
   * `now`, also where they had been seen before, because something kept them since. Passes over what other collectors
   * are at.
   */
  readonly review: (now: number, limit: number) => Result<Reviewed>
  /** Looks at the sightings after `after`, in digest order. */
  readonly sighted: (after: Digest | null, limit: number) => Result<Sighted>
  /**
   * Condemns sightings at `now`, and ends those of `stale` that something refers to still, or that are gone; how many
   * ended. Passes over those that somebody holds.
   */
  readonly settle: (marks: {
    readonly now: number
    readonly condemned: ReadonlyArray<Digest>
    readonly stale: ReadonlyArray<Digest>
    /** The id of the sweep, kept with what it condemns. */
    readonly sweep: string
  }) => Result<number>
  /**
   * The scan of everything that is due or under way, or none: the last one began at least `everyMillis` before `now`, or
   * something made a new one necessary since. Changes nothing.
   */
  readonly passDue: (now: number, everyMillis: number) => Result<Option.Option<Pass>>
  /** Notes that a scan has come to its end. One that became necessary meanwhile stays due. */
  readonly passDone: (pass: Pass) => Result<void>
}
