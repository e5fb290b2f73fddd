/**
 * Finds leftovers: objects below the blob prefix that nothing owns, such as an upload whose bytes arrived after its intent
 * was reaped. Only a listing finds them. Their keys are journaled, and deleted from there like any other.
 *
 * A page is listed first, and the database is asked only then: a listed key had an intent before its bytes were sent, so
 * one later snapshot in which it is neither intent nor row proves it dead. The other way round, an upload that is published
 * in between belongs to nothing in the snapshot and is in the listing.
 *
 * A pass continues where it ended. Where there is much to list, its keys are cut into ranges, which collectors share, and of
 * which each lists a few at once: a store shows where a page ends only with the page, so one listing can go no faster.
 * What a page adds to the breaker's count is written down, and judged, before anything of it is journaled. So whatever
 * became due, it was below the breaker.
 */
import { Cause, Clock, Duration, Effect, Option, Result, Stream } from "effect"
import {
  type BreakerState,
  CollectorDatabase,
  type Exposure,
  isOpen,
  type KnownKey,
  type LeftoverCounts,
  type LeftoverPlan,
  type LeftoverScan
} from "../../database/Database.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { Storage, type StoredObject } from "../../storage/Storage.ts"
import * as Breaker from "../Breaker.ts"
import * as LostTime from "../LostTime.ts"
import type { Phase, PhaseContext, PhaseError } from "../Phase.ts"
import type { SweepSettings } from "../Settings.ts"

/** Of more objects than this at least one belongs to something, or a small bucket would slip under GC_BREAKER_BLOBS. */
const handful = 10

/** Ranges that one collector lists at once. Four requests more are nothing to a store that has so much to list. */
const rangesAtOnce = 4

/** Judged by the listing of a pass: a wrong database owns none of the objects. Bytes are not counted. */
export const breaker: Breaker.Breaker = {
  name: "leftovers",
  describe: ({ blobs, totalBlobs }) =>
    `nothing in this catalogue owns ${Breaker.shareOf(blobs, totalBlobs)} of the listed objects`,
  look: "Check that this is the right database for this store. To see them: artifact-gc audit"
}

/** Takes half of the time: a listing may take longer than a sweep, in every sweep, and the journal runs behind it. */
export const leftovers: Phase<CollectorDatabase | Storage> = {
  name: "leftovers",
  timeShare: 1 / 2,
  requires: [CollectorDatabase, Storage],
  breaker,
  run: Effect.fnUntraced(function* (context) {
    if (!(yield* context.mayContinue)) return
    yield* LostTime.requireConfirmed(context)
    yield* context.dryRun ? preview(context) : collect(context)
  })
}

/** Lists what is left of a pass that is due or unfinished, and journals what nothing owns. */
const collect = Effect.fnUntraced(function* (context: PhaseContext) {
  const { settings } = context
  const first = yield* claim(settings, {
    everyMillis: Duration.toMillis(settings.leftoverEvery),
    cuts: cutsOf(settings),
    cutFrom: settings.leftoverCutFrom
  })
  if (Option.isNone(first)) return
  let trouble: PhaseError | null = null
  const mayContinue = Effect.map(context.mayContinue, (may) => may && trouble === null)
  /** Lists one range after the other, until none is left for this collector. */
  const listAll = Effect.fnUntraced(function* (begun: Option.Option<LeftoverScan>) {
    let scan = begun
    while (Option.isSome(scan) && (yield* listRange(context, mayContinue, scan.value))) {
      scan = yield* claim(settings, null)
    }
  })
  // A listing that fails lets the others end with their page and give up their leases.
  const settled = <R>(listing: Effect.Effect<void, PhaseError, R>) =>
    Effect.map(Effect.result(listing), (outcome) => {
      if (Result.isFailure(outcome)) trouble ??= outcome.failure
    })
  const isWhole = first.value.from === null && first.value.upTo === null
  const others = Array.from({ length: isWhole ? 0 : rangesAtOnce - 1 }, () =>
    Effect.flatMap(
      Effect.suspend(() => claim(settings, null)),
      listAll
    )
  )
  yield* Effect.forEach([listAll(first), ...others], settled, { concurrency: "unbounded", discard: true })
  if (trouble !== null) return yield* trouble as PhaseError
})

/** Where keys as the blob store makes them are cut in sixteen: at the first digit of the SHA-256. */
const cutsOf = ({ blobPrefix }: SweepSettings): ReadonlyArray<ObjectKey> =>
  [..."123456789abcdef"].map((digit) => `${blobPrefix}sha256/${digit}` as ObjectKey)

