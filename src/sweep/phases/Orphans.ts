/**
 * Blobs that nothing refers to. First they are found and written down; then what has waited long enough is purged and
 * deleted, page by page.
 *
 * Where references are watched, they are found by what changed: candidates that lost what kept them, and what was
 * found before; the whole catalogue is scanned only now and then, for what went unnoticed. Where they are not, it is
 * scanned in every sweep.
 *
 * The scan is shared: each collector takes the next slice, and stops when all together have come round to where it
 * began. A sweep that was bounded is thereby continued by the next.
 */
import { Clock, Duration, Effect, Option, Stream } from "effect"
import {
  type ClaimedSlice,
  Database,
  type JournalEntry,
  type PurgeCursor,
  type ScanEnd,
  type Sighted,
  type Slice
} from "../../database/Database.ts"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Digest } from "../../domain/Digest.ts"
import { type Orphan, type OrphanState, stateAt, type Waits } from "../../domain/Orphan.ts"
import type { Bounds } from "../Bounds.ts"
import * as Breaker from "../Breaker.ts"
import type { Deletion } from "../Deletion.ts"
import type { Tally } from "../PhaseCounts.ts"
import type { SweepSettings } from "../Settings.ts"

/** A scan that takes longer than a sweep may last must leave time for purging what earlier sweeps condemned. */
const scanShare = 1 / 2

const waitsOf = (settings: SweepSettings): Waits => ({
  graceMillis: Duration.toMillis(settings.grace),
  quarantineMillis: Duration.toMillis(settings.quarantine)
})

/** Scans, condemns, purges and deletes. */
export const collect = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  deletion: Deletion,
  tally: Tally,
  sweep: string
) {
  yield* expirePins(settings)
  const due = yield* find(settings, yield* bounds.share(scanShare), tally, sweep)
  if (due !== null) tally.expect(due)
  yield* purge(settings, bounds, deletion, tally, yield* Breaker.judge(settings, Breaker.orphans))
})

/** What `collect` would do now: the same scan, the same query, the same rule, and nothing written. */
export const plan = Effect.fnUntraced(function* (settings: SweepSettings, bounds: Bounds, tally: Tally) {
  const { breakers, orphans } = yield* Database
  const breaker = yield* breakers.read("orphans")
  const condemned = { blobs: 0, bytes: 0 }
  let after: Digest | null = null
  do {
    const exceeded = yield* bounds.exceeded
    if (exceeded !== null) {
      tally.stoppedBy(exceeded)
      break
    }
    const slice: Slice = yield* orphans.readSlice(after, settings.scanPage)
    const { condemnable, purgeable, quarantined } = yield* judge(settings, slice, tally)
    tally.eligible(purgeable.length, sizeOf(purgeable), digests(purgeable))
    const unconfirmed = [...condemnable, ...purgeable, ...quarantined].filter(
      ({ condemnedAt }) => condemnedAt === null || condemnedAt > (breaker.confirmedAt ?? -1)
    )
    condemned.blobs += unconfirmed.length
    condemned.bytes += sizeOf(unconfirmed)
    yield* tally.announce
    after = slice.upTo
  } while (after !== null)
  // What it counted stays in the report: people want to see what would go if they confirmed.
  yield* Breaker.foresee(settings, Breaker.orphans, condemned)
})

/** Before the scan, which thereby sees what they held. */
const expirePins = Effect.fnUntraced(function* (settings: SweepSettings) {
  const { blobs } = yield* Database
  const now = yield* Clock.currentTimeMillis
  while ((yield* blobs.expirePins(now, settings.batchMax)) === settings.batchMax);
})

/** How many blobs are due, for whoever watches; null when this collector has not seen each of them once itself. */
const find = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  sweep: string
) {
  const { candidates } = yield* Database
  if (!(yield* candidates.watch).isOn) return yield* scan(settings, bounds, tally, sweep)
  if (!(yield* review(settings, bounds, tally))) return null
  const now = yield* Clock.currentTimeMillis
  // Before the sightings are looked at, so that those of the scan are among them.
  const pass = yield* candidates.passDue(now, Duration.toMillis(settings.scanEvery))
  if (Option.isSome(pass) && (yield* sightAll(settings, bounds, tally, sweep))) {
    yield* candidates.passDone(pass.value)
  }
  return yield* lookAgain(settings, bounds, tally, sweep)
})

