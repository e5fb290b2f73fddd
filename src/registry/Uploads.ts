/**
 * Upload sessions: a blob that comes in chunks, each of which any replica may take.
 *
 * No state is in the process: a session is rows and staged objects (database/verbs/Sessions.ts), and whoever dies leaves
 * something that a later request or a collector can finish. Bytes are visible only when they have been verified. A body
 * is never held as a whole, and no database connection is held while one is read.
 */
import { Context, type Duration, Effect, Layer, type Stream } from "effect"
import { Database } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Algorithm, Digest } from "../domain/Digest.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { Storage } from "../storage/Storage.ts"
import type { DigestMismatch, DigestUnsupported, SizeMismatch, UploadExpired } from "./failures.ts"
import type { OffsetMismatch, UploadBusy, UploadUnknown } from "./uploads/failures.ts"

export { OffsetMismatch, UploadBusy, UploadUnknown } from "./uploads/failures.ts"

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
  /** How long a finishing replica may be silent before another may take over. Default 1 minute; renewed every third. */
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
>()("artifact-gc/registry/Uploads") {
  static readonly layer = (_options: UploadsOptions = {}): Layer.Layer<Uploads, never, Database | Storage> =>
    Layer.effect(
      Uploads,
      Effect.gen(function* () {
        yield* Database
        yield* Storage
        return Uploads.of({
          start: () => Effect.die("not written yet"),
          append: () => Effect.die("not written yet"),
          status: () => Effect.die("not written yet"),
          finish: () => Effect.die("not written yet"),
          cancel: () => Effect.die("not written yet"),
          expire: () => Effect.die("not written yet"),
          whole: () => Effect.die("not written yet")
        })
      })
    )
}
