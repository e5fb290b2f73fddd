/** Sends stored bytes as they arrive from the store, as fast as the client reads. */
import { IncomingMessage } from "node:http"
import { Duration, Effect, Pull, Scope, Stream } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { type Opening, openingOf } from "../../storage/Readables.ts"
import type { BlobBytes } from "../Repositories.ts"
import { clientOf } from "./ClientAddress.ts"
import { type HandlerContext, pathOf } from "./Handler.ts"
import type { Transfer } from "./Places.ts"
import { type Readers, type ReaderTooSlow, resumable, type Source } from "./Readers.ts"

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
 * Responds with `bytes`. Waits for a place, and until the store has found them, so that a store that cannot be reached yields an
 * error response. If the store fails later, the connection ends before the declared length, which no client takes for success.
 * `from` returns the bytes from an offset on, for a response that was overtaken.
 *
 * Node pipes bytes that have a Node form: no effect runs for each chunk. Pipe or stream, the request's end closes the store's
 * body.
 */
export const streamedResponse = Effect.fnUntraced(function* (
  { idleTimeout, readers }: HandlerContext,
  bytes: BlobBytes,
  head: ResponseHead,
  from: ((offset: number) => BlobBytes) | null = null
) {
  const { source, url } = yield* HttpServerRequest.HttpServerRequest
  const transfer = yield* readers.take(clientOf(source))
  cutOffAfter(idleTimeout, source)
  const opening = openingOf(bytes)
  if (!(source instanceof IncomingMessage) || opening === null)
    return yield* streamed(transfer, bytes, head, url, source)
  // A client that reads slowly is not silent while the registry lets it wait.
  const onWait = (isWaiting: boolean) => cutOffAfter(isWaiting ? Duration.zero : idleTimeout, source)
  const bytesOf = { sizeBytes: head.sizeBytes, reopen: reopening(from), onWait }
  return yield* piped(readers, transfer, opening, head, bytesOf, source, url)
})

const reopening = (from: ((offset: number) => BlobBytes) | null): Source<BlobFailure>["reopen"] =>
  from === null
    ? null
    : (offset) => openingOf(from(offset)) ?? Effect.die(new Error("The store's bytes lost their Node form"))

/** A stream cannot be opened again where it ended, so an overtaken one ends with its connection. */
const streamed = Effect.fnUntraced(function* (
  transfer: Transfer,
  bytes: BlobBytes,
  head: ResponseHead,
  url: string,
  source: object
) {
  transfer.onLost = () => {
    if (source instanceof IncomingMessage) source.socket.destroy()
  }
  const pull = yield* Stream.toPull(bytes)
  let unread = 0
  const counted: typeof pull = Effect.suspend(() => {
    transfer.moved(unread)
    return Effect.map(pull, (chunks) => {
      unread = chunks.reduce((sum, { length }) => sum + length, 0)
      transfer.waits()
      return chunks
    })
  })
  const first = yield* Pull.catchDone(counted, () => Effect.succeed([]))
  const rest = Stream.tapError(Stream.fromPull(Effect.succeed(counted)), (error) => cutShort(error, url))
  return HttpServerResponse.stream(Stream.concat(Stream.fromArray(first), rest), optionsOf(head))
})

const piped = Effect.fnUntraced(function* (
  { minimumRate }: Readers,
  transfer: Transfer,
  opening: Opening<BlobFailure>,
  head: ResponseHead,
  source: Source<BlobFailure>,
  { socket }: IncomingMessage,
  url: string
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const first = yield* Scope.provide(opening, scope)
  const services = yield* Effect.context<never>()
  const readable = yield* resumable(first, scope, transfer, source, minimumRate)
  // Registered before the pipe, which ends the connection after it. A client that left has ended it before.
  readable.once("error", (cause) => {
    if (!socket.destroyed)
      Effect.runForkWith(services)(cutShort(isFailure(cause) ? cause : first.failure(cause), url))
  })
  return HttpServerResponse.raw(readable, optionsOf(head))
})

const optionsOf = ({ status, mediaType, sizeBytes, headers }: ResponseHead) => ({
  status,
  headers,
  contentType: mediaType,
  contentLength: sizeBytes
})

/** A response that is opened again fails with a failure. Node's streams fail with the cause of one. */
const isFailure = (cause: unknown): cause is BlobFailure | ReaderTooSlow =>
  cause instanceof Error && "_tag" in cause

const cutShort = (error: BlobFailure | ReaderTooSlow, url: string): Effect.Effect<void> =>
  error._tag === "ReaderTooSlow"
    ? Effect.annotateLogs(Effect.logDebug(error.message), { path: pathOf(url) })
    : Effect.annotateLogs(
        Effect.logError(
          `A response was cut short; the client sees a failed download and can repeat it. ${error.message}`
        ),
        { error: error._tag, path: pathOf(url) }
      )

/**
 * Makes Node close the connection if it is idle for that long, or never after 0. Closing it ends the request and releases the
 * store. Once the response has been sent, Node's limit for idle connections applies again. Other servers have
 * their own limits.
 */
const cutOffAfter = (idleTimeout: Duration.Duration, source: object): void => {
  if (source instanceof IncomingMessage) source.socket.setTimeout(Duration.toMillis(idleTimeout))
}
