/** Reading a blob that may move to another key before its first byte is read. */
import { Effect, Option, Stream } from "effect"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { type Opening, openingOf, withOpening } from "../storage/Readables.ts"
import type { ByteRange } from "../storage/Storage.ts"
import { BlobUnknown } from "./errors.ts"
import type { WriterContext } from "./WriterContext.ts"

/**
 * Most moves that one `open` follows. A blob moves if it is deleted and stored again; a fourth move means
 * another fault.
 */
const movesMax = 3

type ReadFailure = BlobUnknown | DatabaseError | StorageError

type Bytes = Stream.Stream<Uint8Array, ReadFailure>

/**
 * Implements `BlobStore.open`. The stream has a Node form if `known` names a key whose bytes have one.
 */
export const open = (
  context: Pick<WriterContext, "database" | "storage">,
  digest: Digest,
  range: ByteRange | undefined,
  known: ObjectKey | null
): Bytes => {
  const { storage } = context
  const streamAt = (key: ObjectKey, left: number): Bytes =>
    Stream.suspend(() => {
      let hasBegun = false
      const bytes = Stream.map(storage.get(key, range), (chunk) => {
        hasBegun = true
        return chunk
      })
      return Stream.catchIf(
        bytes,
        (error) => error.reason === "NotFound" && !hasBegun && left > 0,
        (error) =>
          Stream.unwrap(Effect.map(moved(context, digest, key, error), (to) => streamAt(to, left - 1)))
      )
    })
  const openingAt = (key: ObjectKey, opening: Opening<StorageError>, left: number): Opening<ReadFailure> =>
    Effect.catchIf(
      opening,
      (error) => error.reason === "NotFound" && left > 0,
      (error): Opening<ReadFailure> =>
        Effect.flatMap(moved(context, digest, key, error), (to): Opening<ReadFailure> => {
          const next = openingOf(storage.get(to, range))
          return next === null ? Effect.fail(error) : openingAt(to, next, left - 1)
        })
    )
  if (known === null) {
    return Stream.unwrap(Effect.map(located(context, digest), (key) => streamAt(key, movesMax)))
  }
  const opening = openingOf(storage.get(known, range))
  const stream = streamAt(known, movesMax)
  return opening === null ? stream : withOpening(stream, openingAt(known, opening, movesMax))
}

const located = Effect.fnUntraced(function* ({ database }: Pick<WriterContext, "database">, digest: Digest) {
  const found = yield* database.locate(digest)
  if (Option.isNone(found)) return yield* new BlobUnknown({ digests: [digest] })
  return found.value.key
})

/** Returns the key to which a blob has moved. Fails with `error` if its row still names the missing object. */
const moved = Effect.fnUntraced(function* (
  context: Pick<WriterContext, "database">,
  digest: Digest,
  from: ObjectKey,
  error: StorageError
) {
  const key = yield* located(context, digest)
  // `audit` reports such rows.
  if (key === from) return yield* error
  return key
})
