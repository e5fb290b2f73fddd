/**
 * A store of a host's own, from the few members that only the host can write.
 *
 * This module adds the rest of the contract: ranges, batches, copies, traits. It checks what a member could
 * get wrong without a sign: the length of a body, the order of a listing, the numbers of an object. A check
 * that fails is a `StorageError` with the reason `Misbehaved`, which names the member. It cannot check that
 * `write` is atomic; `StorageContract` of `artifact-gc/testing` does.
 */
import { Data, Effect, Layer, Option, type Scope, Stream } from "effect"
import { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError, type StorageFailure } from "../domain/StorageError.ts"
import { checkBatch, checkCopy, checkRange, noSuchObject, resolveRange } from "./Checks.ts"
import { fromFailure } from "./DeleteFailure.ts"
import { checkedBody } from "./own/CheckedBody.ts"
import { checkedListing } from "./own/CheckedListing.ts"
import { checkedRange, cut } from "./own/CheckedRange.ts"
import { checkedInfo, misbehaved } from "./own/Misbehaviour.ts"
import { type DeleteOutcome, type MultipartUpload, Storage, type StoreTraits } from "./Storage.ts"

/**
 * The failure of a member of an {@link OwnStore}: a reason in this package's terms, and the store's own
 * words.
 */
export class OwnStoreError extends Data.TaggedError("OwnStoreError")<{
  /**
   * Why the request failed. `Unavailable`, `Throttled` and `TimedOut` say that it may succeed later:
   * collectors slow down and try again. `NotFound` says that the object is absent. Choose `Unknown` where
   * nothing else fits.
   */
  readonly reason: StorageFailure
  /** The store's own text, without credentials. Reports and logs show it. */
  readonly detail: string
  /** The store's own error. */
  readonly cause?: unknown
}> {}

/**
 * Returns a function from the store's own error to an {@link OwnStoreError} with this reason:
 * `Effect.tryPromise({ try: () => client.del(key), catch: Storage.ownStoreError("Unavailable") })`.
 */
export const ownStoreError =
  (reason: StorageFailure) =>
  (cause: unknown): OwnStoreError =>
    new OwnStoreError({ reason, detail: cause instanceof Error ? cause.message : String(cause), cause })

/** The size and time of an object. */
export interface OwnObject {
  /** The object's length in bytes. */
  readonly sizeBytes: number
  /** The time of its last write, in milliseconds since the epoch. */
  readonly modifiedAt: number
}

