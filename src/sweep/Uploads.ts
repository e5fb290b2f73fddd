/**
 * Staged uploads that nobody finished.
 *
 * An upload session is everything below `<prefix><session>/`; its last activity is the newest of its objects, because
 * the first chunk of a slow push is old while the push is alive. Keys that the catalogue owns are never touched, even
 * below the upload prefix. A failed delete needs no journal: the next listing finds the object again.
 */
import { Clock, Duration, Effect, Result, Stream } from "effect"
import { Database } from "../database/Database.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { Storage, type StoredObject } from "../storage/Storage.ts"
import type { Bounds } from "./Bounds.ts"
import type { Pace } from "./Pace.ts"
import type { SweepSettings } from "./Settings.ts"
import type { Tally } from "./Tally.ts"

/**
 * Objects of one session held in memory. A session of more chunks (a multi-gigabyte push in small ones) is listed a
 * second time when it turns out to be stale.
 */
const heldMax = 10_000

/** Listing starts over in every sweep, and must leave time for the phases behind it however much there is to list. */
const timeShare = 1 / 2

interface UploadSession {
  /** `<prefix><session>/`, or the key itself of an object directly below the prefix. */
  readonly prefix: string
  /** The first {@link heldMax} of its objects. */
  readonly objects: ReadonlyArray<StoredObject>
  readonly count: number
  readonly lastActivityAt: number
}

/** Lists, and deletes what is stale; a dry run only counts it. */
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
  const isStale = (session: UploadSession): boolean => {
    const stale = session.lastActivityAt <= cutoff
    if (!stale) tally.kept("grace", session.count)
    return stale
  }
  const objectsOf = (session: UploadSession): Stream.Stream<ReadonlyArray<StoredObject>, StorageError> =>
    session.count === session.objects.length
      ? Stream.succeed(session.objects)
      : // A chunk that has come since it was judged is not garbage.
        Stream.map(storage.list(session.prefix), (page) => page.filter((found) => found.modifiedAt <= cutoff))
  if (!(yield* mayGoOn)) return
  const batches = bySession(storage.list(settings.uploadPrefix), settings.uploadPrefix, (page) =>
    Effect.flatMap(mayGoOn, (goOn) => {
      if (!goOn) return Effect.succeed(false)
      tally.seen(page.length)
      return Effect.as(pace.asking, true)
    })
  ).pipe(
    Stream.filter(isStale),
    Stream.flatMap(objectsOf),
    Stream.flattenIterable,
    Stream.grouped(settings.batchMax),
    // Asked before a batch is handed out, so that those in hand come to their own end.
    Stream.takeWhileEffect(() => mayGoOn)
  )
  yield* batches.pipe(
    Stream.mapEffect((batch) => release(bounds, pace, tally, dryRun, batch), {
      concurrency: settings.deleteConcurrency,
      unordered: true
    }),
    Stream.runDrain
  )
})

/**
 * Groups a listing, which is in key order, into sessions. Ends when `onPage` says so; the session that is open then
 * is left out, because its newest object may be on a page that was not read.
 */
const bySession = (
  pages: Stream.Stream<ReadonlyArray<StoredObject>, StorageError>,
  prefix: string,
  onPage: (page: ReadonlyArray<StoredObject>) => Effect.Effect<boolean>
): Stream.Stream<UploadSession, StorageError> =>
  Stream.suspend(() => {
    let open: {
      prefix: string
      objects: Array<StoredObject>
      count: number
      lastActivityAt: number
    } | null = null
    let cutShort = false
    const add = (object: StoredObject): UploadSession | null => {
      const own = sessionPrefix(prefix, object.key)
      const finished = open !== null && open.prefix !== own ? open : null
      if (open === null || finished !== null) {
        open = { prefix: own, objects: [], count: 0, lastActivityAt: Number.NEGATIVE_INFINITY }
      }
      open.lastActivityAt = Math.max(open.lastActivityAt, object.modifiedAt)
      open.count += 1
      if (open.objects.length < heldMax) open.objects.push(object)
      return finished
    }
    return pages.pipe(
      Stream.takeWhileEffect((page) =>
        Effect.map(onPage(page), (goOn) => {
          cutShort = !goOn
          return goOn
        })
      ),
      Stream.map((page) => page.map(add).filter((session) => session !== null)),
      Stream.flattenIterable,
      Stream.concat(
        Stream.suspend(() => (open === null || cutShort ? Stream.empty : Stream.succeed<UploadSession>(open)))
      )
    )
  })

const sessionPrefix = (prefix: string, key: string): string => {
  const slash = key.indexOf("/", prefix.length)
  return slash === -1 ? key : key.slice(0, slash + 1)
}

/** Deletes a batch of stale objects, as many as the count allows. */
const release = Effect.fnUntraced(function* (
  bounds: Bounds,
  pace: Pace,
  tally: Tally,
  dryRun: boolean,
  batch: ReadonlyArray<StoredObject>
) {
  const database = yield* Database
  const storage = yield* Storage
  const owned = yield* database.blobs.owned(batch.map((object) => object.key))
  const free = batch.filter((object) => !owned.has(object.key))
  tally.kept("owned by the catalogue", batch.length - free.length)
  if (dryRun) {
    return tally.eligible(free.length, sizeOf(free), namesOf(free))
  }
  const granted = free.slice(0, bounds.grant(free.length))
  if (granted.length < free.length) tally.stoppedBy("count")
  if (granted.length === 0) return
  tally.eligible(granted.length, 0, [])
  const outcome = yield* Effect.result(
    pace.deleting(granted.length, storage.delete(granted.map((object) => object.key)))
  )
  if (Result.isFailure(outcome)) {
    tally.failed(outcome.failure.reason, granted.length)
    return yield* outcome.failure
  }
  const gone = new Set(outcome.success.deleted)
  const deleted = granted.filter((object) => gone.has(object.key))
  tally.deleted(deleted.length, sizeOf(deleted))
  // There is no backing off here: what cannot be deleted comes up in every sweep and must not use up its count.
  bounds.giveBack(granted.length - deleted.length)
  for (const { code } of outcome.success.failed) tally.failed(code, 1)
  yield* tally.announce
})

const sizeOf = (objects: ReadonlyArray<StoredObject>): number =>
  objects.reduce((sum, object) => sum + object.sizeBytes, 0)
const namesOf = (objects: ReadonlyArray<StoredObject>): ReadonlyArray<string> =>
  objects.map((object) => object.key)
