/**
 * One attempt at an upload: a key is announced, bytes go to it, and the announcement is kept alive meanwhile. Steps W2
 * and W3 of docs/design/protocol.md.
 *
 * A writer never deletes an object, not even its own: what an attempt leaves behind belongs to its announcement, which
 * a collector reaps. An answer that was lost may hide that the key has become a blob's.
 */
import { Clock, Effect, type Stream } from "effect"
import type { Database, Intent } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import { fresh, freshUnnamed, type ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"
import type { Storage } from "../storage/Storage.ts"
import type { DigestMismatch, SizeMismatch } from "./errors.ts"
import { type Declared, type Flow, type Measure, measured } from "./Measure.ts"

/** What every attempt needs. */
export interface Writer {
  readonly database: Database["Service"]
  readonly storage: Storage["Service"]
  readonly prefix: string
  readonly leaseMillis: number
  /** How long a blob is kept to which nothing refers yet, unless the caller says. */
  readonly pinMillis: number
  readonly concurrency: number
}

/** Bytes that a store has acknowledged. */
export interface Sent extends Measure {
  readonly key: ObjectKey
}

/** An upload that is reaped this often is not unlucky; its lease is too short. */
export const attemptsMax = 3

/** Draws a key that was never used before, for bytes whose digest may not be known yet. */
export type KeyMaker = (digest: Digest | null) => Effect.Effect<ObjectKey>

/** Keys of blobs. */
const blobKeys =
  (prefix: string): KeyMaker =>
  (digest) =>
    digest === null ? freshUnnamed(prefix) : fresh(prefix, digest)

/**
 * Announces an upload for each of `digests`, null where it is not known yet; their keys. Keys whose announcement
 * failed are forgotten, because nobody knows whether it was made: others are drawn.
 */
export const announceAll = (
  { database, leaseMillis, prefix }: Writer,
  digests: ReadonlyArray<Digest | null>,
  draw = blobKeys(prefix)
) =>
  Effect.gen(function* () {
    const expiresAt = (yield* Clock.currentTimeMillis) + leaseMillis
    const intents: ReadonlyArray<Intent> = yield* Effect.forEach(digests, (digest) =>
      Effect.map(draw(digest), (key) => ({ key, digest, expiresAt }))
    )
    yield* database.blobs.intend(intents)
    return intents.map(({ key }) => key)
  }).pipe(Effect.retry({ times: attemptsMax - 1, while: (error) => error.isRetryable }))

/** The same for one upload. */
export const announce = (writer: Writer, digest: Digest | null, draw?: KeyMaker) =>
  Effect.flatMap(announceAll(writer, [digest], draw), ([key]) =>
    key === undefined
      ? Effect.die(new Error("One upload was announced, and has no key"))
      : Effect.succeed(key)
  )

/**
 * Sends a body to a key that was announced; what it was. Null when the store would not take it because a collector was
 * faster: it reaped the announcement, and aborted the upload in parts that was recorded with it.
 */
export const send = <E, R>(
  { database, storage }: Writer,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  declared: Declared,
  flow: Flow
): Effect.Effect<Sent | null, E | DatabaseError | StorageError | DigestMismatch | SizeMismatch, R> =>
  Effect.suspend(() => {
    let measure: Measure | null = null
    const checked = measured(body, declared, flow, (found) => {
      measure = found
    })
    // When the intent is gone already, the upload goes on: its bytes may be copied from here, and perhaps nowhere else.
    const onMultipart = (uploadId: string) => Effect.asVoid(database.blobs.recordMultipart(key, uploadId))
    return storage.put(key, checked, declared.sizeBytes, { onMultipart }).pipe(
      Effect.flatMap(() =>
        measure === null
          ? Effect.die(new Error(`The store acknowledged ${key} without having read its body to the end`))
          : Effect.succeed({ key, ...measure })
      ),
      Effect.catchIf(isRejected, (error) =>
        Effect.flatMap(database.blobs.owned([key]), (owned) =>
          owned.has(key) ? Effect.fail(error) : Effect.succeed(null)
        )
      )
    )
  })

const isRejected = (error: unknown): error is StorageError =>
  error instanceof StorageError && error.reason === "Rejected"

/**
 * Runs `effect` and renews the announcements of `keys` every third of their lease, as long as bytes come or the store
 * is busy with the last of them. A body that stands still for longer than the lease is taken for dead.
 */
export const renewing = <A, E, R>(
  writer: Writer,
  keys: ReadonlyArray<ObjectKey>,
  flow: Flow,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.scoped(Effect.andThen(Effect.forkScoped(renewal(writer, keys, flow)), effect))

/**
 * Runs `beat` at the end of each `everyMillis` in which the upload was alive: bytes came, or the store was busy with the
 * last of them. Ends only by a failure of `beat`.
 */
export const whileAlive = <E, R>(
  flow: Flow,
  everyMillis: number,
  beat: Effect.Effect<unknown, E, R>
): Effect.Effect<never, E, R> =>
  Effect.suspend(() => {
    let seen = flow.moved
    const one = Effect.andThen(
      Effect.sleep(everyMillis),
      Effect.suspend((): Effect.Effect<unknown, E, R> => {
        const isAlive = flow.moved !== seen || flow.reading === 0
        seen = flow.moved
        return isAlive ? beat : Effect.void
      })
    )
    return Effect.forever(one)
  })

const renewal = ({ database, leaseMillis }: Writer, keys: ReadonlyArray<ObjectKey>, flow: Flow) => {
  let kept = keys
  const renew = Effect.gen(function* () {
    if (kept.length === 0) return
    const found = yield* database.blobs.renew(kept, (yield* Clock.currentTimeMillis) + leaseMillis).pipe(
      // The next third comes before the lease ends.
      Effect.catch((error) =>
        Effect.as(Effect.logWarning("An upload's lease could not be renewed", error), new Set(kept))
      )
    )
    const lost = kept.filter((key) => !found.has(key))
    if (lost.length > 0) {
      yield* Effect.annotateLogs(Effect.logWarning("An upload under way was reaped"), { keys: lost })
    }
    kept = kept.filter((key) => found.has(key))
  })
  return whileAlive(flow, leaseMillis / 3, renew)
}
