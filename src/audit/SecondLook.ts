/**
 * The second look: checks each suspicion of the first look again. The order of the checks makes the result a
 * proof, whatever happens meanwhile.
 *
 * - *Ownerless*: listed, then unknown to one snapshot of rows, uploads and journal, then still existing. A
 *   listed key has an intent before it has an object, and moves only from the intent towards the journal. An
 *   owner would therefore show in the snapshot. A key that left the journal has no object any more.
 * - *Missing*: absent, then still a blob's key. Rows are deleted before their objects, so the row existed
 *   without one.
 * - *Another size*: the same order, with the sizes of the second answers.
 * - *Another digest*: read twice, then still a blob's key.
 */
import { Clock, Duration, Effect, Option, Result, Schema } from "effect"
import { CollectorDatabase, type KnownKey } from "../database/Database.ts"
import type { Finding } from "../domain/AuditReport.ts"
import type { Digest } from "../domain/Digest.ts"
import { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { Storage, type StoredObject } from "../storage/Storage.ts"
import type * as Counts from "./Counts.ts"
import * as Digests from "./Digests.ts"
import { countOwned, type Pair, sizeFits } from "./FirstLook.ts"
import type { AuditSettings } from "./Settings.ts"

/** Maximum HEAD requests in flight. */
const headConcurrency = 16
/** Maximum objects read at once; each holds one chunk in memory. */
const readConcurrency = 4
const referrerConcurrency = 4

const isObjectKey = Schema.is(ObjectKey)

/**
 * Returns the current objects of these keys, by key. A string that is no object key (an empty one) has no
 * object.
 */
const heads = Effect.fnUntraced(function* (keys: ReadonlyArray<ObjectKey>) {
  const storage = yield* Storage
  const found = yield* Effect.forEach(keys.filter(isObjectKey), storage.head, {
    concurrency: headConcurrency
  })
  return new Map(found.flatMap((head) => (Option.isSome(head) ? [[head.value.key, head.value]] : [])))
})

/** Returns the current owner of each key, a blob before others. */
const owners = Effect.fnUntraced(function* (keys: ReadonlyArray<ObjectKey>) {
  const { audit } = yield* CollectorDatabase
  const found = new Map<ObjectKey, KnownKey>()
  for (const known of yield* audit.lookup(keys)) if (!found.has(known.key)) found.set(known.key, known)
  return found
})

const referrersOf = (digest: Digest) =>
  Effect.flatMap(CollectorDatabase, ({ audit }) => audit.referrers(digest))

/** Returns a finding for each of these objects that nothing owns. */
export const ownerless = Effect.fnUntraced(function* (
  unowned: ReadonlyArray<StoredObject>,
  settings: AuditSettings,
  counts: Counts.Counts
) {
  if (unowned.length === 0) return []
  const known = yield* owners(unowned.map(({ key }) => key))
  const cutoff = (yield* Clock.currentTimeMillis) - Duration.toMillis(settings.leftoverGrace)
  const old: Array<StoredObject> = []
  for (const object of unowned) {
    const owner = known.get(object.key)
    if (owner?.owner === "blob") counts.settled += 1
    else if (owner !== undefined) countOwned(counts, object, owner.owner)
    else if (object.modifiedAt > cutoff) {
      counts.young += 1
      counts.youngBytes += object.sizeBytes
    } else old.push(object)
  }
  const there = yield* heads(old.map(({ key }) => key))
  counts.settled += old.length - there.size
  return [...there.values()].map(
    ({ key, sizeBytes, modifiedAt }): Finding => ({
      _tag: "OwnerlessObject",
      key,
      sizeBytes,
      modifiedAt: new Date(modifiedAt).toISOString()
    })
  )
})

/** Returns a finding for each of these blobs without an object, or with one of another size. */
export const damaged = Effect.fnUntraced(function* (
  doubtful: ReadonlyArray<KnownKey>,
  counts: Counts.Counts
) {
  if (doubtful.length === 0) return []
  const keys = doubtful.map(({ key }) => key)
  const there = yield* heads(keys)
  const known = yield* owners(keys)
  const found = yield* Effect.forEach(
    keys,
    Effect.fnUntraced(function* (key) {
      const row = known.get(key)
      const object = there.get(key)
      if (row?.owner !== "blob" || row.digest === null) return null
      if (object !== undefined && sizeFits(row, object)) return null
      const blob = { key, digest: row.digest, referrers: yield* referrersOf(row.digest) }
      const finding: Finding =
        object === undefined
          ? { _tag: "MissingObject", ...blob, sizeBytes: row.sizeBytes }
          : {
              _tag: "SizeMismatch",
              ...blob,
              rowBytes: row.sizeBytes ?? 0,
              objectBytes: object.sizeBytes
            }
      return finding
    }),
    { concurrency: referrerConcurrency }
  )
  const findings = found.filter((finding) => finding !== null)
  counts.settled += doubtful.length - findings.length
  return findings
})

/**
 * Reads the objects. Returns a finding for each whose bytes have another digest, and the rows to check again
 * because their object was deleted meanwhile.
 */
export const unlike = Effect.fnUntraced(function* (pairs: ReadonlyArray<Pair>, counts: Counts.Counts) {
  const looked = yield* Effect.forEach(pairs, (pair) => readOne(pair, counts), {
    concurrency: readConcurrency
  })
  return {
    findings: looked.flatMap(({ finding }) => (finding === null ? [] : [finding])),
    gone: looked.flatMap(({ gone }) => (gone === null ? [] : [gone]))
  }
})

const readOne = Effect.fnUntraced(function* ({ row, object }: Pair, counts: Counts.Counts) {
  const nothing = { finding: null, gone: null }
  const { key, digest } = row
  const algorithm = digest === null ? null : Digests.algorithmOf(digest)
  if (digest === null || algorithm === null) {
    counts.unverifiable += 1
    return nothing
  }
  const read = Effect.result(Digests.read(key, algorithm))
  let last = yield* read
  if (Result.isSuccess(last) && last.success.digest !== digest) last = yield* read
  if (Result.isFailure(last)) {
    counts.sound -= 1
    return isAbsent(last.failure) ? { finding: null, gone: row } : yield* Effect.fail(last.failure)
  }
  const { digest: actual, bytes } = last.success
  if (actual === digest) {
    counts.verified += 1
    counts.verifiedBytes += bytes
    return nothing
  }
  counts.sound -= 1
  const now = (yield* owners([key])).get(key)
  if (now?.owner !== "blob" || now.digest !== digest) {
    counts.settled += 1
    return nothing
  }
  const finding: Finding = {
    _tag: "DigestMismatch",
    key,
    digest,
    actual,
    sizeBytes: object.sizeBytes,
    referrers: yield* referrersOf(digest)
  }
  return { finding, gone: null }
})

const isAbsent = (error: StorageError): boolean => error.reason === "NotFound"
