/** What all backends do to a body on its way in. */
import { Effect, Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"

/**
 * `body`, failing with `Truncated` unless it is exactly `sizeBytes` long. A body that is too long fails at the
 * first byte too many, so that an endless one costs nothing. With `null` any length is right.
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
        detail: `${what}, declared were ${sizeBytes} bytes`
      })
    return body.pipe(
      Stream.mapEffect((chunk) => {
        seen += chunk.length
        return seen > sizeBytes
          ? Effect.fail(mismatch(`the body goes on past byte ${seen}`))
          : Effect.succeed(chunk)
      }),
      Stream.concat(
        Stream.suspend(() =>
          seen < sizeBytes ? Stream.fail(mismatch(`the body ended at byte ${seen}`)) : Stream.empty
        )
      )
    )
  })
}
