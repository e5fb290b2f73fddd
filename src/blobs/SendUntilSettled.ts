/**
 * Sends bytes to a fresh key and hands them to `publish`, again under another key if a collector reaped the
 * intent before the bytes became a blob. The store copies the bytes itself where it still has them.
 */
import { Clock, Effect, type Stream } from "effect"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { BodyProgress } from "./BodyProgress.ts"
import { type DigestMismatch, type SizeMismatch, UploadExpired } from "./errors.ts"
import { declareIntent, renewingIntents } from "./Intents.ts"
import type { Declared } from "./Measure.ts"
import { type Sent, sendBody } from "./SendBody.ts"
import { attemptsMax, type WriterContext } from "./WriterContext.ts"

/** A body and what its caller declares about it. */
export interface Source<E, R> {
  readonly body: Stream.Stream<Uint8Array, E, R>
  readonly declared: Declared
  /** Whether a second run of the body yields the same bytes. */
  readonly replayable: boolean
  /**
   * Makes the object of verified bytes that the store already has. Returns null if a collector took the upload away. Default:
   * `body` is sent.
   */
  readonly make?:
    | ((
        key: ObjectKey
      ) => Effect.Effect<Sent | null, E | DatabaseError | StorageError | DigestMismatch | SizeMismatch, R>)
    | undefined
}

/**
 * Sends the bytes and returns what `publish` makes of them. If `publish` returns null, the intent was reaped,
 * and the bytes are brought to another key. Fails with `UploadExpired` if they cannot be, or after three
 * attempts.
 */
export const sendUntilSettled = Effect.fnUntraced(function* <E, R, A, E2, R2>(
  context: WriterContext,
  source: Source<E, R>,
  progress: BodyProgress,
  publish: (sent: Sent) => Effect.Effect<A | null, E2, R2>
) {
  let before: Sent | null = null
  for (let attempt = 1; ; attempt++) {
    const sent: Sent | Digest | null = yield* sendToFreshKey(context, source, progress, before)
    if (typeof sent === "string") {
      return yield* new UploadExpired({ digest: sent, attempts: attempt - 1 })
    }
    if (sent === null) {
      if (source.replayable && attempt < attemptsMax) continue
      return yield* new UploadExpired({
        digest: before?.digest ?? source.declared.digest,
        attempts: attempt
      })
    }
    const published = yield* publish(sent)
    if (published !== null) return published
    if (attempt >= attemptsMax) return yield* new UploadExpired({ digest: sent.digest, attempts: attempt })
    yield* Effect.annotateLogs(
      Effect.logInfo(
        "An upload was not published. Its bytes are brought to another key and published again."
      ),
      { key: sent.key }
    )
    before = sent
  }
})

/**
 * Brings the bytes to a fresh key. Bytes that were sent before, under a key that was reaped since, are copied
 * by the store if it still has them. Otherwise a replayable body runs again, and of any other only the digest
 * is returned. Returns null if a collector took the upload away while it was sending.
 */
const sendToFreshKey = Effect.fnUntraced(function* <E, R>(
  context: WriterContext,
  { body, declared, make, replayable }: Source<E, R>,
  progress: BodyProgress,
  before: Sent | null
) {
  const key = yield* declareIntent(context, before?.digest ?? declared.digest)
  const bring = Effect.gen(function* () {
    if (before !== null && (yield* copyObject(context, before, key))) return { ...before, key } satisfies Sent
    if (before !== null && !replayable) return before.digest
    if (make !== undefined) return yield* make(key)
    return yield* sendBody(context, key, body, declared, progress)
  })
  return yield* renewingIntents(context, [key], progress, bring)
})

/**
 * Copies an object whose intent was reaped, and returns false if the store no longer has it. The source may
 * have arrived after its key was struck off the journal, so that no row knows of it. It is therefore
 * journaled again, unless a row owns its key. One snapshot is enough for that question because the intent was
 * declared before the first byte.
 */
const copyObject = Effect.fnUntraced(function* (
  { database, storage }: WriterContext,
  from: Sent,
  to: ObjectKey
) {
  const isCopied = yield* storage.copy(from.key, to).pipe(
    Effect.as(true),
    Effect.catchIf(
      (error) => error.reason === "NotFound",
      () => Effect.succeed(false)
    )
  )
  const now = yield* Clock.currentTimeMillis
  if (isCopied) {
    yield* Effect.catch(database.discard(now, from), (error) =>
      Effect.logWarning(
        "A copied object was not journaled. Nothing was deleted; the search for leftovers will find it.",
        error
      )
    )
  }
  return isCopied
})
