/**
 * Phase 1: staged uploads that nobody finished.
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
import type { SweepSettings } from "./Settings.ts"
import type { Tally } from "./Tally.ts"

/**
 * Objects of one session held in memory. A session of more chunks (a multi-gigabyte push in small ones) is listed a
 * second time when it turns out to be stale.
 */
const heldMax = 10_000

interface UploadSession {
  /** `<prefix><session>/`, or the key itself of an object directly below the prefix. */
  readonly prefix: string
  readonly objects: ReadonlyArray<StoredObject>
  /** False when there were more than {@link heldMax}. */
  readonly whole: boolean
  readonly lastActivityAt: number
}

/** Lists, and deletes what is stale; a dry run only counts it. */
export const collect = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  dryRun: boolean
) {
  const storage = yield* Storage
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(settings.uploadGrace)
  const sessions = bySession(storage.list(settings.uploadPrefix), settings.uploadPrefix, (page) => {
    tally.seen(page.length)
  })
  const isStale = (session: UploadSession): boolean => {
    const stale = session.lastActivityAt <= cutoff
    if (!stale) tally.kept("grace", session.objects.length)
    return stale
  }
  const pages = sessions.pipe(
    Stream.filter(isStale),
    Stream.flatMap((session) =>
      session.whole ? Stream.succeed(session.objects) : storage.list(session.prefix)
    ),
    Stream.flattenIterable,
    Stream.grouped(settings.batchMax)
  )
  yield* pages.pipe(
    Stream.mapEffect((page) => release(bounds, tally, dryRun, page), {
      concurrency: settings.deleteConcurrency,
      unordered: true
    }),
    Stream.takeWhile((goOn) => goOn),
    Stream.runDrain
  )
})

/** Groups a listing, which is in key order, into sessions. */
const bySession = (
  pages: Stream.Stream<ReadonlyArray<StoredObject>, StorageError>,
  prefix: string,
  onPage: (page: ReadonlyArray<StoredObject>) => void
): Stream.Stream<UploadSession, StorageError> =>
  Stream.suspend(() => {
    let open: {
      prefix: string
      objects: Array<StoredObject>
      whole: boolean
      lastActivityAt: number
    } | null = null
    const add = (object: StoredObject): UploadSession | null => {
      const own = sessionPrefix(prefix, object.key)
      const finished = open !== null && open.prefix !== own ? open : null
      if (open === null || finished !== null) {
        open = { prefix: own, objects: [], whole: true, lastActivityAt: Number.NEGATIVE_INFINITY }
      }
      open.lastActivityAt = Math.max(open.lastActivityAt, object.modifiedAt)
      if (open.objects.length < heldMax) open.objects.push(object)
      else open.whole = false
      return finished
    }
    return pages.pipe(
      Stream.map((page) => {
        onPage(page)
        return page.map(add).filter((session) => session !== null)
      }),
      Stream.flattenIterable,
      Stream.concat(
        Stream.suspend(() => (open === null ? Stream.empty : Stream.succeed<UploadSession>(open)))
      )
    )
  })

const sessionPrefix = (prefix: string, key: string): string => {
  const slash = key.indexOf("/", prefix.length)
  return slash === -1 ? key : key.slice(0, slash + 1)
}

/** Deletes a batch of stale objects. Answers whether another may follow. */
const release = Effect.fnUntraced(function* (
  bounds: Bounds,
  tally: Tally,
  dryRun: boolean,
  page: ReadonlyArray<StoredObject>
) {
  const database = yield* Database
  const storage = yield* Storage
  const exceeded = yield* bounds.exceeded
  if (exceeded !== null) {
    tally.stoppedBy(exceeded)
    return false
  }
  const owned = yield* database.blobs.owned(page.map((object) => object.key))
  const free = page.filter((object) => !owned.has(object.key))
  tally.kept("owned by the catalogue", page.length - free.length)
  if (dryRun) {
    tally.eligible(
      free.length,
      free.reduce((sum, object) => sum + object.sizeBytes, 0),
      free.map((object) => object.key)
    )
    return true
  }
  const granted = free.slice(0, bounds.grant(free.length))
  tally.eligible(granted.length, 0, [])
  if (granted.length > 0) {
    const sizes = new Map(granted.map((object) => [object.key, object.sizeBytes]))
    const outcome = yield* Effect.result(storage.delete([...sizes.keys()]))
    if (Result.isFailure(outcome)) {
      tally.failed(outcome.failure.reason, granted.length)
      return yield* outcome.failure
    }
    const { deleted, failed } = outcome.success
    tally.deleted(
      deleted.length,
      deleted.reduce((sum, key) => sum + (sizes.get(key) ?? 0), 0)
    )
    for (const { code } of failed) tally.failed(code, 1)
    yield* tally.announce
  }
  if (granted.length === free.length) return true
  tally.stoppedBy("count")
  return false
})
