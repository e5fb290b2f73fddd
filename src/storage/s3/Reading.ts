/** Reading objects: their bytes, their size and their time. */
import type { Readable } from "node:stream"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Duration, Effect, Option, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { StorageError } from "../../domain/StorageError.ts"
import { checkRange } from "../Checks.ts"
import { withOpening } from "../Readables.ts"
import type { ByteRange } from "../Storage.ts"
import type { Bucket } from "./Bucket.ts"
import { misbehaved, timedOut } from "./Failure.ts"

/**
 * Returns the bytes of an object, for `Storage.get`. They fail with `TimedOut` if the store sends none for `patience`, or for
 * up to twice as long to a pipe.
 */
export const readObject = (
  bucket: Bucket,
  patience: Duration.Duration,
  key: ObjectKey,
  range: ByteRange | undefined
): Stream.Stream<Uint8Array, StorageError> => {
  const silence = timedOut("get", key, `no bytes for ${Duration.format(patience)}`)
  const failure = (cause: unknown) =>
    cause instanceof StorageError ? cause : bucket.failed("get", key, cause)
  const open = openObject(bucket, key, range)
  const stream = Effect.map(open, (body) =>
    NodeStream.fromReadable({ evaluate: () => body, onError: failure }).pipe(
      Stream.timeoutOrElse({ duration: patience, orElse: () => Stream.fail(silence) })
    )
  )
  const opening = Effect.map(
    Effect.tap(open, (readable) => endSilence(readable, patience, silence)),
    (readable) => ({ readable, failure })
  )
  return withOpening(Stream.unwrap(stream), opening)
}

/** Opens an object. The scope's end destroys its body. */
const openObject = Effect.fn("S3.get")(function* (
  { calls, requests }: Bucket,
  key: ObjectKey,
  range: ByteRange | undefined
) {
  yield* checkRange(key, range)
  const { body, status } = yield* requests.lasting(
    { operation: "get", subject: key, send: (signal) => calls.get(key, range, signal) },
    ({ body }) => body?.destroy()
  )
  if (body === undefined) return yield* misbehaved("get", key, "the answer has no body")
  if (range !== undefined && status !== 206) {
    return yield* misbehaved("get", key, "the store ignored the range and sent the whole object")
  }
  return body
})

/**
 * Destroys a body that is piped if it flowed for `patience` and no byte arrived. A pipe whose reader is slow pauses its source,
 * which then does not flow.
 */
const endSilence = (readable: Readable, patience: Duration.Duration, silence: StorageError) => {
  let chunks = 0
  // Before the pipe, and paused: a listener makes a body flow unless it was paused before. The pipe makes it flow again.
  readable.pause()
  readable.on("data", () => {
    chunks += 1
  })
  const watch = Effect.gen(function* () {
    while (!readable.closed) {
      const before = { chunks, flows: readable.readableFlowing }
      yield* Effect.sleep(patience)
      if (before.flows && readable.readableFlowing && chunks === before.chunks) readable.destroy(silence)
    }
  })
  return Effect.forkScoped(watch)
}

/** Implements `Storage.head` for a bucket. */
export const headObject = Effect.fn("S3.head")(function* ({ calls, requests }: Bucket, key: ObjectKey) {
  const found = yield* requests
    .repeated({ operation: "head", subject: key, send: (signal) => calls.head(key, signal) })
    .pipe(
      Effect.asSome,
      Effect.catchIf(
        (error) => error.reason === "NotFound",
        () => Effect.succeedNone
      )
    )
  if (Option.isNone(found)) return Option.none()
  const { ContentLength: sizeBytes, LastModified } = found.value
  if (sizeBytes === undefined || LastModified === undefined) {
    return yield* misbehaved("head", key, "the answer has no size or no time")
  }
  return Option.some({ key, sizeBytes, modifiedAt: LastModified.getTime() })
})
