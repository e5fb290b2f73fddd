/**
 * The contract of an object store, as the collector and the blob store use one.
 *
 * Every backend keeps these invariants, and `StorageContract` in artifact-gc/testing checks them:
 * - `list` emits keys in ascending order of their UTF-8 bytes, page by page, and never holds a whole listing;
 * - `put` and `copy` are atomic: an object is visible with all its bytes or not at all;
 * - deleting an absent key succeeds.
 *
 * A store knows nothing of the catalogue. Which keys may be deleted is decided in src/sweep.
 */
import { Context, type Duration, type Effect, type Option, type Stream } from "effect"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { DeleteFailure } from "./DeleteFailure.ts"

export type { DeleteFailure, DeleteFailureReason } from "./DeleteFailure.ts"

/** Holds what a listing or a HEAD says about an object. */
export interface StoredObject {
  /** The object's name. */
  readonly key: ObjectKey
  /** The object's length in bytes. */
  readonly sizeBytes: number
  /** The time of the last write, in milliseconds since the epoch, by the store's own clock. */
  readonly modifiedAt: number
}

/** Holds the outcome of one delete, key by key. Every requested key is in exactly one of the two lists. */
export interface DeleteOutcome {
  /** The keys that are absent now, whether or not they existed before. */
  readonly deleted: ReadonlyArray<ObjectKey>
  /** The keys that may still exist, each with the reason. */
  readonly failed: ReadonlyArray<DeleteFailure>
  /** How often the store asked for fewer requests before it answered. Absent means never. */
  readonly throttled?: number | undefined
  /**
   * The keys of `deleted` that this call named in more than one request, because an earlier one got no
   * definite answer: none, a 5xx or a 429. That earlier request may still take effect later, and would then
   * delete an object written under the same key meanwhile. Absent means none: one request with a definite
   * answer deleted each key. A call knows nothing of the requests of other calls.
   */
  readonly resent?: ReadonlyArray<ObjectKey> | undefined
}

/** Selects bytes `start` to `end` of an object, both inclusive (RFC 9110 §14.1.2). */
export interface ByteRange {
  /** The first byte, counted from 0. */
  readonly start: number
  /** The last byte. Default: the object's last byte. */
  readonly end?: number | undefined
}

/**
 * Describes a multipart upload that was begun and neither completed nor aborted. Its parts take space, and no
 * listing of objects shows it.
 */
export interface MultipartUpload {
  /** The key that the object would get. */
  readonly key: ObjectKey
  /** The store's name of the upload, unique together with the key. */
  readonly uploadId: string
  /**
   * The time when its newest part was written, or when it was begun if that is later or it has no part.
   * Milliseconds since the epoch, by the store's own clock.
   */
  readonly lastActivityAt: number
}

/**
 * Says which unfinished multipart uploads `multiparts` emits. `complete`: all of them. `partial`: the store
 * lists an upload by its exact key only (MinIO), and `multiparts` emits those that the answering server began
 * since its start. `unknown`: not tested yet, or the credentials may not begin an upload.
 */
export type MultipartSearch = "complete" | "partial" | "unknown"

/** Describes what happens to deleted objects in this store. */
export interface StoreTraits {
  /** Whether old versions are kept. `suspended`: new ones are not kept, but older ones remain. */
  readonly versioning: "off" | "on" | "suspended"
  /** Whether objects can be locked against deletion for a time (S3 Object Lock). */
  readonly objectLock: boolean
  /**
   * The effect of `delete`. `objects`: frees the bytes. `markers`: the store keeps the bytes behind a delete
   * marker. `versions`: deletes every version of the key and frees the bytes.
   */
  readonly deletes: "objects" | "markers" | "versions"
  /** Whether the operator chose `deletes`. False if the bucket has versions and no setting covers them. */
  readonly chosen: boolean
}

