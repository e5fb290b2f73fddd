/**
 * Objects below the blob prefix that nothing knows, such as an upload whose bytes arrived after its intent was
 * reaped. Only a listing finds them; their keys go into the journal, and from there like any other.
 *
 * A page is listed first, and the database is asked only then: a listed key was announced before its bytes were sent,
 * so that one later snapshot in which it is neither intent nor row proves it dead. The other way round, an upload that
 * is published in between belongs to nothing in the snapshot and is in the listing.
 *
 * The pass goes on where it ended, one collector at a time. What a page adds to the breaker's count is written down
 * before anything of it is journaled, and judged before that, too: whatever became due, it was below the breaker.
 */
import { Cause, Clock, Duration, Effect, Option, Stream } from "effect"
import {
  type BreakerState,
  Database,
  type Exposure,
  isOpen,
  type LeftoverScan
} from "../database/Database.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { BreakerOpen } from "../domain/Refusals.ts"
import { Storage, type StoredObject } from "../storage/Storage.ts"
import type { Bounds } from "./Bounds.ts"
import type { Pace } from "./Pace.ts"
import type { SweepSettings } from "./Settings.ts"
import type { Tally } from "./Tally.ts"

/** A listing may take longer than a sweep, in every sweep, and must leave time for the journal behind it. */
const timeShare = 1 / 2

/**
 * Of more objects than this, at least one belongs to something, or this is the wrong database: a small bucket must not
 * slip under GC_BREAKER_BLOBS.
 */
const handful = 10

/** Of a pass so far: objects that something or nothing owns, without those too young to tell. */
type Counts = Pick<LeftoverScan, "listed" | "unowned">

/** Lists, and journals what nothing owns, when a pass is due or unfinished and no other collector is at it. */
export const collect = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  pace: Pace,
  tally: Tally
) {
  const { leftovers } = yield* Database
  const shared = yield* bounds.share(timeShare)
  const exceeded = yield* shared.exceeded
  if (exceeded !== null) return tally.stoppedBy(exceeded)
  const now = yield* Clock.currentTimeMillis
  const every = Duration.toMillis(settings.leftoverEvery)
  const claimed = yield* leftovers.claim(now, now + Duration.toMillis(settings.lease), every)
  if (Option.isNone(claimed)) return
  yield* goOn(settings, shared, pace, tally, claimed.value).pipe(
    // One that is killed does not come here; its lease ends by itself.
    Effect.tapCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.ignore(leftovers.yield(claimed.value))
    )
  )
})

const goOn = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  pace: Pace,
  tally: Tally,
  scan: LeftoverScan
) {
  const { leftovers, breakers } = yield* Database
  const breaker = yield* breakers.read("leftovers")
  if (isOpen(breaker)) {
    // Done by whoever tripped it, unless it died in between.
    yield* leftovers.withdraw(scan)
    return yield* refusal(breaker)
  }
  const exempt = isConfirmed(breaker, scan)
  let counts: Counts = scan
  // The prefix itself sorts before what it begins, and null would end the pass.
  let position = scan.after ?? (settings.blobPrefix as ObjectKey)
  const advance = Effect.fnUntraced(function* (after: ObjectKey | null) {
    const now = yield* Clock.currentTimeMillis
    return yield* leftovers.advance(scan, { ...counts, after }, now, now + Duration.toMillis(settings.lease))
  })
  let ended = true
  yield* Stream.runForEachWhile(
    (yield* Storage).list(settings.blobPrefix, { after: scan.after ?? undefined }),
    Effect.fnUntraced(function* (page) {
      ended = false
      const { owned, unowned } = yield* judge(settings, tally, page)
      counts = {
        listed: counts.listed + owned + unowned.length,
        unowned: counts.unowned + unowned.length
      }
      if (unowned.length > 0) {
        if (!(yield* advance(position))) return false
        if (!exempt && trips(settings, counts)) return yield* trip(breaker, scan, counts)
        yield* journal(settings, tally, unowned)
      }
      position = page.at(-1)?.key ?? position
      if (!(yield* advance(position))) return false
      yield* tally.announce
      const exceeded = yield* bounds.exceeded
      if (exceeded !== null) {
        tally.stoppedBy(exceeded)
        yield* leftovers.yield(scan)
        return false
      }
      yield* pace.asking
      ended = true
      return true
    })
  )
  if (ended) yield* advance(null)
})

