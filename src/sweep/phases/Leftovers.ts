/**
 * Objects below the blob prefix that nothing knows, such as an upload whose bytes arrived after its intent was
 * reaped. Only a listing finds them; their keys go into the journal, and from there like any other.
 *
 * A page is listed first, and the database is asked only then: a listed key was announced before its bytes were sent,
 * so that one later snapshot in which it is neither intent nor row proves it dead. The other way round, an upload that
 * is published in between belongs to nothing in the snapshot and is in the listing.
 *
 * The pass goes on where it ended. Where there is much to list, its keys are cut into ranges, which collectors share, and of
 * which each lists a few at once: a store shows where a page ends only with the page, so one listing can go no faster.
 * What a page adds to the breaker's count is written down before anything of it is journaled, and judged before that,
 * too: whatever became due, it was below the breaker.
 */
import { Cause, Clock, Duration, Effect, Option, Result, Stream } from "effect"
import {
  type BreakerState,
  Database,
  type Exposure,
  isOpen,
  type LeftoverCounts,
  type LeftoverPlan,
  type LeftoverScan
} from "../../database/Database.ts"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { BreakerOpen } from "../../domain/Refusals.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { Storage, type StoredObject } from "../../storage/Storage.ts"
import type { Bounds } from "../Bounds.ts"
import type { Pace } from "../Pace.ts"
import type { Tally } from "../PhaseCounts.ts"
import type { SweepSettings } from "../Settings.ts"

/** A listing may take longer than a sweep, in every sweep, and must leave time for the journal behind it. */
const timeShare = 1 / 2

/**
 * Of more objects than this, at least one belongs to something, or this is the wrong database: a small bucket must not
 * slip under GC_BREAKER_BLOBS.
 */
const handful = 10

/** Ranges that one collector lists at once. Four requests more are nothing to a store that has so much to list. */
const rangesAtOnce = 4

/** Where keys as the blob store makes them are cut in sixteen: at the first digit of the SHA-256. */
const cutsOf = ({ blobPrefix }: SweepSettings): ReadonlyArray<ObjectKey> =>
  [..."123456789abcdef"].map((digit) => `${blobPrefix}sha256/${digit}` as ObjectKey)

/** What ends a listing before its time. */
type Trouble = DatabaseError | StorageError | BreakerOpen

/** Lists what is left of a pass that is due or unfinished, and journals what nothing owns. */
export const collect = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  pace: Pace,
  tally: Tally
) {
  const shared = yield* bounds.share(timeShare)
  const exceeded = yield* shared.exceeded
  if (exceeded !== null) return tally.stoppedBy(exceeded)
  let trouble: Trouble | null = null
  const mayGoOn = Effect.map(shared.exceeded, (bound) => {
    if (bound !== null) tally.stoppedBy(bound)
    return bound === null && trouble === null
  })
  const list = (scan: LeftoverScan) => goOn(settings, mayGoOn, pace, tally, scan)
  const first = yield* claim(settings, {
    everyMillis: Duration.toMillis(settings.leftoverEvery),
    cuts: cutsOf(settings),
    cutFrom: settings.leftoverCutFrom
  })
  if (Option.isNone(first)) return
  /** One range after the other, until none is left for this collector. */
  const listAll = Effect.fnUntraced(function* (begun: Option.Option<LeftoverScan>) {
    let scan = begun
    while (Option.isSome(scan) && (yield* list(scan.value))) scan = yield* claim(settings, null)
  })
  const isWhole = first.value.from === null && first.value.upTo === null
  const others = isWhole ? 0 : rangesAtOnce - 1
  // One that fails lets the others end with their page and give up their leases.
  const settled = <E extends Trouble, R>(listing: Effect.Effect<void, E, R>) =>
    Effect.map(Effect.result(listing), (outcome) => {
      if (Result.isFailure(outcome)) trouble ??= outcome.failure
    })
  yield* Effect.all(
    [
      settled(listAll(first)),
      ...Array.from({ length: others }, () =>
        settled(
          Effect.flatMap(
            Effect.suspend(() => claim(settings, null)),
            listAll
          )
        )
      )
    ],
    { concurrency: "unbounded", discard: true }
  )
  if (trouble !== null) return yield* trouble as Trouble
})

const claim = Effect.fnUntraced(function* (settings: SweepSettings, plan: LeftoverPlan | null) {
  const { leftovers } = yield* Database
  const now = yield* Clock.currentTimeMillis
  return yield* leftovers.claim(now, now + Duration.toMillis(settings.lease), plan)
})

