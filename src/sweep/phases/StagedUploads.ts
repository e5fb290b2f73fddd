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
import { type BreakerState, CollectorDatabase, type Exposure } from "../../database/Database.ts"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
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
    const { mayContinue, settings } = context
    if (!(yield* mayContinue)) return
    const search = yield* searchOf(context)
    const folders = foldersBelow(settings.uploadPrefix)
    let cutShort = false
    yield* Stream.runForEachWhile(search.storage.list(settings.uploadPrefix), (page) =>
      Effect.flatMap(mayContinue, (may) => {
        cutShort = !may
        return may ? Effect.as(readPage(search, folders, page), true) : Effect.succeed(false)
      })
    )
    const open = folders.open()
    // If the listing was cut short, the newest object of the open folder may be on a page that was not read.
    if (open !== null && !cutShort) yield* take(search, open)
    if (search.stale.length > 0) yield* sortOut(search, search.stale)
    yield* deleteJudged(search)
  })
}

/** Objects that wait for the end of the listing, by which they are judged. */
const pendingMax = 10_000

/** A search for stale uploads: what it works with, and what it found. */
interface Search {
  readonly context: PhaseContext
  readonly storage: Storage["Service"]
  /** Whether other programs may keep files in this store. */
  readonly existed: Effect.Effect<boolean, DatabaseError>
  /** Folders without an object younger than this are stale. */
  readonly cutoff: number
  /** Names below the prefix. */
  listed: number
  /** Names with objects that nothing owns, and that were not stale when a person last confirmed. */
  unconfirmed: number
  /** The last name with such an object. Keys are listed in order. */
  last: string
  /** The state of the breaker; null before it was needed. */
  state: BreakerState | null
  /** Objects of stale folders that have not been looked up: less than a batch. */
  readonly stale: Array<StoredObject>
  /** Objects that nothing owns and that are not deleted yet. */
  pending: Array<StoredObject>
}

const searchOf = Effect.fnUntraced(function* (context: PhaseContext) {
  const now = yield* Clock.currentTimeMillis
  return {
    context,
    storage: yield* Storage,
    existed: yield* catalogueExisted,
    cutoff: now - Duration.toMillis(context.settings.uploadGrace),
    listed: 0,
    unconfirmed: 0,
    last: "",
    state: null,
    stale: [],
    pending: []
  } satisfies Search as Search
})

const readPage = Effect.fnUntraced(function* (
  search: Search,
  folders: Folders,
  page: ReadonlyArray<StoredObject>
) {
  const { counts, pace } = search.context
  counts.seen(page.length)
  yield* pace.asking
  for (const folder of folders.add(page)) yield* take(search, folder)
})

/** Takes the objects of a folder, if it is stale and a session can have its name. */
const take = Effect.fnUntraced(function* (search: Search, folder: Folder) {
  const { context, cutoff, existed, storage } = search
  const { counts, mayContinue, settings } = context
  search.listed += 1
  if (!isSessionName(folder.prefix.slice(settings.uploadPrefix.length)) && (yield* existed))
    return counts.kept("no session's name", folder.count)
  if (folder.lastActivityAt > cutoff) return counts.kept("grace", folder.count)
  if (folder.count === folder.objects.length) return yield* sortOutBatches(search, folder.objects)
  yield* Stream.runForEachWhile(storage.list(folder.prefix), (page) =>
    Effect.flatMap(mayContinue, (may) => {
      if (!may) return Effect.succeed(false)
      // A chunk that arrived since the folder was judged is not garbage.
      const old = page.filter(({ modifiedAt }) => modifiedAt <= cutoff)
      return Effect.as(sortOutBatches(search, old), true)
    })
  )
})

/** Looks up who owns the objects of stale folders, a batch at a time. */
const sortOutBatches = Effect.fnUntraced(function* (search: Search, objects: ReadonlyArray<StoredObject>) {
  const { context, stale } = search
  const { batchMax } = context.settings
  stale.push(...objects)
  while (stale.length >= batchMax) yield* sortOut(search, stale.splice(0, batchMax))
})

/** Keeps those of `batch` that nothing owns for their deletion, and deletes what was found if it is much. */
const sortOut = Effect.fnUntraced(function* (search: Search, batch: ReadonlyArray<StoredObject>) {
  const { context } = search
  const { uploadGrace, uploadPrefix } = context.settings
  const free = yield* unownedOf(context, batch)
  if (free.length === 0) return
  const { breakers } = yield* CollectorDatabase
  search.state ??= yield* breakers.read(breaker.name)
  const { confirmedAt } = search.state
  for (const { key, modifiedAt } of free) {
    const name = folderOf(uploadPrefix, key)
    const staleAt = modifiedAt + Duration.toMillis(uploadGrace)
    if (name !== search.last && (confirmedAt === null || staleAt > confirmedAt)) search.unconfirmed += 1
    search.last = name
  }
  search.pending.push(...free)
  if (search.pending.length >= pendingMax) yield* deleteJudged(search)
})

/** Deletes what was found until now, unless it is more than a mistake may delete. The first batch asks for no time. */
const deleteJudged = Effect.fnUntraced(function* (search: Search) {
  const { context, existed, listed, pending, unconfirmed } = search
  if (pending.length === 0) return
  const { counts, dryRun, settings } = context
  const exposure: Exposure = { ...Breaker.nothing, blobs: unconfirmed, totalBlobs: listed }
  if (yield* existed) {
    const { confirmedAt } = yield* Breaker.requireClosed(breaker)
    const at = yield* Clock.currentTimeMillis
    if (Breaker.exceeds(settings, exposure)) {
      if (!dryRun) return yield* Breaker.trip(breaker, { at, confirmedAt, exposure })
      counts.eligible(pending.length, sizeOf(pending), namesOf(pending))
      return yield* Breaker.opened(breaker, { trippedAt: at, exposure }, { foreseen: true })
    }
  }
  const batches: Array<ReadonlyArray<StoredObject>> = []
  for (let from = 0; from < pending.length; from += settings.batchMax)
    batches.push(pending.slice(from, from + settings.batchMax))
  search.pending = []
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

/** Groups a listing, which is in key order, into folders. */
interface Folders {
  /** Adds a page, and returns the folders that it shows to be whole. */
  readonly add: (page: ReadonlyArray<StoredObject>) => ReadonlyArray<Folder>
  /** Returns the folder to which the next page may add objects; null before the first object. */
  readonly open: () => Folder | null
}

const foldersBelow = (prefix: string): Folders => {
  let open: {
    prefix: string
    objects: Array<StoredObject>
    count: number
    lastActivityAt: number
  } | null = null
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
  return {
    add: (page) => page.map(add).filter((folder) => folder !== null),
    open: () => open
  }
}

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
