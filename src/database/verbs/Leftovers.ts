/** Objects that nothing knows, found by listing. */
import type { Option } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/** Where the search for leftovers stands: it lists the store page by page, one collector at a time. */
export interface LeftoverScan {
  /** Passes over the store are numbered. */
  readonly pass: number
  /** Of the lease: each has one of its own. */
  readonly token: number
  readonly startedAt: number
  /** The last key that was looked at; null at the beginning of a pass. */
  readonly after: ObjectKey | null
  /** Of this pass so far. */
  readonly listed: number
  readonly unowned: number
}

/** Objects that no row, no intent and no journal row names. */
export interface Leftovers {
  /**
   * Leases the scan until `leaseUntil`. None while another collector has it, or when the last pass began less than
   * `everyMillis` before `now` and has ended.
   */
  readonly claim: (
    now: number,
    leaseUntil: number,
    everyMillis: number
  ) => Result<Option.Option<LeftoverScan>>
  /**
   * Journals those of `objects` that nothing owns in one snapshot, due at `notBefore`; answers them. The listing that
   * showed them must have been received before the call: a key that is listed has been announced before, so that one
   * later snapshot in which it is neither intent nor row proves it dead.
   */
  readonly journal: (
    now: number,
    objects: ReadonlyArray<{ readonly key: ObjectKey; readonly sizeBytes: number }>,
    notBefore: number
  ) => Result<ReadonlyArray<ObjectKey>>
  /**
   * Moves the scan on and renews its lease; `after` null ends the pass at `now` and gives the lease up. False, and
   * nothing has changed, when the lease was lost to another collector.
   */
  readonly advance: (
    scan: LeftoverScan,
    to: { readonly after: ObjectKey | null; readonly listed: number; readonly unowned: number },
    now: number,
    leaseUntil: number
  ) => Result<boolean>
  /** Gives the lease up where the scan stands, for the next sweep to go on. */
  readonly yield: (scan: LeftoverScan) => Result<void>
  /** Takes back the leftovers that nobody has begun to delete, and begins the pass anew; how many there were. */
  readonly withdraw: (scan: LeftoverScan) => Result<number>
}
