/**
 * A store in memory, for deterministic tests: same contract, times from `Clock`, no I/O.
 *
 * It is a twin of the real ones: where it differs from them, the twin is wrong. It can play a bucket that keeps what
 * is deleted, and one whose clock is off; what others left behind is written into its state.
 */
import { Clock, Effect, Layer, Option, Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { exactly } from "./Body.ts"
import { checkBatch, checkCopy, checkRange, noSuchObject, resolveRange } from "./Checks.ts"
import { compareKeys } from "./KeyOrder.ts"
import {
  type DeleteFailure,
  type MultipartUpload,
  Storage,
  type StoredObject,
  type StoreTraits
} from "./Storage.ts"

export interface Entry {
  readonly bytes: Uint8Array
  readonly modifiedAt: number
}

/** What the store holds. Tests may read it, and write what a foreign program or a crash would. */
export interface State {
  readonly objects: Map<ObjectKey, Entry>
  /** Versions that no verb shows and that cost space all the same: deleted or replaced, oldest first. */
  readonly hidden: Map<ObjectKey, ReadonlyArray<Entry>>
  /** Uploads in parts under way, by their id. A `put` here has none; they are what tests put in. */
  readonly multiparts: Map<string, Omit<MultipartUpload, "uploadId">>
  /** Keys with a locked version. A delete of all versions fails for them; a delete that hides the object does not. */
  readonly locked: Set<ObjectKey>
  /** What `skew` answers; null where the store has no clock of its own. */
  skewMillis: number | null
  traits: StoreTraits
}

export const emptyState = (): State => ({
  objects: new Map(),
  hidden: new Map(),
  multiparts: new Map(),
  locked: new Set(),
  skewMillis: null,
  traits: { versioning: "off", objectLock: false, deletes: "objects", chosen: true }
})

const pageMax = 1000

/** The store of `state`, which may have other stores too: they are then the same bucket. */
export const layerOf = (state: State): Layer.Layer<Storage> => Layer.sync(Storage, () => make(state))

/** An empty store. Build the layer twice and there are two stores. */
export const layer: Layer.Layer<Storage> = Layer.sync(Storage, () => make(emptyState()))

const make = (state: State): Storage["Service"] => {
  const { hidden, multiparts, objects } = state

  /** Read afresh for each page, as a real listing is: what is deleted meanwhile does not come up again. */
  const page = (prefix: string, after: string | undefined): ReadonlyArray<StoredObject> =>
    [...objects]
      .filter(([key]) => key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0))
      .sort(([a], [b]) => compareKeys(a, b))
      .slice(0, pageMax)
      .map(([key, entry]) => describe(key, entry))

  /** Takes away what a key shows; the store keeps it where it keeps versions. */
  const hide = (key: ObjectKey): void => {
    const entry = objects.get(key)
    objects.delete(key)
    if (entry !== undefined && state.traits.versioning === "on") {
      hidden.set(key, [...(hidden.get(key) ?? []), entry])
    }
  }

  const write = (key: ObjectKey, bytes: Uint8Array, modifiedAt: number): void => {
    hide(key)
    objects.set(key, { bytes, modifiedAt })
  }

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
      const isKept = (key: ObjectKey) => state.traits.deletes === "versions" && state.locked.has(key)
      const deleted = keys.filter((key) => !isKept(key))
      for (const key of deleted) {
        hide(key)
        if (state.traits.deletes === "versions") hidden.delete(key)
      }
      return { deleted, failed: keys.filter(isKept).map(lockedFailure) }
    }),
    put: Effect.fnUntraced(function* (key, body, sizeBytes) {
      const chunks = yield* Stream.runCollect(exactly(body, key, sizeBytes))
      write(key, Buffer.concat(chunks), yield* Clock.currentTimeMillis)
    }),
    copy: Effect.fnUntraced(function* (from, to) {
      yield* checkCopy(from, to)
      const now = yield* Clock.currentTimeMillis
      const source = objects.get(from)
      if (source === undefined) return yield* noSuchObject(from, "copy")
      write(to, source.bytes, now)
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
      Effect.sync(() =>
        Option.map(Option.fromUndefinedOr(objects.get(key)), (entry) => describe(key, entry))
      ),
    multiparts: (prefix) =>
      Stream.suspend(() => {
        const found = [...multiparts]
          .filter(([, { key }]) => key.startsWith(prefix))
          .map(([uploadId, upload]) => ({ uploadId, ...upload }))
          .sort((a, b) => compareKeys(a.key, b.key) || compareKeys(a.uploadId, b.uploadId))
        return found.length === 0 ? Stream.empty : Stream.make(found)
      }),
    abortMultipart: ({ key, uploadId }) =>
      Effect.sync(() => {
        if (multiparts.get(uploadId)?.key === key) multiparts.delete(uploadId)
      }),
    skew: Effect.sync(() => Option.fromNullishOr(state.skewMillis)),
    traits: Effect.sync(() => state.traits)
  })
}

/** As AWS answers. */
const lockedFailure = (key: ObjectKey): DeleteFailure => ({
  key,
  reason: "locked",
  code: "AccessDenied",
  detail: "Access Denied because object protected by object lock."
})

const describe = (key: ObjectKey, entry: Entry): StoredObject => ({
  key,
  sizeBytes: entry.bytes.length,
  modifiedAt: entry.modifiedAt
})
