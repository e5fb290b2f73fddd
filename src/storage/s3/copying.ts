/** Copies that the store makes by itself: no byte comes through this process. */
import { Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { checkCopy } from "../refusals.ts"
import type { Bucket } from "./Bucket.ts"
import { evenParts } from "./body.ts"
import { misbehaved } from "./failure.ts"
import { inOneUpload } from "./multipart.ts"

/** The largest object that CopyObject takes. */
export const copyMaxBytes = 5 * 1024 ** 3

/** Large, because each is a request and none passes through memory. */
const partBytes = 512 * 1024 * 1024

/** The store reads and writes gigabytes before it answers. */
const patience = 10

const partsAtOnce = 4

/** `Storage.copy` for a bucket; objects above `inPartsAboveBytes` are copied in parts. */
export const copyObject = Effect.fn("S3.copy")(function* (
  bucket: Bucket,
  inPartsAboveBytes: number,
  from: ObjectKey,
  to: ObjectKey
) {
  const { calls, requests } = bucket
  yield* checkCopy(from, to)
  const { ContentLength: sizeBytes, ETag: etag } = yield* requests.repeated({
    operation: "copy",
    subject: from,
    send: (signal) => calls.head(from, signal)
  })
  if (sizeBytes === undefined) return yield* misbehaved("copy", from, "the answer has no size")
  if (sizeBytes <= inPartsAboveBytes) {
    const send = (signal: AbortSignal) => calls.copy(from, to, signal)
    yield* requests.repeated({ operation: "copy", subject: from, patience, send })
    return
  }
  const size = evenParts(sizeBytes, Math.min(partBytes, inPartsAboveBytes))(0)
  const starts = Array.from({ length: Math.ceil(sizeBytes / size) }, (_, index) => index * size)
  yield* inOneUpload(bucket, "copy", to, (upload) =>
    Effect.forEach(
      starts,
      (start, index) => {
        const range = { start, end: Math.min(start + size, sizeBytes) - 1 }
        return requests.repeated({
          operation: "copy",
          subject: from,
          patience,
          send: (signal) => calls.copyPart(upload, index + 1, { key: from, etag }, range, signal)
        })
      },
      { concurrency: partsAtOnce }
    )
  )
})
