/** Manifests and indexes, by tag or digest (distribution-spec v1.1.1, "Pulling manifests", "Pushing Manifests", "Deleting Manifests"). */
import { Effect, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import type { ManifestStat } from "../Repositories.ts"
import { type Body, declaredLength } from "./Bodies.ts"
import { etagOf, evaluate, failed, isConditional } from "./Conditions.ts"
import { manifestAt } from "./Location.ts"
import { problem } from "./Problem.ts"
import { sending } from "./Reading.ts"
import { type Answer, type Asked, bare, type Serving } from "./Serving.ts"

export const get = (serving: Serving, { request }: Asked, name: string, reference: string): Answer =>
  Effect.gen(function* () {
    const manifest = yield* serving.repositories.manifest(name, reference)
    const headers = validators(manifest)
    const condition = evaluate(request.headers, manifest.digest)
    if (condition === "unchanged") return bare(304, headers)
    if (condition !== "serve") return yield* condition
    const { mediaType, sizeBytes } = manifest
    if (request.method === "HEAD") {
      return HttpServerResponse.empty({
        status: 200,
        headers: { ...headers, "content-type": mediaType, "content-length": String(sizeBytes) }
      })
    }
    return yield* sending(serving, manifest.bytes, { status: 200, mediaType, sizeBytes, headers })
  })

/** Only manifests are held as a whole, and not more of them at once than bodies of blobs are received. */
export const put = (serving: Serving, asked: Asked, name: string, reference: string): Answer =>
  serving.bodies.settle(
    Effect.gen(function* () {
      const { request, query } = asked
      yield* mayChange(serving, asked, name, reference)
      const max = serving.manifestMaxBytes
      if ((declaredLength(request) ?? 0) > max) return yield* tooLong(max)
      const bytes = yield* allOf(asked.body, max)
      const tags = query.getAll("tag")
      const mediaType = request.headers["content-type"] ?? ""
      const { digest, subject } = yield* serving.repositories.putManifest(name, bytes, {
        reference,
        tags,
        mediaType
      })
      return bare(201, {
        ...manifestAt(name, digest),
        ...(subject === null ? {} : { "oci-subject": subject }),
        ...(tags.length === 0 ? {} : { "oci-tag": tags.join(", ") })
      })
    })
  )

/** Deletes a tag, or by digest the manifest and its tags. */
export const remove = (serving: Serving, asked: Asked, name: string, reference: string): Answer =>
  Effect.gen(function* () {
    yield* mayChange(serving, asked, name, reference)
    yield* serving.repositories.deleteManifest(name, reference)
    return bare(202)
  })

const validators = ({ digest }: ManifestStat) => ({ "docker-content-digest": digest, etag: etagOf(digest) })

/**
 * Whether the conditions of a change hold. Asked before it is made: of two that change the same tag at the same instant
 * under the same condition, both may pass.
 */
const mayChange = Effect.fnUntraced(function* (
  { repositories }: Serving,
  { request }: Asked,
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

const allOf = Effect.fnUntraced(function* (body: Body, max: number) {
  const chunks: Array<Uint8Array> = []
  let length = 0
  yield* Stream.runForEach(body, (chunk) => {
    length += chunk.length
    if (length > max) return Effect.fail(tooLong(max))
    chunks.push(chunk)
    return Effect.void
  })
  return new Uint8Array(Buffer.concat(chunks))
})

const tooLong = (max: number) =>
  problem(413, "SIZE_INVALID", `A manifest may be ${max} bytes long at most. Nothing was stored.`, {
    detail: { maxBytes: max }
  })
