/**
 * The content-addressed writer: bytes in, blob with references out, safe against collectors that run meanwhile.
 *
 * Steps W1 to W5 of docs/design/protocol.md. Success is the commit of the references or of the pin, never the upload: a
 * blob that lives already is adopted without sending a byte; otherwise the bytes go to a key that was never used
 * before, announced first, and become a blob only if the announcement is still there. Whoever loses a race against a
 * collector starts again by itself.
 */
import { Clock, Context, Duration, Effect, Layer, Option, Stream } from "effect"
import { Database, type Reference } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import { KeyNonce, type ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { type ByteRange, Storage } from "../storage/Storage.ts"
import type { Writer } from "./AnnouncedUpload.ts"
import {
  BlobUnknown,
  type DigestMismatch,
  type DigestUnsupported,
  type SizeMismatch,
  type UploadExpired
} from "./errors.ts"
import { type PutOptions, type PutOutcome, put, type Stored } from "./Put.ts"
import { putAll, type Upload } from "./PutAll.ts"

export { BlobUnknown, DigestMismatch, DigestUnsupported, SizeMismatch, UploadExpired } from "./errors.ts"
export type { NewReference, PutOptions, PutOutcome, Stored } from "./Put.ts"
export type { Upload } from "./PutAll.ts"

/** Why bytes could not be stored. */
export type PutFailure = DatabaseError | StorageError | DigestMismatch | SizeMismatch | UploadExpired

export interface BlobStat {
  readonly sizeBytes: number
  /** Where the bytes are now, for presigned addresses. The blob may move to another key; references never name keys. */
  readonly key: ObjectKey
}

export interface ReferenceOptions {
  /** Pins that the references replace; released in the same transaction, whether or not they exist. */
  readonly release?: ReadonlyArray<string> | undefined
}

export interface BlobStoreOptions {
  /** Where keys of new objects begin. Default `blobs/`. */
  readonly prefix?: string
  /**
   * How long an upload may stand still before a collector may reap it; while bytes flow it is renewed every third of
   * that. Default 1 hour: a lost upload leaks for as long.
   */
  readonly uploadLease?: Duration.Duration
  /** How long `put` keeps a blob that was given neither references nor a pin. Default 1 hour, like the grace period. */
  readonly pin?: Duration.Duration
  /** Uploads of one `putAll` in flight. Default 8. */
  readonly concurrency?: number
}

export class BlobStore extends Context.Service<
  BlobStore,
  {
    /**
     * Stores a blob with what holds it, its references or a pin, in one transaction. The body passes through: it is
     * never held as a whole, and not run when a declared digest lives already.
     *
     * A failure leaves the blob either stored with all that was asked for, or not at all; bytes that were sent are
     * collected. When a collector took the upload away, the store copies the bytes to another key; if it does not have
     * them any more, the body is run again if it is `replayable`, and `UploadExpired` says that it must be sent again
     * if not.
     *
     * Leaves a transaction that the caller has open: success is a commit of its own. The connection pool therefore needs
     * a second connection.
     */
    readonly put: <E, R>(
      body: Stream.Stream<Uint8Array, E, R>,
      options?: PutOptions
    ) => Effect.Effect<Stored, E | PutFailure | DigestUnsupported, R>
    /**
     * Stores blobs with their references, in three transactions for all of them together; answers in the order
     * given. A failure leaves each blob either stored with all its references or not at all; bytes that were sent
     * for the others are collected. Leaves a transaction that the caller has open, like `put`.
     */
    readonly putAll: <E, R>(
      uploads: ReadonlyArray<Upload<E, R>>
    ) => Effect.Effect<ReadonlyArray<PutOutcome>, E | PutFailure, R>
    /**
     * Adds references to blobs that live, all or none: `BlobUnknown` names the blobs that do not, and then nothing has
     * changed but that the others count as used. Doing it again does no harm.
     *
     * Joins a transaction that the caller has open on the same client, as `unreference`, `pin`, `unpin` and `stat` do:
     * it takes effect with the caller's commit, and not at all with a rollback. Nothing is retried within it.
     */
    readonly reference: (
      references: ReadonlyArray<Reference>,
      options?: ReferenceOptions
    ) => Effect.Effect<void, BlobUnknown | DatabaseError>
    /** Removes references; how many there were. Blobs that lose their last one become orphans. */
    readonly unreference: (references: ReadonlyArray<Reference>) => Effect.Effect<number, DatabaseError>
    /**
     * Keeps the blob for `duration`, until its references come: the answer "this blob exists". The pin's id, or none
     * when the blob does not live.
     */
    readonly pin: (
      digest: Digest,
      duration: Duration.Input
    ) => Effect.Effect<Option.Option<string>, DatabaseError>
    /** Releases pins; how many there were. */
    readonly unpin: (ids: ReadonlyArray<string>) => Effect.Effect<number, DatabaseError>
    /** The blob as it is now, or none. No promise that it stays: that is `pin`. */
    readonly stat: (digest: Digest) => Effect.Effect<Option.Option<BlobStat>, DatabaseError>
    /**
     * The blob's bytes, or those of `range`. A reader needs a reference or a pin to be safe from collectors. A blob that
     * moves to another key before its first byte is read is followed. Whoever has just found it at `key` says so, and the
     * database is asked only if it has moved.
     */
    readonly open: (
      digest: Digest,
      range?: ByteRange,
      key?: ObjectKey
    ) => Stream.Stream<Uint8Array, BlobUnknown | DatabaseError | StorageError>
  }
>()("artifact-gc/blobs/BlobStore") {
  static readonly layer = (
    options: BlobStoreOptions = {}
  ): Layer.Layer<BlobStore, never, Database | Storage> =>
    Layer.effect(
      BlobStore,
      Effect.gen(function* () {
        const database = yield* Database
        const writer: Writer = {
          database,
          storage: yield* Storage,
          prefix: options.prefix ?? "blobs/",
          leaseMillis: Duration.toMillis(options.uploadLease ?? Duration.hours(1)),
          pinMillis: Duration.toMillis(options.pin ?? Duration.hours(1)),
          concurrency: options.concurrency ?? 8
        }
        return BlobStore.of({
          put: Effect.fn("BlobStore.put")((body, given = {}) => put(writer, body, given)),
          putAll: Effect.fn("BlobStore.putAll")((uploads) => putAll(writer, uploads)),
          reference: Effect.fn("BlobStore.reference")((references, given = {}) =>
            reference(writer, references, given)
          ),
          unreference: database.blobs.unreference,
          pin: Effect.fn("BlobStore.pin")((digest, duration) => pin(writer, digest, duration)),
          unpin: database.blobs.unpin,
          stat: (digest) => database.blobs.locate(digest, { joins: true }),
          open: (digest, range, key) => open(writer, digest, range, key ?? null)
        })
      })
    )
}

const reference = Effect.fnUntraced(function* (
  { database }: Writer,
  references: ReadonlyArray<Reference>,
  { release = [] }: ReferenceOptions
) {
  const now = yield* Clock.currentTimeMillis
  const live = yield* database.blobs.adopt(now, references, { release, allOrNothing: true, joins: true })
  const [first, ...others] = new Set(
    references.map(({ digest }) => digest).filter((digest) => !live.has(digest))
  )
  if (first !== undefined) return yield* new BlobUnknown({ digests: [first, ...others] })
})

const pin = Effect.fnUntraced(function* ({ database }: Writer, digest: Digest, duration: Duration.Input) {
  const now = yield* Clock.currentTimeMillis
  const id = (yield* KeyNonce)()
  const expiresAt = now + Duration.toMillis(Duration.fromInputUnsafe(duration))
  const live = yield* database.blobs.adopt(now, [], { pins: [{ id, digest, expiresAt }], joins: true })
  return live.has(digest) ? Option.some(id) : Option.none()
})

/** A blob that is collected and stored again while somebody opens it has moved; this often, something else is wrong. */
const movesMax = 3

const open = (
  { database, storage }: Writer,
  digest: Digest,
  range: ByteRange | undefined,
  known: ObjectKey | null
): Stream.Stream<Uint8Array, BlobUnknown | DatabaseError | StorageError> => {
  type Bytes = Stream.Stream<Uint8Array, BlobUnknown | DatabaseError | StorageError>
  const at = (key: ObjectKey, left: number): Bytes =>
    Stream.suspend(() => {
      let hasBegun = false
      const bytes = Stream.map(storage.get(key, range), (chunk) => {
        hasBegun = true
        return chunk
      })
      return Stream.catchIf(
        bytes,
        (error) => error.reason === "NotFound" && !hasBegun && left > 0,
        (error) => from(left - 1, { key, error })
      )
    })
  const from = (
    left: number,
    gone: { readonly key: ObjectKey; readonly error: StorageError } | null
  ): Bytes =>
    Stream.unwrap(
      Effect.gen(function* () {
        const found = yield* database.blobs.locate(digest)
        if (Option.isNone(found)) return yield* new BlobUnknown({ digests: [digest] })
        const { key } = found.value
        // The row says that the object is there: that is for the audit.
        if (gone?.key === key) return yield* gone.error
        return at(key, left)
      })
    )
  return known === null ? from(movesMax, null) : at(known, movesMax)
}
