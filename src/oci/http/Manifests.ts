/**
 * Manifests and indexes, by tag or digest (distribution-spec v1.1.1, "Pulling manifests", "Pushing
 * Manifests", "Deleting Manifests").
 */
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { ManifestStat } from "../Repositories.ts"
import { declaredLength } from "./Bodies.ts"
import { etagOf, evaluate, failed, isConditional } from "./Conditions.ts"
import { emptyResponse, type HandlerContext, type HandlerRequest, type HandlerResult } from "./Handler.ts"
import { manifestAt } from "./Location.ts"
import { problem } from "./Problem.ts"
import { streamedResponse } from "./StreamedResponse.ts"

/** Responds with a manifest, or to HEAD with its headers. */
export const get = (
  context: HandlerContext,
  { request }: HandlerRequest,
  name: string,
  reference: string
): HandlerResult =>
  Effect.gen(function* () {
    const manifest = yield* context.repositories.manifest(name, reference)
    const headers = validators(manifest)
    const condition = evaluate(request.headers, manifest.digest)
    if (condition === "unchanged") return emptyResponse(304, headers)
    if (condition !== "serve") return yield* condition
    const { mediaType, sizeBytes } = manifest
    if (request.method === "HEAD") {
      return HttpServerResponse.empty({
        status: 200,
        headers: { ...headers, "content-type": mediaType, "content-length": String(sizeBytes) }
      })
    }
    return yield* streamedResponse(context, manifest.bytes, { status: 200, mediaType, sizeBytes, headers })
  })

/**
 * Stores a manifest. Only manifests are kept in memory as a whole. A manifest is read before it takes a place, so that slow
 * clients keep no place from others.
 */
export const put = (
  context: HandlerContext,
  input: HandlerRequest,
  name: string,
  reference: string
): HandlerResult =>
  Effect.gen(function* () {
    const { request, query } = input
    yield* mayChange(context, input, name, reference)
    const max = context.manifestMaxBytes
    if ((declaredLength(request) ?? 0) > max) return yield* tooLong(max)
    const bytes = yield* context.bodies.hold(input.body(null), { maxBytes: max, tooLong: tooLong(max) })
    const tags = query.getAll("tag")
    const mediaType = request.headers["content-type"] ?? ""
    const storing = context.repositories.putManifest(name, bytes, {
      reference,
      tags,
      mediaType,
      // A manifest gives its repository the blobs that it refers to.
      ownBlobs: !input.identity.allowEverywhere("pull")
    })
    const { digest, subject } = yield* context.bodies.settleManifest(storing)
    return emptyResponse(201, {
      ...manifestAt(name, digest),
      ...(subject === null ? {} : { "oci-subject": subject }),
      ...(tags.length === 0 ? {} : { "oci-tag": tags.join(", ") })
    })
  })

/** Deletes a tag or, by digest, a manifest and its tags. */
export const remove = (
  context: HandlerContext,
  input: HandlerRequest,
  name: string,
  reference: string
): HandlerResult =>
  Effect.gen(function* () {
    yield* mayChange(context, input, name, reference)
    yield* context.repositories.deleteManifest(name, reference)
    return emptyResponse(202)
  })

const validators = ({ digest }: ManifestStat) => ({ "docker-content-digest": digest, etag: etagOf(digest) })

/**
 * Fails unless the conditions of a change are true. They are evaluated before the change, so two requests
 * that change one tag at the same instant under the same condition may both succeed.
 */
const mayChange = Effect.fnUntraced(function* (
  { repositories }: HandlerContext,
  { request }: HandlerRequest,
  name: string,
  reference: string
) {
  if (!isConditional(request.headers)) return
  const digest = yield* repositories.manifest(name, reference).pipe(
    Effect.map((manifest) => manifest.digest),
    Effect.catchTag("ManifestUnknown", () => Effect.succeed(null))
  )
  if (evaluate(request.headers, digest) !== "serve") return yield* failed
})

const tooLong = (max: number) =>
  problem(
    413,
    "SIZE_INVALID",
    `The manifest is longer than ${max} bytes, the most that this registry stores. Nothing was stored; push a smaller one.`,
    {
      detail: { maxBytes: max }
    }
  )
