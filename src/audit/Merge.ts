/**
 * The merge of two ordered sequences of keys: the store's listing and the database's pages.
 *
 * It holds at most one page of each. Neither side is a snapshot: a change during the merge may show on one
 * side alone. A difference is therefore only a suspicion.
 */
import { Cause, Effect, Stream } from "effect"
import { CollectorDatabase, type KnownKey } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { compareKeys } from "../storage/KeyOrder.ts"
import { Storage, type StoredObject } from "../storage/Storage.ts"

/** One key and what each side knows of it. At least one side knows it. */
export interface Entry {
  /** The key. */
  readonly key: ObjectKey
  /** Object in the store; null without one. */
  readonly object: StoredObject | null
  /** Owners in the catalogue, a blob first. */
  readonly owners: ReadonlyArray<KnownKey>
}

/** All keys of both sides from the end of the previous window up to `upTo`. */
export interface Window {
  /** Keys in key order. */
  readonly entries: ReadonlyArray<Entry>
  /** End of the window. */
  readonly upTo: ObjectKey
}

/** Rows per page: as many as a page of a listing, so that both sides advance equally. */
export const rowsMax = 1000

/** One side: the keys it holds, and how to pull more. */
interface Side<A extends { readonly key: ObjectKey }> {
  held: ReadonlyArray<A>
  ended: boolean
  /** Pulls the next page; `last` says that none follows. */
  readonly pull: Effect.Effect<
    { readonly page: ReadonlyArray<A>; readonly last: boolean },
    DatabaseError | StorageError
  >
}

/**
 * Returns an effect that returns the next window after `after` each time it runs, and null after the last.
 * The listing ends with the scope.
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

/** Pulls until the side holds a key or has ended. */
const refill = Effect.fnUntraced(function* <A extends { readonly key: ObjectKey }>(side: Side<A>) {
  while (side.held.length === 0 && !side.ended) {
    const { page, last } = yield* side.pull
    side.held = page
    side.ended = last
  }
})

/**
 * Returns the key up to which both sides can be compared: a side that has not ended may have further keys
 * behind its last one. Returns null when both have ended.
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

/** Takes the keys up to `upTo` from a side. */
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
