/**
 * Upload sessions: a blob that comes in chunks, each of which any replica may take.
 *
 * No state is in the process: a session is rows and staged objects (database/verbs/Sessions.ts), and whoever dies leaves
 * something that a later request or a collector can finish. Bytes are visible only when they have been verified. A body
 * is never held as a whole, and no database connection is held while one is read.
 */
import { Clock, Context, Duration, Effect, Layer, type Stream } from "effect"
import type { DigestMismatch, DigestUnsupported, SizeMismatch, UploadExpired } from "../blobs/errors.ts"
import { put } from "../blobs/Put.ts"
import { Database } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Algorithm, Digest } from "../domain/Digest.ts"
import { KeyNonce } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { Storage } from "../storage/Storage.ts"
import { holdOf } from "./Repository.ts"
import { append } from "./uploads/Append.ts"
import { OffsetMismatch, UploadBusy, UploadUnknown } from "./uploads/errors.ts"
import { finish } from "./uploads/Finish.ts"
import { type Keeper, known, statusOf } from "./uploads/UploadContext.ts"

export { OffsetMismatch, UploadBusy, UploadUnknown }

/** A session as its client sees it. */
export interface UploadStatus {
  readonly id: string
  readonly repository: string
  /** Where the next chunk begins. */
  readonly receivedBytes: number
}

export interface SessionOptions {
  /** By which the blob will be named. Default sha256; another costs a second reading of one-chunk uploads when wrong. */
  readonly algorithm?: Algorithm | undefined
}

export interface ChunkOptions {
  /** Where the client says that its chunk begins. */
  readonly startByte: number
  /** How long the client says that it is. Worth giving: only it tells a whole chunk from a torn one. */
  readonly sizeBytes?: number | undefined
}

export interface FinishOptions<E = never, R = never> {
  /** What all of the session's bytes must hash to. */
  readonly digest: Digest
  /** The last chunk, if it comes with the closing request. */
  readonly body?: Stream.Stream<Uint8Array, E, R> | undefined
  /** Where it begins, if the client says so. */
  readonly startByte?: number | undefined
  readonly sizeBytes?: number | undefined
}

export interface FinishedUpload {
  readonly digest: Digest
  readonly sizeBytes: number
}

/** Why a request of a session could not be served. */
export type UploadFailure = DatabaseError | StorageError | UploadUnknown | SizeMismatch | UploadExpired

export interface UploadsOptions {
  /** Where keys of staged chunks begin, but for a session's first (docs/decisions). Default `uploads/`. */
  readonly prefix?: string
  /** Where keys of blobs begin. Default `blobs/`. */
  readonly blobPrefix?: string
  /** How long an upload may stand still before a collector may reap what it has sent. Default 1 hour, as for `BlobStore`. */
  readonly uploadLease?: Duration.Duration
  /**
   * How long a finishing replica may be silent before another may take over; renewed every third. Default 20 seconds:
   * less than `busyWait`, so that whoever repeats a closing request after a crash gets its answer, and not "busy".
   */
  readonly finishLease?: Duration.Duration
  /** How long a request waits for another that finishes the same session. Default 30 seconds. */
  readonly busyWait?: Duration.Duration
  /** How long a repository holds a blob to which no manifest refers yet. Default 24 hours: it outlasts a slow push. */
  readonly hold?: Duration.Duration
}

