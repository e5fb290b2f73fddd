/** Objects that nothing knows, found by listing. */
import type { Option } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/**
 * A range of the keys in a pass over the store, leased to one collector, which lists it page by page. The ranges of a
 * pass cover all keys and do not overlap; where they are cut says nothing of what lies in them.
 */
export interface LeftoverScan {
  /** Passes over the store are numbered. */
  readonly pass: number
  /** Of the lease: each has one of its own. */
  readonly token: number
  /** When the pass began. */
  readonly startedAt: number
  /** The range's keys sort after it; null: from the first key on. */
  readonly from: ObjectKey | null
  /** The last key that may be the range's; null: to the last key there is. */
  readonly upTo: ObjectKey | null
  /** The last key of the range that was looked at; null where nobody has begun. */
  readonly after: ObjectKey | null
}

/** Objects of a pass so far, in all its ranges; those too young to tell whose they are in neither. */
export interface LeftoverCounts {
  readonly listed: number
  readonly unowned: number
}

/** When a pass begins, and how it is shared. */
export interface LeftoverPlan {
  /** From the beginning of one pass to that of the next. */
  readonly everyMillis: number
  /** Where the keys are cut into ranges, in ascending order. */
  readonly cuts: ReadonlyArray<ObjectKey>
  /** Only where at least so many objects are expected: as many as the pass before listed, or as blobs have rows. */
  readonly cutFrom: number
}

/** Objects that no row, no intent and no journal row names. */
export interface Leftovers {
  /**
   * Leases a range until `leaseUntil`: one of the pass that has not ended, else the first of a new pass. None while
   * other collectors have all that are left, and when no new pass is due by `plan`, or wanted (null).
   */
  readonly claim: (
    now: number,
    leaseUntil: number,
    plan: LeftoverPlan | null
  ) => Result<Option.Option<LeftoverScan>>
  /**
   * Journals those of `objects` that nothing owns in one snapshot, due at `notBefore`; answers them. The listing that
   * showed them must have been received before the call: a key that is listed has been announced before, so that one
   * later snapshot in which it is neither intent nor row proves it dead.
   *
   * None for a `scan` whose lease was lost, so that nothing is journaled behind the back of whoever withdraws the pass.
   */
  readonly journal: (
    now: number,
    objects: ReadonlyArray<{ readonly key: ObjectKey; readonly sizeBytes: number }>,
    notBefore: number,
    scan?: LeftoverScan
  ) => Result<ReadonlyArray<ObjectKey>>
  /**
   * Moves the scan on, renews its lease and adds to the counts of the pass, which it answers; `after` null ends the range
   * at `now` and gives the lease up, and the pass with its last range. None, and nothing has changed, when the lease was
   * lost to another collector.
   */
  readonly advance: (
    scan: LeftoverScan,
    to: { readonly after: ObjectKey | null } & LeftoverCounts,
    now: number,
    leaseUntil: number
  ) => Result<Option.Option<LeftoverCounts>>
  /** Gives the lease up where the scan stands, for the next sweep to go on. */
  readonly yield: (scan: LeftoverScan) => Result<void>
  /**
   * Takes back the leftovers that nobody has begun to delete, ends the leases of all ranges, and begins the pass anew;
   * how many there were.
   */
  readonly withdraw: (scan: LeftoverScan) => Result<number>
}
