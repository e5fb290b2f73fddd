/**
 * Deletes blobs that nothing refers to. First they are found and written down. Then what has waited long enough is purged
 * and deleted, page by page.
 */
import { Clock, Duration, Effect, Result } from "effect"
import { CollectorDatabase, type DueRequest, type PurgeCursor } from "../../database/Database.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { Orphan } from "../../domain/Orphan.ts"
import type { Storage } from "../../storage/Storage.ts"
import * as Breaker from "../Breaker.ts"
import { type Classified, classify, digestsOf, explainKept, find, waitsOf } from "../FindOrphans.ts"
import * as FirstReference from "../FirstReference.ts"
import * as KeepHeld from "../KeepHeld.ts"
import type { LeasedPage, Phase, PhaseContext } from "../Phase.ts"
import type { SweepSettings } from "../Settings.ts"

/** A scan that takes longer than a sweep may last must leave time for purging what earlier sweeps condemned. */
const findShare = 1 / 2

/**
 * How long before its purge a condemned blob counts. A mistake is condemned within a scan, and collectors and bounds
 * divide its purge. A long quarantine holds more than a day's orphans in ordinary times.
 */
const dueWithin = Duration.days(1)

const countedUntil = (settings: SweepSettings, at: number): number =>
  at - Duration.toMillis(settings.quarantine) + Duration.toMillis(dueWithin)

/** Judged by what stands condemned, is due within a day, and was in use for all that is known. */
export const breaker: Breaker.CountingBreaker<CollectorDatabase> = {
  name: "orphans",
  describe: ({ blobs, bytes, totalBlobs, totalBytes }) =>
    `${Breaker.shareOf(blobs, totalBlobs)} blobs, ${Breaker.shareOf(bytes, totalBytes)} bytes, are condemned`,
  look: "To see them: artifact-gc condemned. To take them back: artifact-gc restore",
  exposure: (settings, confirmedAt, at, unless) =>
    Effect.flatMap(CollectorDatabase, ({ breakers }) =>
      breakers.exposure(confirmedAt, unless, countedUntil(settings, at))
    )
}

/** Scans, condemns, purges and deletes. */
export const orphans: Phase<CollectorDatabase | Storage> = {
  name: "orphans",
  timeShare: 1,
  requires: [CollectorDatabase],
  breaker,
  run: (context) => (context.dryRun ? preview(context) : collect(context))
}

const collect = Effect.fnUntraced(function* (context: PhaseContext) {
  const { orphans } = yield* CollectorDatabase
  const held = yield* orphans.held(yield* Clock.currentTimeMillis, true)
  yield* expirePins(context)
  const due = yield* find(yield* context.share(findShare), held)
  if (due !== null) context.counts.expect(due)
  yield* FirstReference.judge
  const { judgedAt } = yield* Breaker.judge(context.settings, breaker)
  const lost = { blobs: 0, bytes: 0 }
  const purged = yield* Effect.result(purge(context, judgedAt, lost))
  // Advisory. After a failure the database may not answer, and the failure is what the report must say.
  yield* Effect.ignore(Breaker.noteLoss(breaker, lost))
  if (Result.isFailure(purged)) return yield* purged.failure
})

/** Before the scan, which thereby sees what the pins held. */
const expirePins = Effect.fnUntraced(function* ({ settings }: PhaseContext) {
  const { journal } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  while ((yield* journal.expirePins(now, settings.batchMax)) === settings.batchMax);
})

/** Purges pages one after the other while the objects of earlier pages are being deleted. */
const purge = (context: PhaseContext, judgedAt: number, lost: { blobs: number; bytes: number }) =>
  context.deletePages((limit, after: PurgeCursor | null) => purgePage(context, judgedAt, lost, limit, after))

