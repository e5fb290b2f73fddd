/**
 * Uploads in parts that nobody finished. Their parts cost space, and no listing of objects shows them.
 *
 * One goes when its newest part is older than GC_UPLOAD_GRACE and no intent owns its key, as the database says after
 * the listing: a slow upload is alive as long as it sends parts or its writer renews its intent. A blob row does not
 * keep one, because its object is whole; what is still under way for its key is the relic of an earlier request.
 */
import { Clock, Duration, Effect, Result, Stream } from "effect"
import { Database } from "../../database/Database.ts"
import { type MultipartUpload, Storage } from "../../storage/Storage.ts"
import type { Bounds } from "../Bounds.ts"
import type { Pace } from "../Pace.ts"
import type { Tally } from "../PhaseCounts.ts"
import type { SweepSettings } from "../Settings.ts"

/** Stores tell the age of an upload in a request of its own, and listing starts over in every sweep. */
const timeShare = 1 / 4

/** Lists below both prefixes, and aborts what is abandoned; a dry run only counts it. */
export const collect = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  pace: Pace,
  tally: Tally,
  dryRun: boolean
) {
  const storage = yield* Storage
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(settings.uploadGrace)
  const shared = yield* bounds.share(timeShare)
  const mayGoOn = Effect.map(shared.exceeded, (exceeded) => {
    if (exceeded !== null) tally.stoppedBy(exceeded)
    return exceeded === null
  })
  for (const prefix of [settings.uploadPrefix, settings.blobPrefix]) {
    if (!(yield* mayGoOn)) return
    yield* Stream.runForEachWhile(storage.multiparts(prefix), (page) =>
      Effect.gen(function* () {
        tally.seen(page.length)
        const stale = page.filter(({ lastActivityAt }) => lastActivityAt <= cutoff)
        tally.kept("grace", page.length - stale.length)
        yield* release(settings, bounds, pace, tally, dryRun, stale)
        yield* pace.asking
        return yield* mayGoOn
      })
    )
  }
})

/** Aborts those of `stale` that no intent owns, as many as the count allows. */
const release = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  pace: Pace,
  tally: Tally,
  dryRun: boolean,
  stale: ReadonlyArray<MultipartUpload>
) {
  if (stale.length === 0) return
  const storage = yield* Storage
  const known = yield* (yield* Database).audit.lookup(stale.map(({ key }) => key))
  const intended = new Set(known.filter(({ owner }) => owner === "intent").map(({ key }) => key))
  const free = stale.filter(({ key }) => !intended.has(key))
  tally.kept("in use", stale.length - free.length)
  if (dryRun) {
    return tally.eligible(
      free.length,
      0,
      free.map(({ key }) => key)
    )
  }
  const granted = free.slice(0, bounds.grant(free.length))
  if (granted.length < free.length) tally.stoppedBy("count")
  tally.eligible(granted.length, 0, [])
  const outcomes = yield* Effect.forEach(
    granted,
    (upload) => Effect.result(Effect.andThen(pace.asking, storage.abortMultipart(upload))),
    {
      concurrency: settings.deleteConcurrency
    }
  )
  const failures = outcomes.filter(Result.isFailure).map(({ failure }) => failure)
  tally.deleted(granted.length - failures.length, 0)
  // Like staged uploads: what cannot be aborted comes up in every sweep and must not use up its count.
  bounds.giveBack(failures.length)
  for (const { reason } of failures) tally.failed(reason, 1)
  yield* tally.announce
  // One that is refused is its own affair; a store that does not answer is every page's.
  const outage = failures.find((failure) => failure.isRetryable)
  if (outage !== undefined) return yield* outage
})
