/**
 * A chunk: its session is looked at before its first byte is read, and compared again in the transaction that makes it
 * part of the session. In between it is an announced upload like any other (Attempt.ts), and the session is only told
 * that bytes are coming, so that no sweep takes a slow push for a dead one.
 */
import { Clock, Effect, type Stream } from "effect"
import { announce, type KeyMaker, renewing, send, whileAlive } from "../../blobs/AnnouncedUpload.ts"
import { DigestMismatch, UploadExpired } from "../../blobs/errors.ts"
import { flow } from "../../blobs/Measure.ts"
import { freshUnnamed, KeyNonce, ObjectKey } from "../../domain/ObjectKey.ts"
import type { SessionRef } from "../database/contract/UploadSessions.ts"
import type { ChunkOptions } from "../Uploads.ts"
import { UploadUnknown } from "./errors.ts"
import { activityMillis, type Keeper, known, offsetMismatch, statusOf, unlessEmpty } from "./UploadContext.ts"

export const append = Effect.fnUntraced(function* <E, R>(
  keeper: Keeper,
  ref: SessionRef,
  body: Stream.Stream<Uint8Array, E, R>,
  { sizeBytes, startByte }: ChunkOptions
) {
  const session = yield* known(keeper, ref)
  if (session.state !== "open" || session.receivedBytes !== startByte) {
    return yield* offsetMismatch(session, startByte)
  }
  const now = yield* Clock.currentTimeMillis
  // It may be due to be expired any moment.
  if (session.lastActivityAt <= now - activityMillis(keeper)) yield* touch(keeper, ref, startByte)
  const moving = flow()
  const bytes = yield* unlessEmpty(body, sizeBytes, moving)
  if (bytes === null) return statusOf(session)
  const key = yield* announce(keeper, null, keysOf(keeper, ref, startByte))
  const declared = { digest: null, sizeBytes: sizeBytes ?? null, algorithm: session.algorithm }
  const sending = Effect.catchIf(
    send(keeper, key, bytes, declared, moving),
    (error): error is DigestMismatch => error instanceof DigestMismatch,
    () => Effect.die(new Error("A chunk was compared with a digest, and has none to be compared with"))
  )
  const sent = yield* Effect.raceFirst(
    renewing(keeper, [key], moving, sending),
    whileAlive(moving, activityMillis(keeper), touch(keeper, ref, startByte))
  )
  if (sent === null) return yield* new UploadExpired({ digest: null, attempts: 1 })
  const outcome = yield* keeper.database.sessions.append(yield* Clock.currentTimeMillis, ref, {
    startByte,
    ...sent
  })
  switch (outcome._tag) {
    case "appended":
      return statusOf(outcome.session)
    case "conflict":
      return yield* offsetMismatch(outcome.session, startByte)
    case "unknown":
      return yield* new UploadUnknown({ ...ref })
    case "expired":
      return yield* new UploadExpired({ digest: sent.digest, attempts: 1 })
  }
}, Effect.scoped)

/**
 * The first chunk of a session has a blob's key, because it becomes one as it is when no other follows; the others are
 * below a folder of the session (docs/decisions/0010).
 */
const keysOf = (keeper: Keeper, { id }: SessionRef, startByte: number): KeyMaker =>
  startByte === 0
    ? () => freshUnnamed(keeper.prefix)
    : () => Effect.map(KeyNonce, (nonce) => ObjectKey.make(`${keeper.chunkPrefix}${id}/${nonce()}`))

/** Notes that bytes are coming. Fails when they come for nothing. */
const touch = Effect.fnUntraced(function* (keeper: Keeper, ref: SessionRef, startByte: number) {
  const isThere = yield* keeper.database.sessions.touch(yield* Clock.currentTimeMillis, ref).pipe(
    // The next time comes long before a session counts as idle.
    Effect.catch((error) =>
      Effect.as(Effect.logWarning("An upload session's activity could not be noted", error), true)
    )
  )
  if (isThere) return
  return yield* offsetMismatch(yield* known(keeper, ref), startByte)
})
