/**
 * The object store, as far as the collector and the blob store need one: verbs over keys, and what is to be known of it.
 *
 * Invariants every backend keeps (test/storage/contract holds them to it):
 * - `list` yields keys in ascending order of their UTF-8 bytes, page by page, never the whole listing at once;
 * - `put` is all or nothing: an object is visible with all its bytes or not at all;
 * - deleting an absent key is success.
 *
 * It knows nothing of the catalogue. Which keys may be deleted is decided elsewhere (src/sweep).
 */
import { Context, type Effect, type Option, type Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { DeleteFailure } from "./DeleteFailure.ts"

export type { DeleteFailure, DeleteFailureReason } from "./DeleteFailure.ts"

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
  /** How often the store asked to slow down before it answered; default never. */
  readonly throttled?: number | undefined
}

/** Bytes `start` to `end` of an object, both inclusive, as in RFC 9110 §14.1.2; without `end`, to its last byte. */
export interface ByteRange {
  readonly start: number
  readonly end?: number | undefined
}

/** An upload in parts that was begun and neither completed nor aborted. Its parts cost space and no listing of objects shows it. */
export interface MultipartUpload {
  readonly key: ObjectKey
  readonly uploadId: string
  /** When its newest part was written, or else when it was begun; ms since the epoch, by the store's own clock. */
  readonly lastActivityAt: number
}

/** What the store does with what is deleted. */
export interface StoreTraits {
  /** `suspended`: nothing is kept any more, but versions from before remain. */
  readonly versioning: "off" | "on" | "suspended"
  /** Objects may be locked against deletion for a time (S3 Object Lock). */
  readonly objectLock: boolean
  /**
   * What `delete` does here. `objects`: bytes are freed. `markers`: the store keeps the bytes behind a delete marker.
   * `versions`: every version of the key is deleted, and bytes are freed.
   */
  readonly deletes: "objects" | "markers" | "versions"
  /** False where there are versions and nobody has said what to do with them; `deletes` is then a guess. */
  readonly chosen: boolean
}

export interface PutOptions<E = never> {
  /**
   * Told the id of an upload in parts before its first part is sent, so that somebody else can abort it when this
   * process dies. If it fails, the upload is aborted and the put fails with that error. Not called for an object that
   * goes in one request.
   */
  readonly onMultipart?: ((uploadId: string) => Effect.Effect<void, E>) | undefined
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
     * run once, because it may be a socket; a backend may send again what it still holds of it. A body that ends early
     * or goes on too long is `Truncated` and leaves nothing visible.
     *
     * With `null` the length is not known beforehand: the object ends where the body ends. A declared length is
     * better where there is one, since it is what tells a whole body from a torn one.
     */
    readonly put: <E, R, E2 = never>(
      key: ObjectKey,
      body: Stream.Stream<Uint8Array, E, R>,
      sizeBytes: number | null,
      options?: PutOptions<E2>
    ) => Effect.Effect<void, StorageError | E | E2, R>
    /**
     * Makes `to` an object with the bytes of `from`, which the store copies by itself. All or nothing, like `put`;
     * repeating it is harmless. Fails with `NotFound` when `from` does not exist, and with `Rejected` when both are
     * the same key.
     */
    readonly copy: (from: ObjectKey, to: ObjectKey) => Effect.Effect<void, StorageError>
    /**
     * The object's bytes, or those of `range`. Fails with `NotFound` when it does not exist, and with `Rejected` when
     * the range begins past its end.
     */
    readonly get: (key: ObjectKey, range?: ByteRange) => Stream.Stream<Uint8Array, StorageError>
    /** The object's size and time (to the second in some stores), or none when it does not exist. */
    readonly head: (key: ObjectKey) => Effect.Effect<Option.Option<StoredObject>, StorageError>
    /**
     * Uploads in parts under way, abandoned or not, whose key starts with `prefix`, page by page. What is completed
     * or aborted meanwhile may be missing. Some stores (MinIO) find uploads under their exact key only, so an empty
     * listing proves nothing; none are found where the store has no such thing.
     */
    readonly multiparts: (prefix: string) => Stream.Stream<ReadonlyArray<MultipartUpload>, StorageError>
    /**
     * Ends an upload in parts and frees them. One that is unknown, completed or aborted already is success, and an
     * object that it became stays. A part that is on its way may arrive after it: the upload is then listed again.
     */
    readonly abortMultipart: (
      upload: Pick<MultipartUpload, "key" | "uploadId">
    ) => Effect.Effect<void, StorageError>
    /**
     * Milliseconds by which the store's clock is ahead of the clock of this process (behind: negative), at the middle
     * of a request. The process's clock is the real one whatever `Clock` says, because the store's is real too.
     * None where the store dates objects by our clock. S3 tells the time in whole seconds: less than one is 0, and
     * the answer may be up to one too small.
     */
    readonly skew: Effect.Effect<Option.Option<number>, StorageError>
    /**
     * What becomes of deleted objects here. Asked of the store each time, because somebody may change it.
     * `AccessDenied` names the permission that is missing.
     */
    readonly traits: Effect.Effect<StoreTraits, StorageError>
  }
>()("artifact-gc/storage/Storage") {}