const claim = Effect.fnUntraced(function* (settings: SweepSettings, plan: LeftoverPlan | null) {
  const { leftovers } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  return yield* leftovers.claim(now, now + Duration.toMillis(settings.lease), plan)
})

/** Lists a range to its end. Answers false when that was not reached. */
const listRange = Effect.fnUntraced(
  function* (context: PhaseContext, mayContinue: Effect.Effect<boolean>, scan: LeftoverScan) {
    const { breakers, leftovers } = yield* CollectorDatabase
    const { counts, pace, settings } = context
    const state = yield* breakers.read(breaker.name)
    if (isOpen(state)) {
      // The collector that tripped it has done this, unless it died in between.
      yield* leftovers.withdraw(scan)
      return yield* Breaker.opened(breaker, state)
    }
    const begin = scan.after ?? scan.from
    // The prefix itself sorts before what it begins, and null would end the range.
    let position = begin ?? (settings.blobPrefix as ObjectKey)
    let isAtEnd = true
    yield* Stream.runForEachWhile(
      (yield* Storage).list(settings.blobPrefix, { after: begin ?? undefined }),
      Effect.fnUntraced(function* (listed) {
        const page = listed.filter(({ key }) => scan.upTo === null || key <= scan.upTo)
        isAtEnd = false
        if (!(yield* settlePage(context, state, scan, position, page))) return false
        position = page.at(-1)?.key ?? position
        yield* counts.announce
        isAtEnd = page.length < listed.length
        if (isAtEnd) return false
        if (!(yield* mayContinue)) {
          yield* leftovers.yield(scan)
          return false
        }
        yield* pace.asking
        isAtEnd = true
        return true
      })
    )
    return isAtEnd && Option.isSome(yield* advance(settings, scan, null, nothing))
  },
  (listing, _context, _mayContinue, scan) =>
    Effect.tapCause(listing, (cause) =>
      // The lease of a process that was killed ends by itself.
      Cause.hasInterruptsOnly(cause)
        ? Effect.void
        : Effect.flatMap(CollectorDatabase, ({ leftovers }) => Effect.ignore(leftovers.yield(scan)))
    )
)

/**
 * Counts a page, judges the pass, journals the page's leftovers and moves on. Answers false when the lease of the range
 * was lost.
 */
const settlePage = Effect.fnUntraced(function* (
  context: PhaseContext,
  state: BreakerState,
  scan: LeftoverScan,
  position: ObjectKey,
  page: ReadonlyArray<StoredObject>
) {
  const { settings } = context
  const { owned, unfinished, unowned } = yield* sortPage(context, page)
  yield* LostTime.refuse(context, unowned, unfinished)
  const counts = { listed: owned + unowned.length, unowned: unowned.length }
  if (unowned.length > 0) {
    const total = yield* advance(settings, scan, position, counts)
    if (Option.isNone(total)) return false
    if (!isConfirmed(state, scan) && trips(settings, total.value))
      return yield* trip(state, scan, total.value)
    yield* journal(context, unowned, scan)
  }
  const end = page.at(-1)?.key ?? position
  return Option.isSome(yield* advance(settings, scan, end, unowned.length > 0 ? nothing : counts))
})

/** Writes down how far a range has been listed, and renews its lease. None when the lease was lost. */
const advance = Effect.fnUntraced(function* (
  settings: SweepSettings,
  scan: LeftoverScan,
  after: ObjectKey | null,
  counts: LeftoverCounts
) {
  const { leftovers } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  return yield* leftovers.advance(scan, { ...counts, after }, now, now + Duration.toMillis(settings.lease))
})

const nothing: LeftoverCounts = { listed: 0, unowned: 0 }

/** What `collect` would journal in a whole pass, whether or not one is due. Writes nothing. */
const preview = Effect.fnUntraced(function* (context: PhaseContext) {
  const { breakers } = yield* CollectorDatabase
  const { counts, settings } = context
  const state = yield* breakers.read(breaker.name)
  if (isOpen(state)) return yield* Breaker.opened(breaker, state)
  let total = nothing
  yield* context.listing(
    (yield* Storage).list(settings.blobPrefix),
    Effect.fnUntraced(function* (page) {
      const { owned, unfinished, unowned } = yield* sortPage(context, page)
      yield* LostTime.refuse(context, unowned, unfinished)
      total = {
        listed: total.listed + owned + unowned.length,
        unowned: total.unowned + unowned.length
      }
      // Whether the pass that a person confirmed is over, only a sweep can tell.
      if (state.trippedAt === null && trips(settings, total)) {
        const trippedAt = yield* Clock.currentTimeMillis
        return yield* Breaker.opened(breaker, { trippedAt, exposure: exposureOf(total) }, { foreseen: true })
      }
      counts.eligible(unowned.length, sizeOf(unowned), namesOf(unowned))
      counts.kept("quarantine", unowned.length)
    })
  )
})