/** A rule by which the store itself deletes or moves objects (a lifecycle rule of S3). */
export interface LifecycleRule {
  /** The rule's name; empty if it has none. */
  readonly id: string
  /** Whether the store applies it. */
  readonly enabled: boolean
  /** The keys that it applies to begin with this; empty for all. */
  readonly prefix: string
  /** Whether tags or sizes exclude some of these keys. */
  readonly filtered: boolean
  /** The age in days at which it deletes objects; null if it deletes none. A rule with a date counts as 0. */
  readonly expiresAfterDays: number | null
  /** The age in days at which it deletes old versions; null if it deletes none. */
  readonly expiresVersionsAfterDays: number | null
  /** The age in days at which it aborts unfinished uploads in parts; null if it aborts none. */
  readonly abortsAfterDays: number | null
  /** The storage classes to which it moves objects. */
  readonly movesTo: ReadonlyArray<string>
}

/** Options of `Storage.put`. */
export interface PutOptions<E = never> {
  /**
   * Receives the id of a multipart upload before its first part is sent, so that another process can abort
   * the upload if this one dies. If it fails, the upload is aborted and the put fails with that error. An
   * object that is sent in one request does not call it.
   */
  readonly onMultipart?: ((uploadId: string) => Effect.Effect<void, E>) | undefined
}

/** An object that becomes a part of another by `Storage.concat`. */
export interface ConcatSource {
  /** The object's name. */
  readonly key: ObjectKey
  /** The object's whole length in bytes. */
  readonly sizeBytes: number
}

/** The most keys that one `delete` may name: the limit of S3's DeleteObjects. */
export const deleteBatchMax = 1000

