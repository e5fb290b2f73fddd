/**
 * The content-addressed writer: stores bytes as a blob with the host's own references, safely beside running
 * collectors.
 *
 * Steps W1 to W5 of docs/design/protocol.md. Success is the commit of the references or of the pin, never the
 * upload. A live blob is adopted without sending a byte. Otherwise an intent declares a fresh key, the bytes
 * are sent to it, and they become a blob only if the intent still exists. A writer that loses a race against
 * a collector retries by itself.
 */
import { Clock, Context, Duration, Effect, Layer, Option, type Stream } from "effect"
import { BlobDatabase } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import { KeyNonce, type ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { type ByteRange, Storage } from "../storage/Storage.ts"
import type { BlobUnknown, DigestUnsupported, PutFailure } from "./errors.ts"
import * as Metrics from "./Metrics.ts"
import { open } from "./Open.ts"
import { type PutOptions, type PutOutcome, put, type Stored } from "./Put.ts"
import { type PutAllOptions, putAll, type Upload } from "./PutAll.ts"
import type { WriterContext } from "./WriterContext.ts"

export {
  BlobUnknown,
  DigestMismatch,
  DigestUnsupported,
  type PutFailure,
  SizeMismatch,
  UploadExpired
} from "./errors.ts"
export type { CommittedBlob, PutOptions, PutOutcome, Stored } from "./Put.ts"
export type { PutAllOptions, Upload } from "./PutAll.ts"

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
   * How long `put` keeps a blob that was given neither `commit` nor a pin. Default 1 hour, like the grace
   * period.
   */
  readonly pin?: Duration.Duration
  /** Most bodies of one `putAll` that are sent at once. Default 8. */
  readonly concurrency?: number
}

/** Stores, pins and reads blobs. Use it for every write to a store that a collector sweeps. */
export class BlobStore extends Context.Service<
  BlobStore,
  {
    /**
     * Stores a blob and runs `commit`, the caller's own statements, in the same transaction. Without `commit`
     * the blob is pinned. The body is streamed and never kept in
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
     * Stores blobs, and runs `commit` in a transaction in which all of them exist: three transactions for all
     * together. Returns the outcomes in the order given. A failure leaves all of them committed with the
     * caller's statements, or none. The collector deletes bytes that were sent. Fails as `put` does, and leaves
     * a transaction that the caller has open.
     */
    readonly putAll: <E, R, E2, R2>(
      uploads: ReadonlyArray<Upload<E, R>>,
      options: PutAllOptions<E2, R2>
    ) => Effect.Effect<ReadonlyArray<PutOutcome>, E | E2 | PutFailure, R | R2>
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
          putAll: Effect.fn("BlobStore.putAll")((uploads, given) =>
            Metrics.counted(putAll(context, uploads, given), uploads.length, (outcomes) =>
              outcomes.map((outcome, index) => ({ outcome, sizeBytes: uploads[index]?.sizeBytes ?? 0 }))
            )
          ),
          pin: Effect.fn("BlobStore.pin")((digest, duration) => pin(context, digest, duration)),
          unpin: database.unpin,
          stat: (digest) => database.locate(digest, { joins: true }),
          open: (digest, range, key) => open(context, digest, range, key ?? null)
        })
      })
    )
}

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