/** Sights candidates until none are left; false when a bound was in the way. */
const review = Effect.fnUntraced(function* (settings: SweepSettings, bounds: Bounds, tally: Tally) {
  const { candidates } = yield* Database
  while (true) {
    const exceeded = yield* bounds.exceeded
    if (exceeded !== null) {
      tally.stoppedBy(exceeded)
      return false
    }
    const reviewed = yield* candidates.review(yield* Clock.currentTimeMillis, settings.scanPage)
    tally.seen(reviewed.candidates)
    tally.kept("referenced", reviewed.candidates - reviewed.orphans)
    yield* tally.announce
    if (reviewed.candidates < settings.scanPage) return true
  }
})

/** Looks at all sightings again: ends those of blobs that something refers to, condemns those that have waited. */
const lookAgain = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  sweep: string
) {
  const { candidates } = yield* Database
  let due = 0
  let after: Digest | null = null
  do {
    const exceeded = yield* bounds.exceeded
    if (exceeded !== null) {
      tally.stoppedBy(exceeded)
      return null
    }
    const page: Sighted = yield* candidates.sighted(after, settings.scanPage)
    const { condemnable, purgeable } = yield* sorted(settings, page.orphans, tally)
    tally.seen(page.sightings)
    due += purgeable.length
    const fresh = [...condemnable, ...purgeable].filter((orphan) => orphan.condemnedAt === null)
    if (fresh.length + page.stale.length > 0) {
      const ended = yield* candidates.settle({
        now: yield* Clock.currentTimeMillis,
        condemned: digests(fresh),
        stale: page.stale,
        sweep
      })
      tally.kept("referenced", ended)
    }
    yield* tally.announce
    after = page.next
  } while (after !== null)
  return due
})

/** The same for the whole catalogue, where nobody notes what changes. */
const scan = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  sweep: string
) {
  const { orphans } = yield* Database
  let due = 0
  const end = yield* eachSlice(
    settings,
    bounds,
    tally,
    true,
    Effect.fnUntraced(function* (slice) {
      const { all, condemnable, purgeable } = yield* judge(settings, slice, tally)
      due += purgeable.length
      const fresh = [...condemnable, ...purgeable].filter((orphan) => orphan.condemnedAt === null)
      const cleared = yield* orphans.record(slice, {
        now: yield* Clock.currentTimeMillis,
        seen: digests(all),
        condemned: digests(fresh),
        sweep
      })
      tally.kept("referenced", cleared)
    })
  )
  return end === "alone" ? due : null
})

/**
 * Sights what nobody noted, and nothing else: what becomes of sightings is decided where they are looked at. Whether the
 * scan has come to its end.
 */
const sightAll = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  sweep: string
) {
  const { orphans } = yield* Database
  const end = yield* eachSlice(
    settings,
    bounds,
    tally,
    false,
    Effect.fnUntraced(function* (slice) {
      const found = yield* orphans.find(slice)
      tally.seen(slice.blobs)
      const unseen = found.filter(({ seenAt }) => seenAt === null)
      if (unseen.length === 0) return
      const now = yield* Clock.currentTimeMillis
      yield* orphans.record(slice, { now, seen: digests(unseen), condemned: [], sweep, clear: false })
    })
  )
  return end !== "bounded"
})

/**
 * Does `each` to slices until the scan has come to its end, or round to where this collector began; whether it got there,
 * and had all slices for itself.
 */
