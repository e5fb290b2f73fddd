/**
 * The requests that every backend refuses before it asks its store, so that all refuse them alike.
 *
 * Checks that need the store (does the bucket exist, do the credentials suffice) are not here.
 */
import { Effect } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"
import { type ByteRange, deleteBatchMax } from "./Storage.ts"

/** Fails with `Rejected` if a delete names more than {@link deleteBatchMax} keys. */
export const checkBatch = (keys: ReadonlyArray<ObjectKey>): Effect.Effect<void, StorageError> =>
  keys.length <= deleteBatchMax
    ? Effect.void
    : Effect.fail(
        new StorageError({
          operation: "delete",
          subject: `${keys.length} keys`,
          reason: "Rejected",
          detail: `a delete may name at most ${deleteBatchMax} keys`
        })
      )

/** Fails with `Rejected` if source and target are the same key, which S3 refuses. */
export const checkCopy = (from: ObjectKey, to: ObjectKey): Effect.Effect<void, StorageError> =>
  from !== to
    ? Effect.void
    : Effect.fail(
        new StorageError({
          operation: "copy",
          subject: from,
          reason: "Rejected",
          detail: "an object cannot be copied onto itself"
        })
      )

/**
 * Fails with `Rejected` for a range that RFC 9110 §14.1.2 calls invalid. S3 would ignore the range and send
 * the whole object, which the caller did not ask for.
 */
export const checkRange = (
  key: ObjectKey,
  range: ByteRange | undefined
): Effect.Effect<void, StorageError> => {
  if (range === undefined) return Effect.void
  const { start, end } = range
  const valid =
    Number.isSafeInteger(start) &&
    start >= 0 &&
    (end === undefined || (Number.isSafeInteger(end) && end >= start))
  return valid ? Effect.void : Effect.fail(unsatisfiable(key, range, "not a range of bytes"))
}

/**
 * Returns the first byte of a checked `range` and the one after its last, in an object of `sizeBytes` bytes.
 * Fails with `Rejected` if the range starts after the last byte, as S3 does (416 InvalidRange). In an empty
 * object every range does.
 */
export const resolveRange = (
  key: ObjectKey,
  range: ByteRange | undefined,
  sizeBytes: number
): Effect.Effect<{ readonly start: number; readonly stop: number }, StorageError> => {
  if (range === undefined) return Effect.succeed({ start: 0, stop: sizeBytes })
  if (range.start >= sizeBytes) {
    return Effect.fail(unsatisfiable(key, range, `after the end of an object of ${sizeBytes} bytes`))
  }
  return Effect.succeed({ start: range.start, stop: Math.min(range.end ?? Infinity, sizeBytes - 1) + 1 })
}

/** Returns the failure of a `get` or a copy whose object does not exist. */
export const noSuchObject = (key: ObjectKey, operation: "get" | "copy" = "get"): StorageError =>
  new StorageError({ operation, subject: key, reason: "NotFound", detail: "no such object" })

const unsatisfiable = (key: ObjectKey, range: ByteRange, what: string): StorageError =>
  new StorageError({
    operation: "get",
    subject: key,
    reason: "Rejected",
    detail: `InvalidRange: bytes ${range.start}-${range.end ?? ""} are ${what}`
  })
