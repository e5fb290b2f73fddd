/**
 * Aborts uploads in parts that were never finished. Their parts cost space, and no listing of objects shows them.
 *
 * An upload is aborted when its newest part is older than GC_UPLOAD_GRACE and no intent owns its key, as the database
 * says after the listing: a slow upload is alive while it sends parts or its writer renews its intent. A blob row does
 * not keep one, because its object is whole: an upload under way for its key is the relic of an earlier request.
 */
import { Clock, Duration, Effect, Result } from "effect"
import { CollectorDatabase } from "../../database/Database.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { type MultipartSearch, type MultipartUpload, Storage } from "../../storage/Storage.ts"
import type { Phase, PhaseContext } from "../Phase.ts"
import { catalogueExisted, isSessionName } from "./SessionNames.ts"

const unlisted: Record<Exclude<MultipartSearch, "complete">, string> = {
  partial:
    "This store does not list uploads in parts by a prefix. Uploads whose id the catalogue recorded are aborted. Of all others only those were looked for that the answering server began since its start. The rest is left to the store's own expiry (MinIO: 24 hours).",
  unknown:
    "Whether this store lists uploads in parts by a prefix was not tested: a dry run begins no upload, and credentials without s3:PutObject cannot. Uploads whose id the catalogue recorded are aborted. On a store that lists none, all others are left to its own expiry."
}

/** Takes a quarter of the time: stores tell the age of an upload in a request of its own, and every sweep lists anew. */
export const multiparts: Phase<CollectorDatabase | Storage> = {
  name: "multiparts",
  timeShare: 1 / 4,
  requires: [CollectorDatabase, Storage],
  run: Effect.fnUntraced(function* (context) {
    const { counts, settings } = context
    const storage = yield* Storage
    if (!(yield* context.mayContinue)) return
    const search = yield* storage.multipartSearch(settings.uploadPrefix, !context.dryRun)
    if (search !== "complete") counts.unlisted(unlisted[search])
    const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(settings.uploadGrace)
    const existed = yield* catalogueExisted
    for (const prefix of [settings.uploadPrefix, settings.blobPrefix]) {
      if (!(yield* context.mayContinue)) return
      yield* context.listing(storage.multiparts(prefix), (page) => {
        counts.seen(page.length)
        const stale = page.filter(({ lastActivityAt }) => lastActivityAt <= cutoff)
        counts.kept("grace", page.length - stale.length)
        return stale.length === 0
          ? Effect.void
          : Effect.flatMap(takenOf(context, existed, stale), (taken) =>
              taken.length === 0 ? Effect.void : abortStale(context, taken)
            )
      })
    }
  })
}

/**
 * Returns those of `stale` that an upload session can have begun, where the catalogue existed before the collector: below
 * the upload prefix another program may be uploading. Everything below the blob prefix belongs to this catalogue.
 */
const takenOf = <E>(
  { counts, settings: { blobPrefix, uploadPrefix } }: PhaseContext,
  existed: Effect.Effect<boolean, E>,
  stale: ReadonlyArray<MultipartUpload>
) => {
  const isNamed = ({ key }: MultipartUpload): boolean =>
    key.startsWith(blobPrefix) || isSessionName(key.slice(uploadPrefix.length).replace(/\/.*$/s, "/"))
  if (stale.every(isNamed)) return Effect.succeed(stale)
  return Effect.map(existed, (isForeign) => {
    const taken = isForeign ? stale.filter(isNamed) : stale
    counts.kept("no session's name", stale.length - taken.length)
    return taken
  })
}

/** Aborts those of `stale` that no intent owns, as many as the count allows. */
const abortStale = Effect.fnUntraced(function* (
  context: PhaseContext,
  stale: ReadonlyArray<MultipartUpload>
) {
  const { audit } = yield* CollectorDatabase
  const { bounds, counts, pace, settings } = context
  const storage = yield* Storage
  const known = yield* audit.lookup(stale.map(({ key }) => key))
  const intended = new Set(known.filter(({ owner }) => owner === "intent").map(({ key }) => key))
  const free = stale.filter(({ key }) => !intended.has(key))
  counts.kept("in use", stale.length - free.length)
  const names = free.map(({ key }) => key)
  if (context.dryRun) return counts.eligible(free.length, 0, names)
  let outage: StorageError | null = null
  // The store may take minutes for each, so the bounds are asked for each.
  const abort = Effect.fnUntraced(function* (upload: MultipartUpload) {
    if (outage !== null || !(yield* context.mayContinue) || bounds.grant(1) === 0) return null
    const outcome = yield* Effect.result(Effect.andThen(pace.asking, storage.abortMultipart(upload)))
    if (Result.isFailure(outcome) && outcome.failure.isRetryable) outage ??= outcome.failure
    return outcome
  })
  const outcomes = (yield* Effect.forEach(free, abort, {
    concurrency: settings.deleteConcurrency
  })).filter((outcome) => outcome !== null)
  counts.eligible(outcomes.length, 0, [])
  const failures = outcomes.filter(Result.isFailure).map(({ failure }) => failure)
  counts.deleted(outcomes.length - failures.length, 0)
  // Every sweep lists what cannot be aborted, which must not use up the sweep's count.
  bounds.giveBack(failures.length)
  for (const { reason } of failures) counts.failed(reason, 1)
  // A refused upload concerns itself alone. A store that does not answer concerns every page.
  if (outage !== null) return yield* outage as StorageError
})