/** Lists a range to its end; false when that was not reached. */
const goOn = Effect.fnUntraced(
  function* (
    settings: SweepSettings,
    mayGoOn: Effect.Effect<boolean>,
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
    const begin = scan.after ?? scan.from
    // The prefix itself sorts before what it begins, and null would end the range.
    let position = begin ?? (settings.blobPrefix as ObjectKey)
    const advance = Effect.fnUntraced(function* (after: ObjectKey | null, counts: LeftoverCounts) {
      const now = yield* Clock.currentTimeMillis
      return yield* leftovers.advance(
        scan,
        { ...counts, after },
        now,
        now + Duration.toMillis(settings.lease)
      )
    })
    let isAtEnd = true
    yield* Stream.runForEachWhile(
      (yield* Storage).list(settings.blobPrefix, { after: begin ?? undefined }),
      Effect.fnUntraced(function* (listed) {
        const page = listed.filter(({ key }) => scan.upTo === null || key <= scan.upTo)
        isAtEnd = false
        const { owned, unowned } = yield* judge(settings, tally, page)
        const counts = { listed: owned + unowned.length, unowned: unowned.length }
        if (unowned.length > 0) {
          const total = yield* advance(position, counts)
          if (Option.isNone(total)) return false
          if (!exempt && trips(settings, total.value)) return yield* trip(breaker, scan, total.value)
          yield* journal(settings, tally, unowned, scan)
        }
        position = page.at(-1)?.key ?? position
        const moved = yield* advance(position, unowned.length > 0 ? nothing : counts)
        if (Option.isNone(moved)) return false
        yield* tally.announce
        isAtEnd = page.length < listed.length
        if (isAtEnd) return false
        if (!(yield* mayGoOn)) {
          yield* leftovers.yield(scan)
          return false
        }
        yield* pace.asking
        isAtEnd = true
        return true
      })
    )
    return isAtEnd && Option.isSome(yield* advance(null, nothing))
  },
  (listing, _settings, _mayGoOn, _pace, _tally, scan) =>
    Effect.tapCause(listing, (cause) =>
      // One that is killed does not come here; its lease ends by itself.
      Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.flatMap(Database, ({ leftovers }) => Effect.ignore(leftovers.yield(scan)))
    )
)

const nothing: LeftoverCounts = { listed: 0, unowned: 0 }

/** What `collect` would journal in a whole pass, whether or not one is due. Writes nothing. */
export const plan = Effect.fnUntraced(function* (settings: SweepSettings, bounds: Bounds, tally: Tally) {
  const { breakers } = yield* Database
  const shared = yield* bounds.share(timeShare)
  const exceeded = yield* shared.exceeded
  if (exceeded !== null) return tally.stoppedBy(exceeded)
  const breaker = yield* breakers.read("leftovers")
  if (isOpen(breaker)) return yield* refusal(breaker)
  let counts = nothing
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
  unowned: ReadonlyArray<StoredObject>,
  scan: LeftoverScan
) {
  const { leftovers } = yield* Database
  const now = yield* Clock.currentTimeMillis
  const wait = Math.max(1, Duration.toMillis(settings.quarantine), Duration.toMillis(settings.deleteDelay))
  const journaled = yield* leftovers.journal(now, unowned, now + wait, scan)
  tally.eligible(journaled.length, 0, [])
  tally.kept("quarantine", journaled.length)
})

// -- the breaker

/** Whether so many of what was listed belong to nothing that it may be a mistake. An audit's repair asks, too. */
export const trips = (
  { breakerBlobs, breakerPercent }: Pick<SweepSettings, "breakerBlobs" | "breakerPercent">,
  { listed, unowned }: LeftoverCounts
): boolean =>
  100 * unowned > breakerPercent * listed &&
  (unowned > breakerBlobs || (unowned === listed && listed > handful))

/**
 * Tripped first: a crash in between leaves a breaker that is open, and what was journaled is taken back by the next
 * sweep. Not before the pass began, even where clocks differ (see {@link isConfirmed}), and after the last confirmation,
 * or it would not be open.
 */
const trip = Effect.fnUntraced(function* (breaker: BreakerState, scan: LeftoverScan, counts: LeftoverCounts) {
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
const exposureOf = ({ listed, unowned }: LeftoverCounts): Exposure => ({
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
    ...(exposure ?? exposureOf(nothing)),
    ...rest
  })

const sizeOf = (objects: ReadonlyArray<StoredObject>): number =>
  objects.reduce((sum, object) => sum + object.sizeBytes, 0)
const namesOf = (objects: ReadonlyArray<StoredObject>): ReadonlyArray<string> =>
  objects.map((object) => object.key)
