/**
 * Pushing blobs: whole in one request, in a session of any number of chunks, or by mounting
 * (distribution-spec v1.1.1, "Pushing blobs").
 *
 * Each request of a session may arrive at another replica. `Uploads` checks the offsets that it names.
 */
import { Effect, Stream } from "effect"
import { SizeMismatch } from "../../blobs/errors.ts"
import { type Algorithm, algorithmOf, type Digest } from "../../domain/Digest.ts"
import { blobBytesMax, declaredLength, hasBody, UploadsFull } from "./Bodies.ts"
import { emptyResponse, type HandlerContext, type HandlerRequest, type HandlerResult } from "./Handler.ts"
import { blobAt, uploadAt } from "./Location.ts"
import { problem } from "./Problem.ts"
import { type ClosedRange, chunkRange } from "./Ranges.ts"
import { digestOf, otherName } from "./Target.ts"

/**
 * Starts an upload session, unless the blob can be mounted or comes with the request. Load is shed here and
 * nowhere else: later requests of a push wait instead, because some clients end the push after an error
 * there.
 */
export const begin = (context: HandlerContext, input: HandlerRequest, name: string): HandlerResult =>
  Effect.gen(function* () {
    const { query } = input
    const mounted = yield* mount(context, input, name)
    if (mounted !== null) return emptyResponse(201, blobAt(name, mounted))
    if (!(yield* context.bodies.hasRoom)) return yield* new UploadsFull()
    const digest = query.get("digest")
    if (digest !== null) return yield* whole(context, input, name, yield* digestOf(digest))
    const { id, receivedBytes } = yield* context.uploads.start(name, { algorithm: yield* algorithmIn(query) })
    return emptyResponse(202, uploadAt(name, id, receivedBytes))
  })

/** Adds a chunk. */
export const append = (
  context: HandlerContext,
  input: HandlerRequest,
  name: string,
  id: string
): HandlerResult =>
  Effect.gen(function* () {
    const chunk = yield* declaredChunk(input)
    const startByte = chunk.startByte ?? (yield* context.uploads.status(name, id)).receivedBytes
    const { receivedBytes } = yield* context.bodies.receive(input.client, input.body, (body) =>
      context.uploads.append(name, id, body, { ...chunk, startByte })
    )
    return emptyResponse(202, uploadAt(name, id, receivedBytes))
  })

/** Ends the session and makes its bytes a blob. A request without a body needs only the digest. */
export const finish = (
  context: HandlerContext,
  input: HandlerRequest,
  name: string,
  id: string
): HandlerResult =>
  Effect.gen(function* () {
    const { bodies, uploads } = context
    const digest = yield* digestOf(input.query.get("digest") ?? "")
    if (!hasBody(input.request)) {
      yield* uploads.finish(name, id, { digest })
    } else {
      const chunk = yield* declaredChunk(input)
      yield* bodies.receive(input.client, input.body, (body) =>
        uploads.finish(name, id, { digest, body, ...chunk })
      )
    }
    return emptyResponse(201, blobAt(name, digest))
  })

/** Responds with the session's offset. The offset in the address is ignored. */
export const status = (context: HandlerContext, name: string, id: string): HandlerResult =>
  Effect.map(context.uploads.status(name, id), ({ receivedBytes }) =>
    emptyResponse(204, uploadAt(name, id, receivedBytes))
  )

/** Cancels the session. */
export const cancel = (context: HandlerContext, name: string, id: string): HandlerResult =>
  Effect.as(context.uploads.cancel(name, id), emptyResponse(204))

/**
 * Returns the digest of a blob that was mounted, or null. A `from` that is not a valid name has no blobs, and neither has one
 * that the client may not read: it sends the bytes instead, which prove that it has them.
 */
const mount = Effect.fnUntraced(function* (
  { repositories }: HandlerContext,
  { identity, query }: HandlerRequest,
  name: string
) {
  const wanted = query.get("mount")
  if (wanted === null) return null
  const digest = yield* digestOf(wanted)
  const given = query.get("from") ?? ""
  const from = given === "" ? null : otherName(given)
  if (given !== "" && from === null) return null
  if (!(from === null ? identity.allowEverywhere("pull") : identity.allow("pull", from))) return null
  return (yield* repositories.mount(name, digest, from)) ? digest : null
})

const whole = Effect.fnUntraced(function* (
  { bodies, uploads }: HandlerContext,
  { body: read, client, request }: HandlerRequest,
  name: string,
  digest: Digest
) {
  const lengthBytes = declaredLength(request)
  if ((lengthBytes ?? 0) > blobBytesMax) return yield* tooLong
  yield* bodies.receive(client, read, (body) =>
    hasBody(request)
      ? uploads.whole(name, digest, body, lengthBytes)
      : uploads.whole(name, digest, Stream.empty, 0)
  )
  return emptyResponse(201, blobAt(name, digest))
})

interface DeclaredChunk {
  readonly startByte: number | undefined
  readonly sizeBytes: number | undefined
  /** Whether the client names a range, as those that send several chunks do. */
  readonly isOneOfSeveral: boolean
}

/** Reads offset and length of a chunk: from `Content-Range`, else from the address and `Content-Length`. */
const declaredChunk = Effect.fnUntraced(function* ({ request, query }: HandlerRequest) {
  const header = request.headers["content-range"]
  const lengthBytes = hasBody(request) ? declaredLength(request) : 0
  if (header === undefined) {
    const offset = query.get("_o") ?? ""
    const startByte = /^\d{1,15}$/.test(offset) ? Number(offset) : undefined
    if ((startByte ?? 0) + (lengthBytes ?? 0) > blobBytesMax) return yield* tooLong
    return { startByte, sizeBytes: lengthBytes, isOneOfSeveral: false } satisfies DeclaredChunk
  }
  const range = chunkRange(header)
  if (range === null) return yield* badRange
  if (range.end >= blobBytesMax) return yield* tooLong
  const sizeBytes = sizeOf(range)
  if (lengthBytes !== undefined && lengthBytes !== sizeBytes) {
    return yield* new SizeMismatch({ declared: sizeBytes, actual: lengthBytes })
  }
  return { startByte: range.start, sizeBytes, isOneOfSeveral: true } satisfies DeclaredChunk
})

const sizeOf = ({ start, end }: ClosedRange) => end - start + 1

const tooLong = problem(
  413,
  "SIZE_INVALID",
  "A blob has at most 5 TiB. Nothing of this request was stored.",
  { detail: { maxBytes: blobBytesMax }, headers: { connection: "close" } }
)

const badRange = problem(
  400,
  "BLOB_UPLOAD_INVALID",
  "Content-Range must name the first and last byte of the chunk without a unit, as in 0-1023. Nothing was stored."
)

/** Returns the algorithm that will name the blob, so that its chunks are hashed as they arrive. */
const algorithmIn = Effect.fnUntraced(function* (query: URLSearchParams) {
  const named = query.get("digest-algorithm")
  if (named === "sha256" || named === "sha512") return named
  if (named !== null) {
    return yield* problem(
      400,
      "DIGEST_INVALID",
      "The digest algorithm must be sha256 or sha512. No upload was started."
    )
  }
  const wanted = query.get("mount")
  const algorithm: Algorithm | null = wanted === null ? null : algorithmOf(yield* digestOf(wanted))
  return algorithm ?? undefined
})
