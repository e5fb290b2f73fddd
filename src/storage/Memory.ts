/**
 * A store in memory, for deterministic tests: the same contract, times from `Clock`, no I/O.
 *
 * It is a twin of the real stores: a difference is a bug here. It can act as a bucket with versions, with
 * locks, or with a clock of its own. A test writes into the state what another program or a crash would
 * leave.
 */
import { Readable } from "node:stream"
import { Clock, Effect, Layer, Option, Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"
import { exactly } from "./Body.ts"
import { checkBatch, checkCopy, checkRange, noSuchObject, resolveRange } from "./Checks.ts"
import { compareKeys } from "./KeyOrder.ts"
import { withOpening } from "./Readables.ts"
import {
  type ByteRange,
  type DeleteFailure,
  type MultipartSearch,
  type MultipartUpload,
  Storage,
  type StoredObject,
  type StoreTraits
} from "./Storage.ts"

/** Holds one version of an object. */
export interface Entry {
  /** The version's whole content. */
  readonly bytes: Uint8Array
  /** The time of its write, in milliseconds since the epoch. */
  readonly modifiedAt: number
}

/** Holds the store's content. A test may read it, and change it as another program or a crash would. */
export interface State {
  /** The visible objects. */
  readonly objects: Map<ObjectKey, Entry>
  /** Versions that were deleted or replaced, oldest first. They take space, and no method shows them. */
  readonly hidden: Map<ObjectKey, ReadonlyArray<Entry>>
  /** Unfinished multipart uploads by their id. `put` makes none here, so a test adds them. */
  readonly multiparts: Map<string, Omit<MultipartUpload, "uploadId">>
  /** The result of `multipartSearch`. `multiparts` emits all of `multiparts` whatever it says. */
  multipartSearch: MultipartSearch
  /** Keys with a locked version. A delete of all versions fails for them; one that adds a marker succeeds. */
  readonly locked: Set<ObjectKey>
  /** The result of `skew` in milliseconds. Null: the store dates objects by this process's clock. */
  skewMillis: number | null
  /** The result of `traits`. `put` and `delete` act accordingly. */
  traits: StoreTraits
}

/** Returns an empty bucket without versions or locks, dated by this process's clock. */
export const emptyState = (): State => ({
  objects: new Map(),
  hidden: new Map(),
  multiparts: new Map(),
  multipartSearch: "complete",
  locked: new Set(),
  skewMillis: null,
  traits: { versioning: "off", objectLock: false, deletes: "objects", chosen: true }
})

const pageMax = 1000

/** Provides the store of `state`. Several layers of one state are clients of the same bucket. */
export const layerOf = (state: State): Layer.Layer<Storage> => Layer.sync(Storage, () => make(state))

/** Provides an empty store. Each time the layer is built, it is another store. */
export const layer: Layer.Layer<Storage> = Layer.sync(Storage, () => make(emptyState()))

const make = (state: State): Storage["Service"] =>
  Storage.of({
    description: "memory",
    identity: { store: "memory" },
    probe: Effect.void,
    list: (prefix, options) =>
      Stream.paginate(options?.after, (after: string | undefined) =>
        Effect.sync(() => {
          const found = pageAfter(state, prefix, after)
          const last = found.at(-1)
          const next = found.length < pageMax || last === undefined ? Option.none() : Option.some(last.key)
          return [found.length === 0 ? [] : [found], next] as const
        })
      ),
    delete: (keys) => deleteKeys(state, keys),
    put: Effect.fnUntraced(function* (key, body, sizeBytes) {
      const chunks = yield* Stream.runCollect(exactly(body, key, sizeBytes))
      write(state, key, Buffer.concat(chunks), yield* Clock.currentTimeMillis)
    }),
    copy: Effect.fnUntraced(function* (from, to) {
      yield* checkCopy(from, to)
      const now = yield* Clock.currentTimeMillis
      const source = state.objects.get(from)
      if (source === undefined) return yield* noSuchObject(from, "copy")
      write(state, to, source.bytes, now)
    }),
    concat: Effect.fnUntraced(function* (sources, to) {
      const found: Array<Uint8Array> = []
      for (const { key } of sources) {
        const entry = state.objects.get(key)
        if (entry === undefined) return yield* noSuchObject(key, "copy")
        found.push(entry.bytes)
      }
      write(state, to, Buffer.concat(found), yield* Clock.currentTimeMillis)
    }),
    get: (key, range) => {
      const bytes = read(state, key, range)
      return withOpening(
        Stream.unwrap(Effect.map(bytes, (found) => (found.length === 0 ? Stream.empty : Stream.make(found)))),
        Effect.flatMap(bytes, piped)
      )
    },
    head: (key) =>
      Effect.sync(() =>
        Option.map(Option.fromUndefinedOr(state.objects.get(key)), (entry) => describe(key, entry))
      ),
    multiparts: (prefix) =>
      Stream.suspend(() => {
        const found = uploadsOf(state, prefix)
        return found.length === 0 ? Stream.empty : Stream.make(found)
      }),
    multipartSearch: () => Effect.sync(() => state.multipartSearch),
    abortMultipart: ({ key, uploadId }) =>
      Effect.sync(() => {
        if (state.multiparts.get(uploadId)?.key === key) state.multiparts.delete(uploadId)
      }),
    skew: Effect.sync(() => Option.fromNullishOr(state.skewMillis)),
    traits: Effect.sync(() => state.traits)
  })

/** Sorts afresh for each page, as a real store lists: an object deleted meanwhile does not appear again. */
const pageAfter = (
  { objects }: State,
  prefix: string,
  after: string | undefined
): ReadonlyArray<StoredObject> =>
  [...objects]
    .filter(([key]) => key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0))
    .sort(([a], [b]) => compareKeys(a, b))
    .slice(0, pageMax)
    .map(([key, entry]) => describe(key, entry))

