/**
 * Manifests that nothing in their repository needs: no tag, no index, no subject that exists. Their rows go when they
 * have waited for GC_UNTAGGED_GRACE; what they referred to, and their own bytes, are orphans from then on and wait as such.
 *
 * Nothing brings a row back, and no quarantine holds it. So the breaker judges all that this sweep may delete, before the
 * first is deleted. Manifests within their grace do not count: a day of pushes leaves as many of them as it had builds.
 */
import { Clock, Duration, Effect } from "effect"
import { Database, type Exposure } from "../../database/Database.ts"
import type { Bounds } from "../../sweep/Bounds.ts"
import * as Breaker from "../../sweep/Breaker.ts"
import type { Tally } from "../../sweep/PhaseCounts.ts"
import type { SweepSettings } from "../../sweep/Settings.ts"

/** After a long pause there may be many, and the other phases must come to pass in every sweep. */
const timeShare = 1 / 4

/** Deletes what has waited, page by page. */
export const collect = Effect.fnUntraced(function* (settings: SweepSettings, bounds: Bounds, tally: Tally) {
  const { manifests } = yield* Database
  const { untaggedGrace } = settings
  if (untaggedGrace === null) return
  const shared = yield* bounds.share(timeShare)
  const mayGoOn = Effect.map(shared.exceeded, (exceeded) => {
    if (exceeded !== null) tally.stoppedBy(exceeded)
    return exceeded === null
  })
  if (!(yield* mayGoOn)) return
  const judgedAt = yield* Breaker.judge(settings, breakerOf(untaggedGrace))
  const untaggedSince = cutoffOf(untaggedGrace, judgedAt)
  while (yield* mayGoOn) {
    // Another collector may have found since that too much would go.
    yield* Breaker.hold("manifests")
    const now = yield* Clock.currentTimeMillis
    const dropped = yield* manifests.expire(now, untaggedSince, settings.batchMax)
    if (dropped === 0) return
    count(tally, dropped)
    yield* tally.announce
  }
})

/** What `collect` would delete now. What the orphans' phase would then find, a dry run does not foresee. */
export const plan = Effect.fnUntraced(function* (settings: SweepSettings, tally: Tally) {
  const { manifests } = yield* Database
  const { untaggedGrace } = settings
  if (untaggedGrace === null) return
  const now = yield* Clock.currentTimeMillis
  count(tally, yield* manifests.untagged(cutoffOf(untaggedGrace, now)))
  // What it counted stays in the report: people want to see what would go if they confirmed.
  yield* Breaker.foresee(settings, breakerOf(untaggedGrace))
})

/** The bytes of manifests are not counted: other manifests may need them. */
export const breakerOf = (untaggedGrace: Duration.Duration): Breaker.Judged<Database> => ({
  name: "manifests",
  exposure: (confirmedAt, at, unless) =>
    Effect.gen(function* () {
      const { manifests } = yield* Database
      const { total, untagged } = yield* manifests.exposure(confirmedAt, cutoffOf(untaggedGrace, at), unless)
      return { blobs: untagged, bytes: 0, totalBlobs: total, totalBytes: 0 } satisfies Exposure
    })
})

/** Before `now`: what becomes untagged in a sweep, like the children of an index that goes, waits for the next. */
const cutoffOf = (untaggedGrace: Duration.Duration, now: number): number =>
  now - Math.max(1, Duration.toMillis(untaggedGrace))

/** Their blobs are all still there, so none of them counts as deleted. */
const count = (tally: Tally, dropped: number): void => {
  tally.seen(dropped)
  tally.eligible(dropped, 0, [])
  tally.kept("dropped", dropped)
}
