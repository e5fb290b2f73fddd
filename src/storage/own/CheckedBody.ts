/** A body for the `write` of an own store, watched for what the store does with it. */
import { Effect, Exit, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { exactly } from "../Body.ts"
import { misbehaved } from "./Misbehaviour.ts"

/**
 * Runs `write` with `body`, which fails with `Truncated` unless it has the declared length. Fails with
 * `Misbehaved` if `write` ran the body twice, or succeeded although the body failed or had not ended: the
 * object may then be torn.
 */
export const checkedBody = <E, R, E2, R2>(
  key: ObjectKey,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number | null,
  write: (body: Stream.Stream<Uint8Array, E | StorageError, R>) => Effect.Effect<void, E2, R2>
): Effect.Effect<void, E2 | StorageError, R2> =>
  Effect.suspend(() => {
    let runs = 0
    let ended: "no" | "failed" | "whole" = "no"
    const watched = Stream.suspend(() => {
      runs += 1
      if (runs > 1) return Stream.fail(wrong(key, "ran the body twice, which may be a socket"))
      return exactly(body, key, sizeBytes).pipe(
        Stream.onExit((exit) =>
          Effect.sync(() => {
            // A consumer that stops early ends the stream with success, too.
            if (Exit.isFailure(exit)) ended = "failed"
          })
        ),
        Stream.concat(
          Stream.suspend(() => {
            ended = "whole"
            return Stream.empty
          })
        )
      )
    })
    return Effect.flatMap(
      write(watched),
      (): Effect.Effect<void, StorageError> =>
        runs === 1 && ended === "whole"
          ? Effect.void
          : Effect.fail(wrong(key, runs === 0 || ended === "no" ? neverEnded : swallowed))
    )
  })

const neverEnded = "succeeded before the body had ended. The object may lack bytes"
const swallowed = "succeeded although the body had failed. The object may lack bytes"

const wrong = (key: ObjectKey, what: string): StorageError => misbehaved("put", key, `write ${what}`)
