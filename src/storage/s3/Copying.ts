/** Copies made by the store itself: no byte passes through this process. */
import { Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { checkCopy } from "../Checks.ts"
import { evenParts } from "./Body.ts"
import type { Bucket } from "./Bucket.ts"
import { misbehaved } from "./Failure.ts"
import { inOneUpload } from "./Multipart.ts"

/** The largest object, in bytes, that CopyObject takes. */
export const copyMaxBytes = 5 * 1024 ** 3

/** Large, because each part is a request and no part passes through memory. */
const partBytes = 512 * 1024 * 1024

/** The factor of the time limit: the store reads and writes gigabytes before it answers. */
const patience = 10

const partsAtOnce = 4

/** Implements `Storage.copy` for a bucket. Copies an object longer than `inPartsAboveBytes` in parts. */
export const copyObject = Effect.fn("S3.copy")(function* (
  bucket: Bucket,
  inPartsAboveBytes: number,
  from: ObjectKey,
  to: ObjectKey
) {
  yield* checkCopy(from, to)
  const { ContentLength: sizeBytes, ETag: etag } = yield* describe(bucket, from)
  if (sizeBytes === undefined) return yield* misbehaved("copy", from, "the answer has no size")
  const copying =
    sizeBytes <= inPartsAboveBytes
      ? copyWhole(bucket, from, to)
      : copyInParts(bucket, { key: from, etag, sizeBytes }, to, Math.min(partBytes, inPartsAboveBytes))
  yield* Effect.catchIf(
    copying,
    ({ reason }) => reason === "NotFound",
    (error) => Effect.andThen(describe(bucket, from), Effect.fail(doubted(error)))
  )
})

const describe = ({ calls, requests }: Bucket, key: ObjectKey) =>
  requests.repeated({ operation: "copy", subject: key, send: (signal) => calls.head(key, signal) })

/**
 * The caller reads `NotFound` as "the object does not exist". Some stores answer it for an object that they
 * show, as radosgw 16 does for a key with "%" that is copied in parts. The caller must see another failure.
 */
const doubted = ({ detail, subject }: StorageError): StorageError =>
  misbehaved("copy", subject, `the store does not find an object that it shows: ${detail}`)

const copyWhole = ({ calls, requests }: Bucket, from: ObjectKey, to: ObjectKey) =>
  Effect.asVoid(
    requests.repeated({
      operation: "copy",
      subject: from,
      patience,
      send: (signal) => calls.copy(from, to, signal)
    })
  )

interface Source {
  readonly key: ObjectKey
  readonly etag: string | undefined
  readonly sizeBytes: number
}

const copyInParts = (
  bucket: Bucket,
  { etag, key, sizeBytes }: Source,
  to: ObjectKey,
  leastBytes: number
): Effect.Effect<void, StorageError> => {
  const size = evenParts(sizeBytes, leastBytes)(0)
  const starts = Array.from({ length: Math.ceil(sizeBytes / size) }, (_, index) => index * size)
  return inOneUpload(bucket, "copy", to, (upload) =>
    Effect.forEach(
      starts,
      (start, index) => {
        const range = { start, end: Math.min(start + size, sizeBytes) - 1 }
        return bucket.requests.repeated({
          operation: "copy",
          subject: key,
          patience,
          send: (signal) => bucket.calls.copyPart(upload, index + 1, { key, etag }, range, signal)
        })
      },
      { concurrency: partsAtOnce }
    )
  )
}
