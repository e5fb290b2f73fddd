/**
 * Upload sessions: a blob that arrives in chunks, each of which any replica may take.
 *
 * No state is in the process. A session is rows and staged objects (oci/database/contract/UploadSessions.ts).
 * If a replica dies, a later request or a collector finishes its work. Bytes become visible only after they
 * are verified. A body is never kept in memory as a whole, and no database connection is used while a body is
 * read.
 */
import { Clock, Context, Duration, Effect, Layer, Semaphore, type Stream } from "effect"
import type { DigestMismatch, DigestUnsupported, SizeMismatch, UploadExpired } from "../blobs/errors.ts"
import { put } from "../blobs/Put.ts"
import { BlobDatabase } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Algorithm, Digest } from "../domain/Digest.ts"
import { KeyNonce } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { Storage } from "../storage/Storage.ts"
import { RegistryDatabase, type SessionRef } from "./database/RegistryDatabase.ts"
import { holdId } from "./Names.ts"
import { append, type ChunkOptions } from "./uploads/Append.ts"
import { OffsetMismatch, UploadBusy, UploadUnknown } from "./uploads/errors.ts"
import { type FinishedUpload, type FinishOptions, finish } from "./uploads/Finish.ts"
import { make as makeHashes } from "./uploads/SessionHashes.ts"
import { readSession, statusOf, type UploadContext, type UploadStatus } from "./uploads/UploadContext.ts"

export type { ChunkOptions, FinishedUpload, FinishOptions, UploadStatus }
export { OffsetMismatch, UploadBusy, UploadUnknown }

/** Options of `Uploads.start`. */
export interface SessionOptions {
  /**
   * Hashes the chunks. Default sha256. If the closing request names the blob by another algorithm, an upload
   * of one chunk is read a second time.
   */
  readonly algorithm?: Algorithm | undefined
}

/** Errors that every request of a session may fail with. The session then is as it was before the request. */
export type UploadFailure = DatabaseError | StorageError | UploadUnknown | SizeMismatch | UploadExpired

/** Options of `Uploads.layer`. */
export interface UploadsOptions {
  /**
   * Prefix of the keys of staged chunks, except for a session's first chunk (docs/decisions/0010). Default
   * `uploads/`.
   */
  readonly prefix?: string
  /** Prefix of the keys of blobs. Default `blobs/`. */
  readonly blobPrefix?: string
  /**
   * How long an upload may stall before a collector may reap what it has sent. Default 1 hour, as for
   * `BlobStore`.
   */
  readonly uploadLease?: Duration.Duration
  /**
   * How long a finishing replica may be silent before another replica may take over. Renewed every third of
   * it. Default 20 seconds: less than `busyWait`, so that a client that repeats a closing request after a
   * crash gets its answer instead of `UploadBusy`.
   */
  readonly finishLease?: Duration.Duration
  /**
   * Longest that a request waits for another that finishes the same session. Default 30 seconds. At each replica one request of
   * a session waits, and further ones fail with `UploadBusy` at once.
   */
  readonly busyWait?: Duration.Duration
  /** Most sessions of several chunks that are made blobs at once. Others wait. Default 16: each takes as much memory as a body. */
  readonly assembliesMax?: number
  /**
   * How long a repository holds a blob to which no manifest refers. Default 24 hours, which outlasts a slow
   * push.
   */
  readonly hold?: Duration.Duration
  /**
   * The shortest chunk, in bytes, that the store joins with others without its bytes passing through this process. Default 5
   * MiB, the smallest part that S3 copies.
   */
  readonly joinFromBytes?: number
}

/** Receives blobs for repositories, in sessions of chunks or in one request. */
export class Uploads extends Context.Service<
  Uploads,
  {
    /**
     * Starts a session and returns its status. Fails with `DatabaseError`; a session may then exist and
     * expires.
     */
    readonly start: (
      repository: string,
      options?: SessionOptions
    ) => Effect.Effect<UploadStatus, DatabaseError>
    /**
     * Adds a chunk and returns the new status. Session and offset are checked before the body is read, and
     * again after it was stored. If the body fails or ends early, the session is as it was before.
     *
     * Fails with `OffsetMismatch` if the chunk does not begin at the session's end, also if another request
     * for the same offset was faster. Fails with `UploadUnknown` without such a session, with `SizeMismatch`
     * if the body does not have its declared length, and with `UploadExpired` if a collector reaped the
     * chunk: send it again. Fails with `UploadBusy` while another request finishes the session.
     */
    readonly append: <E, R>(
      repository: string,
      id: string,
      body: Stream.Stream<Uint8Array, E, R>,
      options: ChunkOptions
    ) => Effect.Effect<UploadStatus, E | UploadFailure | OffsetMismatch | UploadBusy, R>
    /** Returns the session's status. Fails with `UploadUnknown` without such a session, and for one that is done. */
    readonly status: (
      repository: string,
      id: string
    ) => Effect.Effect<UploadStatus, UploadUnknown | DatabaseError>
    /**
     * Makes a blob of the session's bytes and the body. The repository holds the blob. The request may be
     * repeated: a session that is done with the same digest is success. After a failure the session is open
     * as it was before.
     *
     * A session of one chunk and no body moves no byte.
     *
     * Fails with `DigestMismatch` or `SizeMismatch` if the bytes are not as declared, with
     * `DigestUnsupported` if the digest is neither sha256 nor sha512, and with `OffsetMismatch` if the body
     * does not begin at the session's end. Fails with `UploadBusy` if another request was finishing the
     * session for longer than `busyWait`, and with `UploadUnknown` without such a session.
     */
    readonly finish: <E = never, R = never>(
      repository: string,
      id: string,
      options: FinishOptions<E, R>
    ) => Effect.Effect<
      FinishedUpload,
      E | UploadFailure | OffsetMismatch | UploadBusy | DigestMismatch | DigestUnsupported,
      R
    >
    /**
     * Ends a session. The collector deletes its bytes. Fails with `UploadUnknown` without such a session, and
     * also while a request is finishing it.
     */
    readonly cancel: (repository: string, id: string) => Effect.Effect<void, UploadUnknown | DatabaseError>
    /**
     * Ends sessions that were idle for `idleFor`, and returns how many. Stops after about `limit` chunks.
     * Sweeps do this by themselves.
     */
    readonly expire: (idleFor: Duration.Input, limit: number) => Effect.Effect<number, DatabaseError>
    /**
     * Stores a whole blob in one request. The repository holds the blob. The body is read and verified even
     * if the blob is live: a client that only knows a digest must not get access to the bytes.
     *
     * `sizeBytes` is the body's length; default any. Fails as `BlobStore.put` does.
     */
    readonly whole: <E, R>(
      repository: string,
      digest: Digest,
      body: Stream.Stream<Uint8Array, E, R>,
      sizeBytes?: number
    ) => Effect.Effect<
      FinishedUpload,
      E | DatabaseError | StorageError | DigestMismatch | SizeMismatch | UploadExpired | DigestUnsupported,
      R
    >
  }
