/** Reading objects: their bytes, their size and their time. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Duration, Effect, Option, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { checkRange } from "../Checks.ts"
import type { ByteRange } from "../Storage.ts"
import type { Bucket } from "./Bucket.ts"
import { misbehaved, timedOut } from "./Failure.ts"

/** Opens an object for `Storage.get`. The stream fails with `TimedOut` if no bytes arrive for `patience`. */
export const openObject = Effect.fn("S3.get")(function* (
  { calls, failed, requests }: Bucket,
  patience: Duration.Duration,
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
  const silence = timedOut("get", key, `no bytes for ${Duration.format(patience)}`)
  return NodeStream.fromReadable({
    evaluate: () => body,
    onError: (cause) => failed("get", key, cause)
  }).pipe(Stream.timeoutOrElse({ duration: patience, orElse: () => Stream.fail(silence) }))
})

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
