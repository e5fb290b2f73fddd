/**
 * A store in memory, for deterministic tests: same contract, times from `Clock`, no I/O.
 *
 * It is a twin of the real ones: where it differs from them, the twin is wrong.
 */
import { Clock, Effect, Layer, Option, Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { exactly } from "./body.ts"
import { compareKeys } from "./keyOrder.ts"
import { checkBatch, checkRange, noSuchObject, resolveRange } from "./refusals.ts"
import { Storage, type StoredObject } from "./Storage.ts"

interface Entry {
  readonly bytes: Uint8Array
  readonly modifiedAt: number
}

const pageMax = 1000

/** An empty store. Build the layer twice and there are two stores. */
export const layer: Layer.Layer<Storage> = Layer.sync(Storage, () => {
  const objects = new Map<ObjectKey, Entry>()

  const describe = (key: ObjectKey, entry: Entry): StoredObject => ({
    key,
    sizeBytes: entry.bytes.length,
    modifiedAt: entry.modifiedAt
  })

  /** Read afresh for each page, as a real listing is: what is deleted meanwhile does not come up again. */
  const page = (prefix: string, after: string | undefined): ReadonlyArray<StoredObject> =>
    [...objects]
      .filter(([key]) => key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0))
      .sort(([a], [b]) => compareKeys(a, b))
      .slice(0, pageMax)
      .map(([key, entry]) => describe(key, entry))

  return Storage.of({
    description: "memory",
    probe: Effect.void,
    list: (prefix, options) =>
      Stream.paginate(options?.after, (after: string | undefined) =>
        Effect.sync(() => {
          const found = page(prefix, after)
          const last = found.at(-1)
          const next = found.length < pageMax || last === undefined ? Option.none() : Option.some(last.key)
          return [found.length === 0 ? [] : [found], next] as const
        })
      ),
    delete: Effect.fnUntraced(function* (keys) {
      yield* checkBatch(keys)
      for (const key of keys) objects.delete(key)
      return { deleted: [...keys], failed: [] }
    }),
    put: Effect.fnUntraced(function* (key, body, sizeBytes) {
      const chunks = yield* Stream.runCollect(exactly(body, key, sizeBytes))
      objects.set(key, { bytes: Buffer.concat(chunks), modifiedAt: yield* Clock.currentTimeMillis })
    }),
    get: (key, range) =>
      Stream.unwrap(
        Effect.gen(function* () {
          yield* checkRange(key, range)
          const entry = objects.get(key)
          if (entry === undefined) return yield* noSuchObject(key)
          const { start, stop } = yield* resolveRange(key, range, entry.bytes.length)
          return start === stop ? Stream.empty : Stream.make(entry.bytes.slice(start, stop))
        })
      ),
    head: (key) =>
      Effect.sync(() => Option.map(Option.fromUndefinedOr(objects.get(key)), (entry) => describe(key, entry)))
  })
})
