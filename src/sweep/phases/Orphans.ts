/**
 * Deletes blobs that nothing refers to. First they are found and written down. Then what has waited long enough is purged
 * and deleted, page by page.
 */
import { Clock, Effect } from "effect"
import { CollectorDatabase, type PurgeCursor } from "../../database/Database.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { Orphan } from "../../domain/Orphan.ts"
import type { Storage } from "../../storage/Storage.ts"
import * as Breaker from "../Breaker.ts"
import { type Classified, classify, digestsOf, find, waitsOf } from "../FindOrphans.ts"
import type { Phase, PhaseContext } from "../Phase.ts"

/** A scan that takes longer than a sweep may last must leave time for purging what earlier sweeps condemned. */
const findShare = 1 / 2

/** Judged by all that stands condemned: what waits out its quarantine is about to be deleted. */
export const breaker: Breaker.CountingBreaker<CollectorDatabase> = {
  name: "orphans",
  describe: ({ blobs, bytes, totalBlobs, totalBytes }) =>
    `${Breaker.shareOf(blobs, totalBlobs)} blobs, ${Breaker.shareOf(bytes, totalBytes)} bytes, are condemned`,
  look: "To see them: artifact-gc condemned. To take them back: artifact-gc restore",
  exposure: (_settings, confirmedAt, _at, unless) =>
    Effect.flatMap(CollectorDatabase, ({ breakers }) => breakers.exposure(confirmedAt, unless))
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
  yield* expirePins(context)
  const due = yield* find(yield* context.share(findShare))
  if (due !== null) context.counts.expect(due)
  yield* purge(context, yield* Breaker.judge(context.settings, breaker))
})

/** Before the scan, which thereby sees what the pins held. */
const expirePins = Effect.fnUntraced(function* ({ settings }: PhaseContext) {
  const { journal } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  while ((yield* journal.expirePins(now, settings.batchMax)) === settings.batchMax);
})

/** Purges pages one after the other while the objects of earlier pages are being deleted. */
const purge = Effect.fnUntraced(function* (context: PhaseContext, judgedAt: number) {
  const { orphans } = yield* CollectorDatabase
  const { counts, settings } = context
  const { graceMillis, quarantineMillis } = waitsOf(settings)
  yield* context.deletePages(
    Effect.fnUntraced(function* (limit, after: PurgeCursor | null) {
      // Another collector may have opened it since.
      yield* Breaker.requireClosed(breaker)
      const times = yield* context.deletionTimes
      const page = yield* orphans.purge({
        ...times,
        condemnedCutoff: Math.min(times.now - quarantineMillis, judgedAt),
        seenCutoff: times.now - graceMillis,
        usedCutoff: times.now - graceMillis,
        limit,
        after
      })
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
      return { entries: context.undelayed(entries), used: entries.length, next: page.next }
    })
  )
})

/** What `collect` would delete now: the same scan, the same query, the same rule, and nothing written. */
const preview = Effect.fnUntraced(function* (context: PhaseContext) {
  const { breakers, orphans } = yield* CollectorDatabase
  const { counts, settings } = context
  const { confirmedAt } = yield* breakers.read(breaker.name)
  const condemned = { blobs: 0, bytes: 0 }
  yield* context.pages(
    Effect.fnUntraced(function* (after: Digest | null) {
      const slice = yield* orphans.readSlice(after, settings.scanPage)
      const classified = yield* classify(context, yield* orphans.find(slice))
      counts.seen(slice.blobs)
      const { purgeable } = classified
      counts.eligible(purgeable.length, sizeOf(purgeable), digestsOf(purgeable))
      const unconfirmed = standing(classified).filter((orphan) => isUnconfirmed(orphan, confirmedAt))
      condemned.blobs += unconfirmed.length
      condemned.bytes += sizeOf(unconfirmed)
      return slice.upTo
    })
  )
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

const sizeOf = (orphans: ReadonlyArray<Orphan>): number =>
  orphans.reduce((sum, orphan) => sum + orphan.sizeBytes, 0)
