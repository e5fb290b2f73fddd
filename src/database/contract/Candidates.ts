/**
 * Finding orphans by what changed, instead of by scanning every blob.
 *
 * Triggers (`migrate --watch-references`) queue a blob when a row that kept it is deleted, when the blob is
 * inserted, and when its sighting ends for any reason: it is a candidate then. A candidate that nothing
 * refers to becomes a sighting, as a scan would make it. The waits are counted by sightings, and each sweep
 * checks them again. So a sweep costs what changed since the last one, and what waits.
 *
 * No loss is missed. A candidate is added in the transaction that makes the change. It is removed only
 * together with the sighting that it became, or by the check that found a reference, in a snapshot newer
 * than the candidate. Changes out of band (triggers switched off, TRUNCATE, a partition that is detached)
 * are found by an occasional scan of everything.
 */
import type { Option } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { Orphan } from "../../domain/Orphan.ts"
import type { Result } from "./Result.ts"

/** Whether triggers record changes on every table where they must. */
export interface Watch {
  /** Whether all triggers exist and are enabled. */
  readonly isOn: boolean
  /**
   * `schema.table` of the tables that lack their triggers while others have them. Empty where no table is
   * watched.
   */
  readonly unwatched: ReadonlyArray<string>
}

/** What a review did. */
export interface Reviewed {
  /** Candidates taken off the queue. None if no more are available. A page may be smaller than asked for. */
  readonly candidates: number
  /** Blobs among them that nothing refers to, now sighted. */
  readonly orphans: number
}

/** A page of sightings, checked again. */
export interface Sighted {
  /** The length of the page. */
  readonly sightings: number
  /** Those that still nothing refers to, in digest order. */
  readonly orphans: ReadonlyArray<Orphan>
  /** Those that are referenced again, or whose blob no longer exists. */
  readonly stale: ReadonlyArray<Digest>
  /** Where the next page begins; null when this was the last. */
  readonly next: Digest | null
}

/** A scan of everything. */
export interface Pass {
  /** Rises when an event makes another scan necessary. */
  readonly wanted: number
  /** When this scan was asked for. */
  readonly startedAt: number
}

/** The queue of candidates, and the sightings that come of it. */
export interface Candidates {
  /** Returns what the last `CollectorDatabase.inspect` read. */
  readonly watch: Result<Watch>
  /**
   * Takes up to `limit` candidates off the queue, oldest first, and sights those that nothing refers to as
   * first seen at `now`. An earlier sighting begins anew, because something kept the blob since. Skips
   * candidates that other collectors hold.
   */
  readonly review: (now: number, limit: number) => Result<Reviewed>
  /** Checks the sightings after `after`, in digest order. */
  readonly sighted: (after: Digest | null, limit: number) => Result<Sighted>
  /**
   * Condemns sightings at `now`. Ends those of `stale` that are still referenced or without a blob, and
   * returns how many ended. Skips sightings that another transaction holds.
   */
  readonly settle: (marks: {
    readonly now: number
    readonly condemned: ReadonlyArray<Digest>
    readonly stale: ReadonlyArray<Digest>
    /** The id of the sweep, kept with the sightings that it condemns. */
    readonly sweep: string
  }) => Result<number>
  /**
   * Returns the scan of everything that is due or under way, or none. It is due if the last one began at
   * least `everyMillis` before `now`, or if an event has made a new one necessary. Changes nothing.
   */
  readonly passDue: (now: number, everyMillis: number) => Result<Option.Option<Pass>>
  /** Records that a scan has ended. A scan that became necessary meanwhile stays due. */
  readonly passDone: (pass: Pass) => Result<void>
}
