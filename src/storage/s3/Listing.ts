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
import * as Advance from "./Advance.ts"
import type { Bucket, Cursor, Listing } from "./Bucket.ts"
import { misbehaved } from "./Failure.ts"
import { readKey, warnOfIllegal } from "./Names.ts"

/** The page that is requested, and the largest that S3 returns. */
const pageMax = 1000

/** Implements `Storage.list` for a bucket. */
export const list = (bucket: Bucket, prefix: string, after: string | undefined) =>
  Stream.suspend(() => {
    const advance = Advance.begin("list", prefix || bucket.name)
    return Stream.paginate({ after, token: undefined }, (cursor: Cursor) =>
      listPage(bucket, prefix, advance, cursor)
    )
  })

/** Implements `Storage.probe` for a bucket. */
export const probe = Effect.fn("S3.probe")(function* ({ calls, name, requests }: Bucket) {
  const request = { operation: "probe", subject: name } as const
  const listing = yield* requests.repeated({
    ...request,
    send: (signal) => calls.list("", { after: undefined, token: undefined }, 1, signal)
  })
  yield* Advance.checkTruncation(request, listing)
})

const listPage = Effect.fn("S3.list")(function* (
  { calls, name, requests }: Bucket,
  prefix: string,
  advance: Advance.Advance,
  cursor: Cursor
) {
  const { subject } = advance
  const listing = yield* requests.repeated({
    operation: "list",
    subject,
    send: (signal) => calls.list(prefix, cursor, pageMax, signal)
  })
  yield* Advance.checkTruncation(advance, listing)
  const { objects, illegal, next } = yield* readPage(subject, cursor, listing)
  if (next !== undefined) {
    const place = next.token ?? next.after ?? ""
    yield* Advance.step(advance, place, { forgets: objects.length > 0, listed: objects.length })
  }
  yield* warnOfIllegal("Objects", illegal, name, prefix)
  const isEnd = objects.length === 0 && next === undefined
  return [isEnd ? [] : [objects], Option.fromUndefinedOr(next)] as const
})

interface Page {
  readonly objects: ReadonlyArray<StoredObject>
  /** How many keys are not valid (U+0000, broken UTF-8). No method can name them, so they are skipped. */
  readonly illegal: number
  readonly next: Cursor | undefined
}

/** Returns the page. Fails with `Misbehaved` if its length, order, sizes, times or way to continue are wrong. */
const readPage = Effect.fnUntraced(function* (
  subject: string,
  cursor: Cursor,
  listing: Listing
): Effect.fn.Return<Page, StorageError> {
  const objects: Array<StoredObject> = []
  let illegal = 0
  let last = cursor.after
  const length = listing.Contents?.length ?? 0
  if (length > pageMax) {
    return yield* misbehaved("list", subject, `the store listed ${length} objects, of at most ${pageMax}`)
  }
  for (const { Key, Size, LastModified } of listing.Contents ?? []) {
    // A parser that reads no key has lost an object.
    if (!Key) return yield* misbehaved("list", subject, "the store listed an object without a key")
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
