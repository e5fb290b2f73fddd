/** A listing of an own store, in pages, narrowed and in order. */
import { Effect, Stream } from "effect"
import { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { compareKeys } from "../KeyOrder.ts"
import type { StoredObject } from "../Storage.ts"
import { checkedInfo, misbehaved } from "./Misbehaviour.ts"

const pageMax = 1000

/**
 * Emits the objects of `listing` that start with `prefix` and sort after `after`, a page an element. Ends the
 * listing behind the prefix. Fails with `Misbehaved` at the first key that does not sort after the one before
 * it.
 */
export const checkedListing = (
  prefix: string,
  after: string | undefined,
  listing: Stream.Stream<
    { readonly key: string; readonly sizeBytes: number; readonly modifiedAt: number },
    StorageError
  >
): Stream.Stream<ReadonlyArray<StoredObject>, StorageError> =>
  Stream.suspend(() => {
    let last: string | undefined
    const inOrder = (key: string) => {
      const before = last
      last = key
      return before === undefined || compareKeys(before, key) < 0
        ? Effect.void
        : Effect.fail(
            misbehaved(
              "list",
              prefix,
              `list emitted ${JSON.stringify(key)} after ${JSON.stringify(before)}: keys must ascend by their UTF-8 bytes, each once`
            )
          )
    }
    const isBehind = (key: string) => compareKeys(key, prefix) > 0 && !key.startsWith(prefix)
    return listing.pipe(
      Stream.tap(({ key }) => inOrder(key)),
      Stream.takeWhile(({ key }) => !isBehind(key)),
      Stream.filter(
        ({ key }) => key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0)
      ),
      Stream.mapEffect((object) => checkedInfo("list", { ...object, key: ObjectKey.make(object.key) })),
      Stream.rechunk(pageMax),
      Stream.chunks
    )
  })
