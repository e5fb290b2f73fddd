/**
 * Deletes keys with all their versions, for buckets that would otherwise only hide them.
 *
 * Invariant: a key counts as deleted only if all its versions are. Its delete markers are deleted last, and
 * only if no other version remains. Otherwise a version that cannot be deleted (a lock) would be visible
 * again.
 */
import { Clock, Effect, Option, Result } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { checkBatch } from "../Checks.ts"
import { type DeleteFailure, deleteBatchMax } from "../Storage.ts"
import * as Advance from "./Advance.ts"
import type { Bucket, Marker, NamedVersion, Target, VersionListing } from "./Bucket.ts"
import { deleteTargets, failedAs, nothingHeard, outcome } from "./Deletion.ts"
import type { DialectRef } from "./Dialect.ts"
import { misbehaved } from "./Failure.ts"
import { possibleKeys } from "./Names.ts"

/** How many keys have their versions listed at once. */
const listingAtOnce = 16

/** How many refused keys of a batch, and how many versions of each, are asked for their locks. */
const askedKeysMax = 50
const askedVersionsMax = 3

interface Versions {
  readonly objects: ReadonlyArray<Target>
  readonly markers: ReadonlyArray<Target>
}

/**
 * Implements `Storage.delete` for a bucket with versions. A remaining key has its first failure in the
 * outcome.
 */
export const deleteVersions = Effect.fn("S3.delete")(function* (
  bucket: Bucket,
  dialect: DialectRef,
  keys: ReadonlyArray<ObjectKey>
) {
  yield* checkBatch(keys)
  const listed = yield* Effect.forEach(keys, (key) => listedOrFailed(bucket, key), {
    concurrency: listingAtOnce
  })
  const failures = new Map<ObjectKey, DeleteFailure>()
  const found: Array<Versions> = []
  for (const result of listed) {
    if (Result.isSuccess(result)) found.push(result.success)
    else failures.set(result.failure.key, result.failure)
  }
  const heard = nothingHeard()
  const remove = Effect.fnUntraced(function* (targets: ReadonlyArray<Target>) {
    for (let start = 0; start < targets.length; start += deleteBatchMax) {
      const failed = yield* deleteTargets(
        bucket,
        dialect,
        heard,
        targets.slice(start, start + deleteBatchMax)
      )
      for (const failure of failed) if (!failures.has(failure.key)) failures.set(failure.key, failure)
    }
  })
  const objects = found.flatMap(({ objects }) => objects)
  yield* remove(objects)
  yield* remove(found.flatMap(({ markers }) => markers).filter(({ key }) => !failures.has(key)))
  const denied = [...failures.values()].filter(({ reason }) => reason === "denied").slice(0, askedKeysMax)
  yield* Effect.forEach(
    denied,
    Effect.fnUntraced(function* (failure) {
      const versions = objects.filter(({ key }) => key === failure.key).slice(0, askedVersionsMax)
      const lock = yield* lockOf(bucket, versions)
      if (lock === undefined) return
      failures.set(failure.key, { ...failure, reason: "locked", detail: `${failure.detail}; ${lock}` })
    }),
    { concurrency: listingAtOnce, discard: true }
  )
  return outcome(keys, [...failures.values()], heard)
})

/**
 * Returns what protects one of the versions, or undefined if nothing is known to. Some stores (radosgw 16)
 * refuse the delete of a locked version like one that a policy forbids.
 */
const lockOf = Effect.fnUntraced(function* (
  { calls, requests }: Bucket,
  versions: ReadonlyArray<Target>
): Effect.fn.Return<string | undefined> {
  for (const version of versions) {
    const lock = yield* Effect.option(
      requests.once({
        operation: "delete",
        subject: version.key,
        send: (signal) => calls.lock(version, signal)
      })
    )
    if (Option.isNone(lock)) continue
    const { ObjectLockLegalHoldStatus: hold, ObjectLockRetainUntilDate: until } = lock.value
    if (hold === "ON") return "a version is under a legal hold"
    if (until !== undefined && until.getTime() > (yield* Clock.currentTimeMillis)) {
      return `a version is retained until ${until.toISOString()}`
    }
  }
  return undefined
})

/**
 * Returns the versions of a key. A refusal to list it is this key's own failure and does not stop the others.
 */
const listedOrFailed = (
  bucket: Bucket,
  key: ObjectKey
): Effect.Effect<Result.Result<Versions, DeleteFailure>, StorageError> =>
  Effect.map(versionsOf(bucket, key), Result.succeed).pipe(
    Effect.catchIf(
      ({ reason }) => reason === "Rejected" || reason === "Misbehaved" || reason === "Unknown",
      ({ detail, reason }) => Effect.succeed(Result.fail(failedAs(key, reason, detail)))
    )
  )

const versionsOf = Effect.fnUntraced(function* (
  bucket: Bucket,
  key: ObjectKey
): Effect.fn.Return<Versions, StorageError> {
  const { calls, requests } = bucket
  const objects: Array<Target> = []
  const markers: Array<Target> = []
  const advance = Advance.begin("delete", key)
  let from: Marker | undefined = { key: undefined, id: undefined }
  while (from !== undefined) {
    const marker: Marker = from
    const listing: VersionListing = yield* requests.repeated({
      operation: "delete",
      subject: key,
      send: (signal) => calls.listVersions(key, marker, signal)
    })
    yield* Advance.checkTruncation(advance, listing)
    const { DeleteMarkers = [], Versions = [] } = listing
    const isOurs = ({ Key }: NamedVersion) => possibleKeys(Key, listing).includes(key)
    const target = ({ VersionId }: NamedVersion): Target => ({ key, versionId: VersionId })
    objects.push(...Versions.filter(isOurs).map(target))
    markers.push(...DeleteMarkers.filter(isOurs).map(target))
    // In key order the key precedes all longer keys, so after another key no more of its versions follow.
    const isAll = listing.IsTruncated !== true || ![...Versions, ...DeleteMarkers].every(isOurs)
    from = isAll ? undefined : yield* readMarker(key, advance, listing)
  }
  const nameless = [...objects, ...markers].some(({ versionId }) => versionId === undefined)
  // A delete without a version would only add a marker, but would count as done.
  if (nameless) return yield* misbehaved("delete", key, "the store listed a version without an id")
  if (objects.length + markers.length === 0) yield* checkAbsent(bucket, key)
  return { objects, markers }
})

/** Fails if the object is visible although no version was listed. Otherwise it would count as deleted. */
const checkAbsent = Effect.fnUntraced(function* ({ calls, requests }: Bucket, key: ObjectKey) {
  const isThere = yield* requests
    .repeated({ operation: "delete", subject: key, send: (signal) => calls.head(key, signal) })
    .pipe(
      Effect.as(true),
      Effect.catchIf(
        (error) => error.reason === "NotFound",
        () => Effect.succeed(false)
      )
    )
  if (isThere) return yield* misbehaved("delete", key, "the store lists no version of an object that exists")
})

/**
 * Returns where a listing continues. Fails if the store repeats a marker, which would cause an endless loop.
 */
const readMarker = Effect.fnUntraced(function* (
  key: ObjectKey,
  advance: Advance.Advance,
  { DeleteMarkers = [], NextVersionIdMarker: id, Versions = [] }: VersionListing
): Effect.fn.Return<Marker, StorageError> {
  if (id === undefined) {
    return yield* misbehaved("delete", key, "the store says that there are more versions, but not where")
  }
  yield* Advance.step(advance, id, { forgets: false, listed: Versions.length + DeleteMarkers.length })
  return { key, id }
})
