/**
 * Deletes staged uploads that were never finished and that no row knows: what other registries stage below the upload
 * prefix, and objects that arrived after their intent had been reaped. Upload sessions of the registry end in their own
 * phase (src/oci/phases/UploadSessions.ts).
 *
 * The listing is judged by folder: everything below `<prefix><name>/` is as old as its newest object, because the first
 * chunk of a slow push is old while the push is alive. Keys that the catalogue, an upload session or the journal owns
 * stay: a listed key had an intent before its bytes were sent, so a later snapshot in which nothing owns it proves it
 * dead. A failed delete needs no journal: the next listing finds the object again.
 *
 * Where the catalogue existed before the collector, another program may keep its files below the same prefix (`uploads/`
 * is a common one). There only names that an upload session can have are taken, and a breaker judges the listing before
 * the first object is deleted.
 */
import { Clock, Duration, Effect, Result, Stream } from "effect"
import { CollectorDatabase, type Exposure } from "../../database/Database.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { Storage, type StoredObject } from "../../storage/Storage.ts"
import * as Breaker from "../Breaker.ts"
import * as LostTime from "../LostTime.ts"
import type { Phase, PhaseContext } from "../Phase.ts"
import { catalogueExisted, isSessionName } from "./SessionNames.ts"

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

/**
 * Judged by one listing, where the catalogue existed before the collector: another program's files are much of what lies
 * below the prefix, and none of them is owned. Counts names: a large push that failed is one.
 */
export const breaker: Breaker.Breaker = {
  name: "uploads",
  describe: ({ blobs, totalBlobs }) =>
    `${Breaker.shareOf(blobs, totalBlobs)} uploads below GC_UPLOAD_PREFIX are stale and belong to nothing`,
  look: "Check that no other program keeps files there. To see them: artifact-gc sweep --dry-run"
}

/** Takes half of the time: the listing begins anew in every sweep, and the phases behind must run. */
export const stagedUploads: Phase<CollectorDatabase | Storage> = {
  name: "uploads",
  timeShare: 1 / 2,
  requires: [CollectorDatabase, Storage],
  breaker,
  run: Effect.fnUntraced(function* (context) {
    if (!(yield* context.mayContinue)) return
    const existed = yield* catalogueExisted
    const found: Found = { listed: 0, unconfirmed: 0, last: "", pending: [] }
    const state = yield* Effect.cached((yield* CollectorDatabase).breakers.read(breaker.name))
    yield* Stream.runForEach(
      yield* staleBatches(context, existed, found),
      Effect.fnUntraced(function* (batch) {
        const free = yield* unownedOf(context, batch)
        if (free.length === 0) return
        const { confirmedAt } = yield* state
        for (const { key, modifiedAt } of free) {
          const name = folderOf(context.settings.uploadPrefix, key)
          const staleAt = modifiedAt + Duration.toMillis(context.settings.uploadGrace)
          if (name !== found.last && (confirmedAt === null || staleAt > confirmedAt)) found.unconfirmed += 1
          found.last = name
        }
        found.pending.push(...free)
        if (found.pending.length >= pendingMax) yield* deleteJudged(context, existed, found)
      })
    )
    yield* deleteJudged(context, existed, found)
  })
}

/** Objects that wait for the end of the listing, by which they are judged. */
const pendingMax = 10_000

interface Found {
  /** Names below the prefix. */
  listed: number
  /** Names with objects that nothing owns, and that were not stale when a person last confirmed. */
  unconfirmed: number
  /** The last name with such an object. Keys are listed in order. */
  last: string
  /** Objects that are not deleted yet. */
  pending: Array<StoredObject>
}

/** Deletes what was found until now, unless it is more than a mistake may delete. The first batch asks for no time. */
const deleteJudged = Effect.fnUntraced(function* <E>(
  context: PhaseContext,
  existed: Effect.Effect<boolean, E>,
  found: Found
) {
  if (found.pending.length === 0) return
  const { counts, dryRun, settings } = context
  const exposure: Exposure = { ...Breaker.nothing, blobs: found.unconfirmed, totalBlobs: found.listed }
  if (yield* existed) {
    const { confirmedAt } = yield* Breaker.requireClosed(breaker)
    const at = yield* Clock.currentTimeMillis
    if (Breaker.exceeds(settings, exposure)) {
      if (!dryRun) return yield* Breaker.trip(breaker, { at, confirmedAt, exposure })
      counts.eligible(found.pending.length, sizeOf(found.pending), namesOf(found.pending))
      return yield* Breaker.opened(breaker, { trippedAt: at, exposure }, { foreseen: true })
    }
  }
  const batches: Array<ReadonlyArray<StoredObject>> = []
  for (let from = 0; from < found.pending.length; from += settings.batchMax)
    batches.push(found.pending.slice(from, from + settings.batchMax))
  found.pending = []
  let isFirst = true
  yield* context.forEachBatch(
    Stream.takeWhileEffect(Stream.fromIterable(batches).pipe(Stream.rechunk(1)), () => {
      const mayGoOn = isFirst ? Effect.succeed(true) : context.mayContinue
      isFirst = false
      return mayGoOn
    }),
    (batch) => deleteUnowned(context, batch)
  )
})

/** Returns the objects of stale folders in batches. */
const staleBatches = Effect.fnUntraced(function* <E>(
  context: PhaseContext,
  existed: Effect.Effect<boolean, E>,
  found: Found
) {
  const { counts, mayContinue, pace, settings } = context
  const storage = yield* Storage
  const isTaken = (folder: Folder) => {
    found.listed += 1
    if (isSessionName(folder.prefix.slice(settings.uploadPrefix.length))) return Effect.succeed(true)
    return Effect.map(existed, (isForeign) => {
      if (isForeign) counts.kept("no session's name", folder.count)
      return !isForeign
    })
  }
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
    Stream.filterEffect(isTaken),
    Stream.filter(isStale),
    Stream.flatMap(objectsOf),
    Stream.flattenIterable,
    Stream.grouped(settings.batchMax)
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

/** Returns those of `batch` that nothing owns. The others count as kept. */
const unownedOf = Effect.fnUntraced(function* (context: PhaseContext, batch: ReadonlyArray<StoredObject>) {
  const { audit } = yield* CollectorDatabase
  const { counts } = context
  const known = yield* audit.lookup(batch.map((object) => object.key))
  const keys = new Set(known.map(({ key }) => key))
  const owned = new Set(known.filter(({ owner }) => owner !== "journal").map(({ key }) => key)).size
  counts.kept("owned by the catalogue", owned)
  counts.kept("journaled", keys.size - owned)
  return yield* LostTime.without(
    context,
    batch.filter((object) => !keys.has(object.key))
  )
})

/** Deletes those of `free`, as many as the count allows. What nothing owned once is never owned again. */
const deleteUnowned = Effect.fnUntraced(function* (context: PhaseContext, free: ReadonlyArray<StoredObject>) {
  const { bounds, counts, pace } = context
  const storage = yield* Storage
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
  counts.undeleted(outcome.success.failed)
})

const sizeOf = (objects: ReadonlyArray<StoredObject>): number =>
  objects.reduce((sum, object) => sum + object.sizeBytes, 0)
const namesOf = (objects: ReadonlyArray<StoredObject>): ReadonlyArray<string> =>
  objects.map((object) => object.key)
