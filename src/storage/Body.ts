/** The check of a body's length, which all backends share. */
import { Effect, Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"

/**
 * Returns `body`, which then fails with `Truncated` unless it is exactly `sizeBytes` long. A body that is too
 * long fails at the first byte too many, so that an endless body costs nothing. `null` allows every length.
 */
export const exactly = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  key: ObjectKey,
  sizeBytes: number | null
): Stream.Stream<Uint8Array, E | StorageError, R> => {
  if (sizeBytes === null) return body
  return Stream.suspend(() => {
    let seen = 0
    const mismatch = (what: string) =>
      new StorageError({
        operation: "put",
        subject: key,
        reason: "Truncated",
        detail: `${what}, but ${sizeBytes} bytes were declared`
      })
    // Once a pull, and not once a chunk: a body has thousands of chunks.
    const checked = Stream.transformPull(body, (pull) =>
      Effect.succeed(
        Effect.flatMap(pull, (chunks) => {
          for (const chunk of chunks) {
            seen += chunk.length
            if (seen > sizeBytes) return Effect.fail(mismatch(`the body has at least ${seen} bytes`))
          }
          return Effect.succeed(chunks)
        })
      )
    )
    return checked.pipe(
      Stream.concat(
        Stream.suspend(() =>
          seen < sizeBytes ? Stream.fail(mismatch(`the body ended after ${seen} bytes`)) : Stream.empty
        )
      )
    )
  })
}
