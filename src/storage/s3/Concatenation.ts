/**
 * One object made of several by the store itself, in a multipart upload. S3 copies parts of 5 MiB and more (UploadPartCopy).
 * Smaller pieces pass through memory, with bytes of their neighbour where they are too small for a part.
 */
import { Effect, Option, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { ByteRange, ConcatSource, PutOptions } from "../Storage.ts"
import { partsMax, readableOf, sha256Of } from "./Body.ts"
import type { Bucket, Part as SentPart, Upload } from "./Bucket.ts"
import { misbehaved, tooManyParts } from "./Failure.ts"
import { inOneUpload } from "./Multipart.ts"

/** The smallest part of an upload that is not its last: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html. */
export const leastPartBytes = 5 * 1024 * 1024

/** Large, because each part is a request and no part passes through memory. */
const copiedPartBytes = 512 * 1024 * 1024

/** The factor of the time limit: the store reads and writes a part before it answers. */
const patience = 10

/** Each may read up to 5 MiB into memory. */
const partsAtOnce = 4

/** Bytes of one object. Both ends are inclusive. */
interface Piece {
  readonly key: ObjectKey
  readonly range: Required<{ readonly [K in keyof ByteRange]: number }>
}

/** A part that the store copies, or that is read and sent. */
export type PlannedPart =
  | { readonly _tag: "copied"; readonly piece: Piece }
  | { readonly _tag: "sent"; readonly pieces: ReadonlyArray<Piece> }

/** Returns the parts that make one object of `sources`, in order. All but the last have at least 5 MiB. */
export const plan = (sources: ReadonlyArray<ConcatSource>): ReadonlyArray<PlannedPart> => {
  const parts: Array<PlannedPart> = []
  let pieces: Array<Piece> = []
  let sentBytes = 0
  const flush = () => {
    if (pieces.length > 0) parts.push({ _tag: "sent", pieces })
    pieces = []
    sentBytes = 0
  }
  for (const { key, sizeBytes } of sources) {
    let start = 0
    const missing = sentBytes === 0 ? 0 : Math.min(sizeBytes, leastPartBytes - sentBytes)
    const left = sizeBytes - missing
    if (missing > 0) {
      pieces.push({ key, range: { start: 0, end: missing - 1 } })
      sentBytes += missing
      start = missing
    }
    if (sentBytes >= leastPartBytes) flush()
    if (left >= leastPartBytes) {
      for (const range of cut(start, left)) parts.push({ _tag: "copied", piece: { key, range } })
    } else if (left > 0) {
      pieces.push({ key, range: { start, end: sizeBytes - 1 } })
      sentBytes += left
    }
  }
  flush()
  return parts
}

/** Cuts bytes into equal ranges of at most 512 MiB. */
const cut = (start: number, sizeBytes: number): ReadonlyArray<Piece["range"]> => {
  const count = Math.ceil(sizeBytes / copiedPartBytes)
  const size = Math.ceil(sizeBytes / count)
  return Array.from({ length: count }, (_, index) => ({
    start: start + index * size,
    end: Math.min(start + (index + 1) * size, start + sizeBytes) - 1
  }))
}

/** Implements `Storage.concat` for a bucket. `read` returns the bytes of an object. */
export const concatenate = Effect.fn("S3.concat")(function* <E>(
  bucket: Bucket,
  read: (key: ObjectKey, range: ByteRange) => Stream.Stream<Uint8Array, StorageError>,
  head: (key: ObjectKey) => Effect.Effect<Option.Option<{ readonly sizeBytes: number }>, StorageError>,
  sources: ReadonlyArray<ConcatSource>,
  to: ObjectKey,
  { onMultipart }: PutOptions<E> = {}
) {
  const parts = plan(sources)
  if (parts.length > partsMax) return yield* tooManyParts("copy", to)
  yield* inOneUpload(
    bucket,
    "copy",
    to,
    Effect.fnUntraced(function* (upload) {
      if (onMultipart !== undefined) yield* onMultipart(upload.UploadId)
      return yield* Effect.forEach(parts, (part, index) => bring(bucket, read, upload, index + 1, part), {
        concurrency: partsAtOnce
      })
    })
  )
  const expected = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const found = Option.getOrNull(yield* head(to))
  if (found?.sizeBytes !== expected) {
    const detail = `the object has ${found?.sizeBytes ?? "no"} bytes, and its sources have ${expected}`
    return yield* misbehaved("copy", to, detail)
  }
})

const bring = Effect.fnUntraced(function* (
  { calls, requests, signsParts }: Bucket,
  read: (key: ObjectKey, range: ByteRange) => Stream.Stream<Uint8Array, StorageError>,
  upload: Upload,
  number: number,
  part: PlannedPart
): Effect.fn.Return<SentPart, StorageError> {
  if (part._tag === "copied") {
    const { key, range } = part.piece
    return yield* requests.repeated({
      operation: "copy",
      subject: key,
      patience,
      // The keys of chunks are never written again, so no ETag is needed.
      send: (signal) => calls.copyPart(upload, number, { key, etag: undefined }, range, signal)
    })
  }
  const chunks: Array<Uint8Array> = []
  for (const { key, range } of part.pieces) chunks.push(...(yield* Stream.runCollect(read(key, range))))
  const sizeBytes = chunks.reduce((sum, { length }) => sum + length, 0)
  const sha256 = signsParts ? sha256Of({ chunks, sizeBytes }) : undefined
  return yield* requests.repeated({
    operation: "copy",
    subject: upload.Key,
    sizeBytes,
    send: (signal) => {
      const body = readableOf({ chunks, sizeBytes }).on("error", () => undefined)
      return calls.uploadPart(upload, number, body, sizeBytes, signal, sha256).finally(() => body.destroy())
    }
  })
})
