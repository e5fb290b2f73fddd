/**
 * Listing objects: names decoded, order checked.
 *
 * The audit compares a listing with the catalogue and relies on its order. The sweep deletes by its names. An
 * answer with a wrong order or unreadable entries is therefore a failure and not a page.
 */
import { Effect, Option, Stream } from "effect"
import type { StorageError } from "../../domain/StorageError.ts"
import { compareKeys } from "../KeyOrder.ts"
import type { StoredObject } from "../Storage.ts"
import type { Bucket, Cursor, Listing } from "./Bucket.ts"
import { misbehaved } from "./Failure.ts"
import { readKey, warnOfIllegal } from "./Names.ts"

/** The largest page that S3 returns. */
const pageMax = 1000

/** Implements `Storage.list` for a bucket. */
export const list = (bucket: Bucket, prefix: string, after: string | undefined) =>
  Stream.paginate({ after, token: undefined }, (cursor: Cursor) => listPage(bucket, prefix, cursor))

/** Implements `Storage.probe` for a bucket. */
export const probe = ({ calls, name, requests }: Bucket): Effect.Effect<void, StorageError> =>
  Effect.asVoid(
    requests.repeated({
      operation: "probe",
      subject: name,
      send: (signal) => calls.list("", { after: undefined, token: undefined }, 1, signal)
    })
  )

const listPage = Effect.fn("S3.list")(function* (
  { calls, name, requests }: Bucket,
  prefix: string,
  cursor: Cursor
) {
  const subject = prefix || name
  const listing = yield* requests.repeated({
    operation: "list",
    subject,
    send: (signal) => calls.list(prefix, cursor, pageMax, signal)
  })
  const { objects, illegal, next } = yield* readPage(subject, cursor, listing)
  yield* warnOfIllegal("Objects", illegal, name, prefix)
  return [objects.length === 0 ? [] : [objects], Option.fromUndefinedOr(next)] as const
})

interface Page {
  readonly objects: ReadonlyArray<StoredObject>
  /** How many keys are not valid (U+0000, broken UTF-8). No method can name them, so they are skipped. */
  readonly illegal: number
  readonly next: Cursor | undefined
}

/** Returns the page. Fails with `Unknown` if its order, a size, a time or the way to continue is wrong. */
const readPage = Effect.fnUntraced(function* (
  subject: string,
  cursor: Cursor,
  listing: Listing
): Effect.fn.Return<Page, StorageError> {
  const objects: Array<StoredObject> = []
  let illegal = 0
  let last = cursor.after
  for (const { Key, Size, LastModified } of listing.Contents ?? []) {
    const key = readKey(Key, listing)
    if (key === undefined) {
      illegal++
      continue
    }
    const modifiedAt = LastModified?.getTime()
    if (Size === undefined || modifiedAt === undefined || Number.isNaN(modifiedAt)) {
      return yield* misbehaved("list", subject, `the store listed "${key}" without size or time`)
    }
    if (last !== undefined && compareKeys(last, key) >= 0) {
      return yield* misbehaved(
        "list",
        subject,
        `the store does not list in key order: "${key}" follows "${last}"`
      )
    }
    last = key
    objects.push({ key, sizeBytes: Size, modifiedAt })
  }
  if (listing.IsTruncated !== true) return { objects, illegal, next: undefined }
  const token = listing.NextContinuationToken
  if (token === undefined && last === cursor.after) {
    return yield* misbehaved("list", subject, "the store says that there is more, but not where")
  }
  return { objects, illegal, next: { after: last, token } }
})
