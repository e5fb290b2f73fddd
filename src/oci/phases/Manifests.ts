/**
 * Deletes manifests that nothing in their repository needs: no tag, no index, no subject that exists. Their rows are
 * deleted after GC_UNTAGGED_GRACE. What they referred to, and their own bytes, are orphans from then on and wait as such.
 *
 * Nothing brings a row back, and no quarantine holds it. So the breaker judges all that this sweep may delete, before the
 * first is deleted. Manifests within their grace do not count: a day of pushes leaves as many of them as it had builds.
 */
import { Clock, Duration, Effect } from "effect"
import { CollectorDatabase, type Exposure } from "../../database/Database.ts"
import * as Breaker from "../../sweep/Breaker.ts"
import type { Phase, PhaseContext } from "../../sweep/Phase.ts"
import type { SweepSettings } from "../../sweep/Settings.ts"
import { RegistryDatabase } from "../database/RegistryDatabase.ts"

/**
 * Counts manifests whose names were deleted, not those from which a push took the last tag, nor those that never had one.
 * A build that deletes the tag of an older one replaces it.
 */
export const breaker: Breaker.CountingBreaker<RegistryDatabase> = {
  name: "manifests",
  describe: ({ blobs, bytes, totalBlobs, totalBytes }) =>
    `${Breaker.shareOf(blobs, totalBlobs)} manifests lost their tags and have been untagged for longer than GC_UNTAGGED_GRACE; their layers have ${Breaker.shareOf(bytes, totalBytes)} bytes`,
  look: "If tags were deleted by mistake, tag their manifests again by digest; docs/operations.md says how to find them",
  emptiedFrom: 10,
  sharesBytes: true,
  exposure: Effect.fnUntraced(function* (settings, confirmedAt, at, unless) {
    const { manifests } = yield* RegistryDatabase
    const untaggedSince = cutoffOf(settings, at)
    if (untaggedSince === null) return Breaker.nothing
    const found = yield* manifests.exposure(confirmedAt, untaggedSince, unless)
    const { bytes, total, totalBytes, untagged } = found
    return { blobs: untagged, bytes, totalBlobs: total, totalBytes } satisfies Exposure
  })
}

/** Takes a quarter of the time: after a long pause there may be many manifests, and the phases behind must run. */
export const manifests: Phase<CollectorDatabase | RegistryDatabase> = {
  name: "manifests",
  timeShare: 1 / 4,
  requires: [CollectorDatabase, RegistryDatabase],
  breaker,
  isQuiet: true,
  run: (context) =>
    context.settings.untaggedGrace === null
      ? Effect.void
      : context.dryRun
        ? preview(context)
        : collect(context)
}

const collect = Effect.fnUntraced(function* (context: PhaseContext) {
  const { manifests } = yield* RegistryDatabase
  const { settings } = context
  if (!(yield* context.mayContinue)) return
  const now = yield* Clock.currentTimeMillis
  const latest = now + Duration.toMillis(settings.clockTolerance)
  context.odd.add("untagged", yield* manifests.redate(now, latest, settings.batchMax))
  const { exposure, judgedAt } = yield* Breaker.judge(settings, breaker)
  const untaggedSince = cutoffOf(settings, judgedAt)
  if (untaggedSince === null) return
  yield* Breaker.noteLoss(breaker, exposure)
  yield* context.pages(
    Effect.fnUntraced(function* () {
      // Another collector may have opened it since.
      yield* Breaker.requireClosed(breaker)
      const now = yield* Clock.currentTimeMillis
      const dropped = yield* manifests.expire(now, untaggedSince, settings.batchMax, {
        withReferrers: settings.referrers === "with-subject"
      })
      record(context, dropped)
      return dropped === 0 ? null : "more"
    })
  )
})

/** What the phase of orphans would then find, a dry run does not foresee. */
const preview = Effect.fnUntraced(function* (context: PhaseContext) {
  const { manifests } = yield* RegistryDatabase
  const { settings } = context
  const untaggedSince = cutoffOf(settings, yield* Clock.currentTimeMillis)
  if (untaggedSince === null) return
  record(context, yield* manifests.untagged(untaggedSince))
  // The count stays in the report: a person sees what a confirmation would delete.
  yield* Breaker.foresee(settings, breaker)
})

/** Before `at`: what becomes untagged in a sweep, like the children of a deleted index, waits for the next. */
const cutoffOf = ({ untaggedGrace }: SweepSettings, at: number): number | null =>
  untaggedGrace === null ? null : at - Math.max(1, Duration.toMillis(untaggedGrace))

/** Their blobs are all still there, so none of them counts as deleted. */
const record = ({ counts }: PhaseContext, dropped: number): void => {
  counts.seen(dropped)
  counts.eligible(dropped, 0, [])
  counts.kept("dropped", dropped)
}
