/**
 * The object store, as far as the collector and the blob store need one: seven verbs over keys.
 *
 * Invariants every backend keeps (test/storage/contract.ts holds them to it):
 * - `list` yields keys in ascending order of their UTF-8 bytes, page by page, never the whole listing at once;
 * - `put` is all or nothing: an object is visible with all its bytes or not at all;
 * - deleting an absent key is success.
 *
 * It knows nothing of the catalogue. Which keys may be deleted is decided elsewhere (src/sweep).
 */
import { Context, type Effect, type Option, type Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"

/** What a listing or a HEAD says of an object. */
export interface StoredObject {
  readonly key: ObjectKey
  readonly sizeBytes: number
  /** When the object was last written, in milliseconds since the epoch, by the store's own clock. */
  readonly modifiedAt: number
}

/** The outcome of one delete request, key by key. Every key asked for is in exactly one of the two lists. */
export interface DeleteOutcome {
  /** Gone now, whether or not they existed before. */
  readonly deleted: ReadonlyArray<ObjectKey>
  readonly failed: ReadonlyArray<DeleteFailure>
}

export interface DeleteFailure {
  readonly key: ObjectKey
  /** The store's error code, e.g. `AccessDenied`. */
  readonly code: string
  readonly detail: string
}

/** Bytes `start` to `end` of an object, both inclusive, as in RFC 9110 §14.1.2; without `end`, to its last byte. */
export interface ByteRange {
  readonly start: number
  readonly end?: number | undefined
}

/** Keys one `delete` may name: the limit of S3's DeleteObjects. */
export const deleteBatchMax = 1000

export class Storage extends Context.Service<
  Storage,
  {
    /** What this store is, for people: `s3://bucket at endpoint`, `files under …`, `memory`. */
    readonly description: string
    /**
     * Succeeds when the store exists and can be listed.
     * Run once at start, so that a wrong bucket is an error at once and not at the first sweep.
     */
    readonly probe: Effect.Effect<void, StorageError>
    /**
     * The objects whose key starts with `prefix` and, if `after` is given, sorts after it; in key order; a page
     * of at most 1000 an element. A failed page is retried by itself, so nothing is emitted twice. Objects written
     * or deleted meanwhile may or may not appear.
     */
    readonly list: (
      prefix: string,
      options?: { readonly after?: string | undefined }
    ) => Stream.Stream<ReadonlyArray<StoredObject>, StorageError>
    /**
     * Deletes up to {@link deleteBatchMax} objects in one request where the store can. Idempotent. Fails as a whole
     * only when the request did; one key's failure is in the outcome.
     */
    readonly delete: (keys: ReadonlyArray<ObjectKey>) => Effect.Effect<DeleteOutcome, StorageError>
    /**
     * Writes an object of exactly `sizeBytes` bytes and succeeds once the store has acknowledged it. The body is
     * run once, because it may be a socket; a backend may send again what it still holds of it. A body that ends early or goes on too long is
     * `Truncated` and leaves nothing visible.
     */
    readonly put: <E, R>(
      key: ObjectKey,
      body: Stream.Stream<Uint8Array, E, R>,
      sizeBytes: number
    ) => Effect.Effect<void, StorageError | E, R>
    /**
     * The object's bytes, or those of `range`. Fails with `NotFound` when it does not exist, and with `Rejected` when
     * the range begins past its end.
     */
    readonly get: (key: ObjectKey, range?: ByteRange) => Stream.Stream<Uint8Array, StorageError>
    /** The object's size and time (to the second in some stores), or none when it does not exist. */
    readonly head: (key: ObjectKey) => Effect.Effect<Option.Option<StoredObject>, StorageError>
  }
>()("artifact-gc/storage/Storage") {}