const deleteKeys = Effect.fnUntraced(function* (state: State, keys: ReadonlyArray<ObjectKey>) {
  yield* checkBatch(keys)
  const allVersions = state.traits.deletes === "versions"
  const isKept = (key: ObjectKey) => allVersions && state.locked.has(key)
  const deleted = keys.filter((key) => !isKept(key))
  for (const key of deleted) {
    hide(state, key)
    if (allVersions) state.hidden.delete(key)
  }
  return { deleted, failed: keys.filter(isKept).map(lockedFailure) }
})

/** AWS's answer for a locked version. */
const lockedFailure = (key: ObjectKey): DeleteFailure => ({
  key,
  reason: "locked",
  code: "AccessDenied",
  detail: "Access Denied because object protected by object lock."
})

/** Removes the visible object of a key. A store with versions keeps it as a hidden one. */
const hide = ({ hidden, objects, traits }: State, key: ObjectKey): void => {
  const entry = objects.get(key)
  objects.delete(key)
  if (entry !== undefined && traits.versioning === "on") {
    hidden.set(key, [...(hidden.get(key) ?? []), entry])
  }
}

const write = (state: State, key: ObjectKey, bytes: Uint8Array, modifiedAt: number): void => {
  hide(state, key)
  state.objects.set(key, { bytes, modifiedAt })
}

const read = Effect.fnUntraced(function* (state: State, key: ObjectKey, range: ByteRange | undefined) {
  yield* checkRange(key, range)
  const entry = state.objects.get(key)
  if (entry === undefined) return yield* noSuchObject(key)
  const { start, stop } = yield* resolveRange(key, range, entry.bytes.length)
  return entry.bytes.slice(start, stop)
})

const piped = (bytes: Uint8Array) =>
  Effect.acquireRelease(
    Effect.sync(() => ({
      readable: Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false }),
      failure: (cause: unknown) =>
        new StorageError({
          operation: "get",
          subject: "memory",
          reason: "Unknown",
          detail: String(cause),
          cause
        })
    })),
    ({ readable }) => Effect.sync(() => readable.destroy())
  )

const uploadsOf = ({ multiparts }: State, prefix: string): ReadonlyArray<MultipartUpload> =>
  [...multiparts]
    .filter(([, { key }]) => key.startsWith(prefix))
    .map(([uploadId, upload]) => ({ uploadId, ...upload }))
    .sort((a, b) => compareKeys(a.key, b.key) || compareKeys(a.uploadId, b.uploadId))

const describe = (key: ObjectKey, entry: Entry): StoredObject => ({
  key,
  sizeBytes: entry.bytes.length,
  modifiedAt: entry.modifiedAt
})
