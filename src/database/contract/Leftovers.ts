/** Leftovers: objects that nothing owns, found by listing the store. */
import type { Option } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/**
 * A range of the keys in a pass over the store, leased to one collector, which lists it page by page. The
 * ranges of a pass cover all keys and do not overlap. Their bounds say nothing about how many keys they
 * have.
 */
export interface LeftoverScan {
  /** The number of the pass over the store. */
  readonly pass: number
  /** Identifies the lease. No two leases have the same. */
  readonly token: number
  /** When the pass began. */
  readonly startedAt: number
  /** The range's keys sort after it; null: from the first key on. */
  readonly from: ObjectKey | null
  /** The last key that may be in the range; null: to the last key. */
  readonly upTo: ObjectKey | null
  /** The last key of the range that was listed; null at its beginning. */
  readonly after: ObjectKey | null
}

/** Objects of a pass so far, in all its ranges. Objects too young to judge are in neither number. */
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
  /**
   * Cuts only if at least so many objects are expected: as many as the pass before listed, or as there are
   * blobs.
   */
  readonly cutFrom: number
}

/** Objects that no row, no intent, no staged chunk and no journal row names. */
export interface Leftovers {
  /**
   * Leases a range until `leaseUntil`: one of the pass that has not ended, otherwise the first of a new
   * pass. Returns none if other collectors have all that are left, and if no new pass is due by `plan`, or
   * wanted (null).
   */
  readonly claim: (
    now: number,
    leaseUntil: number,
    plan: LeftoverPlan | null
  ) => Result<Option.Option<LeftoverScan>>
  /**
   * Journals those of `objects` that nothing owns in one snapshot, due at `notBefore`, and returns their
   * keys. The caller must have received the listing that showed them before the call. A listed key had an
   * intent before, so one later snapshot in which it is neither intent nor chunk nor row proves it dead.
   *
   * Returns an empty list if the lease of `scan` was lost: another collector may be withdrawing this pass.
   */
  readonly journal: (
    now: number,
    objects: ReadonlyArray<{ readonly key: ObjectKey; readonly sizeBytes: number }>,
    notBefore: number,
    scan?: LeftoverScan
  ) => Result<ReadonlyArray<ObjectKey>>
  /**
   * Moves the scan on, renews its lease, adds to the counts of the pass and returns them. A null `after`
   * ends the range at `now` and gives up the lease, and ends the pass with its last range. Returns none,
   * and changes nothing, if the lease was lost to another collector.
   */
  readonly advance: (
    scan: LeftoverScan,
    to: { readonly after: ObjectKey | null } & LeftoverCounts,
    now: number,
    leaseUntil: number
  ) => Result<Option.Option<LeftoverCounts>>
  /** Gives up the lease at the present position, where the next sweep continues. */
  readonly yield: (scan: LeftoverScan) => Result<void>
  /**
   * Takes back the journaled leftovers that no collector has begun to delete, ends the leases of all
   * ranges, and begins the pass anew. Returns how many it took back.
   */
  readonly withdraw: (scan: LeftoverScan) => Result<number>
}
