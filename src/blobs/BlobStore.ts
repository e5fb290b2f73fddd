/**
 * The content-addressed writer: stores bytes as a blob with its references, safely beside running collectors.
 *
 * Steps W1 to W5 of docs/design/protocol.md. Success is the commit of the references or of the pin, never the
 * upload. A live blob is adopted without sending a byte. Otherwise an intent declares a fresh key, the bytes
 * are sent to it, and they become a blob only if the intent still exists. A writer that loses a race against
 * a collector retries by itself.
 */
import { Clock, Context, Duration, Effect, Layer, Option, type Stream } from "effect"
import { BlobDatabase, type Reference } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import { KeyNonce, type ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { type ByteRange, Storage } from "../storage/Storage.ts"
import { BlobUnknown, type DigestUnsupported, type PutFailure } from "./errors.ts"
import * as Metrics from "./Metrics.ts"
import { open } from "./Open.ts"
import { type PutOptions, type PutOutcome, put, type Stored } from "./Put.ts"
import { putAll, type Upload } from "./PutAll.ts"
import type { WriterContext } from "./WriterContext.ts"

export {
  BlobUnknown,
  DigestMismatch,
  DigestUnsupported,
  type PutFailure,
  SizeMismatch,
  UploadExpired
} from "./errors.ts"
export type { CommittedBlob, NewReference, PutOptions, PutOutcome, Stored } from "./Put.ts"
export type { Upload } from "./PutAll.ts"

/** A live blob. */
export interface BlobStat {
  /** The length of the blob, in bytes. */
  readonly sizeBytes: number
  /**
   * The object's current key, for presigned URLs. The blob may move to another key; references never name
   * keys.
   */
  readonly key: ObjectKey
}

/** Options of `BlobStore.reference`. */
export interface ReferenceOptions {
  /**
   * Ids of pins that the references replace. Released in the same transaction; ids that do not exist are
   * ignored.
   */
  readonly release?: ReadonlyArray<string> | undefined
}

/** Options of `BlobStore.layer`. */
export interface BlobStoreOptions {
  /** Prefix of the keys of new objects. Default `blobs/`. */
  readonly prefix?: string
  /**
   * How long an upload may stall before a collector may reap it. While bytes arrive, the lease is renewed
   * every third of it. Default 1 hour: the bytes of a writer that crashed stay in the store for as long.
   */
  readonly uploadLease?: Duration.Duration
  /**
   * How long `put` keeps a blob that was given neither references nor a pin. Default 1 hour, like the grace
   * period.
   */
  readonly pin?: Duration.Duration
  /** Most bodies of one `putAll` that are sent at once. Default 8. */
  readonly concurrency?: number
}

/** Stores, references, pins and reads blobs. Use it for every write to a store that a collector sweeps. */
export class BlobStore extends Context.Service<
  BlobStore,
  {
    /**
     * Stores a blob and its references or pin in one transaction. The body is streamed and never kept in
     * memory as a whole. It does not run if its declared digest is live.
     *
     * A failure leaves the blob either stored with all that was asked for, or not at all. The collector
     * deletes bytes that were sent. If a collector reaped the upload, the store copies the bytes to another
     * key. If the store no longer has them, a `replayable` body runs again. Otherwise the call fails with
     * `UploadExpired`: send the bytes again.
     *
     * Fails with `DigestMismatch` or `SizeMismatch` if the body is not as declared, and with
     * `DigestUnsupported` if the declared digest is neither sha256 nor sha512. Fails with `DatabaseError` or
     * `StorageError` if a backend fails.
     *
     * Leaves a transaction that the caller has open, because success is a commit of its own. The connection
     * pool therefore needs a second connection.
     */
    readonly put: <E, R, E2 = never, R2 = never>(
      body: Stream.Stream<Uint8Array, E, R>,
      options?: PutOptions<E2, R2>
    ) => Effect.Effect<Stored, E | E2 | PutFailure | DigestUnsupported, R | R2>
    /**
     * Stores blobs with their references, in three transactions for all of them together. Returns the
     * outcomes in the order given. A failure leaves each blob either stored with all its references or not at
     * all. The collector deletes bytes that were sent for the others. Fails as `put` does, and leaves a
     * transaction that the caller has open.
     */
    readonly putAll: <E, R>(
      uploads: ReadonlyArray<Upload<E, R>>
    ) => Effect.Effect<ReadonlyArray<PutOutcome>, E | PutFailure, R>
    /**
     * Adds references to live blobs, all or none. Fails with `BlobUnknown`, which names the blobs that are
     * not live; then no reference was added, and the live blobs only count as used. Repeating the call
     * changes nothing.
     *
     * Joins a transaction that the caller has open on the same client, as `unreference`, `pin`, `unpin` and
     * `stat` do. The change takes effect with the caller's commit and disappears with its rollback. Nothing
     * is retried within it.
     */
    readonly reference: (
      references: ReadonlyArray<Reference>,
      options?: ReferenceOptions
    ) => Effect.Effect<void, BlobUnknown | DatabaseError>
    /**
     * Removes references and returns how many existed. Blobs that lose their last reference become orphans.
     */
    readonly unreference: (references: ReadonlyArray<Reference>) => Effect.Effect<number, DatabaseError>
    /**
     * Keeps a blob for `duration`, until its references are made. Pin a blob before telling a client that it
     * exists. Returns the pin's id, or none if the blob is not live.
     */
    readonly pin: (
      digest: Digest,
      duration: Duration.Input
    ) => Effect.Effect<Option.Option<string>, DatabaseError>
    /** Releases pins and returns how many existed. */
    readonly unpin: (ids: ReadonlyArray<string>) => Effect.Effect<number, DatabaseError>
    /**
     * Returns the blob's current size and key, or none if it is not live. Does not keep the blob; `pin` does.
     */
    readonly stat: (digest: Digest) => Effect.Effect<Option.Option<BlobStat>, DatabaseError>
    /**
     * Streams the blob's bytes, or those of `range`. A reader needs a reference or a pin to be safe from
     * collectors. If the blob moves to another key before its first byte is read, the stream follows it. A
     * caller that has just looked the blob up passes its `key`: the database is then asked only if the blob
     * has moved.
     *
     * Fails with `BlobUnknown` if the blob is not live, and with `StorageError` if its object is missing.
     */
    readonly open: (
      digest: Digest,
      range?: ByteRange,
      key?: ObjectKey
    ) => Stream.Stream<Uint8Array, BlobUnknown | DatabaseError | StorageError>
  }
>()("artifact-gc/blobs/BlobStore") {
  /** Builds a blob store on the database and the store of its context. */
  static readonly layer = (
    options: BlobStoreOptions = {}
  ): Layer.Layer<BlobStore, never, BlobDatabase | Storage> =>
    Layer.effect(
      BlobStore,
      Effect.gen(function* () {
        const database = yield* BlobDatabase
        const context: WriterContext = {
          database,
          storage: yield* Storage,
          prefix: options.prefix ?? "blobs/",
          leaseMillis: Duration.toMillis(options.uploadLease ?? Duration.hours(1)),
          pinMillis: Duration.toMillis(options.pin ?? Duration.hours(1)),
          concurrency: options.concurrency ?? 8
        }
        return BlobStore.of({
          put: Effect.fn("BlobStore.put")((body, given = {}) =>
            Metrics.counted(put(context, body, given), 1, (stored) => [stored])
          ),
          putAll: Effect.fn("BlobStore.putAll")((uploads) =>
            Metrics.counted(putAll(context, uploads), uploads.length, (outcomes) =>
              outcomes.map((outcome, index) => ({ outcome, sizeBytes: uploads[index]?.sizeBytes ?? 0 }))
            )
          ),
          reference: Effect.fn("BlobStore.reference")((references, given = {}) =>
            reference(context, references, given)
          ),
          unreference: database.unreference,
          pin: Effect.fn("BlobStore.pin")((digest, duration) => pin(context, digest, duration)),
          unpin: database.unpin,
          stat: (digest) => database.locate(digest, { joins: true }),
          open: (digest, range, key) => open(context, digest, range, key ?? null)
        })
      })
    )
}

const reference = Effect.fnUntraced(function* (
  { database }: WriterContext,
  references: ReadonlyArray<Reference>,
  { release = [] }: ReferenceOptions
) {
  const now = yield* Clock.currentTimeMillis
  const live = yield* database.adopt(now, references, { release, allOrNothing: true, joins: true })
  const [first, ...others] = new Set(
    references.map(({ digest }) => digest).filter((digest) => !live.has(digest))
  )
  if (first !== undefined) return yield* new BlobUnknown({ digests: [first, ...others] })
})

const pin = Effect.fnUntraced(function* (
  { database }: WriterContext,
  digest: Digest,
  duration: Duration.Input
) {
  const now = yield* Clock.currentTimeMillis
  const id = (yield* KeyNonce)()
  const expiresAt = now + Duration.toMillis(Duration.fromInputUnsafe(duration))
  const live = yield* database.adopt(now, [], { pins: [{ id, digest, expiresAt }], joins: true })
  return live.has(digest) ? Option.some(id) : Option.none()
})
