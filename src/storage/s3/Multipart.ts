/**
 * Multipart uploads: running one from start to end, and listing and aborting unfinished ones.
 *
 * An upload of this process is completed or aborted. If the process dies, the upload stays, takes space, and
 * appears in no listing of objects. `listUploads` finds it, or the bucket's lifecycle rule
 * AbortIncompleteMultipartUpload does.
 */
import { Effect, Exit, Option, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { MultipartUpload } from "../Storage.ts"
import * as Advance from "./Advance.ts"
import type { Bucket, Marker, Part, Upload, UploadListing } from "./Bucket.ts"
import { misbehaved, RequestFailed } from "./Failure.ts"
import { possibleKeys, readKey, warnOfIllegal } from "./Names.ts"

/**
 * The factor of the time limit: S3 documents that it may take minutes to assemble an object of many parts.
 */
const completePatience = 10

/** radosgw 16 took 306 s to abort an upload of 10,000 parts on a busy machine (load 20, 2026-11-30). */
const abortPatience = 20

/** How many uploads of a page have their parts listed at once. */
const lookingAtOnce = 8

/** Begins an upload, completes it with the parts that `send` returns, and aborts it if a step fails. */
export const inOneUpload = <E, R>(
  bucket: Bucket,
  operation: "put" | "copy",
  key: ObjectKey,
  send: (upload: Upload) => Effect.Effect<ReadonlyArray<Part>, E, R>
): Effect.Effect<void, StorageError | E, R> =>
  Effect.acquireUseRelease(
    begin(bucket, operation, key),
    (upload) =>
      Effect.flatMap(send(upload), (parts) =>
        bucket.requests.repeated({
          operation,
          subject: key,
          patience: completePatience,
          send: (signal) => bucket.calls.completeUpload(upload, parts, signal)
        })
      ),
    (upload, exit) => (Exit.isSuccess(exit) ? Effect.void : giveUp(bucket, upload))
  ).pipe(Effect.asVoid)

/** Begins an upload without parts, which is aborted when the scope closes. */
export const openUpload = (bucket: Bucket, key: ObjectKey) =>
  Effect.acquireRelease(begin(bucket, "probe", key), (upload) => giveUp(bucket, upload))

const begin = Effect.fnUntraced(function* (
  { calls, requests }: Bucket,
  operation: "put" | "copy" | "probe",
  key: ObjectKey
): Effect.fn.Return<Upload, StorageError> {
  const UploadId = yield* requests.repeated({
    operation,
    subject: key,
    send: (signal) => calls.createUpload(key, signal)
  })
  if (UploadId === undefined) return yield* misbehaved(operation, key, "the new upload has no id")
  return { Key: key, UploadId }
})

/** Waits no longer than for another request: an interrupted process ends with it, and a sweep aborts the rest. */
const giveUp = (bucket: Bucket, { Key, UploadId }: Upload) =>
  abort(bucket, { key: Key, uploadId: UploadId }, 1).pipe(
    Effect.catch((error) =>
      Effect.logWarning("An unfinished upload could not be aborted and stays in the bucket", error).pipe(
        Effect.annotateLogs({ bucket: bucket.name, key: Key, uploadId: UploadId })
      )
    )
  )

/** Implements `Storage.abortMultipart` for a bucket. */
export const abortUpload = (
  bucket: Bucket,
  upload: Pick<MultipartUpload, "key" | "uploadId">
): Effect.Effect<void, StorageError> => abort(bucket, upload, abortPatience)

const abort = (
  { calls, requests }: Bucket,
  { key, uploadId }: Pick<MultipartUpload, "key" | "uploadId">,
  patience: number
): Effect.Effect<void, StorageError> =>
  requests
    .repeated({
      operation: "abort",
      subject: key,
      patience,
      send: (signal) => calls.abortUpload({ Key: key, UploadId: uploadId }, signal)
    })
    .pipe(
      Effect.asVoid,
      Effect.catchIf(isOver, () => Effect.void)
    )

/** Whether the store says that the upload is completed, aborted or unknown. radosgw says `NoSuchKey`. */
const isOver = ({ cause }: StorageError): boolean =>
  cause instanceof RequestFailed && (cause.code === "NoSuchUpload" || cause.code === "NoSuchKey")

/** Emits the unfinished uploads that the store lists below a prefix, and whose key `isWanted`. */
export const listUploads = (
  bucket: Bucket,
  prefix: string,
  isWanted: (key: ObjectKey) => boolean = () => true
) =>
  Stream.suspend(() => {
    const advance = Advance.begin("list", `uploads in ${bucket.name}/${prefix}`)
    return Stream.paginate({ key: undefined, id: undefined }, (from: Marker) =>
      listPage(bucket, prefix, isWanted, advance, from)
    )
  })

const listPage = Effect.fn("S3.multiparts")(function* (
  bucket: Bucket,
  prefix: string,
  isWanted: (key: ObjectKey) => boolean,
  advance: Advance.Advance,
  from: Marker
) {
  const { calls, name, requests } = bucket
  const { subject } = advance
  const listing = yield* requests.repeated({
    operation: "list",
    subject,
    send: (signal) => calls.listUploads(prefix, from, signal)
  })
  yield* Advance.checkTruncation(advance, listing)
  const { begun, illegal } = yield* readPage(subject, listing)
  const next = yield* readMarker(advance, listing)
  yield* warnOfIllegal("Unfinished uploads", illegal, name, prefix)
  const wanted = begun.filter(({ keys }) => keys.some(isWanted))
  const found = yield* Effect.forEach(wanted, (upload) => lastActivity(bucket, upload), {
    concurrency: lookingAtOnce
  })
  const uploads = found.flatMap(Option.toArray)
  const isEnd = uploads.length === 0 && Option.isNone(next)
  return [isEnd ? [] : [uploads], next] as const
})

/** An upload as a page names it. */
interface Begun {
  /** The keys that it may have. Usually there is one. */
  readonly keys: ReadonlyArray<ObjectKey>
  readonly uploadId: string
  readonly begunAt: number
}

/**
 * Returns the uploads of a page. Fails with `Misbehaved` for an upload without id or time, whose age is unknown.
 */
const readPage = Effect.fnUntraced(function* (subject: string, listing: UploadListing) {
  const begun: Array<Begun> = []
  let illegal = 0
  for (const { Key, UploadId, Initiated } of listing.Uploads ?? []) {
    const keys = possibleKeys(Key, listing)
    if (keys.length === 0) {
      illegal++
      continue
    }
    const begunAt = Initiated?.getTime()
    if (UploadId === undefined || begunAt === undefined || Number.isNaN(begunAt)) {
      return yield* misbehaved("list", subject, `the store listed an upload of "${Key}" without id or time`)
    }
    begun.push({ keys, uploadId: UploadId, begunAt })
  }
  return { begun, illegal }
})

/**
 * Returns where the listing continues: after its last upload. The store's own marker is encoded if the
 * listing says that it is encoded. In a listing that does not say so (radosgw) the marker is plain, and only
 * there it is used. A store that repeats a marker would cause an endless loop, so that is a failure.
 */
const readMarker = Effect.fnUntraced(function* (
  advance: Advance.Advance,
  listing: UploadListing
): Effect.fn.Return<Option.Option<Marker>, StorageError> {
  if (listing.IsTruncated !== true) return Option.none()
  const last = listing.Uploads?.at(-1)
  const key = listing.EncodingType === "url" ? readKey(last?.Key, listing) : listing.NextKeyMarker
  const id = listing.NextUploadIdMarker ?? last?.UploadId
  if (key === undefined) {
    return yield* misbehaved("list", advance.subject, "the store says that there is more, but not where")
  }
  // No order proves that an answer repeats no earlier one.
  const progress = { forgets: false, listed: listing.Uploads?.length ?? 0 }
  yield* Advance.step(advance, `${key} ${id}`, progress)
  return Option.some({ key, id })
})

/** Returns the upload with the time of its newest part, or none if it ended after it was listed. */
const lastActivity = Effect.fnUntraced(function* (bucket: Bucket, { begunAt, keys, uploadId }: Begun) {
  for (const key of keys) {
    const newest = yield* newestPart(bucket, { Key: key, UploadId: uploadId })
    if (Option.isNone(newest)) continue
    return Option.some<MultipartUpload>({ key, uploadId, lastActivityAt: Math.max(begunAt, newest.value) })
  }
  return Option.none<MultipartUpload>()
})

/** Returns the time of the newest part, 0 if there is no part, or none if the upload does not exist. */
const newestPart = (
  { calls, requests }: Bucket,
  upload: Upload
): Effect.Effect<Option.Option<number>, StorageError> =>
  Stream.paginate(
    undefined,
    Effect.fnUntraced(function* (after: string | undefined) {
      const request = { operation: "list", subject: upload.Key } as const
      const listing = yield* requests.repeated({
        ...request,
        send: (signal) => calls.listParts(upload, after, signal)
      })
      yield* Advance.checkTruncation(request, listing)
      const { IsTruncated, NextPartNumberMarker: next, Parts = [] } = listing
      // Parts are listed by number. The newest may be on the last page.
      if (IsTruncated === true && !(Number(next) > Number(after ?? -1))) {
        return yield* misbehaved(
          "list",
          upload.Key,
          "the store says that there are more parts, but not where"
        )
      }
      return [
        Parts.map(({ LastModified }) => LastModified?.getTime() ?? 0),
        IsTruncated === true ? Option.fromUndefinedOr(next) : Option.none()
      ] as const
    })
  ).pipe(
    Stream.runFold(
      () => 0,
      (latest, at) => Math.max(latest, at)
    ),
    Effect.asSome,
    Effect.catchIf(isOver, () => Effect.succeedNone)
  )
