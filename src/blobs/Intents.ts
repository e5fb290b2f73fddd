/**
 * Intents of uploads: a writer declares a key before its first byte and renews the intent while bytes arrive.
 * Step W2 of docs/design/protocol.md.
 *
 * A writer never deletes an object, not even its own, and never ends its own intent. The collector reaps what
 * an upload leaves behind: a lost answer may hide that the key has become a blob's.
 */
import { Clock, Effect } from "effect"
import type { Intent } from "../database/Database.ts"
import type { Digest } from "../domain/Digest.ts"
import { fresh, freshUnnamed, type ObjectKey } from "../domain/ObjectKey.ts"
import { type BodyProgress, whileAlive } from "./BodyProgress.ts"
import { attemptsMax, type WriterContext } from "./WriterContext.ts"

/** Draws a key that was never used before, for bytes whose digest may not be known yet. */
export type KeyMaker = (digest: Digest | null) => Effect.Effect<ObjectKey>

const blobKeys =
  (prefix: string): KeyMaker =>
  (digest) =>
    digest === null ? freshUnnamed(prefix) : fresh(prefix, digest)

/**
 * Declares an intent for each of `digests` (null: not known yet), and returns their keys. A retry draws other
 * keys: a writer cannot know whether the keys of a failed call were recorded.
 */
export const declareIntents = (
  { database, leaseMillis, prefix }: WriterContext,
  digests: ReadonlyArray<Digest | null>,
  draw = blobKeys(prefix)
) =>
  Effect.gen(function* () {
    const expiresAt = (yield* Clock.currentTimeMillis) + leaseMillis
    const intents: ReadonlyArray<Intent> = yield* Effect.forEach(digests, (digest) =>
      Effect.map(draw(digest), (key) => ({ key, digest, expiresAt }))
    )
    yield* database.intend(intents)
    return intents.map(({ key }) => key)
  }).pipe(Effect.retry({ times: attemptsMax - 1, while: (error) => error.isRetryable }))

/** Declares one intent, as {@link declareIntents} does, and returns its key. */
export const declareIntent = (context: WriterContext, digest: Digest | null, draw?: KeyMaker) =>
  Effect.flatMap(declareIntents(context, [digest], draw), ([key]) =>
    key === undefined
      ? Effect.die(new Error("One intent was declared, and no key was returned"))
      : Effect.succeed(key)
  )

/**
 * Runs `effect` and renews the intents of `keys` every third of their lease, for as long as bytes arrive or
 * the store is busy with the last of them. A body that stalls for longer than the lease loses its intents.
 */
export const renewingIntents = <A, E, R>(
  context: WriterContext,
  keys: ReadonlyArray<ObjectKey>,
  progress: BodyProgress,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.scoped(Effect.andThen(Effect.forkScoped(renewal(context, keys, progress)), effect))

const renewal = (
  { database, leaseMillis }: WriterContext,
  keys: ReadonlyArray<ObjectKey>,
  progress: BodyProgress
) => {
  let renewable = keys
  const renew = Effect.gen(function* () {
    if (renewable.length === 0) return
    const found = yield* database.renew(renewable, (yield* Clock.currentTimeMillis) + leaseMillis).pipe(
      // The next renewal comes before the lease ends.
      Effect.catch((error) =>
        Effect.as(
          Effect.logWarning(
            "The lease of an upload was not renewed. The upload continues, and the renewal is repeated.",
            error
          ),
          new Set(renewable)
        )
      )
    )
    const lost = renewable.filter((key) => !found.has(key))
    if (lost.length > 0) {
      yield* Effect.annotateLogs(
        Effect.logWarning(
          "A collector reaped the intent of an upload that was still sending. The upload continues, and is repeated under another key."
        ),
        { keys: lost }
      )
    }
    renewable = renewable.filter((key) => found.has(key))
  })
  return whileAlive(progress, leaseMillis / 3, renew)
}
