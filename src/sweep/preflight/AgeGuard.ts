/**
 * The age guard: notices that the database was set back, or may have been. It then does not know the newest uploads, so
 * these look like leftovers, and a sweep would delete the bytes from which the lost rows could be put back.
 *
 * The guard refuses nothing. It records the time that may be lost, and the phases keep what was written in it
 * (src/sweep/LostTime.ts). docs/decisions/0020-binding.md weighs the signals.
 */
import { Duration, Effect } from "effect"
import {
  type Bound,
  CollectorDatabase,
  isOpen,
  type LostTime,
  type ServerIdentity
} from "../../database/Database.ts"
import { breaker } from "../LostTime.ts"
import type { SweepSettings } from "../Settings.ts"
import type { GuardContext } from "./Guard.ts"

/** The database is told of a sweep once in this time, so that sweeps in quick succession write nothing. */
const rememberEveryMillis = 60_000

/** A gap this much longer than the usual one is not explained by the schedule: three days off are, for a daily sweep. */
const unusual = 4

/** Before there is a usual gap, a weekly schedule must be possible. */
const firstGapMillis = 8 * 24 * 60 * 60_000

/** Records that a sweep begins, and a lost time if there are signs of one. Returns a finding while there is one. */
export const ageGuard = Effect.fnUntraced(function* (context: GuardContext) {
  const { dryRun, memory, now, settings, tellLost } = context
  const { binding } = yield* CollectorDatabase
  const state = memory.binding
  if (state === null || state.bound === null) return []
  const { bound, here } = state
  const lastAt = bound.sweptAt ?? state.listing?.startedAt ?? null
  const why = lastAt === null ? null : signOf(context, bound, here, lastAt)
  let lost = yield* standing(context, bound.lost)
  if (why !== null && lastAt !== null) {
    // An upload that was under way at the last sweep has an older object, and a younger row.
    const from = Math.min(lastAt, now) - Duration.toMillis(settings.uploadGrace)
    const found: LostTime = { from, to: now, foundAt: now, why }
    lost = { ...found, from: Math.min(from, lost?.from ?? from) }
    // A schedule that was changed explains itself the second time.
    if (!dryRun) yield* binding.suspect(found, here, Math.max(bound.usualGapMillis ?? 0, (now - lastAt) / 2))
  } else if (!dryRun && isNews(bound, here, now)) {
    yield* binding.remember(now, here, usualGapOf(bound, now))
  }
  if (!dryRun) memory.sweptAt = why !== null || isNews(bound, here, now) ? now : (bound.sweptAt ?? now)
  if (lost === null) return []
  tellLost(lost)
  return [findingOf(lost)]
})

/** Returns why the database may have been set back since `lastAt`: a clause. Null without a sign of it. */
const signOf = (
  { memory, now, settings }: GuardContext,
  { timeline, sweptAt, usualGapMillis }: Bound,
  here: ServerIdentity,
  lastAt: number
): string | null => {
  const last = new Date(lastAt).toISOString()
  if (timeline !== null && here.timeline !== null && timeline !== here.timeline)
    return `since its last sweep (${last}) its server began timeline ${here.timeline}, as after a fail-over or a restore`
  const tolerance = 2 * Duration.toMillis(settings.clockTolerance) + rememberEveryMillis
  if (memory.sweptAt !== null && sweptAt !== null && sweptAt < memory.sweptAt - tolerance)
    return `it remembers ${last} as its last sweep, and this collector recorded one at ${new Date(memory.sweptAt).toISOString()}`
  const explained = explainedOf(settings, sweptAt === null ? null : usualGapMillis)
  return now - lastAt > explained
    ? `the last sweep that it remembers began at ${last}, longer ago than usual. A collector that was switched off looks the same`
    : null
}

/** Returns the longest time between two sweeps that the schedule explains. */
const explainedOf = (settings: SweepSettings, usualGapMillis: number | null): number =>
  usualGapMillis === null
    ? firstGapMillis + Duration.toMillis(settings.leftoverEvery)
    : Math.max(Duration.toMillis(settings.presence), unusual * usualGapMillis)

const isNews = ({ server, sweptAt, timeline }: Bound, here: ServerIdentity, now: number): boolean =>
  sweptAt === null ||
  Math.abs(now - sweptAt) >= rememberEveryMillis ||
  server !== here.server ||
  timeline !== here.timeline

/** Follows a longer gap at once, and forgets it slowly: a pause each weekend stays usual. */
const usualGapOf = ({ sweptAt, usualGapMillis }: Bound, now: number): number | null =>
  sweptAt === null ? null : Math.max(now - sweptAt, (usualGapMillis ?? 0) * 0.95)

/** Returns the recorded lost time, unless a person has confirmed, or a whole search has found nothing of it. */
const standing = Effect.fnUntraced(function* (
  { dryRun, memory, settings }: GuardContext,
  lost: LostTime | null
) {
  if (lost === null) return null
  const { binding, breakers } = yield* CollectorDatabase
  const state = yield* breakers.read(breaker.name)
  const listing = memory.binding?.listing
  const isConfirmed = state.confirmedAt !== null && state.confirmedAt >= lost.foundAt
  const isSearched =
    listing?.ended === true && listing.startedAt > lost.to + Duration.toMillis(settings.leftoverGrace)
  if (isOpen(state) || !(isConfirmed || isSearched)) return lost
  if (!dryRun) yield* binding.release(lost.foundAt)
  return null
})

const findingOf = ({ from, to, why }: LostTime): string =>
  `The database may be older than the store: ${why}. What was written between ${new Date(from).toISOString()} and ${new Date(to).toISOString()} and has no owner is kept, and the first such object opens the breaker "age". Without one, this ends after the next whole search for leftovers.`