/** The object store. Its operations fail with a `StorageError`, whose `reason` says why. */
export class Storage extends Context.Service<
  Storage,
  {
    /** The store's name for people: `s3://bucket at endpoint`, `files under …`, `memory`. */
    readonly description: string
    /**
     * Names the store for the collector's binding, by setting: two stores are one if these are equal. A host's
     * name counts as it was configured, because the program cannot tell an alias from a copy.
     */
    readonly identity: Readonly<Record<string, string>>
    /**
     * Succeeds if the store exists and can be listed. Run it once at start, so that a wrong bucket fails the
     * start and not the first sweep.
     */
    readonly probe: Effect.Effect<void, StorageError>
    /**
     * Emits the objects whose key starts with `prefix` and, if `after` is given, sorts after `after`. They
     * come in key order, one page of at most 1000 objects an element. An empty page means that the store
     * listed nothing and that more follows, so a caller can ask its own bounds. A failed page is retried
     * alone, so no object is emitted twice. An object that is written or deleted meanwhile may or may not
     * appear. Fails with `Misbehaved` for an answer that is no listing, and for a listing that does not
     * advance.
     */
    readonly list: (
      prefix: string,
      options?: { readonly after?: string | undefined }
    ) => Stream.Stream<ReadonlyArray<StoredObject>, StorageError>
    /**
     * Deletes up to {@link deleteBatchMax} objects, in one request if the store can. Idempotent. The failure
     * of a single key is in the outcome. Fails only if the whole request failed, and with `Rejected` for too
     * many keys.
     */
    readonly delete: (keys: ReadonlyArray<ObjectKey>) => Effect.Effect<DeleteOutcome, StorageError>
    /**
     * Writes an object of exactly `sizeBytes` bytes and succeeds after the store has acknowledged it. The
     * body is run once, because it may be a socket. A backend may resend bytes that it still has in memory:
     * a chunk must not be changed after the body has emitted it.
     * Fails with `Truncated` if the body is shorter or longer, and with the body's own error. After a failure
     * the key shows what it showed before.
     *
     * `null` means that the length is unknown: the object ends where the body ends. Declare the length if you
     * know it, because only a declared length tells a whole body from a torn one.
     */
    readonly put: <E, R, E2 = never>(
      key: ObjectKey,
      body: Stream.Stream<Uint8Array, E, R>,
      sizeBytes: number | null,
      options?: PutOptions<E2>
    ) => Effect.Effect<void, StorageError | E | E2, R>
    /**
     * Gives `to` the bytes of `from`. The store copies them itself. Atomic and idempotent. Fails with
     * `NotFound` if `from` does not exist, and with `Rejected` if both are the same key.
     */
    readonly copy: (from: ObjectKey, to: ObjectKey) => Effect.Effect<void, StorageError>
    /**
     * Gives `to` the bytes of `sources`, one after the other. The store copies most of them itself. Atomic. `onMultipart`
     * is called as by `put`. Fails with `NotFound` if a source does not exist, and with `Misbehaved` if the object has
     * not the declared length. Absent: the store cannot, and a caller streams the bytes.
     */
    readonly concat?: <E2 = never>(
      sources: ReadonlyArray<ConcatSource>,
      to: ObjectKey,
      options?: PutOptions<E2>
    ) => Effect.Effect<void, StorageError | E2>
    /**
     * Emits the object's bytes, or those of `range`. Fails with `NotFound` if the object does not exist, and
     * with `Rejected` if the range is invalid or begins after the object's end.
     */
    readonly get: (key: ObjectKey, range?: ByteRange) => Stream.Stream<Uint8Array, StorageError>
    /**
     * Returns an address under which a client without credentials reads the object for as long as `life`, at most seven days.
     * Asks the store nothing, so the object need not exist. The address is a secret until it ends. Absent: the store cannot.
     */
    readonly presign?: (key: ObjectKey, life: Duration.Duration) => Effect.Effect<string, StorageError>
    /** Returns the object's size and time (whole seconds in some stores), or none if it does not exist. */
    readonly head: (key: ObjectKey) => Effect.Effect<Option.Option<StoredObject>, StorageError>
    /**
     * Emits the unfinished multipart uploads whose key starts with `prefix`, page by page, active ones
     * included. An empty page means that more follows, as in `list`. An upload that is completed or aborted
     * meanwhile may be absent. Ask `multipartSearch` what an empty listing proves. A store without multipart
     * uploads emits none.
     */
    readonly multiparts: (prefix: string) => Stream.Stream<ReadonlyArray<MultipartUpload>, StorageError>
    /**
     * Returns which uploads `multiparts` emits. If that is unknown and `mayWrite` is true, it begins an upload
     * below `prefix`, looks for it and aborts it. A known answer is kept for as long as the process lives.
     */
    readonly multipartSearch: (
      prefix: string,
      mayWrite: boolean
    ) => Effect.Effect<MultipartSearch, StorageError>
    /**
     * Aborts a multipart upload and frees its parts. Succeeds for an upload that is unknown, completed or
     * already aborted. An object that the upload became stays. A part still on its way may arrive later, and
     * the upload is then listed again.
     */
    readonly abortMultipart: (
      upload: Pick<MultipartUpload, "key" | "uploadId">
    ) => Effect.Effect<void, StorageError>
    /**
     * Returns how many milliseconds the store's clock is ahead of this process's clock (negative: behind), at
     * the middle of a request. Both are real clocks, whatever `Clock` says. None if the store dates objects
     * by this process's clock. S3 reports whole seconds: less than one second is 0, and the result may be up
     * to one second too small.
     */
    readonly skew: Effect.Effect<Option.Option<number>, StorageError>
    /**
     * Returns what happens to deleted objects here. Asks the store each time, because an operator may change
     * it. Fails with `AccessDenied` and the name of the missing permission.
     */
    readonly traits: Effect.Effect<StoreTraits, StorageError>
    /**
     * Returns the rules by which the store itself deletes or moves objects. Absent: the store has no such rules. Fails with
     * `AccessDenied` and the name of the missing permission, and with `Rejected` if the server does not know the request.
     */
    readonly lifecycle?: Effect.Effect<ReadonlyArray<LifecycleRule>, StorageError>
    /** Returns what the server calls itself, or null if it does not say. Absent: the store is no server. */
    readonly server?: Effect.Effect<string | null, StorageError>
  }
>()("artifact-gc/storage/Storage") {}
