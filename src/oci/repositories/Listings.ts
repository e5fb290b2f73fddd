/** Finds and deletes what a repository has by name: manifests, tags, referrers. */
import { Clock, Effect, Option } from "effect"
import { touchEveryMillis } from "../../database/Database.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { Manifest, StoredManifest } from "../database/RegistryDatabase.ts"
import { ManifestNeeded, ManifestUnknown, RepositoryUnknown } from "./errors.ts"
import { digestOf, nameOf, type RepositoryContext } from "./RepositoryContext.ts"

/** A page of a listing. */
export interface Page<A> {
  /** The items, in the order of the listing. */
  readonly items: ReadonlyArray<A>
  /** Whether another page follows. */
  readonly hasMore: boolean
}

/** Which page of a listing. */
export interface PageOptions {
  /** The last item of the page before. Default: the listing begins with its first item. */
  readonly after?: string | undefined
  /** Most items of the page. With 0 the page is empty and none follows, because it has no last item. */
  readonly limit: number
}

/** Implements `Repositories.manifest`. */
export const manifest = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  reference: string
) {
  const name = Option.getOrNull(nameOf(reference))
  if (name === null) return yield* new ManifestUnknown({ repository, reference })
  const found = Option.getOrNull(yield* context.registry.manifests.find(repository, name))
  if (found === null) return yield* new ManifestUnknown({ repository, reference })
  const { digest, key, mediaType, sizeBytes } = found
  if (!(yield* renew(context, found))) return yield* new ManifestUnknown({ repository, reference })
  yield* context.pulls.note(repository, name)
  return { digest, mediaType, sizeBytes, bytes: context.blobs.open(digest, undefined, key) }
})

/**
 * Puts off the expiry of a manifest without a tag, so that its client can pull its layers or push an index
 * that lists it. Returns false if the manifest was deleted. Writes as rarely as a blob is marked used, and
 * more often only where waits are short.
 *
 * A failed write is logged and the client gets the manifest: pulls must work while the database is read-only.
 */
const renew = Effect.fnUntraced(function* (
  { registry: { manifests }, holdMillis }: RepositoryContext,
  { digest, repository, untaggedAt }: StoredManifest
) {
  const now = yield* Clock.currentTimeMillis
  if (untaggedAt === null || now - untaggedAt <= Math.min(touchEveryMillis, holdMillis / 4)) return true
  return yield* Effect.catch(manifests.touch(now, repository, digest), (error) =>
    Effect.as(
      Effect.logWarning(
        "The expiry of an untagged manifest was not put off. The client gets it, and a sweep may delete it sooner.",
        error
      ),
      true
    )
  )
})

/** Most indexes that an error names. A client that deletes these is told of the next ones. */
const namedIndexesMax = 10

/** Implements `Repositories.deleteManifest`. */
export const deleteManifest = Effect.fnUntraced(function* (
  { registry: { manifests }, withReferrers }: RepositoryContext,
  repository: string,
  reference: string
) {
  const name = Option.getOrNull(nameOf(reference))
  const now = yield* Clock.currentTimeMillis
  if (name === null) return yield* new ManifestUnknown({ repository, reference })
  if (name._tag === "Tag") {
    const wasThere = yield* manifests.untag(now, repository, name.tag)
    return wasThere ? undefined : yield* new ManifestUnknown({ repository, reference })
  }
  const outcome = yield* manifests.delete(now, repository, name.digest, { withReferrers })
  if (outcome === "unknown") return yield* new ManifestUnknown({ repository, reference })
  if (outcome !== "listed") return
  const listing = yield* manifests.listing(repository, name.digest, namedIndexesMax)
  return yield* new ManifestNeeded({
    repository,
    digest: name.digest,
    indexes: listing.map(({ digest, untaggedAt }) => ({
      digest,
      untaggedSince: untaggedAt === null ? null : new Date(untaggedAt).toISOString()
    }))
  })
})

/** Implements `Repositories.tags`. */
export const tags = Effect.fnUntraced(function* (
  { registry: { manifests } }: RepositoryContext,
  repository: string,
  { after = "", limit }: PageOptions
) {
  const found = yield* manifests.tags(repository, after === "" ? null : after, limit + 1)
  if (Option.isNone(found)) return yield* new RepositoryUnknown({ repository })
  return pageOf(found.value, limit)
})

/** Implements `Repositories.list`. */
export const list = Effect.fnUntraced(function* (
  { registry: { manifests } }: RepositoryContext,
  { after = "", limit }: PageOptions
) {
  return pageOf(yield* manifests.repositories(after === "" ? null : after, limit + 1), limit)
})

/** Implements `Repositories.withoutTags`. */
export const withoutTags = (
  { registry: { manifests } }: RepositoryContext,
  repositories: ReadonlyArray<string>
) => (repositories.length === 0 ? Effect.succeed(repositories) : manifests.withoutTags(repositories))

const pageOf = <A>(found: ReadonlyArray<A>, limit: number): Page<A> => ({
  items: found.slice(0, limit),
  hasMore: limit > 0 && found.length > limit
})

/** Referrers read at a time. Each has its annotations, which may be as long as a manifest: 4 MiB. */
const referrersAtATime = 16

/**
 * Longest page of referrers, in characters of its JSON. The page is itself an index, and clients read 4 MiB
 * of one (distribution-spec v1.1.1, "Listing Referrers" and "Pushing Manifests").
 */
const referrersMaxCharacters = 3 * 1024 * 1024

/** Implements `Repositories.referrers`. */
export const referrers = Effect.fnUntraced(function* (
  { registry: { manifests } }: RepositoryContext,
  repository: string,
  subject: Digest,
  { after, artifactType = null, limit }: PageOptions & { readonly artifactType?: string | null | undefined }
) {
  const items: Array<Manifest> = []
  let length = 0
  let last = after === undefined ? null : Option.getOrNull(digestOf(after))
  while (limit > 0) {
    const wanted = Math.min(referrersAtATime, limit + 1 - items.length)
    const found = yield* manifests.referrers(repository, subject, artifactType, last, wanted)
    for (const referrer of found) {
      length += JSON.stringify(referrer).length
      const isFull = items.length === limit || (items.length > 0 && length > referrersMaxCharacters)
      if (isFull) return { items, hasMore: true }
      items.push(referrer)
      last = referrer.digest
    }
    if (found.length < wanted) break
  }
  return { items, hasMore: false }
})