export class Uploads extends Context.Service<
  Uploads,
  {
    /** Begins a session. */
    readonly start: (
      repository: string,
      options?: SessionOptions
    ) => Effect.Effect<UploadStatus, DatabaseError>
    /**
     * Adds a chunk: session and offset are checked before the body is read, and again when it has been stored. A body
     * that fails, ends early, or loses against another request for the same offset leaves the session as it was.
     */
    readonly append: <E, R>(
      repository: string,
      id: string,
      body: Stream.Stream<Uint8Array, E, R>,
      options: ChunkOptions
    ) => Effect.Effect<UploadStatus, E | UploadFailure | OffsetMismatch, R>
    readonly status: (
      repository: string,
      id: string
    ) => Effect.Effect<UploadStatus, UploadUnknown | DatabaseError>
    /**
     * Makes a blob of the session's bytes and the body, held by the repository. One that is done already with the same digest
     * is success, so the request may be repeated. After a failure the session is open as it was before.
     *
     * A session of one chunk and no body moves no byte.
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
    /** Ends a session; its bytes are collected. `UploadUnknown` also when it is being finished. */
    readonly cancel: (repository: string, id: string) => Effect.Effect<void, UploadUnknown | DatabaseError>
    /** Ends sessions without activity for `idleFor`, at most about `limit` chunks of them; how many. Sweeps do it by themselves. */
    readonly expire: (idleFor: Duration.Input, limit: number) => Effect.Effect<number, DatabaseError>
    /** A whole blob in one request, held by the repository. */
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
  static readonly layer = (options: UploadsOptions = {}): Layer.Layer<Uploads, never, Database | Storage> =>
    Layer.effect(
      Uploads,
      Effect.gen(function* () {
        const keeper: Keeper = {
          database: yield* Database,
          storage: yield* Storage,
          prefix: options.blobPrefix ?? "blobs/",
          chunkPrefix: options.prefix ?? "uploads/",
          leaseMillis: Duration.toMillis(options.uploadLease ?? Duration.hours(1)),
          pinMillis: Duration.toMillis(options.hold ?? Duration.hours(24)),
          finishLeaseMillis: Duration.toMillis(options.finishLease ?? Duration.seconds(20)),
          busyWaitMillis: Duration.toMillis(options.busyWait ?? Duration.seconds(30)),
          concurrency: 1
        }
        return Uploads.of({
          start: Effect.fn("Uploads.start")((repository, given = {}) => start(keeper, repository, given)),
          append: Effect.fn("Uploads.append")((repository, id, body, given) =>
            append(keeper, { repository, id }, body, given)
          ),
          status: Effect.fn("Uploads.status")((repository, id) =>
            Effect.map(known(keeper, { repository, id }), statusOf)
          ),
          finish: Effect.fn("Uploads.finish")((repository, id, given) =>
            finish(keeper, { repository, id }, given)
          ),
          cancel: Effect.fn("Uploads.cancel")((repository, id) => cancel(keeper, repository, id)),
          expire: Effect.fn("Uploads.expire")((idleFor, limit) => expire(keeper, idleFor, limit)),
          whole: Effect.fn("Uploads.whole")((repository, digest, body, sizeBytes) =>
            whole(keeper, repository, digest, body, sizeBytes)
          )
        })
      })
    )
}

const start = Effect.fnUntraced(function* (
  { database }: Keeper,
  repository: string,
  { algorithm = "sha256" }: SessionOptions
) {
  const id = (yield* KeyNonce)()
  yield* database.sessions.open(yield* Clock.currentTimeMillis, { repository, id, algorithm })
  return { id, repository, receivedBytes: 0 } satisfies UploadStatus
})

const cancel = Effect.fnUntraced(function* ({ database }: Keeper, repository: string, id: string) {
  const isCancelled = yield* database.sessions.cancel(yield* Clock.currentTimeMillis, { repository, id })
  if (!isCancelled) return yield* new UploadUnknown({ repository, id })
})

const expire = Effect.fnUntraced(function* ({ database }: Keeper, idleFor: Duration.Input, limit: number) {
  const now = yield* Clock.currentTimeMillis
  const idleSince = now - Duration.toMillis(Duration.fromInputUnsafe(idleFor))
  const expired = yield* database.sessions.expire({
    now,
    idleSince,
    limit,
    deleteNotBefore: now,
    leaseUntil: null
  })
  return expired.sessions
})

/** The body is read although the blob may live: whoever only knows a digest must not come by the bytes. */
const whole = <E, R>(
  keeper: Keeper,
  repository: string,
  digest: Digest,
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number | undefined
) =>
  Effect.map(
    put(keeper, body, {
      digest,
      sizeBytes,
      proven: true,
      pin: Duration.millis(keeper.pinMillis),
      pinId: holdOf(repository, digest)
    }),
    (stored): FinishedUpload => ({ digest, sizeBytes: stored.sizeBytes })
  )
