/**
 * Blobs that nothing refers to. First the whole catalogue is scanned slice by slice and what was found is
 * written down; then what has waited long enough is purged and deleted, page by page.
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
  type Slice
} from "../database/Database.ts"
import type { Digest } from "../domain/Digest.ts"
import { type Orphan, type OrphanState, stateAt, type Waits } from "../domain/Orphan.ts"
import type { Bounds } from "./Bounds.ts"
import * as Breaker from "./Breaker.ts"
import type { Deletion } from "./Deletion.ts"
import type { SweepSettings } from "./Settings.ts"
import type { Tally } from "./Tally.ts"

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
  const due = yield* mark(settings, yield* bounds.share(scanShare), tally, sweep)
  if (due !== null) tally.expect(due)
  yield* purge(settings, bounds, deletion, tally, yield* Breaker.judge(settings, "orphans"))
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
  yield* Breaker.foresee(settings, "orphans", condemned)
})

/** Before the scan, which thereby sees what they held. */
const expirePins = Effect.fnUntraced(function* (settings: SweepSettings) {
  const { blobs } = yield* Database
  const now = yield* Clock.currentTimeMillis
  while ((yield* blobs.expirePins(now, settings.batchMax)) === settings.batchMax);
})

/** How many blobs are due, for whoever watches; null when this collector has not seen each of them once itself. */
const mark = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  sweep: string
) {
  const { orphans } = yield* Database
  let end: ScanEnd | null = null
  let due = 0
  let previous: Slice | null = null
  let isAlone = true
  while (true) {
    const exceeded = yield* bounds.exceeded
    if (exceeded !== null) {
      tally.stoppedBy(exceeded)
      return null
    }
    const claimed: Option.Option<ClaimedSlice> = yield* orphans.claimSlice(settings.scanPage, end)
    if (Option.isNone(claimed)) return isAlone && previous?.upTo === end?.after ? due : null
    const slice: ClaimedSlice = claimed.value
    end ??= { pass: slice.pass + 1, after: slice.after }
    isAlone &&= previous === null || previous.upTo === slice.after
    previous = slice
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
    yield* tally.announce
  }
})

/** The orphans of a slice by state; those that must wait are tallied as kept. */
const judge = Effect.fnUntraced(function* (settings: SweepSettings, slice: Slice, tally: Tally) {
  const { orphans } = yield* Database
  const all = yield* orphans.find(slice)
  const now = yield* Clock.currentTimeMillis
  const waits = waitsOf(settings)
  const by: Record<OrphanState, Array<Orphan>> = {
    waiting: [],
    condemnable: [],
    quarantined: [],
    purgeable: []
  }
  for (const orphan of all) by[stateAt(orphan, now, waits)].push(orphan)
  tally.seen(slice.blobs)
  tally.kept("grace", by.waiting.length)
  tally.kept("quarantine", by.condemnable.length + by.quarantined.length)
  return { all, ...by }
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
