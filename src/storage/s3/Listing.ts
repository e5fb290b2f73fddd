/**
 * Reads a page of ListObjectsV2: names decoded, order checked.
 *
 * Whoever compares a listing with the catalogue relies on its order, and whoever deletes by it on its names. So an
 * answer that breaks either is an error, not a page.
 */
import { Effect, Option, Stream } from "effect"
import type { StorageError } from "../../domain/StorageError.ts"
import { compareKeys } from "../KeyOrder.ts"
import type { StoredObject } from "../Storage.ts"
import type { Bucket, Cursor, Listing } from "./Bucket.ts"
import { misbehaved } from "./Failure.ts"
import { readKey, warnOfIllegal } from "./Names.ts"

/** A page is the largest S3 gives. */
const pageMax = 1000

/** The listing, page by page as they come. */
export const list = (bucket: Bucket, prefix: string, after: string | undefined) =>
  Stream.paginate({ after, token: undefined }, (cursor: Cursor) => listPage(bucket, prefix, cursor))

/** Succeeds when the bucket exists and may be listed. */
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
  /** How many keys are not legal here (U+0000, broken UTF-8): they cannot be named, so they are left alone. */
  readonly illegal: number
  readonly next: Cursor | undefined
}

/** The page, or a failure (`Unknown`) when the store listed out of order, without times, or without a way on. */
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
        `the store does not list in key order: "${key}" came after "${last}"`
      )
    }
    last = key
    objects.push({ key, sizeBytes: Size, modifiedAt })
  }
  if (listing.IsTruncated !== true) return { objects, illegal, next: undefined }
  const token = listing.NextContinuationToken
  if (token === undefined && last === cursor.after) {
    return yield* misbehaved("list", subject, "the store says that there is more and not where")
  }
  return { objects, illegal, next: { after: last, token } }
})
