/**
 * The merge: two ordered sequences of keys, the store's listing and the database's pages, side by side.
 *
 * It holds one page of each at most, whatever their lengths. Neither side is a snapshot: what changes while it runs
 * shows on one side and not on the other, so a difference is a suspicion and nothing more.
 */
import { Cause, Effect, Stream } from "effect"
import { CollectorDatabase, type KnownKey } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { compareKeys } from "../storage/KeyOrder.ts"
import { Storage, type StoredObject } from "../storage/Storage.ts"

/** What both sides say of one key: at least one of them knows it. */
export interface Entry {
  readonly key: ObjectKey
  readonly object: StoredObject | null
  /** The blob first, if it is one. */
  readonly owners: ReadonlyArray<KnownKey>
}

/** All keys that either side has, from where the window before ended up to the last of these. */
export interface Window {
  readonly entries: ReadonlyArray<Entry>
  readonly upTo: ObjectKey
}

/** As many as a listing's page holds, so that the sides keep step. */
export const rowsMax = 1000

/** One side: what is held of it, and how to get more. */
interface Side<A extends { readonly key: ObjectKey }> {
  held: ReadonlyArray<A>
  ended: boolean
  /** The next page; `last` when none follows it. */
  readonly pull: Effect.Effect<
    { readonly page: ReadonlyArray<A>; readonly last: boolean },
    DatabaseError | StorageError
  >
}

/**
 * The windows from `after` on, one for each time the answer is run; null after the last. The listing that it begins
 * ends with the scope.
 */
export const make = Effect.fnUntraced(function* (prefix: string, after: ObjectKey | null, limit = rowsMax) {
  const objects = yield* listing(prefix, after)
  const rows = yield* pages(prefix, after, limit)
  return Effect.gen(function* () {
    yield* Effect.all([refill(objects), refill(rows)], { concurrency: 2, discard: true })
    const upTo = cutOf(objects, rows)
    return upTo === null ? null : { entries: pair(take(objects, upTo), take(rows, upTo)), upTo }
  })
})

const listing = Effect.fnUntraced(function* (prefix: string, after: ObjectKey | null) {
  const storage = yield* Storage
  const pull = yield* Stream.toPull(storage.list(prefix, { after: after ?? undefined }))
  const side: Side<StoredObject> = {
    held: [],
    ended: false,
    pull: pull.pipe(
      Effect.map((pages) => ({ page: pages.flat(), last: false })),
      Effect.catchIf(Cause.isDone, () => Effect.succeed({ page: [], last: true }))
    )
  }
  return side
})

const pages = Effect.fnUntraced(function* (prefix: string, after: ObjectKey | null, limit: number) {
  const { audit } = yield* CollectorDatabase
  let position = after
  const side: Side<KnownKey> = {
    held: [],
    ended: false,
    pull: Effect.suspend(() => audit.page(prefix, position, limit)).pipe(
      Effect.map((page) => {
        position = page.at(-1)?.key ?? position
        return { page, last: page.length < limit }
      })
    )
  }
  return side
})

/** Holds something afterwards, unless the side has ended. */
const refill = Effect.fnUntraced(function* <A extends { readonly key: ObjectKey }>(side: Side<A>) {
  while (side.held.length === 0 && !side.ended) {
    const { page, last } = yield* side.pull
    side.held = page
    side.ended = last
  }
})

/**
 * As far as both sides can be compared: a side that goes on may have anything behind the last key it holds. Null when
 * both are at their end.
 */
const cutOf = (objects: Side<StoredObject>, rows: Side<KnownKey>): ObjectKey | null => {
  const [a, b] = [objects.held.at(-1)?.key ?? null, rows.held.at(-1)?.key ?? null]
  if (a === null || b === null) return a ?? b
  const later = compareKeys(a, b) > 0
  if (objects.ended && rows.ended) return later ? a : b
  if (objects.ended) return b
  if (rows.ended) return a
  return later ? b : a
}

/** Takes off what is not behind `upTo`. */
const take = <A extends { readonly key: ObjectKey }>(side: Side<A>, upTo: ObjectKey): ReadonlyArray<A> => {
  const behind = side.held.findIndex(({ key }) => compareKeys(key, upTo) > 0)
  const taken = behind === -1 ? side.held : side.held.slice(0, behind)
  side.held = behind === -1 ? [] : side.held.slice(behind)
  return taken
}

const pair = (objects: ReadonlyArray<StoredObject>, rows: ReadonlyArray<KnownKey>): ReadonlyArray<Entry> => {
  const entries: Array<Entry> = []
  let row = 0
  const ownersOf = (key: ObjectKey): ReadonlyArray<KnownKey> => {
    const from = row
    while (rows[row]?.key === key) row += 1
    return rows.slice(from, row)
  }
  const passRowsBefore = (key: ObjectKey | null): void => {
    for (let next = rows[row]; next !== undefined; next = rows[row]) {
      if (key !== null && compareKeys(next.key, key) >= 0) return
      entries.push({ key: next.key, object: null, owners: ownersOf(next.key) })
    }
  }
  for (const object of objects) {
    passRowsBefore(object.key)
    entries.push({ key: object.key, object, owners: ownersOf(object.key) })
  }
  passRowsBefore(null)
  return entries
}
