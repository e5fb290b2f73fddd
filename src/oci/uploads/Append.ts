/**
 * A chunk. Its session is checked before its first byte is read, and again in the transaction that makes the
 * chunk part of the session. In between, the chunk is an upload with an intent like any other
 * (blobs/Intents.ts). Meanwhile the session's activity is recorded, so that no sweep expires the session of a
 * slow push.
 */
import { Clock, Effect, type Stream } from "effect"
import { bodyProgress, whileAlive } from "../../blobs/BodyProgress.ts"
import { DigestMismatch, UploadExpired } from "../../blobs/errors.ts"
import { declareIntent, type KeyMaker, renewingIntents } from "../../blobs/Intents.ts"
import { sendBody } from "../../blobs/SendBody.ts"
import { freshUnnamed, KeyNonce, ObjectKey } from "../../domain/ObjectKey.ts"
import type { SessionRef, UploadSession } from "../database/contract/UploadSessions.ts"
import { UploadBusy, UploadUnknown } from "./errors.ts"
import {
  activityMillis,
  nonEmptyBody,
  offsetMismatch,
  readSession,
  statusOf,
  type UploadContext
} from "./UploadContext.ts"

/** What a client says of its chunk. */
export interface ChunkOptions {
  /** The offset at which the chunk begins, in bytes. Must be the session's `receivedBytes`. */
  readonly startByte: number
  /**
   * The chunk's length, in bytes. Default: any. Only the length tells a whole chunk from a torn one, so give
   * it where it is known.
   */
  readonly sizeBytes?: number | undefined
  /**
   * Whether the client says that more chunks follow, as a `Content-Range` does. The hash of a first chunk is then saved for
   * them, which takes processor time. Default false.
   */
  readonly isOneOfSeveral?: boolean | undefined
}

/** Implements `Uploads.append`. */
export const append = Effect.fnUntraced(function* <E, R>(
  context: UploadContext,
  ref: SessionRef,
  body: Stream.Stream<Uint8Array, E, R>,
  { isOneOfSeveral = false, sizeBytes, startByte }: ChunkOptions
) {
  const session = yield* readSession(context, ref)
  if (session.state !== "open" || session.receivedBytes !== startByte) {
    return yield* notTaken(session, startByte)
  }
  const now = yield* Clock.currentTimeMillis
  // A session that has been idle may be expired by any sweep.
  if (session.lastActivityAt <= now - activityMillis(context)) yield* touch(context, ref, startByte)
  const progress = bodyProgress()
  const bytes = yield* nonEmptyBody(body, sizeBytes, progress)
  if (bytes === null) return statusOf(session)
  const key = yield* declareIntent(context, null, chunkKeys(context, ref, startByte))
  const hash = yield* context.hashes.chunk(session, isOneOfSeveral)
  const { algorithm } = session
  const declared = { digest: null, sizeBytes: sizeBytes ?? null, algorithm, beside: hash.beside }
  const sending = Effect.catchIf(
    sendBody(context, key, bytes, declared, progress),
    (error): error is DigestMismatch => error instanceof DigestMismatch,
    () => Effect.die(new Error("A chunk failed a digest check, and no digest was declared for it"))
  )
  const sent = yield* Effect.raceFirst(
    renewingIntents(context, [key], progress, sending),
    whileAlive(progress, activityMillis(context), touch(context, ref, startByte))
  )
  if (sent === null) return yield* new UploadExpired({ digest: null, attempts: 1 })
  const outcome = yield* context.registry.sessions.append(yield* Clock.currentTimeMillis, ref, {
    startByte,
    ...sent,
    hash: hash.saved(sent.sizeBytes)
  })
  switch (outcome._tag) {
    case "appended":
      hash.keep(sent)
      return statusOf(outcome.session)
    case "conflict":
      return yield* notTaken(outcome.session, startByte)
    case "unknown":
      return yield* new UploadUnknown({ ...ref })
    case "expired":
      return yield* new UploadExpired({ digest: sent.digest, attempts: 1 })
  }
}, Effect.scoped)

/**
 * Returns why a session does not take a chunk. The offset of a session that has ended, or is being finished, would send the client
 * there again, for ever.
 */
const notTaken = (session: UploadSession, startByte: number) => {
  if (session.state === "done") return new UploadUnknown({ repository: session.repository, id: session.id })
  return session.state === "finalizing"
    ? new UploadBusy({ id: session.id })
    : offsetMismatch(session, startByte)
}

/**
 * Draws the chunk's key. The first chunk of a session gets a blob's key, because an only chunk becomes the
 * blob in place. The others get keys below a folder of the session (docs/decisions/0010).
 */
const chunkKeys = (context: UploadContext, { id }: SessionRef, startByte: number): KeyMaker =>
  startByte === 0
    ? () => freshUnnamed(context.prefix)
    : () => Effect.map(KeyNonce, (nonce) => ObjectKey.make(`${context.chunkPrefix}${id}/${nonce()}`))

/**
 * Records that bytes arrive. Fails with `OffsetMismatch` or `UploadUnknown` if the session no longer takes
 * them.
 */
const touch = Effect.fnUntraced(function* (context: UploadContext, ref: SessionRef, startByte: number) {
  const isOpen = yield* context.registry.sessions.touch(yield* Clock.currentTimeMillis, ref).pipe(
    // The next record comes long before the session counts as idle.
    Effect.catch((error) =>
      Effect.as(
        Effect.logWarning(
          "The activity of an upload session was not recorded. The upload continues, and the record is repeated.",
          error
        ),
        true
      )
    )
  )
  if (isOpen) return
  return yield* notTaken(yield* readSession(context, ref), startByte)
})
