/**
 * The clock guard. Host, database and store must agree on the time, or waits would end too early or too late.
 *
 * The store's time is what it answers to a request now. The ages of objects say nothing of its clock: a store that was
 * idle, or restored from a backup, has old objects and a right clock.
 */
import { Duration, Effect, Option } from "effect"
import { CollectorDatabase } from "../../database/Database.ts"
import { ClockRefused } from "../../domain/Refusals.ts"
import { Storage } from "../../storage/Storage.ts"
import type { SweepSettings } from "../Settings.ts"

/** Fails with `ClockRefused` when two of the clocks are further apart than the tolerance. */
export const clockGuard = Effect.fnUntraced(function* (settings: SweepSettings) {
  const databaseSkewMillis = yield* (yield* CollectorDatabase).skew
  const storeSkewMillis = Option.getOrNull(yield* (yield* Storage).skew)
  const toleranceMillis = Duration.toMillis(settings.clockTolerance)
  const culprit = culpritOf(databaseSkewMillis, storeSkewMillis, toleranceMillis)
  if (culprit === null) return
  return yield* new ClockRefused({ culprit, databaseSkewMillis, storeSkewMillis, toleranceMillis })
})

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
