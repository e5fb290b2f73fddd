/** Sends stored bytes as they arrive from the store, as fast as the client reads. */
import { IncomingMessage } from "node:http"
import { Duration, Effect, Pull, Stream } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { type Opening, openingOf } from "../../storage/Readables.ts"
import type { BlobBytes } from "../Repositories.ts"
import { type HandlerContext, pathOf } from "./Handler.ts"

type BlobFailure = Stream.Error<BlobBytes>

/** Status and headers of a streamed response. */
export interface ResponseHead {
  readonly status: number
  readonly mediaType: string
  /** The length of the body, in bytes. */
  readonly sizeBytes: number
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Responds with `bytes`. Waits until the store has found them, so that a store that cannot be reached yields an error
 * response. If the store fails later, the connection ends before the declared length, which no client takes for success.
 *
 * Node pipes bytes that have a Node form: no effect runs for each chunk. Pipe or stream, the request's end closes the store's
 * body.
 */
export const streamedResponse = Effect.fnUntraced(function* (
  { idleTimeout }: HandlerContext,
  bytes: BlobBytes,
  head: ResponseHead
) {
  const { source, url } = yield* HttpServerRequest.HttpServerRequest
  cutOffAfter(idleTimeout, source)
  const opening = openingOf(bytes)
  return source instanceof IncomingMessage && opening !== null
    ? yield* piped(opening, head, source, url)
    : yield* streamed(bytes, head, url)
})

const streamed = Effect.fnUntraced(function* (bytes: BlobBytes, head: ResponseHead, url: string) {
  const pull = yield* Stream.toPull(bytes)
  const first = yield* Pull.catchDone(pull, () => Effect.succeed([]))
  const rest = Stream.tapError(Stream.fromPull(Effect.succeed(pull)), (error) => cutShort(error, url))
  return HttpServerResponse.stream(Stream.concat(Stream.fromArray(first), rest), optionsOf(head))
})

const piped = Effect.fnUntraced(function* (
  opening: Opening<BlobFailure>,
  head: ResponseHead,
  { socket }: IncomingMessage,
  url: string
) {
  const { failure, readable } = yield* opening
  const services = yield* Effect.context<never>()
  // Registered before the pipe, which ends the connection after it. A client that left has ended it before.
  readable.once("error", (cause) => {
    if (!socket.destroyed) Effect.runForkWith(services)(cutShort(failure(cause), url))
  })
  return HttpServerResponse.raw(readable, optionsOf(head))
})

const optionsOf = ({ status, mediaType, sizeBytes, headers }: ResponseHead) => ({
  status,
  headers,
  contentType: mediaType,
  contentLength: sizeBytes
})

const cutShort = (error: BlobFailure, url: string): Effect.Effect<void> =>
  Effect.annotateLogs(
    Effect.logError(
      `A response was cut short; the client sees a failed download and can repeat it. ${error.message}`
    ),
    { error: error._tag, path: pathOf(url) }
  )

/**
 * Makes Node close the connection if it is idle for that long. Closing it ends the request and releases the
 * store. Once the response has been sent, Node's limit for idle connections applies again. Other servers have
 * their own limits.
 */
const cutOffAfter = (idleTimeout: Duration.Duration, source: object): void => {
  if (source instanceof IncomingMessage) source.socket.setTimeout(Duration.toMillis(idleTimeout))
}