/** What `collect` would journal in a whole pass, whether or not one is due. Writes nothing. */
export const plan = Effect.fnUntraced(function* (settings: SweepSettings, bounds: Bounds, tally: Tally) {
  const { breakers } = yield* Database
  const shared = yield* bounds.share(timeShare)
  const exceeded = yield* shared.exceeded
  if (exceeded !== null) return tally.stoppedBy(exceeded)
  const breaker = yield* breakers.read("leftovers")
  if (isOpen(breaker)) return yield* refusal(breaker)
  let counts: Counts = { listed: 0, unowned: 0 }
  yield* Stream.runForEachWhile(
    (yield* Storage).list(settings.blobPrefix),
    Effect.fnUntraced(function* (page) {
      const { owned, unowned } = yield* judge(settings, tally, page)
      counts = {
        listed: counts.listed + owned + unowned.length,
        unowned: counts.unowned + unowned.length
      }
      // Whether the pass for which somebody confirmed is over, only a sweep can tell.
      if (breaker.trippedAt === null && trips(settings, counts)) {
        const trippedAt = yield* Clock.currentTimeMillis
        return yield* refusal({ trippedAt, exposure: exposureOf(counts) }, { foreseen: true })
      }
      tally.eligible(unowned.length, sizeOf(unowned), namesOf(unowned))
      tally.kept("quarantine", unowned.length)
      yield* tally.announce
      const exceeded = yield* shared.exceeded
      if (exceeded !== null) tally.stoppedBy(exceeded)
      return exceeded === null
    })
  )
})

/** The objects of a page that nothing owns and that are old enough to say so; the others are tallied as kept. */
const judge = Effect.fnUntraced(function* (
  settings: SweepSettings,
  tally: Tally,
  page: ReadonlyArray<StoredObject>
) {
  const { audit } = yield* Database
  // Staged uploads are another phase's, whatever the prefixes.
  const objects = page.filter(({ key }) => !key.startsWith(settings.uploadPrefix))
  const known = yield* audit.lookup(objects.map(({ key }) => key))
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(settings.leftoverGrace)
  const keys = new Set(known.map(({ key }) => key))
  const owned = new Set(known.filter(({ owner }) => owner !== "journal").map(({ key }) => key)).size
  const unknown = objects.filter(({ key }) => !keys.has(key))
  const unowned = unknown.filter(({ modifiedAt }) => modifiedAt <= cutoff)
  tally.seen(objects.length)
  tally.kept("owned by the catalogue", owned)
  tally.kept("journaled", keys.size - owned)
  tally.kept("grace", unknown.length - unowned.length)
  return { owned, unowned }
})

/** Due when a mistake has had its time to be noticed, and never in the sweep that found them. */
const journal = Effect.fnUntraced(function* (
  settings: SweepSettings,
  tally: Tally,
  unowned: ReadonlyArray<StoredObject>
) {
  const { leftovers } = yield* Database
  const now = yield* Clock.currentTimeMillis
  const wait = Math.max(1, Duration.toMillis(settings.quarantine), Duration.toMillis(settings.deleteDelay))
  const journaled = yield* leftovers.journal(now, unowned, now + wait)
  tally.eligible(journaled.length, 0, [])
  tally.kept("quarantine", journaled.length)
})

// -- the breaker

/** Whether so many of what was listed belong to nothing that it may be a mistake. An audit's repair asks, too. */
export const trips = (
  { breakerBlobs, breakerPercent }: Pick<SweepSettings, "breakerBlobs" | "breakerPercent">,
  { listed, unowned }: Counts
): boolean =>
  100 * unowned > breakerPercent * listed &&
  (unowned > breakerBlobs || (unowned === listed && listed > handful))

/**
 * Tripped first: a crash in between leaves a breaker that is open, and what was journaled is taken back by the next
 * sweep. Not before the pass began, even where clocks differ (see {@link isConfirmed}), and after the last confirmation,
 * or it would not be open.
 */
const trip = Effect.fnUntraced(function* (breaker: BreakerState, scan: LeftoverScan, counts: Counts) {
  const { leftovers, breakers } = yield* Database
  const now = yield* Clock.currentTimeMillis
  const trippedAt = Math.max(now, scan.startedAt, (breaker.confirmedAt ?? 0) + 1)
  const exposure = exposureOf(counts)
  yield* breakers.trip("leftovers", trippedAt, exposure)
  yield* leftovers.withdraw(scan)
  return yield* refusal({ ...breaker, trippedAt, exposure })
})

/**
 * Whether a person has confirmed what this pass found. A pass that trips begins anew and keeps the instant at which it
 * started, so that it alone is older than the trip; later passes are judged again.
 */
const isConfirmed = (breaker: BreakerState, scan: LeftoverScan): boolean =>
  !isOpen(breaker) && breaker.trippedAt !== null && scan.startedAt <= breaker.trippedAt

/** Bytes are not counted: nobody decides by them here. */
const exposureOf = ({ listed, unowned }: Counts): Exposure => ({
  blobs: unowned,
  bytes: 0,
  totalBlobs: listed,
  totalBytes: 0
})

const refusal = (
  { trippedAt, exposure }: Pick<BreakerState, "trippedAt" | "exposure">,
  rest: { readonly foreseen?: true } = {}
): BreakerOpen =>
  new BreakerOpen({
    breaker: "leftovers",
    trippedAt: new Date(trippedAt ?? 0).toISOString(),
    ...(exposure ?? exposureOf({ listed: 0, unowned: 0 })),
    ...rest
  })

const sizeOf = (objects: ReadonlyArray<StoredObject>): number =>
  objects.reduce((sum, object) => sum + object.sizeBytes, 0)
const namesOf = (objects: ReadonlyArray<StoredObject>): ReadonlyArray<string> =>
  objects.map((object) => object.key)
