/**
 * Three ways to put a body, by its size: from memory, as a stream, in parts.
 *
 * All of them run the body once, fail with its own error when it fails, and leave nothing visible then. Bodies must
 * have been through `exactly` (../body.ts): they end where they were declared to end, or fail.
 */
import type { Readable } from "node:stream"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Deferred, Effect, Exit, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { Bucket, Upload } from "./Bucket.ts"
import { holdingBack, inParts, type Progress, partBytes, tracking } from "./body.ts"

/**
 * Bodies up to this size are read into memory before they are sent, so that sending them can be repeated. From
 * 2 MiB on the SDK asks first (`Expect: 100-continue`, on a connection of its own), so streaming is safe there: no
 * stale connection fails it, and a refusal arrives before the body is read.
 */
const bufferedBytes = 2 * 1024 * 1024 - 1

/** Parts of one upload on their way at once: one travels while the next is read. Three parts in memory at most. */
const partsAtOnce = 2

/** S3 may take minutes to assemble an object of many parts, and says so in the documentation of the request. */
const completePatience = 10

/** `Storage.put` for a bucket, once the body is checked. */
export const upload = <E, R>(
  bucket: Bucket,
  multipartAboveBytes: number,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number
): Effect.Effect<void, StorageError | E, R> =>
  sizeBytes > multipartAboveBytes
    ? putInParts(bucket, key, body, sizeBytes)
    : sizeBytes > bufferedBytes
      ? putStreamed(bucket, key, body, sizeBytes)
      : putBuffered(bucket, key, body)

/** The body is read before the request is made, so that a failed request can be repeated with it. */
const putBuffered = Effect.fnUntraced(function* <E, R>(
  { calls, requests }: Bucket,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>
) {
  const whole = Buffer.concat(yield* Stream.runCollect(body))
  yield* requests.repeated({
    operation: "put",
    subject: key,
    sizeBytes: whole.length,
    send: (signal) => calls.put(key, whole, whole.length, signal)
  })
})

const putStreamed = <E, R>(
  { calls, requests }: Bucket,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number
): Effect.Effect<void, StorageError | E, R> =>
  Effect.gen(function* () {
    const progress: Progress = { chunks: 0, isWaitingForBody: false }
    const broken = yield* Deferred.make<never, E>()
    // The SDK pipes the body and would not notice its failure. So it never fails for the SDK, it only never ends.
    const endless = tracking(holdingBack(body), progress).pipe(
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

/** Destroying it is an error to Node, and an error that nobody listens to ends the process. */
const quiet = (readable: Readable): Readable => readable.on("error", () => undefined)

/** Succeeds when the body's finalizers have run. */
const destroy = (readable: Readable): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (readable.closed) return resume(Effect.void)
    readable.once("close", () => resume(Effect.void))
    readable.destroy()
  })

const putInParts = <E, R>(
  bucket: Bucket,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number
): Effect.Effect<void, StorageError | E, R> =>
  Effect.acquireUseRelease(
    bucket.requests.repeated({
      operation: "put",
      subject: key,
      send: (signal) => bucket.calls.createUpload(key, signal)
    }),
    (upload) => sendParts(bucket, upload, body, sizeBytes),
    (upload, exit) => (Exit.isSuccess(exit) ? Effect.void : abort(bucket, upload))
  )

const sendParts = Effect.fnUntraced(function* <E, R>(
  { calls, requests }: Bucket,
  upload: Upload,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number
) {
  const sendPart = ([part, index]: readonly [Uint8Array, number]) =>
    requests.repeated({
      operation: "put",
      subject: upload.Key,
      sizeBytes: part.length,
      send: (signal) => calls.uploadPart(upload, index + 1, part, signal)
    })
  const parts = yield* inParts(body, partBytes(sizeBytes)).pipe(
    Stream.zipWithIndex,
    Stream.mapEffect(sendPart, { concurrency: partsAtOnce }),
    Stream.runCollect
  )
  yield* requests.repeated({
    operation: "put",
    subject: upload.Key,
    patience: completePatience,
    send: (signal) => calls.completeUpload(upload, parts, signal)
  })
})

const abort = ({ calls, name, requests }: Bucket, upload: Upload) =>
  requests
    .repeated({ operation: "put", subject: upload.Key, send: (signal) => calls.abortUpload(upload, signal) })
    .pipe(
      Effect.catch((error) =>
        Effect.logWarning("An unfinished upload stays in the bucket", error).pipe(
          Effect.annotateLogs({ bucket: name, key: upload.Key, uploadId: upload.UploadId })
        )
      )
    )
