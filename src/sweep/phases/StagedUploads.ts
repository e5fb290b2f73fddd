/**
 * Deletes staged uploads that were never finished and that no row knows: what other registries stage below the upload
 * prefix, and objects that arrived after their intent had been reaped. Upload sessions of the registry end in their own
 * phase (src/oci/phases/UploadSessions.ts).
 *
 * The listing is judged by folder: everything below `<prefix><name>/` is as old as its newest object, because the first
 * chunk of a slow push is old while the push is alive. Keys that the catalogue, an upload session or the journal owns
 * stay: a listed key had an intent before its bytes were sent, so a later snapshot in which nothing owns it proves it
 * dead. A failed delete needs no journal: the next listing finds the object again.
 */
import { Clock, Duration, Effect, Result, Stream } from "effect"
import { CollectorDatabase } from "../../database/Database.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { nameOf } from "../../storage/DeleteFailure.ts"
import { Storage, type StoredObject } from "../../storage/Storage.ts"
import * as LostTime from "../LostTime.ts"
import type { Phase, PhaseContext } from "../Phase.ts"

/**
 * Objects of one folder held in memory. A larger folder (a push of gigabytes in small chunks) is listed a second time
 * when it turns out to be stale.
 */
const heldMax = 10_000

interface Folder {
  /** `<prefix><name>/`, or the key itself of an object directly below the prefix. */
  readonly prefix: string
  /** The first {@link heldMax} of its objects. */
  readonly objects: ReadonlyArray<StoredObject>
  readonly count: number
  readonly lastActivityAt: number
}

/** Takes half of the time: the listing begins anew in every sweep, and the phases behind must run. */
export const stagedUploads: Phase<CollectorDatabase | Storage> = {
  name: "uploads",
  timeShare: 1 / 2,
  requires: [CollectorDatabase, Storage],
  run: Effect.fnUntraced(function* (context) {
    if (!(yield* context.mayContinue)) return
    yield* context.forEachBatch(yield* staleBatches(context), (batch) => deleteUnowned(context, batch))
  })
}

/** Returns the objects of stale folders in batches. */
const staleBatches = Effect.fnUntraced(function* (context: PhaseContext) {
  const { counts, mayContinue, pace, settings } = context
  const storage = yield* Storage
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(settings.uploadGrace)
  const isStale = (folder: Folder): boolean => {
    const stale = folder.lastActivityAt <= cutoff
    if (!stale) counts.kept("grace", folder.count)
    return stale
  }
  const objectsOf = (folder: Folder): Stream.Stream<ReadonlyArray<StoredObject>, StorageError> =>
    folder.count === folder.objects.length
      ? Stream.succeed(folder.objects)
      : // A chunk that arrived since the folder was judged is not garbage.
        storage.list(folder.prefix).pipe(
          Stream.takeWhileEffect(() => mayContinue),
          Stream.map((page) => page.filter((found) => found.modifiedAt <= cutoff))
        )
  return byFolder(storage.list(settings.uploadPrefix), settings.uploadPrefix, (page) =>
    Effect.flatMap(mayContinue, (may) => {
      if (!may) return Effect.succeed(false)
      counts.seen(page.length)
      return Effect.as(pace.asking, true)
    })
  ).pipe(
    Stream.filter(isStale),
    Stream.flatMap(objectsOf),
    Stream.flattenIterable,
    Stream.grouped(settings.batchMax),
    // Asked before a batch is handed out, so that those in hand are finished.
    Stream.takeWhileEffect(() => mayContinue)
  )
})

/**
 * Groups a listing, which is in key order, into folders. Ends when `onPage` answers false. The folder that is open then is
 * left out, because its newest object may be on a page that was not read.
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
        Effect.map(onPage(page), (may) => {
          cutShort = !may
          return may
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

/** Deletes those of `batch` that nothing owns, as many as the count allows. */
const deleteUnowned = Effect.fnUntraced(function* (
  context: PhaseContext,
  batch: ReadonlyArray<StoredObject>
) {
  const { audit } = yield* CollectorDatabase
  const { bounds, counts, pace } = context
  const storage = yield* Storage
  const known = yield* audit.lookup(batch.map((object) => object.key))
  const keys = new Set(known.map(({ key }) => key))
  const owned = new Set(known.filter(({ owner }) => owner !== "journal").map(({ key }) => key)).size
  const free = yield* LostTime.without(
    context,
    batch.filter((object) => !keys.has(object.key))
  )
  counts.kept("owned by the catalogue", owned)
  counts.kept("journaled", keys.size - owned)
  if (context.dryRun) return counts.eligible(free.length, sizeOf(free), namesOf(free))
  const granted = free.slice(0, bounds.grant(free.length))
  if (granted.length < free.length) counts.stoppedBy("count")
  if (granted.length === 0) return
  counts.eligible(granted.length, 0, [])
  const outcome = yield* Effect.result(
    pace.deleting(granted.length, storage.delete(granted.map((object) => object.key)))
  )
  if (Result.isFailure(outcome)) {
    counts.failed(outcome.failure.reason, granted.length)
    return yield* outcome.failure
  }
  const gone = new Set(outcome.success.deleted)
  const deleted = granted.filter((object) => gone.has(object.key))
  counts.deleted(deleted.length, sizeOf(deleted))
  // Every sweep lists what cannot be deleted, which must not use up the sweep's count.
  bounds.giveBack(granted.length - deleted.length)
  for (const failure of outcome.success.failed) counts.failed(nameOf(failure), 1)
})

const sizeOf = (objects: ReadonlyArray<StoredObject>): number =>
  objects.reduce((sum, object) => sum + object.sizeBytes, 0)
const namesOf = (objects: ReadonlyArray<StoredObject>): ReadonlyArray<string> =>
  objects.map((object) => object.key)
