/**
 * Listings: the tags of a repository, the repositories, and the referrers of a manifest (distribution-spec
 * v1.1.1, "Content Discovery").
 */
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { Digest } from "../../domain/Digest.ts"
import type { Manifest } from "../database/RegistryDatabase.ts"
import type { Page, PageOptions } from "../Repositories.ts"
import type { HandlerContext, HandlerRequest, HandlerResult } from "./Handler.ts"
import { nextPage } from "./Location.ts"
import { problem } from "./Problem.ts"

/** Longest page, also if the client asks for more. Ten thousand tags are at most 1.3 MB. */
export const pageMax = 10_000

/** Lists the tags of a repository. */
export const tags = (context: HandlerContext, input: HandlerRequest, name: string): HandlerResult =>
  Effect.gen(function* () {
    const options = yield* pageIn(input)
    const page = yield* context.repositories.tags(name, options)
    return HttpServerResponse.jsonUnsafe(
      { name, tags: page.items },
      { headers: linkTo(`/v2/${name}/tags/list`, page, options.limit, page.items.at(-1)) }
    )
  })

/**
 * Lists the repositories that have a manifest. Docker's API has this address; the OCI specification left it
 * out. With `untagged=true` a further field names those of the page that have no tag, so that no client meets a field that it
 * did not ask for.
 */
export const catalog = (context: HandlerContext, input: HandlerRequest): HandlerResult =>
  Effect.gen(function* () {
    const options = yield* pageIn(input)
    const wanted = input.query.get("untagged") === "true"
    const page = yield* context.repositories.list(options)
    const untagged = wanted ? { untagged: yield* context.repositories.withoutTags(page.items) } : {}
    const more: Readonly<Record<string, string>> = wanted ? { untagged: "true" } : {}
    return HttpServerResponse.jsonUnsafe(
      { repositories: page.items, ...untagged },
      { headers: linkTo("/v2/_catalog", page, options.limit, page.items.at(-1), more) }
    )
  })

/** Lists the referrers of a manifest. Never responds with 404, after which clients look for a tag instead. */
export const referrers = (
  context: HandlerContext,
  input: HandlerRequest,
  name: string,
  subject: Digest
): HandlerResult =>
  Effect.gen(function* () {
    const options = yield* pageIn(input)
    const artifactType = input.query.get("artifactType") ?? ""
    const filter: Readonly<Record<string, string>> = artifactType === "" ? {} : { artifactType }
    const page = yield* context.repositories.referrers(name, subject, { ...options, ...filter })
    const path = `/v2/${name}/referrers/${subject}`
    return HttpServerResponse.jsonUnsafe(
      { schemaVersion: 2, mediaType: indexType, manifests: page.items.map(descriptorOf) },
      {
        contentType: indexType,
        headers: {
          ...linkTo(path, page, options.limit, page.items.at(-1)?.digest, filter),
          ...(artifactType === "" ? {} : { "oci-filters-applied": "artifactType" })
        }
      }
    )
  })

const indexType = "application/vnd.oci.image.index.v1+json"

const descriptorOf = ({ mediaType, digest, sizeBytes, artifactType, annotations }: Manifest) => ({
  mediaType,
  digest,
  size: sizeBytes,
  ...(artifactType === null ? {} : { artifactType }),
  ...(annotations === null ? {} : { annotations })
})

/** Reads the query parameters `n` and `last`. */
const pageIn = ({ query }: HandlerRequest) =>
  Effect.suspend(() => {
    const count = query.get("n")
    if (count !== null && !/^\d+$/.test(count)) {
      return Effect.fail(
        problem(400, "UNSUPPORTED", "The query parameter n must be a whole number, 0 or more.")
      )
    }
    const after = query.get("last") ?? ""
    return Effect.succeed<PageOptions>({
      limit: count === null ? pageMax : Math.min(Number(count), pageMax),
      ...(after === "" ? {} : { after })
    })
  })

const linkTo = <A>(
  path: string,
  { hasMore }: Page<A>,
  limit: number,
  last: string | undefined,
  more: Readonly<Record<string, string>> = {}
): Readonly<Record<string, string>> =>
  hasMore && last !== undefined ? nextPage(path, { ...more, n: String(limit), last }) : {}
