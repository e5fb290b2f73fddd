/** Sends one body to a key whose intent was declared. Step W3 of docs/design/protocol.md. */
import { Effect, type Stream } from "effect"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"
import type { BodyProgress } from "./BodyProgress.ts"
import type { DigestMismatch, SizeMismatch } from "./errors.ts"
import { type Declared, type Measure, measured } from "./Measure.ts"
import type { WriterContext } from "./WriterContext.ts"

/** Bytes that the store has acknowledged, and their key. */
export interface Sent extends Measure {
  readonly key: ObjectKey
}

/**
 * Sends `body` to `key` and returns its measure. Returns null if the store refused the bytes because a
 * collector had reaped the intent and aborted the multipart upload recorded with it.
 */
export const sendBody = <E, R>(
  { database, storage }: WriterContext,
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  declared: Declared,
  progress: BodyProgress
): Effect.Effect<Sent | null, E | DatabaseError | StorageError | DigestMismatch | SizeMismatch, R> =>
  Effect.suspend(() => {
    let measure: Measure | null = null
    const checked = measured(body, declared, progress, (found) => {
      measure = found
    })
    // An upload without its intent continues: no other place may have the bytes, and they can be copied from
    // here.
    const onMultipart = (uploadId: string) => Effect.asVoid(database.recordMultipart(key, uploadId))
    return storage.put(key, checked, declared.sizeBytes, { onMultipart }).pipe(
      Effect.flatMap(() =>
        measure === null
          ? Effect.die(new Error(`The store acknowledged ${key} without having read its body to the end`))
          : Effect.succeed({ key, ...measure })
      ),
      Effect.catchIf(isRejected, (error) =>
        Effect.flatMap(database.owned([key]), (owned) =>
          owned.has(key) ? Effect.fail(error) : Effect.succeed(null)
        )
      )
    )
  })

/** Whether the store refused, as it does if a collector has aborted the upload. */
export const isRejected = (error: unknown): error is StorageError =>
  error instanceof StorageError && error.reason === "Rejected"
