/**
 * How a repository has a blob: by a manifest that refers to it, or by its hold, the one pin that stands for all who
 * pushed it here, mounted it, or were told that it is here (docs/decisions/0011).
 *
 * Invariant: who was told of a blob by {@link blob} finds it for three quarters of a hold at least, whatever is deleted
 * meanwhile but the blob itself.
 */
import { Clock, Effect, Option } from "effect"
import { BlobUnknown } from "../../blobs/errors.ts"
import type { RepositoryBlob } from "../../database/Database.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ByteRange } from "../../storage/Storage.ts"
import { holdId } from "../Names.ts"
import { BlobNeeded } from "./errors.ts"
import type { RepositoryContext } from "./RepositoryContext.ts"

/** What must be left of a hold for it not to be written again, so that a blob that all ask for costs no write each. */
const enough = 3 / 4

export const blob = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const found = yield* find(context, repository, digest)
  if (Option.isNone(found)) return Option.none()
  const { heldUntil, sizeBytes } = found.value
  const now = yield* Clock.currentTimeMillis
  const isHeld = heldUntil !== null && heldUntil - now >= context.holdMillis * enough
  // A blob that was collected since, or whose bytes are in doubt, must be pushed again.
  return isHeld || (yield* hold(context, repository, digest))
    ? Option.some({ digest, sizeBytes })
    : Option.none()
})

export const peek = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const found = yield* find(context, repository, digest)
  return Option.map(found, ({ key, sizeBytes }) => ({
    digest,
    sizeBytes,
    read: (range?: ByteRange) => context.blobs.open(digest, range, key)
  }))
})

export const mount = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  digest: Digest,
  from: string | null
) {
  if (from !== null && Option.isNone(yield* find(context, from, digest))) return false
  return yield* hold(context, repository, digest)
})

export const deleteBlob = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const found = yield* find(context, repository, digest)
  if (Option.isNone(found)) return yield* new BlobUnknown({ digests: [digest] })
  if (found.value.isReferenced) return yield* new BlobNeeded({ repository, digest })
  // A manifest that has come since keeps the blob by itself, so it does not matter which of the two was first.
  yield* context.database.blobs.unpin([holdId(repository, digest)])
})

/** The blob, if the repository has it now. A hold that has ended counts no more, whether or not a sweep came by. */
const find = Effect.fnUntraced(function* (
  { database }: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const found = yield* database.manifests.blob(repository, digest)
  const now = yield* Clock.currentTimeMillis
  return Option.filter(
    found,
    ({ heldUntil, isReferenced }: RepositoryBlob) => isReferenced || (heldUntil !== null && heldUntil > now)
  )
})

/** Begins or renews the hold; false when the blob does not live. */
const hold = Effect.fnUntraced(function* (
  { database, holdMillis }: RepositoryContext,
  repository: string,
  digest: Digest
) {
  const now = yield* Clock.currentTimeMillis
  const pin = { id: holdId(repository, digest), digest, expiresAt: now + holdMillis }
  const live = yield* database.blobs.adopt(now, [], { pins: [pin] })
  return live.has(digest)
})
