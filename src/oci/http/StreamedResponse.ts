/** Sends stored bytes as they arrive from the store, as fast as the client reads. */
import { IncomingMessage } from "node:http"
import { Duration, Effect, Pull, Stream } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import type { BlobBytes } from "../Repositories.ts"
import { type HandlerContext, pathOf } from "./Handler.ts"

/** Status and headers of a streamed response. */
export interface ResponseHead {
  readonly status: number
  readonly mediaType: string
  /** The length of the body, in bytes. */
  readonly sizeBytes: number
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Responds with `bytes`. Waits for their first chunk, so that a store that cannot be reached yields an error
 * response. If the store fails later, the connection ends before the declared length, which no client takes
 * for success.
 */
export const streamedResponse = Effect.fnUntraced(function* (
  { idleTimeout }: HandlerContext,
  bytes: BlobBytes,
  { status, mediaType, sizeBytes, headers }: ResponseHead
) {
  const { source, url } = yield* HttpServerRequest.HttpServerRequest
  const pull = yield* Stream.toPull(bytes)
  const first = yield* Pull.catchDone(pull, () => Effect.succeed([]))
  const rest = Stream.tapError(Stream.fromPull(Effect.succeed(pull)), (error) =>
    Effect.annotateLogs(
      Effect.logError(
        `A response was cut short; the client sees a failed download and can repeat it. ${error.message}`
      ),
      {
        error: error._tag,
        path: pathOf(url)
      }
    )
  )
  cutOffAfter(idleTimeout, source)
  return HttpServerResponse.stream(Stream.concat(Stream.fromArray(first), rest), {
    status,
    headers,
    contentType: mediaType,
    contentLength: sizeBytes
  })
})

/**
 * Makes Node close the connection if it is idle for that long. Closing it ends the request and releases the
 * store. Once the response has been sent, Node's limit for idle connections applies again. Other servers have
 * their own limits.
 */
const cutOffAfter = (idleTimeout: Duration.Duration, source: object): void => {
  if (source instanceof IncomingMessage) source.socket.setTimeout(Duration.toMillis(idleTimeout))
}