/**
 * Returns the leftovers of a page that are old enough, and how many objects are owned. The others count as kept.
 * `unfinished` are those that only an intent or an upload session owns: after a restore, the lost rows may own them.
 */
const sortPage = Effect.fnUntraced(function* (
  { counts, settings }: PhaseContext,
  page: ReadonlyArray<StoredObject>
) {
  const { audit } = yield* CollectorDatabase
  // Staged uploads are another phase's, whatever the prefixes.
  const objects = page.filter(({ key }) => !key.startsWith(settings.uploadPrefix))
  const known = yield* audit.lookup(objects.map(({ key }) => key))
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(settings.leftoverGrace)
  const keys = new Set(known.map(({ key }) => key))
  const ownedBy = (...owners: ReadonlyArray<KnownKey["owner"]>) =>
    new Set(known.filter(({ owner }) => owners.includes(owner)).map(({ key }) => key))
  const owned = ownedBy("blob", "chunk", "intent").size
  const [blobs, uploads] = [ownedBy("blob"), ownedBy("chunk", "intent")]
  const isOld = ({ modifiedAt }: StoredObject) => modifiedAt <= cutoff
  const unfinished = objects.filter(({ key }) => uploads.has(key) && !blobs.has(key)).filter(isOld)
  const unknown = objects.filter(({ key }) => !keys.has(key))
  const unowned = unknown.filter(isOld)
  counts.seen(objects.length)
  counts.kept("owned by the catalogue", owned)
  counts.kept("journaled", keys.size - owned)
  counts.kept("grace", unknown.length - unowned.length)
  return { owned, unfinished, unowned }
})

/** Journals leftovers, due after the time in which a mistake is noticed, and never in the sweep that found them. */
const journal = Effect.fnUntraced(function* (
  { counts, settings }: PhaseContext,
  unowned: ReadonlyArray<StoredObject>,
  scan: LeftoverScan
) {
  const { leftovers } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  const wait = Math.max(1, Duration.toMillis(settings.quarantine), Duration.toMillis(settings.deleteDelay))
  const journaled = yield* leftovers.journal(now, unowned, now + wait, scan)
  counts.eligible(journaled.length, 0, [])
  counts.kept("quarantine", journaled.length)
})

// -- the breaker

/** Returns whether so much of what was listed belongs to nothing that it may be a mistake. An audit's repair asks, too. */
export const trips = (
  { breakerBlobs, breakerPercent }: Pick<SweepSettings, "breakerBlobs" | "breakerPercent">,
  { listed, unowned }: LeftoverCounts
): boolean =>
  100 * unowned > breakerPercent * listed &&
  (unowned > breakerBlobs || (unowned === listed && listed > handful))

/**
 * Opens the breaker before the pass is withdrawn: after a crash in between it is open, and the next sweep withdraws. Not
 * before the pass began, even where clocks differ (see {@link isConfirmed}).
 */
const trip = Effect.fnUntraced(function* (state: BreakerState, scan: LeftoverScan, counts: LeftoverCounts) {
  const { leftovers } = yield* CollectorDatabase
  const at = Math.max(yield* Clock.currentTimeMillis, scan.startedAt)
  const error = yield* Effect.flip(
    Breaker.trip(breaker, { at, confirmedAt: state.confirmedAt, exposure: exposureOf(counts) })
  )
  if (error._tag === "BreakerOpen") yield* leftovers.withdraw(scan)
  return yield* error
})

/**
 * Returns whether a person has confirmed what this pass found. A pass that trips begins anew and keeps the instant at which
 * it started, so that it alone is older than the trip. Later passes are judged again.
 */
const isConfirmed = (state: BreakerState, scan: LeftoverScan): boolean =>
  !isOpen(state) && state.trippedAt !== null && scan.startedAt <= state.trippedAt

const exposureOf = ({ listed, unowned }: LeftoverCounts): Exposure => ({
  ...Breaker.nothing,
  blobs: unowned,
  totalBlobs: listed
})

const sizeOf = (objects: ReadonlyArray<StoredObject>): number =>
  objects.reduce((sum, object) => sum + object.sizeBytes, 0)
const namesOf = (objects: ReadonlyArray<StoredObject>): ReadonlyArray<string> =>
  objects.map((object) => object.key)
