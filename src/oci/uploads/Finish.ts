/**
 * From the bytes of a session to a blob. The bytes that the client sent are verified whether or not a blob of that digest
 * lives already, and become visible in the transaction that ends the session, if it is still this request's.
 *
 * - One chunk and no body: the chunk's object becomes the blob's. No byte moves; a digest by another algorithm than the
 *   session's costs one reading.
 * - Anything else: chunks and body stream once through the hash to a new key. The body of the closing request is not
 *   staged before: that would write it twice, and move the session's offset although the request may fail.
 */
import { Clock, Effect, Option, Stream } from "effect"
import type { Sent } from "../../blobs/AnnouncedUpload.ts"
import { DigestMismatch, DigestUnsupported } from "../../blobs/errors.ts"
import { type Flow, flow, measured } from "../../blobs/Measure.ts"
import { settled } from "../../blobs/SendUntilSettled.ts"
import { algorithmOf, type Digest } from "../../domain/Digest.ts"
import { StorageError } from "../../domain/StorageError.ts"
import type { SessionRef, StagedChunk } from "../database/contract/UploadSessions.ts"
import { holdOf } from "../Repository.ts"
import type { FinishedUpload, FinishOptions } from "../Uploads.ts"
import { UploadBusy, UploadUnknown } from "./errors.ts"
import { type Claim, type Claimed, claiming, stillHeld, take, untilLost } from "./FinishLease.ts"
import { type Keeper, known, offsetMismatch, unlessEmpty } from "./UploadContext.ts"

/** What a request has in hand that finishes a session. */
interface Finishing<E, R> {
  readonly keeper: Keeper
  readonly claim: Claim
  readonly session: Extract<Claimed, { _tag: "claimed" }>
  readonly options: FinishOptions<E, R>
  readonly flow: Flow
}

export const finish = Effect.fnUntraced(function* <E, R>(
  keeper: Keeper,
  ref: SessionRef,
  options: FinishOptions<E, R>
) {
  const { digest, startByte } = options
  if (algorithmOf(digest) === null) return yield* new DigestUnsupported({ digest })
  return yield* claiming(
    keeper,
    ref,
    Effect.fnUntraced(function* (claim) {
      const taken = yield* take(keeper, claim)
      if (taken._tag === "done") return yield* finishedBefore(keeper, ref, taken, digest)
      if (startByte !== undefined && startByte !== taken.session.receivedBytes) {
        return yield* offsetMismatch(taken.session, startByte)
      }
      const moving = flow()
      const work = made({ keeper, claim, session: taken, options, flow: moving })
      const finished = yield* Effect.raceFirst(work, untilLost(keeper, claim, moving))
      claim.isHeld = false
      return finished === "lost" ? yield* lost(keeper, ref, digest) : finished
    })
  )
})

/** Makes the blob, or finds that the session is not this request's any more. */
const made = <E, R>(finishing: Finishing<E, R>) =>
  Effect.gen(function* () {
    const { flow, options, session } = finishing
    const { body = Stream.empty, sizeBytes } = options
    const rest = yield* unlessEmpty(body, sizeBytes ?? (options.body === undefined ? 0 : undefined), flow)
    const [chunk, ...others] = session.chunks
    return chunk !== undefined && others.length === 0 && rest === null
      ? yield* adopted(finishing, chunk)
      : yield* assembled(finishing, rest)
  }).pipe(
    Effect.scoped,
    Effect.catchIf(isMissing, (error) =>
      // Chunks go when a session ends; one that goes while it is ours is a loss.
      Effect.flatMap(stillHeld(finishing.keeper, finishing.claim), (isOurs) =>
        isOurs ? Effect.fail(error) : Effect.succeed("lost" as const)
      )
    )
  )

const isMissing = (error: unknown): error is StorageError =>
  error instanceof StorageError && error.reason === "NotFound"

