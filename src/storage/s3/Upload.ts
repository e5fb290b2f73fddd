/**
 * Three ways to put a body, by its size: from memory, as a stream, in parts. A body of unknown size is sent
 * from memory if it ends within one part, and in parts otherwise.
 *
 * Each way runs the body once. If the body fails, the put fails with the body's error and nothing becomes
 * visible. `exactly` (../Body.ts) must have checked the body's length.
 */
import type { Readable } from "node:stream"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Deferred, Effect, Sink, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { PutOptions } from "../Storage.ts"
import {
  delayingLast,
  growingParts,
  inParts,
  type Part,
  type Progress,
  partsMax,
  partsOf,
  readableOf,
  sha256Of,
  tracking
} from "./Body.ts"
import type { Bucket, Upload } from "./Bucket.ts"
import { ofManyParts, tooManyParts } from "./Failure.ts"
import { inOneUpload } from "./Multipart.ts"

/**
 * Bodies up to this size are read into memory before they are sent, so that the request can be repeated. From
 * 2 MiB on the SDK sends `Expect: 100-continue` on a new connection, so streaming is safe. No stale
 * connection breaks it, and a refusal arrives before the body is read.
 */
const bufferedBytes = 2 * 1024 * 1024 - 1

/**
 * The most parts of one upload in flight: one is sent while the next is read. At most three parts are in
 * memory, and two more for a body of unknown size.
 */
const partsAtOnce = 2

/** Implements `Storage.put` for a bucket, for a body whose length is checked. */
export const upload = <E, R, E2>(
  bucket: Bucket,
  multipartAboveBytes: number,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number | null,
  { onMultipart }: PutOptions<E2> = {}
): Effect.Effect<void, StorageError | E | E2, R> => {
  if (sizeBytes === null) return putToItsEnd(bucket, key, body, onMultipart)
  if (sizeBytes > multipartAboveBytes) {
    return putInParts(bucket, key, inParts(body, partsOf(sizeBytes)), onMultipart)
  }
  return sizeBytes > bufferedBytes
    ? putStreamed(bucket, key, body, sizeBytes)
    : putBuffered(bucket, key, body)
}

/** Reads the body before it sends the request, so that a failed request can be repeated. */
const putBuffered = Effect.fnUntraced(function* <E, R>(
  bucket: Bucket,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>
) {
  const chunks = yield* Stream.runCollect(body)
  yield* putPart(bucket, key, { chunks, sizeBytes: chunks.reduce((sum, { length }) => sum + length, 0) })
})

const putPart = (
  { calls, requests, signsParts }: Bucket,
  key: ObjectKey,
  part: Part
): Effect.Effect<void, StorageError> => {
  const { sizeBytes } = part
  const small = sizeBytes <= bufferedBytes ? Buffer.concat(part.chunks) : null
  const sha256 = small === null && signsParts ? sha256Of(part) : undefined
  return Effect.asVoid(
    requests.repeated({
      operation: "put",
      subject: key,
      sizeBytes,
      send: (signal) =>
        sending(small ?? readableOf(part), (body) => calls.put(key, body, sizeBytes, signal, sha256))
    })
  )
}

/** Destroys a stream whose request has ended, because the SDK leaves that of a failed request as it is. */
const sending = <B extends Uint8Array | Readable, A>(body: B, send: (body: B) => Promise<A>): Promise<A> => {
  if (body instanceof Uint8Array) return send(body)
  quiet(body)
  return send(body).finally(() => body.destroy())
}

const putStreamed = <E, R>(
  { calls, requests }: Bucket,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number
): Effect.Effect<void, StorageError | E, R> =>
  Effect.gen(function* () {
    const progress: Progress = { chunks: 0, isWaitingForBody: false }
    const broken = yield* Deferred.make<never, E>()
    // The SDK pipes the body and ignores its failure. So a failed body does not end for the SDK, and `broken`
    // ends the put.
    const endless = tracking(delayingLast(body), progress).pipe(
      Stream.catchCause((cause) =>
        Stream.fromEffectDrain(Deferred.failCause(broken, cause)).pipe(Stream.concat(Stream.never))
      )
    )
    const readable = yield* Effect.acquireRelease(Effect.map(NodeStream.toReadable(endless), quiet), destroy)
    const send = (signal: AbortSignal) => calls.put(key, readable, sizeBytes, signal)
    yield* Effect.raceFirst(
      requests.streamed({ operation: "put", subject: key, send }, progress),
      Deferred.await(broken)
    )
  }).pipe(Effect.scoped)

/** Destroying the stream emits an error, and Node ends the process for an error without a listener. */
const quiet = (readable: Readable): Readable => readable.on("error", () => undefined)

/** Destroys the stream and succeeds after the body's finalizers have run. */
const destroy = (readable: Readable): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (readable.closed) return resume(Effect.void)
    readable.once("close", () => resume(Effect.void))
    readable.destroy()
  })

/** Reads two parts before the first request: a body that ends within one needs no multipart upload. */
const putToItsEnd = <E, R, E2>(
  bucket: Bucket,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  onMultipart: PutOptions<E2>["onMultipart"]
): Effect.Effect<void, StorageError | E | E2, R> =>
  Effect.gen(function* () {
    const [first, rest] = yield* Stream.peel(inParts(body, growingParts), Sink.take<Part>(2))
    const [only = { chunks: [], sizeBytes: 0 }, second] = first
    if (second === undefined) return yield* putPart(bucket, key, only)
    yield* putInParts(bucket, key, Stream.concat(Stream.fromIterable(first), rest), onMultipart)
  }).pipe(Effect.scoped)

const putInParts = <E, R, E2>(
  bucket: Bucket,
  key: ObjectKey,
  parts: Stream.Stream<Part, E, R>,
  onMultipart: PutOptions<E2>["onMultipart"]
): Effect.Effect<void, StorageError | E | E2, R> =>
  Effect.suspend(() => {
    let takenBytes = 0
    let hasSeveralSizes = false
    const sendAll = Effect.fnUntraced(function* (upload: Upload) {
      if (onMultipart !== undefined) yield* onMultipart(upload.UploadId)
      let firstBytes = 0
      const sendPart = ([part, index]: readonly [Part, number]) => {
        if (index >= partsMax) return Effect.fail(tooManyParts("put", key))
        if (index === 0) firstBytes = part.sizeBytes
        // Only the last part is shorter.
        if (part.sizeBytes > firstBytes) hasSeveralSizes = true
        return Effect.tap(sendOne(bucket, upload, part, index + 1), () => {
          takenBytes += part.sizeBytes
          return Effect.void
        })
      }
      return yield* parts.pipe(
        Stream.zipWithIndex,
        Stream.mapEffect(sendPart, { concurrency: partsAtOnce }),
        Stream.runCollect
      )
    })
    return Effect.mapError(inOneUpload(bucket, "put", key, sendAll), (error) =>
      takenBytes === 0 ? error : ofManyParts(error, hasSeveralSizes)
    )
  })

const sendOne = ({ calls, requests, signsParts }: Bucket, upload: Upload, part: Part, number: number) => {
  const sha256 = signsParts ? sha256Of(part) : undefined
  return requests.repeated({
    operation: "put",
    subject: upload.Key,
    sizeBytes: part.sizeBytes,
    send: (signal) =>
      sending(readableOf(part), (body) =>
        calls.uploadPart(upload, number, body, part.sizeBytes, signal, sha256)
      )
  })
}
