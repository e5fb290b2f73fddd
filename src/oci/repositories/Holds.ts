/**
 * How a repository has a blob: by a manifest that refers to it, or by its hold. The hold is one pin for all
 * clients that pushed the blob to the repository, mounted it, or were told of it (docs/decisions/0011).
 *
 * Invariant: a client that {@link blob} told of a blob finds it for at least three quarters of a hold. Only
 * deleting the blob itself ends that earlier.
 */
import { Clock, Effect, Option } from "effect"
import { BlobUnknown } from "../../blobs/errors.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ByteRange } from "../../storage/Storage.ts"
import type { RepositoryBlob } from "../database/RegistryDatabase.ts"
import { holdId } from "../Names.ts"
import { BlobNeeded } from "./errors.ts"
import type { RepositoryContext } from "./RepositoryContext.ts"

/**
 * Share of a hold that must be left for it not to be renewed. A blob that every build asks for costs few
 * writes.
 */
const renewBelow = 3 / 4

/** Implements `Repositories.blob`. */
export const blob = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const found = yield* find(context, repository, digest)
  if (Option.isNone(found)) return Option.none()
  const { heldUntil, sizeBytes } = found.value
  const now = yield* Clock.currentTimeMillis
  const isHeld = heldUntil !== null && heldUntil - now >= context.holdMillis * renewBelow
  // A blob that was deleted since it was found, or whose bytes are in doubt, must be pushed again.
  return isHeld || (yield* hold(context, repository, digest))
    ? Option.some({ digest, sizeBytes })
    : Option.none()
})

/** Implements `Repositories.peek`. */
export const peek = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const found = yield* find(context, repository, digest)
  return Option.map(found, ({ key, sizeBytes }) => ({
    digest,
    sizeBytes,
    key,
    read: (range?: ByteRange) => context.blobs.open(digest, range, key)
  }))
})

/** Implements `Repositories.mount`. */
export const mount = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  digest: Digest,
  from: string | null
) {
  if (from !== null && Option.isNone(yield* find(context, from, digest))) return false
  return yield* hold(context, repository, digest)
})

/** Implements `Repositories.deleteBlob`. */
export const deleteBlob = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const found = yield* find(context, repository, digest)
  if (Option.isNone(found)) return yield* new BlobUnknown({ digests: [digest] })
  if (found.value.isReferenced) return yield* new BlobNeeded({ repository, digest })
  // A manifest that was stored since the check keeps the blob by its own reference, so the order does not
  // matter.
  yield* context.database.unpin([holdId(repository, digest)])
})

/**
 * Returns the blob if the repository has it now. A hold that has ended does not count, also before a sweep
 * deletes it.
 */
const find = Effect.fnUntraced(function* (
  { registry }: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const found = yield* registry.manifests.blob(repository, digest)
  const now = yield* Clock.currentTimeMillis
  return Option.filter(
    found,
    ({ heldUntil, isReferenced }: RepositoryBlob) => isReferenced || (heldUntil !== null && heldUntil > now)
  )
})

/** Begins or renews the hold. Returns false if the blob is not live. */
const hold = Effect.fnUntraced(function* (
  { database, holdMillis }: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const now = yield* Clock.currentTimeMillis
  const pin = { id: holdId(repository, digest), digest, expiresAt: now + holdMillis }
  const live = yield* database.adopt(now, [], { pins: [pin] })
  return live.has(digest)
})