const eachSlice = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  goesRound: boolean,
  each: (slice: ClaimedSlice) => Effect.Effect<void, DatabaseError, Database>
) {
  const { orphans } = yield* Database
  let end: ScanEnd | null = null
  let previous: Slice | null = null
  let isAlone = true
  while (true) {
    const exceeded = yield* bounds.exceeded
    if (exceeded !== null) {
      tally.stoppedBy(exceeded)
      return "bounded"
    }
    const claimed: Option.Option<ClaimedSlice> = yield* orphans.claimSlice(settings.scanPage, end)
    if (Option.isNone(claimed)) return isAlone && previous?.upTo === end?.after ? "alone" : "shared"
    const slice: ClaimedSlice = claimed.value
    end ??= { pass: slice.pass + 1, after: goesRound ? slice.after : null }
    isAlone &&= previous === null || previous.upTo === slice.after
    previous = slice
    yield* each(slice)
    yield* tally.announce
  }
})

/** The orphans of a slice by state; those that must wait are tallied as kept. */
const judge = Effect.fnUntraced(function* (settings: SweepSettings, slice: Slice, tally: Tally) {
  const { orphans } = yield* Database
  const all = yield* orphans.find(slice)
  tally.seen(slice.blobs)
  return { all, ...(yield* sorted(settings, all, tally)) }
})

const sorted = Effect.fnUntraced(function* (
  settings: SweepSettings,
  all: ReadonlyArray<Orphan>,
  tally: Tally
) {
  const now = yield* Clock.currentTimeMillis
  const waits = waitsOf(settings)
  const by: Record<OrphanState, Array<Orphan>> = {
    waiting: [],
    condemnable: [],
    quarantined: [],
    purgeable: []
  }
  for (const orphan of all) by[stateAt(orphan, now, waits)].push(orphan)
  tally.kept("grace", by.waiting.length)
  tally.kept("quarantine", by.condemnable.length + by.quarantined.length)
  return by
})

const digests = (orphans: ReadonlyArray<Orphan>): ReadonlyArray<Digest> =>
  orphans.map((orphan) => orphan.digest)
const sizeOf = (orphans: ReadonlyArray<Orphan>): number =>
  orphans.reduce((sum, orphan) => sum + orphan.sizeBytes, 0)

/**
 * Pages are purged one after the other while earlier ones are being deleted; the stream's back-pressure keeps at
 * most `deleteConcurrency` pages in hand.
 */
const purge = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  deletion: Deletion,
  tally: Tally,
  judgedAt: number
) {
  const batches = Stream.paginate(null, (cursor: PurgeCursor | null) =>
    purgePage(settings, bounds, tally, judgedAt, cursor)
  )
  yield* batches.pipe(
    Stream.mapEffect((entries) => Effect.andThen(deletion.delete(entries, tally), tally.announce), {
      concurrency: settings.deleteConcurrency,
      unordered: true
    }),
    Stream.runDrain
  )
})

const purgePage = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  judgedAt: number,
  cursor: PurgeCursor | null
) {
  const { orphans } = yield* Database
  const exceeded = yield* bounds.exceeded
  if (exceeded !== null) {
    tally.stoppedBy(exceeded)
    return [[], Option.none<PurgeCursor>()] as const
  }
  // Another collector may have found since that too much would go.
  yield* Breaker.hold("orphans")
  const now = yield* Clock.currentTimeMillis
  const waits = waitsOf(settings)
  const delayMillis = Duration.toMillis(settings.deleteDelay)
  const limit = bounds.grant(settings.batchMax)
  const page = yield* orphans.purge({
    now,
    condemnedCutoff: Math.min(now - waits.quarantineMillis, judgedAt),
    seenCutoff: now - waits.graceMillis,
    usedCutoff: now - waits.graceMillis,
    limit,
    after: cursor,
    deleteNotBefore: now + delayMillis,
    leaseUntil: delayMillis > 0 ? null : now + Duration.toMillis(settings.lease)
  })
  bounds.giveBack(limit - page.purged.length)
  tally.eligible(page.purged.length + page.busy, 0, [])
  tally.kept("referenced", page.absolved)
  tally.kept("busy", page.busy)
  if (delayMillis > 0) tally.kept("delete delay", page.purged.length)
  const entries = page.purged.map(
    ({ key, sizeBytes }): JournalEntry => ({ key, sizeBytes, reason: "purged", attempts: 0, uploadId: null })
  )
  const batch = delayMillis > 0 || entries.length === 0 ? [] : [entries]
  return [batch, Option.fromNullishOr(page.next)] as const
})