/** The members of a store of your own, for {@link layerFrom}. Six are required. */
export interface OwnStore {
  /** The store's name for people, in logs and refusals: `objects in the table app.objects`. */
  readonly description: string
  /**
   * Names the store for the collector's binding: a record that no other store has, and that does not change,
   * such as host and bucket. Default: the description.
   */
  readonly identity?: Readonly<Record<string, string>> | undefined
  /** Emits the whole object. Fails with `NotFound` if it does not exist. */
  readonly read: (key: ObjectKey) => Stream.Stream<Uint8Array, OwnStoreError>
  /**
   * Writes the object and succeeds when the store has acknowledged it. It runs the body once and to its end.
   * The object must become visible with all its bytes or not at all: write under another name and rename, or
   * in one statement or transaction. If the body fails, the key must show what it showed before, and `write`
   * fails with the body's error. `sizeBytes` is the declared length, which is checked here, or null.
   */
  readonly write: <E, R>(
    key: ObjectKey,
    body: Stream.Stream<Uint8Array, E, R>,
    sizeBytes: number | null
  ) => Effect.Effect<void, OwnStoreError | E, R>
  /**
   * Deletes the object. Succeeds for an absent one; a failure with `NotFound` counts as success. Send the
   * request once: a repeated request may delete an object that was written under the same key meanwhile.
   */
  readonly remove: (key: ObjectKey) => Effect.Effect<void, OwnStoreError>
  /**
   * Emits the objects whose key starts with `prefix` and sorts after `after`, in the order of the keys' UTF-8
   * bytes, which is checked here. It may ignore both and emit all objects. The others are left out here, but
   * each page then costs a listing from the first object on.
   */
  readonly list: (
    prefix: string,
    after: string | undefined
  ) => Stream.Stream<OwnObject & { readonly key: string }, OwnStoreError>
  /** Returns the object's size and time, or undefined if it does not exist. */
  readonly head: (key: ObjectKey) => Effect.Effect<OwnObject | undefined, OwnStoreError>
  /**
   * Emits the bytes `start` to `end` of an object, both inclusive and inside the object. Their number is
   * checked here. Without it `read` emits the whole object and the range is cut out of it.
   */
  readonly readRange?:
    | ((key: ObjectKey, start: number, end: number) => Stream.Stream<Uint8Array, OwnStoreError>)
    | undefined
  /**
   * Deletes up to 1000 objects in one request, and returns the keys that may still exist, each with the
   * failure. Fails if the whole request failed. Without it each object costs a request of its own, {@link
   * OwnStore.removeConcurrency} at once.
   */
  readonly removeAll?:
    | ((
        keys: ReadonlyArray<ObjectKey>
      ) => Effect.Effect<ReadonlyArray<readonly [key: ObjectKey, failure: OwnStoreError]>, OwnStoreError>)
    | undefined
  /** The most calls of `remove` at once in one batch. Default 16. */
  readonly removeConcurrency?: number | undefined
  /**
   * Gives `to` the bytes of `from` inside the store, atomically. Fails with `NotFound` if `from` does not
   * exist. Without it the bytes of a copy pass through this process. Writers and sweeps copy an object whose
   * key a late delete may still hit.
   */
  readonly copy?: ((from: ObjectKey, to: ObjectKey) => Effect.Effect<void, OwnStoreError>) | undefined
  /** Succeeds if the store exists and can be listed. Default: lists until the first object. */
  readonly probe?: Effect.Effect<void, OwnStoreError> | undefined
  /**
   * Uploads in parts that a crash may leave unfinished. Without them a store whose `write` leaves such parts
   * keeps them for ever. A store that leaves none needs none.
   */
  readonly multiparts?: OwnMultiparts | undefined
  /**
   * What `remove` does to the bytes. Without it collectors assume that the store keeps no old versions and no
   * locks, and that a removal frees the bytes. Reports of freed bytes would be wrong for a store that keeps
   * versions.
   */
  readonly traits?: Effect.Effect<StoreTraits, OwnStoreError> | undefined
  /**
   * How many milliseconds the store's clock is ahead of this process's clock. Without it collectors assume
   * that `write` dates objects by this process's clock. A store that dates them by another clock needs it:
   * the waits of leftovers count from those dates, and the clock guard cannot see a wrong clock.
   */
  readonly skew?: Effect.Effect<number, OwnStoreError> | undefined
}

/** The unfinished uploads in parts of an {@link OwnStore}. */
export interface OwnMultiparts {
  /** Emits all unfinished uploads whose key starts with `prefix`, active ones included. */
  readonly list: (prefix: string) => Stream.Stream<MultipartUpload, OwnStoreError>
  /** Frees the parts of an upload. Succeeds for one that does not exist. */
  readonly abort: (upload: Pick<MultipartUpload, "key" | "uploadId">) => Effect.Effect<void, OwnStoreError>
}

/**
 * Provides the store that `own` describes. Give an Effect if the store must be opened first: its scope ends
 * with the layer.
 *
 * ```ts
 * const layer = Storage.layerFrom({ description: "objects in Redis", read, write, remove, list, head })
 * ```
 *
 * Prove it with the cases of `StorageContract` (`artifact-gc/testing`) before a collector uses it.
 */
export function layerFrom(own: OwnStore): Layer.Layer<Storage>
export function layerFrom<E, R>(
  own: Effect.Effect<OwnStore, E, R>
): Layer.Layer<Storage, E, Exclude<R, Scope.Scope>>
export function layerFrom<E, R>(
  own: OwnStore | Effect.Effect<OwnStore, E, R>
): Layer.Layer<Storage, E, Exclude<R, Scope.Scope>> {
  return Layer.effect(Storage, Effect.isEffect(own) ? Effect.map(own, make) : Effect.sync(() => make(own)))
}

type Operation = StorageError["operation"]

/** Translates a member's failure. The subject is the key or the prefix. */
const translate =
  (operation: Operation, subject: string) =>
  (failure: OwnStoreError): StorageError =>
    new StorageError({
      operation,
      subject,
      reason: failure.reason,
      detail: failure.detail,
      ...(failure.cause === undefined ? {} : { cause: failure.cause })
    })

const asked = <A>(operation: Operation, subject: string, answer: Effect.Effect<A, OwnStoreError>) =>
  Effect.mapError(answer, translate(operation, subject))

const streamed = <A>(operation: Operation, subject: string, answer: Stream.Stream<A, OwnStoreError>) =>
  Stream.mapError(answer, translate(operation, subject))

const traitsByDefault: StoreTraits = {
  versioning: "off",
  objectLock: false,
  deletes: "objects",
  chosen: true
}