>()("artifact-gc/oci/Uploads") {
  /** Builds the upload service on the database and the store of its context. */
  static readonly layer = (
    options: UploadsOptions = {}
  ): Layer.Layer<Uploads, never, BlobDatabase | RegistryDatabase | Storage> =>
    Layer.effect(
      Uploads,
      Effect.gen(function* () {
        const context: UploadContext = {
          database: yield* BlobDatabase,
          registry: yield* RegistryDatabase,
          storage: yield* Storage,
          hashes: makeHashes(),
          prefix: options.blobPrefix ?? "blobs/",
          chunkPrefix: options.prefix ?? "uploads/",
          leaseMillis: Duration.toMillis(options.uploadLease ?? Duration.hours(1)),
          pinMillis: Duration.toMillis(options.hold ?? Duration.hours(24)),
          joinFromBytes: options.joinFromBytes ?? 5 * 1024 * 1024,
          finishLeaseMillis: Duration.toMillis(options.finishLease ?? Duration.seconds(20)),
          busyWaitMillis: Duration.toMillis(options.busyWait ?? Duration.seconds(30)),
          waiting: new Set<string>(),
          assemblies: yield* Semaphore.make(options.assembliesMax ?? 16),
          concurrency: 1
        }
        return Uploads.of({
          start: Effect.fn("Uploads.start")((repository, given = {}) => start(context, repository, given)),
          append: Effect.fn("Uploads.append")((repository, id, body, given) =>
            append(context, { repository, id }, body, given)
          ),
          status: Effect.fn("Uploads.status")((repository, id) => status(context, { repository, id })),
          finish: Effect.fn("Uploads.finish")((repository, id, given) =>
            finish(context, { repository, id }, given)
          ),
          cancel: Effect.fn("Uploads.cancel")((repository, id) => cancel(context, repository, id)),
          expire: Effect.fn("Uploads.expire")((idleFor, limit) => expire(context, idleFor, limit)),
          whole: Effect.fn("Uploads.whole")((repository, digest, body, sizeBytes) =>
            whole(context, repository, digest, body, sizeBytes)
          )
        })
      })
    )
}

const start = Effect.fnUntraced(function* (
  { registry }: UploadContext,
  repository: string,
  { algorithm = "sha256" }: SessionOptions
) {
  const id = (yield* KeyNonce)()
  yield* registry.sessions.open(yield* Clock.currentTimeMillis, { repository, id, algorithm })
  return { id, repository, receivedBytes: 0 } satisfies UploadStatus
})

const status = Effect.fnUntraced(function* (context: UploadContext, ref: SessionRef) {
  const session = yield* readSession(context, ref)
  if (session.state === "done") return yield* new UploadUnknown({ ...ref })
  return statusOf(session)
})

const cancel = Effect.fnUntraced(function* (
  { hashes, registry }: UploadContext,
  repository: string,
  id: string
) {
  const isCancelled = yield* registry.sessions.cancel(yield* Clock.currentTimeMillis, { repository, id })
  if (!isCancelled) return yield* new UploadUnknown({ repository, id })
  hashes.forget(id)
})

const expire = Effect.fnUntraced(function* (
  { registry }: UploadContext,
  idleFor: Duration.Input,
  limit: number
) {
  const now = yield* Clock.currentTimeMillis
  const idleSince = now - Duration.toMillis(Duration.fromInputUnsafe(idleFor))
  const expired = yield* registry.sessions.expire({
    now,
    idleSince,
    limit,
    deleteNotBefore: now,
    leaseUntil: null
  })
  return expired.sessions
})

const whole = <E, R>(
  context: UploadContext,
  repository: string,
  digest: Digest,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number | undefined
) =>
  Effect.map(
    put(context, body, {
      digest,
      sizeBytes,
      proven: true,
      pin: Duration.millis(context.pinMillis),
      pinId: holdId(repository, digest)
    }),
    (stored): FinishedUpload => ({ digest, sizeBytes: stored.sizeBytes })
  )
