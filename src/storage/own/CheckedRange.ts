/** Ranges of an object of an own store. */
import { Effect, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { misbehaved } from "./Misbehaviour.ts"

/** Emits the bytes of `whole` from `start` to before `stop`, and reads no further. */
export const cut = <E>(
  whole: Stream.Stream<Uint8Array, E>,
  start: number,
  stop: number
): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => {
    let position = 0
    return whole.pipe(
      Stream.map((chunk) => {
        const from = position
        position += chunk.length
        return { chunk, from }
      }),
      Stream.takeUntil(({ chunk, from }) => from + chunk.length >= stop),
      Stream.map(({ chunk, from }) => chunk.subarray(Math.max(0, start - from), Math.max(0, stop - from))),
      Stream.filter((chunk) => chunk.length > 0)
    )
  })

/** Returns `bytes`, which then fails with `Misbehaved` unless it is `length` bytes long. */
export const checkedRange = (
  key: ObjectKey,
  length: number,
  bytes: Stream.Stream<Uint8Array, StorageError>
): Stream.Stream<Uint8Array, StorageError> =>
  Stream.suspend(() => {
    let seen = 0
    const wrong = () =>
      misbehaved(
        "get",
        key,
        `readRange emitted ${seen > length ? "more" : "fewer"} than the ${length} bytes that it was asked for. A store that cannot read ranges leaves readRange out`
      )
    return bytes.pipe(
      Stream.mapEffect((chunk) => {
        seen += chunk.length
        return seen > length ? Effect.fail(wrong()) : Effect.succeed(chunk)
      }),
      Stream.concat(Stream.suspend(() => (seen < length ? Stream.fail(wrong()) : Stream.empty)))
    )
  })
