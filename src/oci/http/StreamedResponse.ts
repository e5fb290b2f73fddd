/** How bytes that are stored are sent: as they come from the store, as fast as the client reads. */
import { IncomingMessage } from "node:http"
import { Duration, Effect, Pull, Stream } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import type { BlobBytes } from "../Repositories.ts"
import { type HandlerContext, pathOf } from "./Handler.ts"

export interface ResponseHead {
  readonly status: number
  readonly mediaType: string
  readonly sizeBytes: number
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Answers with `bytes`. Their first chunk is waited for, so that a store that cannot be reached is an error of HTTP. If
 * it fails later, the connection ends before the declared length is reached, which no client takes for success.
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
    Effect.annotateLogs(Effect.logError(`An answer was cut short. ${error.message}`), {
      error: error._tag,
      path: pathOf(url)
    })
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
 * Node ends a connection over which nothing went for so long, which ends the request and lets go of the store. When the
 * answer has been sent, Node's limit for idle connections takes the place of this one. Other servers have their own.
 */
const cutOffAfter = (idleTimeout: Duration.Duration, source: object): void => {
  if (source instanceof IncomingMessage) source.socket.setTimeout(Duration.toMillis(idleTimeout))
}
