/**
 * One object of a session's chunks and its last body.
 *
 * Chunks of 5 MiB and more are joined by the store, and no byte is written again. Their digest is that of the hash that was
 * continued from chunk to chunk (SessionHashes.ts). Without one they are read once. Other chunks, and a last body, are
 * streamed through the hash to a fresh key.
 */
import { Effect, Stream } from "effect"
import type { BodyProgress } from "../../blobs/BodyProgress.ts"
import { measured } from "../../blobs/Measure.ts"
import { isRejected, type Sent, sendBody } from "../../blobs/SendBody.ts"
import type { Source } from "../../blobs/SendUntilSettled.ts"
import { algorithmOf, type Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { StorageError } from "../../domain/StorageError.ts"
import type { Storage } from "../../storage/Storage.ts"
import type { StagedChunk, UploadSession } from "../database/contract/UploadSessions.ts"
import type { UploadContext } from "./UploadContext.ts"
import { continued } from "./WritableHash.ts"

/** Chunks up to this size are read ahead, so that a thousand of them do not cost a thousand round trips. */
const readAheadBytes = 512 * 1024

/** With {@link readAheadBytes} at most 8 MiB are in memory. */
const readAhead = 16

/** Emits the bytes of the chunks in order. */
export const stagedBytes = (
  { get }: Pick<Storage["Service"], "get">,
  chunks: ReadonlyArray<StagedChunk>
): Stream.Stream<Uint8Array, StorageError> =>
  Stream.flatMap(Stream.fromIterable(runsOf(chunks)), (run) =>
    run.length === 1
      ? Stream.flatMap(Stream.fromIterable(run), ({ key }) => get(key))
      : Stream.fromIterable(run).pipe(
          Stream.mapEffect(({ key }) => Stream.runCollect(get(key)), { concurrency: readAhead }),
          Stream.flattenIterable
        )
  )

/** Groups neighbours that are small. */
const runsOf = (chunks: ReadonlyArray<StagedChunk>): ReadonlyArray<ReadonlyArray<StagedChunk>> => {
  const runs: Array<Array<StagedChunk>> = []
  let isSmall = false
  for (const chunk of chunks) {
    const wasSmall = isSmall
    isSmall = chunk.sizeBytes <= readAheadBytes
    if (isSmall && wasSmall) runs.at(-1)?.push(chunk)
    else runs.push([chunk])
  }
  return runs
}

/** What a closing request says of the bytes. */
export interface Closing<E, R> {
  readonly digest: Digest
  /** The last body, and null without one. */
  readonly rest: Stream.Stream<Uint8Array, E, R> | null
  /** The length of the last body, if it is known. */
  readonly sizeBytes: number | undefined
}

/**
 * Returns the source of the blob's bytes. Fails with `DigestMismatch` if the store is to join chunks that have another digest:
 * their bytes are verified before.
 */
export const assembled = Effect.fnUntraced(function* <E, R>(
  context: UploadContext,
  session: UploadSession,
  chunks: ReadonlyArray<StagedChunk>,
  { digest, rest, sizeBytes }: Closing<E, R>,
  progress: BodyProgress
) {
  const { receivedBytes } = session
  const staged = stagedBytes(context.storage, chunks)
  const source: Source<E | StorageError, R> = {
    body: rest === null ? staged : Stream.concat(staged, rest),
    declared: {
      digest,
      sizeBytes: rest !== null && sizeBytes === undefined ? null : receivedBytes + (sizeBytes ?? 0)
    },
    replayable: rest === null
  }
  const { concat } = context.storage
  if (rest !== null || concat === undefined || !isJoinable(context, chunks)) return source
  // Another digest than the declared one may be the fault of a saved hash. The bytes then tell.
  if ((yield* knownDigest(context, session, chunks, digest, progress)) !== digest) {
    yield* Stream.runDrain(measured(staged, source.declared, progress, () => undefined))
  }
  const make = (key: ObjectKey) => joined(context, concat, chunks, key, source, progress)
  return { ...source, make } satisfies Source<E | StorageError, R>
})

/** Bytes after a saved hash are hashed five times as slowly as those that are read from the begin. */
const continuedShare = 1 / 3

/** Returns the digest that a hash of the session's chunks tells, or null if none is known without reading most of them again. */
const knownDigest = Effect.fnUntraced(function* (
  { hashes, storage }: UploadContext,
  session: UploadSession,
  chunks: ReadonlyArray<StagedChunk>,
  declared: Digest,
  progress: BodyProgress
) {
  const { algorithm, receivedBytes } = session
  if (algorithmOf(declared) !== algorithm) return null
  const kept = hashes.digestOf(session, chunks)
  if (kept !== null) return kept
  const savedBytes = session.hash?.bytes ?? 0
  const rest = chunks.filter(({ startByte }) => startByte >= savedBytes)
  const sizeBytes = receivedBytes - savedBytes
  if (bytesIn(rest) !== sizeBytes || sizeBytes > continuedShare * receivedBytes) return null
  const hash = yield* continued(algorithm, session.id, session.hash, savedBytes)
  if (hash === null) return null
  const beside = { update: hash.update, ended: () => undefined }
  const reading = measured(
    stagedBytes(storage, rest),
    { digest: null, sizeBytes, beside },
    progress,
    () => undefined
  )
  if (rest.length > 0) yield* Stream.runDrain(reading)
  return hash.digest()
})

/**
 * Has the store join the chunks. Streams them if it refuses, as a store does that copies no parts. Returns null if a collector
 * took the upload away.
 */
const joined = Effect.fnUntraced(function* <E, R>(
  context: UploadContext,
  concat: Concat,
  chunks: ReadonlyArray<StagedChunk>,
  key: ObjectKey,
  { body, declared }: Source<E, R>,
  progress: BodyProgress
) {
  const { digest } = declared
  if (digest === null) return yield* Effect.die(new Error("Chunks are joined only for a declared digest"))
  const onMultipart = (uploadId: string) => Effect.asVoid(context.database.recordMultipart(key, uploadId))
  const sent: Sent = { key, digest, sizeBytes: bytesIn(chunks) }
  return yield* concat(chunks, key, { onMultipart }).pipe(
    Effect.as<Sent | null>(sent),
    Effect.catchIf(
      isRefused,
      Effect.fnUntraced(function* (error) {
        const owned = yield* context.database.owned([key])
        if (!owned.has(key)) return null
        yield* Effect.logWarning(
          "The store did not join the chunks of an upload. They are sent again instead.",
          error
        )
        return yield* sendBody(context, key, body, declared, progress)
      })
    )
  )
})

type Concat = NonNullable<Storage["Service"]["concat"]>

const isRefused = (error: unknown): error is StorageError =>
  isRejected(error) ||
  (error instanceof StorageError &&
    (error.reason === "Misbehaved" || error.reason === "NotFound" || error.reason === "TooLarge"))

/** Whether at least half of the bytes are in chunks that the store copies. */
const isJoinable = (
  { joinFromBytes, storage }: UploadContext,
  chunks: ReadonlyArray<StagedChunk>
): boolean => {
  const copied = chunks.filter(({ sizeBytes }) => sizeBytes >= joinFromBytes)
  return storage.concat !== undefined && chunks.length > 1 && 2 * bytesIn(copied) >= bytesIn(chunks)
}

const bytesIn = (chunks: ReadonlyArray<StagedChunk>): number =>
  chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
