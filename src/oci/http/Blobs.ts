/** Blobs of a repository: asking for one, reading its bytes or a range of them, and deleting it. */
import { Effect, Option } from "effect"
import { HttpServerResponse } from "effect/http"
import { BlobUnknown } from "../../blobs/BlobStore.ts"
import type { Digest } from "../../domain/Digest.ts"
import { byteRanges } from "./ByteRanges.ts"
import { allowsRange, etagOf, evaluate } from "./Conditions.ts"
import { emptyResponse, type HandlerContext, type HandlerRequest, type HandlerResult } from "./Handler.ts"
import { problem } from "./Problem.ts"
import { rangesMax, requestedRanges } from "./Ranges.ts"
import { isRedirected, redirected } from "./Redirect.ts"
import { streamedResponse } from "./StreamedResponse.ts"

/**
 * Responds whether the repository has the blob, and holds it, because the client will not push it again
 * (distribution-spec v1.1.1, "Checking if content exists").
 */
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

/**
 * Responds with the address of the bytes in the store, or with the bytes of a blob, or with ranges of them (distribution-spec v1.1.1,
 * "Pulling blobs").
 */
export const get = (
  context: HandlerContext,
  { request }: HandlerRequest,
  name: string,
  digest: Digest
): HandlerResult =>
  Effect.gen(function* () {
    const { key, sizeBytes, read } = yield* found(context.repositories.peek(name, digest), digest)
    const condition = evaluate(request.headers, digest)
    if (condition === "unchanged") return emptyResponse(304, validators(digest))
    if (condition !== "serve") return yield* condition
    if (isRedirected(context.redirect, request.headers["user-agent"])) {
      return yield* redirected(context.redirect, key, validators(digest))
    }
    const ranges = allowsRange(request.headers, digest)
      ? requestedRanges(request.headers.range, sizeBytes)
      : null
    if (ranges === "unsatisfiable") return yield* unsatisfiable(sizeBytes)
    if (ranges === "too many") return yield* tooManyRanges
    const headers = validators(digest)
    if (ranges === null) {
      return yield* streamedResponse(
        context,
        read(),
        { status: 200, mediaType, sizeBytes, headers },
        (start) => read({ start, end: sizeBytes - 1 })
      )
    }
    const [range, ...others] = ranges
    if (others.length > 0) {
      const { bytes, ...body } = byteRanges(ranges, { mediaType, sizeBytes, read })
      return yield* streamedResponse(context, bytes, { status: 206, ...body, headers })
    }
    const { end, start } = range
    return yield* streamedResponse(
      context,
      read(range),
      {
        status: 206,
        mediaType,
        sizeBytes: end - start + 1,
        headers: { ...headers, "content-range": `bytes ${start}-${end}/${sizeBytes}` }
      },
      (offset) => read({ start: start + offset, end })
    )
  })

/**
 * Ends the repository's hold on a blob; other repositories keep theirs (distribution-spec v1.1.1, "Deleting
 * Blobs").
 */
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
  problem(
    416,
    "SIZE_INVALID",
    `The blob has ${sizeBytes} bytes, and none of them are in the range. Ask for a range within it.`,
    {
      headers: { "content-range": `bytes */${sizeBytes}` }
    }
  )

const tooManyRanges = problem(
  400,
  "UNSUPPORTED",
  `The request asks for more than ${rangesMax} ranges. No byte was sent; ask for fewer ranges at a time, or for one.`
)