const purgePage = Effect.fnUntraced(function* (
  context: PhaseContext,
  judgedAt: number,
  lost: { blobs: number; bytes: number },
  limit: number,
  after: PurgeCursor | null
) {
  const { orphans } = yield* CollectorDatabase
  const { counts, settings } = context
  const { graceMillis, quarantineMillis } = waitsOf(settings)
  // Another collector may have opened it since.
  yield* Breaker.requireClosed(breaker)
  // Before the sources are asked: what was condemned or used since then is kept.
  const askedAt = yield* Clock.currentTimeMillis
  const due = {
    condemnedCutoff: Math.min(askedAt - quarantineMillis, judgedAt),
    seenCutoff: askedAt - graceMillis,
    limit,
    after
  }
  const asked = yield* askSources(context, due)
  const request = { ...due, ...(yield* context.deletionTimes), usedCutoff: askedAt - graceMillis }
  const page =
    asked === null
      ? yield* orphans.purge(request)
      : { ...(yield* orphans.purge({ ...request, only: asked.free })), next: asked.next }
  const counted = page.purged.filter(({ cause }) => cause === undefined)
  lost.blobs += counted.length
  lost.bytes += counted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const refused = page.refused ?? []
  counts.eligible(page.purged.length + page.busy + refused.length, 0, [])
  counts.failed("refused by the database", refused.length)
  context.odd.add(
    "refused",
    refused.map(({ detail, digest }) => `${digest} (${detail})`)
  )
  counts.kept("referenced", page.absolved)
  counts.kept("busy", page.busy)
  const entries = page.purged.map(
    ({ key, sizeBytes }) => ({ key, sizeBytes, reason: "purged", attempts: 0, uploadId: null }) as const
  )
  return {
    entries: context.undelayed(entries),
    used: entries.length,
    next: page.next
  } satisfies LeasedPage<PurgeCursor>
})

/**
 * Returns the blobs of the page that no reference source holds, and where the next page begins; null where sources are not
 * asked. The purge that follows takes none but these. A blob that was pinned since this answer has no sighting any more, so
 * that purge keeps it: a pin from before a reference is written elsewhere protects that reference.
 */
const askSources = (context: PhaseContext, due: DueRequest) =>
  context.sources.names.length === 0 ? Effect.succeed(null) : askAll(context, due)

const askAll = Effect.fnUntraced(function* (context: PhaseContext, due: DueRequest) {
  const { orphans } = yield* CollectorDatabase
  const { counts } = context
  const page = yield* orphans.due(due)
  const { free, held, unanswered } = yield* KeepHeld.ask(context, page.orphans)
  yield* KeepHeld.keep(context, held)
  counts.kept("source", held.length)
  counts.eligible(unanswered.length, 0, [])
  counts.failed("source", unanswered.length)
  return { free: digestsOf(free), next: page.next }
})

/** What `collect` would delete now: the same scan, the same query, the same rule, and nothing written. */
const preview = Effect.fnUntraced(function* (context: PhaseContext) {
  const { breakers, orphans } = yield* CollectorDatabase
  const { counts, settings } = context
  const { confirmedAt } = yield* breakers.read(breaker.name)
  const now = yield* Clock.currentTimeMillis
  const held = yield* orphans.held(now, false)
  const until = countedUntil(settings, now)
  const condemned = { blobs: 0, bytes: 0 }
  const every = { blobs: 0, bytes: 0 }
  const scanned = { blobs: 0, found: 0 }
  yield* context.pages(
    Effect.fnUntraced(function* (after: Digest | null) {
      const slice = yield* orphans.readSlice(after, settings.scanPage)
      const found = yield* orphans.find(slice)
      const classified = yield* classify(context, found)
      counts.seen(slice.blobs)
      scanned.blobs += slice.blobs
      scanned.found += found.length
      const { purgeable } = classified
      counts.eligible(purgeable.length, sizeOf(purgeable), digestsOf(purgeable))
      every.blobs += standing(classified).length
      every.bytes += sizeOf(standing(classified))
      const unconfirmed = standing(classified).filter(
        (orphan) => isUnconfirmed(orphan, confirmedAt) && isCounted(orphan, now, until)
      )
      condemned.blobs += unconfirmed.length
      condemned.bytes += sizeOf(unconfirmed)
      return slice.upTo
    })
  )
  explainKept(context, scanned, held)
  yield* FirstReference.foresee(every)
  // The count stays in the report: a person sees what a confirmation would delete.
  yield* Breaker.foresee(settings, breaker, condemned)
})

/** What would stand condemned after a sweep. */
const standing = ({ condemnable, purgeable, quarantined }: Classified): ReadonlyArray<Orphan> => [
  ...condemnable,
  ...purgeable,
  ...quarantined
]

const isUnconfirmed = ({ condemnedAt }: Orphan, confirmedAt: number | null): boolean =>
  condemnedAt === null || condemnedAt > (confirmedAt ?? -1)

const isCounted = ({ cause, condemnedAt }: Orphan, now: number, until: number): boolean =>
  cause === undefined && (condemnedAt ?? now) <= until

const sizeOf = (orphans: ReadonlyArray<Orphan>): number =>
  orphans.reduce((sum, orphan) => sum + orphan.sizeBytes, 0)
