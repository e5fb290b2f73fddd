/**
 * The clock guard. Host, database and store must agree on the time, or waits would end too early or too late.
 *
 * The store's time is what it answers to a request now. The ages of objects say nothing of its clock: a store that was
 * idle, or restored from a backup, has old objects and a right clock.
 */
import { Duration, Effect, Option } from "effect"
import { CollectorDatabase, type InstantLimits } from "../../database/Database.ts"
import { ClockRefused } from "../../domain/Refusals.ts"
import { Storage } from "../../storage/Storage.ts"
import type { SweepSettings } from "../Settings.ts"
import * as SweepMetrics from "../SweepMetrics.ts"
import type { GuardContext } from "./Guard.ts"

/** Longer than a lease of any collector. */
const leaseMax = Duration.days(1)

/** Longer than an announced upload of any writer. */
const uploadMax = Duration.days(7)

/** Returns how far ahead the instants of the collector's own rows may lie. */
const limitsOf = (settings: SweepSettings, now: number): InstantLimits => {
  const deleteMillis = Duration.toMillis(settings.deleteDelay)
  return {
    now,
    deleteMillis,
    toleranceMillis: Duration.toMillis(settings.clockTolerance),
    leaseMillis: Duration.toMillis(Duration.max(leaseMax, Duration.times(settings.lease, 2))),
    uploadMillis: Duration.toMillis(Duration.max(uploadMax, Duration.times(settings.uploadGrace, 2))),
    leftoverMillis: Math.max(deleteMillis, Duration.toMillis(settings.quarantine)),
    // With its random part.
    backoffMillis: 1.2 * Duration.toMillis(settings.backoffCap)
  }
}

/**
 * Fails with `ClockRefused` when two of the clocks are further apart than the tolerance. Where they agree, corrects the
 * instants that an earlier, wrong clock wrote, and returns a finding of them. A dry run corrects nothing.
 */
export const clockGuard = Effect.fnUntraced(function* ({ dryRun, now, settings }: GuardContext) {
  const { instants, skew } = yield* CollectorDatabase
  const limits = limitsOf(settings, now)
  const [databaseSkewMillis, storeSkew, ahead] = yield* Effect.all(
    [skew, (yield* Storage).skew, instants.ahead(limits)],
    { concurrency: "unbounded" }
  )
  const storeSkewMillis = Option.getOrNull(storeSkew)
  if (!dryRun) yield* SweepMetrics.skew(databaseSkewMillis, storeSkewMillis)
  const toleranceMillis = Duration.toMillis(settings.clockTolerance)
  const culprit = culpritOf(databaseSkewMillis, storeSkewMillis, toleranceMillis)
  if (culprit === null) {
    if (ahead.length === 0) return []
    const of = dryRun ? ahead.join(", ") : countsOf(yield* instants.correct(limits))
    return of === "" ? [] : [aheadFinding(of, dryRun)]
  }
  return yield* new ClockRefused({ culprit, databaseSkewMillis, storeSkewMillis, toleranceMillis })
})

const countsOf = (moved: Readonly<Record<string, number>>): string =>
  Object.entries(moved)
    .map(([table, rows]) => `${rows} of ${table}`)
    .join(", ")

const aheadFinding = (rows: string, dryRun: boolean): string =>
  `Rows of the collector's own tables had instants ahead of all clocks (${rows}): a clock was wrong when they were written. ${dryRun ? "A sweep would correct them, and their waits would begin then" : "They were corrected, and their waits begin now"}.`

/** Returns the clock that is wrong, given how far the others are ahead of the host's, or null if all agree. */
export const culpritOf = (
  database: number,
  store: number | null,
  tolerance: number
): ClockRefused["culprit"] | null => {
  const agree = (a: number, b: number) => Math.abs(a - b) <= tolerance
  const host = 0
  if (store === null) return agree(host, database) ? null : "undecided"
  const witnesses = [
    ["store", agree(host, database)],
    ["database", agree(host, store)],
    ["host", agree(database, store)]
  ] as const
  const accused = witnesses.flatMap(([culprit, othersAgree]) => (othersAgree ? [culprit] : []))
  if (accused.length === witnesses.length) return null
  // Where two pairs agree, the third clock stands between the others and accuses neither.
  return accused.length === 1 ? (accused[0] ?? "undecided") : "undecided"
}
