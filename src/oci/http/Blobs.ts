/** Blobs of a repository: whether it has one, its bytes or some of them, and taking it out of the repository. */
import { Effect, Option } from "effect"
import { HttpServerResponse } from "effect/http"
import { BlobUnknown } from "../../blobs/BlobStore.ts"
import type { Digest } from "../../domain/Digest.ts"
import { allowsRange, etagOf, evaluate } from "./Conditions.ts"
import { emptyResponse, type HandlerContext, type HandlerRequest, type HandlerResult } from "./Handler.ts"
import { problem } from "./Problem.ts"
import { requestedRange } from "./Ranges.ts"
import { streamedResponse } from "./StreamedResponse.ts"

/** distribution-spec v1.1.1, "Checking if content exists". A client that is told so will not push the blob: it is held. */
export const head = (
  context: HandlerContext,
  { request }: HandlerRequest,
  name: string,
  digest: Digest
): HandlerResult =>
  Effect.gen(function* () {
    const { sizeBytes } = yield* found(context.repositories.blob(name, digest), digest)
    const condition = evaluate(request.headers, digest)
    if (condition === "unchanged") return emptyResponse(304, validators(digest))
    if (condition !== "serve") return yield* condition
    return HttpServerResponse.empty({
      status: 200,
      headers: { ...validators(digest), "content-type": mediaType, "content-length": String(sizeBytes) }
    })
  })

/** distribution-spec v1.1.1, "Pulling blobs". */
export const get = (
  context: HandlerContext,
  { request }: HandlerRequest,
  name: string,
  digest: Digest
): HandlerResult =>
  Effect.gen(function* () {
    const { sizeBytes, read } = yield* found(context.repositories.peek(name, digest), digest)
    const condition = evaluate(request.headers, digest)
    if (condition === "unchanged") return emptyResponse(304, validators(digest))
    if (condition !== "serve") return yield* condition
    const range = allowsRange(request.headers, digest)
      ? requestedRange(request.headers.range, sizeBytes)
      : null
    if (range === "unsatisfiable") return yield* unsatisfiable(sizeBytes)
    if (range === null) {
      return yield* streamedResponse(context, read(), {
        status: 200,
        mediaType,
        sizeBytes,
        headers: validators(digest)
      })
    }
    return yield* streamedResponse(context, read(range), {
      status: 206,
      mediaType,
      sizeBytes: range.end - range.start + 1,
      headers: {
        ...validators(digest),
        "content-range": `bytes ${range.start}-${range.end}/${sizeBytes}`
      }
    })
  })

/** distribution-spec v1.1.1, "Deleting Blobs". Other repositories keep what they have. */
export const remove = (context: HandlerContext, name: string, digest: Digest): HandlerResult =>
  Effect.as(context.repositories.deleteBlob(name, digest), emptyResponse(202))

const mediaType = "application/octet-stream"

const validators = (digest: Digest) => ({
  "docker-content-digest": digest,
  etag: etagOf(digest),
  "accept-ranges": "bytes"
})

const found = <A, E>(looking: Effect.Effect<Option.Option<A>, E>, digest: Digest) =>
  Effect.flatMap(
    looking,
    Option.match({
      onSome: Effect.succeed,
      onNone: () => Effect.fail(new BlobUnknown({ digests: [digest] }))
    })
  )

const unsatisfiable = (sizeBytes: number) =>
  problem(416, "SIZE_INVALID", `The blob has ${sizeBytes} bytes, none of which are in the range.`, {
    headers: { "content-range": `bytes */${sizeBytes}` }
  })