/** The only chunk is the blob, as it is. */
const adopted = Effect.fnUntraced(function* <E, R>(
  { claim, flow, keeper, options: { digest } }: Finishing<E, R>,
  chunk: StagedChunk
) {
  if (algorithmOf(digest) !== algorithmOf(chunk.digest)) {
    const declared = { digest, sizeBytes: chunk.sizeBytes }
    yield* Stream.runDrain(measured(keeper.storage.get(chunk.key), declared, flow, () => undefined))
  } else if (digest !== chunk.digest) {
    return yield* new DigestMismatch({ declared: digest, actual: chunk.digest })
  }
  const { key, sizeBytes } = chunk
  const outcome = yield* completed(keeper, claim, { key, digest, sizeBytes })
  if (outcome === "expired") {
    return yield* Effect.die(new Error(`Chunk ${key} of an upload session has an announcement to lose`))
  }
  return outcome
})

/** All bytes in one stream, to a new key. */
const assembled = Effect.fnUntraced(function* <E, R>(
  { claim, flow, keeper, options, session: { chunks, session } }: Finishing<E, R>,
  rest: Stream.Stream<Uint8Array, E, R> | null
) {
  const { digest, sizeBytes } = options
  const staged = Stream.flatMap(Stream.fromIterable(chunks), ({ key }) => keeper.storage.get(key))
  const source = {
    body: rest === null ? staged : Stream.concat(staged, rest),
    declared: {
      digest,
      sizeBytes: rest !== null && sizeBytes === undefined ? null : session.receivedBytes + (sizeBytes ?? 0)
    },
    replayable: rest === null
  }
  return yield* settled(keeper, source, flow, (sent) =>
    Effect.map(completed(keeper, claim, sent), (outcome) => (outcome === "expired" ? null : outcome))
  )
})

/** Publishes the blob and ends the session, if it is still ours. */
const completed = Effect.fnUntraced(function* (
  keeper: Keeper,
  { ref, token }: Claim,
  { digest, key, sizeBytes }: Sent
) {
  const now = yield* Clock.currentTimeMillis
  const outcome = yield* keeper.database.sessions
    .complete(now, ref, token, {
      key,
      digest,
      sizeBytes,
      references: [],
      pins: [holdFor(keeper, ref, digest, now)]
    })
    .pipe(
      Effect.catchIf(
        (error) => error.isRetryable,
        // Nobody knows whether it was done. If it was, the session says so.
        (error) =>
          Effect.flatMap(keeper.database.sessions.read(ref), (found) =>
            Option.isSome(found) && found.value.digest === digest
              ? Effect.succeed("lost" as const)
              : Effect.fail(error)
          )
      )
    )
  if (outcome === "lost" || outcome === "expired") return outcome
  return { digest, sizeBytes } satisfies FinishedUpload
})

const holdFor = ({ pinMillis }: Keeper, { repository }: SessionRef, digest: Digest, now: number) => ({
  id: holdOf(repository, digest),
  digest,
  expiresAt: now + pinMillis
})

/** Somebody else took the session: it became the blob all the same, or is in other hands. */
const lost = Effect.fnUntraced(function* (keeper: Keeper, ref: SessionRef, digest: Digest) {
  const session = yield* known(keeper, ref)
  if (session.state !== "done") return yield* new UploadBusy({ id: ref.id })
  return yield* finishedBefore(keeper, ref, { session, digest: session.digest }, digest)
})

/**
 * The answer of a session that is done, once more. The blob is held again, because its first hold may have ended; a
 * session whose blob was collected since is of no use to anybody.
 */
const finishedBefore = Effect.fnUntraced(function* (
  keeper: Keeper,
  ref: SessionRef,
  {
    digest: became,
    session
  }: { readonly digest: Digest | null; readonly session: { receivedBytes: number } },
  digest: Digest
) {
  if (became !== digest) return yield* new UploadUnknown({ ...ref })
  const { blobs } = keeper.database
  const now = yield* Clock.currentTimeMillis
  const live = yield* blobs.adopt(now, [], { pins: [holdFor(keeper, ref, digest, now)] })
  const found = yield* blobs.locate(digest)
  if (!live.has(digest) || Option.isNone(found)) return yield* new UploadUnknown({ ...ref })
  // A catalogue of somebody else may not know the sizes of its blobs, which reads as 0.
  return { digest, sizeBytes: found.value.sizeBytes || session.receivedBytes } satisfies FinishedUpload
})
