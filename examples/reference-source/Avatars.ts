/** The avatars of users. Their bytes are blobs. Which user has which avatar is known to Redis alone. */
import { BlobStore, Digest, ReferenceSource } from "artifact-gc"
import { Effect, Option, Stream } from "effect"
import { Redis } from "./Redis.ts"

const users = (digest: string) => `avatar:${digest}:users`

/** Tells the collector which blobs are avatars: those that have users. */
export const source = ReferenceSource.make("avatars", (digests) =>
  Effect.gen(function* () {
    const redis = yield* Redis
    const isUsed = yield* redis.exists(digests.map(users))
    return digests.filter((_, index) => isUsed[index])
  })
)

/** Gives the user an avatar, in the only order that is safe: pin, write the reference, unpin. */
export const set = Effect.fn("Avatars.set")(function* (user: string, image: Uint8Array) {
  const blobs = yield* BlobStore.BlobStore
  const redis = yield* Redis
  const before = yield* redis.hget("avatars", user)
  // The pin keeps the blob, whatever the collector was told a moment ago. If this process dies, it expires.
  const { digest, pin } = yield* blobs.put(Stream.make(image), { pin: "10 minutes" })
  yield* redis.sadd(users(digest), user)
  yield* redis.hset("avatars", user, digest)
  if (before !== null && before !== digest) yield* redis.srem(users(before), user)
  if (pin !== null) yield* blobs.unpin([pin])
  return digest
})

/** Takes the user's avatar away. The collector deletes its bytes, unless another user has it. */
export const remove = Effect.fn("Avatars.remove")(function* (user: string) {
  const redis = yield* Redis
  const digest = yield* redis.hget("avatars", user)
  if (digest === null) return
  yield* redis.hdel("avatars", user)
  yield* redis.srem(users(digest), user)
})

/** Returns the size of the user's avatar, read to its last byte; none without one. */
export const read = Effect.fn("Avatars.read")(function* (user: string) {
  const blobs = yield* BlobStore.BlobStore
  const digest = yield* (yield* Redis).hget("avatars", user)
  if (digest === null) return Option.none<number>()
  const bytes = blobs.open(Digest.Digest.make(digest))
  return Option.some(
    yield* Stream.runFold(
      bytes,
      () => 0,
      (size, chunk) => size + chunk.length
    )
  )
})
