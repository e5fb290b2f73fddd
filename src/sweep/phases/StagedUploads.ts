/**
 * Staged uploads that nobody finished: first the upload sessions that the database knows (Sessions.ts), then a listing,
 * for what no row knows. That is what other registries stage here, and objects that arrived after their announcement
 * had been reaped.
 *
 * What is listed is judged by folder: everything below `<prefix><name>/` is as old as its newest object, because the first
 * chunk of a slow push is old while the push is alive. Keys that the catalogue, an upload session or the journal owns
 * are never touched: one listed key was announced before its bytes were sent, so that a later snapshot in which it belongs
 * to nothing proves it dead. A failed delete needs no journal: the next listing finds the object again.
 */
import { Clock, Duration, Effect, Result, Stream } from "effect"
import { Database } from "../../database/Database.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import * as Sessions from "../../oci/phases/UploadSessions.ts"
import { Storage, type StoredObject } from "../../storage/Storage.ts"
import type { Bounds } from "../Bounds.ts"
import type { Deletion } from "../Deletion.ts"
import type { Pace } from "../Pace.ts"
import type { Tally } from "../PhaseCounts.ts"
import type { SweepSettings } from "../Settings.ts"

/**
 * Objects of one folder held in memory. A folder of more chunks (a multi-gigabyte push in small ones) is listed a
 * second time when it turns out to be stale.
 */
const heldMax = 10_000

/** Listing starts over in every sweep, and must leave time for the phases behind it however much there is to list. */
const timeShare = 1 / 2

interface Folder {
  /** `<prefix><name>/`, or the key itself of an object directly below the prefix. */
  readonly prefix: string
  /** The first {@link heldMax} of its objects. */
  readonly objects: ReadonlyArray<StoredObject>
  readonly count: number
  readonly lastActivityAt: number
}

/** Ends idle sessions, then lists and deletes what is stale; a dry run only counts both. */
export const collect = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  deletion: Deletion,
  pace: Pace,
  tally: Tally,
  dryRun: boolean
) {
  const shared = yield* bounds.share(timeShare)
  yield* dryRun ? Sessions.plan(settings, tally) : Sessions.collect(settings, shared, deletion, tally)
  yield* list(settings, shared, pace, tally, dryRun)
})

const list = Effect.fnUntraced(function* (
  settings: SweepSettings,
  shared: Bounds,
  pace: Pace,
  tally: Tally,
  dryRun: boolean
) {
  const storage = yield* Storage
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(settings.uploadGrace)
  const mayGoOn = Effect.map(shared.exceeded, (exceeded) => {
    if (exceeded !== null) tally.stoppedBy(exceeded)
    return exceeded === null
  })
  const isStale = (folder: Folder): boolean => {
    const stale = folder.lastActivityAt <= cutoff
    if (!stale) tally.kept("grace", folder.count)
    return stale
  }
  const objectsOf = (folder: Folder): Stream.Stream<ReadonlyArray<StoredObject>, StorageError> =>
    folder.count === folder.objects.length
      ? Stream.succeed(folder.objects)
      : // A chunk that has come since it was judged is not garbage.
        Stream.map(storage.list(folder.prefix), (page) => page.filter((found) => found.modifiedAt <= cutoff))
  if (!(yield* mayGoOn)) return
  const batches = byFolder(storage.list(settings.uploadPrefix), settings.uploadPrefix, (page) =>
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
    Stream.mapEffect((batch) => release(shared, pace, tally, dryRun, batch), {
      concurrency: settings.deleteConcurrency,
      unordered: true
    }),
    Stream.runDrain
  )
})

/**
 * Groups a listing, which is in key order, into folders. Ends when `onPage` says so; the folder that is open then
 * is left out, because its newest object may be on a page that was not read.
 */
const byFolder = (
  pages: Stream.Stream<ReadonlyArray<StoredObject>, StorageError>,
  prefix: string,
  onPage: (page: ReadonlyArray<StoredObject>) => Effect.Effect<boolean>
): Stream.Stream<Folder, StorageError> =>
  Stream.suspend(() => {
    let open: {
      prefix: string
      objects: Array<StoredObject>
      count: number
      lastActivityAt: number
    } | null = null
    let cutShort = false
    const add = (object: StoredObject): Folder | null => {
      const own = folderOf(prefix, object.key)
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
      Stream.map((page) => page.map(add).filter((folder) => folder !== null)),
      Stream.flattenIterable,
      Stream.concat(
        Stream.suspend(() => (open === null || cutShort ? Stream.empty : Stream.succeed<Folder>(open)))
      )
    )
  })

const folderOf = (prefix: string, key: string): string => {
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
  const { audit } = yield* Database
  const storage = yield* Storage
  const known = yield* audit.lookup(batch.map((object) => object.key))
  const keys = new Set(known.map(({ key }) => key))
  const owned = new Set(known.filter(({ owner }) => owner !== "journal").map(({ key }) => key)).size
  const free = batch.filter((object) => !keys.has(object.key))
  tally.kept("owned by the catalogue", owned)
  tally.kept("journaled", keys.size - owned)
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