const make = (own: OwnStore): Storage["Service"] => {
  const head = (key: ObjectKey, operation: Operation = "head") =>
    own.head(key).pipe(
      Effect.catchIf(
        ({ reason }) => reason === "NotFound",
        () => Effect.undefined
      ),
      Effect.mapError(translate(operation, key)),
      Effect.flatMap((found) =>
        found === undefined ? Effect.succeedNone : Effect.asSome(checkedInfo(operation, { ...found, key }))
      )
    )
  const read = (key: ObjectKey) => streamed("get", key, own.read(key))
  const put: Storage["Service"]["put"] = (key, body, sizeBytes) =>
    checkedBody(key, body, sizeBytes, (checked) =>
      own
        .write(key, checked, sizeBytes)
        .pipe(Effect.mapError((e) => (e instanceof OwnStoreError ? translate("put", key)(e) : e)))
    )
  return Storage.of({
    description: own.description,
    identity: own.identity ?? { store: own.description },
    probe:
      own.probe === undefined
        ? Stream.runDrain(Stream.take(streamed("probe", own.description, own.list("", undefined)), 1))
        : asked("probe", own.description, own.probe),
    list: (prefix, options) =>
      checkedListing(prefix, options?.after, streamed("list", prefix, own.list(prefix, options?.after))),
    delete: (keys) => removeKeys(own, keys),
    put,
    copy: Effect.fnUntraced(function* (from, to) {
      yield* checkCopy(from, to)
      if (own.copy !== undefined) return yield* asked("copy", from, own.copy(from, to))
      const found = yield* head(from, "copy")
      if (Option.isNone(found)) return yield* noSuchObject(from, "copy")
      yield* put(to, streamed("copy", from, own.read(from)), found.value.sizeBytes)
    }),
    get: (key, range) =>
      range === undefined
        ? read(key)
        : Stream.unwrap(
            Effect.gen(function* () {
              yield* checkRange(key, range)
              const found = yield* head(key, "get")
              if (Option.isNone(found)) return yield* noSuchObject(key)
              const { start, stop } = yield* resolveRange(key, range, found.value.sizeBytes)
              return own.readRange === undefined
                ? cut(read(key), start, stop)
                : checkedRange(key, stop - start, streamed("get", key, own.readRange(key, start, stop - 1)))
            })
          ),
    head: (key) => head(key),
    multiparts: (prefix) =>
      own.multiparts === undefined
        ? Stream.empty
        : streamed("list", prefix, own.multiparts.list(prefix)).pipe(Stream.rechunk(1000), Stream.chunks),
    multipartSearch: () => Effect.succeed("complete"),
    abortMultipart: (upload) =>
      own.multiparts === undefined ? Effect.void : asked("abort", upload.key, own.multiparts.abort(upload)),
    skew:
      own.skew === undefined ? Effect.succeedNone : asked("probe", own.description, Effect.asSome(own.skew)),
    traits:
      own.traits === undefined ? Effect.succeed(traitsByDefault) : asked("probe", own.description, own.traits)
  })
}

const removeConcurrency = 16

const removeKeys = Effect.fnUntraced(function* (own: OwnStore, keys: ReadonlyArray<ObjectKey>) {
  yield* checkBatch(keys)
  const failures = yield* own.removeAll === undefined
    ? removeOneByOne(own, keys)
    : asked("delete", `${keys.length} keys`, own.removeAll(keys))
  const failed = new Map(failures.filter(([, { reason }]) => reason !== "NotFound"))
  const stray = [...failed.keys()].filter((key) => !keys.includes(key))
  if (stray.length > 0) {
    return yield* misbehaved("delete", stray[0] ?? "", "removeAll returned a key that it was not given")
  }
  const outcome: DeleteOutcome = {
    deleted: keys.filter((key) => !failed.has(key)),
    failed: [...failed].map(([key, { detail, reason }]) => ({
      key,
      reason: fromFailure(reason),
      code: reason,
      detail
    }))
  }
  return outcome
})

const removeOneByOne = (own: OwnStore, keys: ReadonlyArray<ObjectKey>) =>
  Effect.map(
    Effect.forEach(
      keys,
      (key) =>
        own.remove(key).pipe(
          Effect.as(undefined),
          Effect.catch((failure) => Effect.succeed([ObjectKey.make(key), failure] as const))
        ),
      { concurrency: own.removeConcurrency ?? removeConcurrency }
    ),
    (failures) => failures.filter((failure) => failure !== undefined)
  )
