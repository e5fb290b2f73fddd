/**
 * From the bytes of a session to a blob. The client's bytes are verified even if a blob of that digest is
 * live. They become visible in the transaction that ends the session, if this request still has its lease.
 *
 * - One chunk and no body: the chunk's object becomes the blob's. No byte moves. A digest by another
 *   algorithm than the session's costs one reading.
 * - Anything else becomes one object under a fresh key (Assemble.ts). The body of the closing request is not
 *   staged first: staging would write it twice, and would move the session's offset although the request may
 *   fail.
 */
import { Clock, Effect, Option, Stream } from "effect"
import { type BodyProgress, bodyProgress } from "../../blobs/BodyProgress.ts"
import { DigestMismatch, DigestUnsupported } from "../../blobs/errors.ts"
import { measured } from "../../blobs/Measure.ts"
import type { Sent } from "../../blobs/SendBody.ts"
import { sendUntilSettled } from "../../blobs/SendUntilSettled.ts"
import { algorithmOf, type Digest } from "../../domain/Digest.ts"
import { StorageError } from "../../domain/StorageError.ts"
import type { SessionRef, StagedChunk } from "../database/contract/UploadSessions.ts"
import { holdId } from "../Names.ts"
import { assembled } from "./Assemble.ts"
import { UploadBusy, UploadUnknown } from "./errors.ts"
import {
  type Acquired,
  acquireFinishLease,
  type FinishLease,
  renewFinishLease,
  renewUntilLost,
  withFinishLease
} from "./FinishLease.ts"
import { nonEmptyBody, offsetMismatch, readSession, type UploadContext } from "./UploadContext.ts"

/** What a closing request says. */
export interface FinishOptions<E = never, R = never> {
  /** The digest that all of the session's bytes must have. */
  readonly digest: Digest
  /** The last chunk. Default: none. */
  readonly body?: Stream.Stream<Uint8Array, E, R> | undefined
  /**
   * The offset at which the last chunk begins, in bytes. Default: the session's `receivedBytes`, unchecked.
   */
  readonly startByte?: number | undefined
  /** The length of the last chunk, in bytes. Default: any; the digest tells a whole body from a torn one. */
  readonly sizeBytes?: number | undefined
}

/** A blob that an upload became. */
export interface FinishedUpload {
  readonly digest: Digest
  /** The length of the blob, in bytes. */
  readonly sizeBytes: number
}

/** A closing request whose session is leased. */
interface Finishing<E, R> {
  readonly context: UploadContext
  readonly lease: FinishLease
  readonly session: Extract<Acquired, { _tag: "claimed" }>
  readonly options: FinishOptions<E, R>
  readonly progress: BodyProgress
}

/** Implements `Uploads.finish`. */
export const finish = Effect.fnUntraced(function* <E, R>(
  context: UploadContext,
  ref: SessionRef,
  options: FinishOptions<E, R>
) {
  const { digest, startByte } = options
  if (algorithmOf(digest) === null) return yield* new DigestUnsupported({ digest })
  return yield* withFinishLease(
    context,
    ref,
    Effect.fnUntraced(function* (lease) {
      const acquired = yield* acquireFinishLease(context, lease)
      if (acquired._tag === "done") return yield* repeatAnswer(context, ref, acquired, digest)
      if (startByte !== undefined && startByte !== acquired.session.receivedBytes) {
        return yield* offsetMismatch(acquired.session, startByte)
      }
      const progress = bodyProgress()
      const work = makeBlob({ context, lease, session: acquired, options, progress })
      const finished = yield* Effect.raceFirst(work, renewUntilLost(context, lease, progress))
      lease.needsRelease = false
      context.hashes.forget(ref.id)
      return finished === "lost" ? yield* answerAfterLoss(context, ref, digest) : finished
    })
  )
})

/** Makes the blob. Returns `lost` if another request has the session. */
const makeBlob = <E, R>(finishing: Finishing<E, R>) =>
  Effect.gen(function* () {
    const { options, progress, session } = finishing
    const { body = Stream.empty, sizeBytes } = options
    const rest = yield* nonEmptyBody(
      body,
      sizeBytes ?? (options.body === undefined ? 0 : undefined),
      progress
    )
    const [chunk, ...others] = session.chunks
    return chunk !== undefined && others.length === 0 && rest === null
      ? yield* useOnlyChunk(finishing, chunk)
      : yield* assemble(finishing, rest)
  }).pipe(
    Effect.scoped,
    Effect.catchIf(isMissing, (error) =>
      // Chunks are deleted after their session ends. A chunk that is missing while this request has the lease
      // is a lost object.
      Effect.flatMap(renewFinishLease(finishing.context, finishing.lease), (isOurs) =>
        isOurs ? Effect.fail(error) : Effect.succeed("lost" as const)
      )
    )
  )

const isMissing = (error: unknown): error is StorageError =>
  error instanceof StorageError && error.reason === "NotFound"

/** Makes the object of the session's only chunk the blob's. */
const useOnlyChunk = Effect.fnUntraced(function* <E, R>(
  { context, lease, options: { digest }, progress }: Finishing<E, R>,
  chunk: StagedChunk
) {
  if (algorithmOf(digest) !== algorithmOf(chunk.digest)) {
    const declared = { digest, sizeBytes: chunk.sizeBytes }
    yield* Stream.runDrain(measured(context.storage.get(chunk.key), declared, progress, () => undefined))
  } else if (digest !== chunk.digest) {
    return yield* new DigestMismatch({ declared: digest, actual: chunk.digest })
  }
  const { key, sizeBytes } = chunk
  const outcome = yield* complete(context, lease, { key, digest, sizeBytes })
  if (outcome === "expired") {
    return yield* Effect.die(new Error(`Staged chunk ${key} was completed as an upload whose intent expired`))
  }
  return outcome
})

/** Makes one object of all chunks and the last body. */
const assemble = Effect.fnUntraced(function* <E, R>(
  { context, lease, options, progress, session: { chunks, session } }: Finishing<E, R>,
  rest: Stream.Stream<Uint8Array, E, R> | null
) {
  const { digest, sizeBytes } = options
  const assembling = Effect.gen(function* () {
    const source = yield* assembled(context, session, chunks, { digest, rest, sizeBytes }, progress)
    return yield* sendUntilSettled(context, source, progress, (sent) =>
      Effect.map(complete(context, lease, sent), (outcome) => (outcome === "expired" ? null : outcome))
    )
  })
  // A body is bounded by its place, and may drip for hours.
  return yield* rest === null && chunks.length > 0 ? context.assemblies.withPermit(assembling) : assembling
})

/** Publishes the blob and ends the session in one transaction, if this request still has the lease. */
const complete = Effect.fnUntraced(function* (
  context: UploadContext,
  { ref, token }: FinishLease,
  { digest, key, sizeBytes }: Sent
) {
  const now = yield* Clock.currentTimeMillis
  const outcome = yield* context.registry.sessions
    .complete(now, ref, token, {
      key,
      digest,
      sizeBytes,
      pins: [hold(context, ref, digest, now)]
    })
    .pipe(
      Effect.catchIf(
        (error) => error.isRetryable,
        // The transaction may have been committed although its answer was lost. The session's row tells.
        (error) =>
          Effect.flatMap(context.registry.sessions.read(ref), (found) =>
            Option.isSome(found) && found.value.digest === digest
              ? Effect.succeed("lost" as const)
              : Effect.fail(error)
          )
      )
    )
  if (outcome === "lost" || outcome === "expired") return outcome
  return { digest, sizeBytes } satisfies FinishedUpload
})

const hold = ({ pinMillis }: UploadContext, { repository }: SessionRef, digest: Digest, now: number) => ({
  id: holdId(repository, digest),
  digest,
  expiresAt: now + pinMillis
})

/**
 * Answers a request whose lease another request took: with the blob if the session became one, else
 * `UploadBusy`.
 */
const answerAfterLoss = Effect.fnUntraced(function* (
  context: UploadContext,
  ref: SessionRef,
  digest: Digest
) {
  const session = yield* readSession(context, ref)
  if (session.state !== "done") return yield* new UploadBusy({ id: ref.id })
  return yield* repeatAnswer(context, ref, { session, digest: session.digest }, digest)
})

/**
 * Answers a repeated request for a session that is done. The hold is renewed, because the first may have
 * ended. If the blob was deleted since, the session is of no use, and the request fails with `UploadUnknown`.
 */
const repeatAnswer = Effect.fnUntraced(function* (
  context: UploadContext,
  ref: SessionRef,
  {
    digest: became,
    session
  }: { readonly digest: Digest | null; readonly session: { receivedBytes: number } },
  digest: Digest
) {
  if (became !== digest) return yield* new UploadUnknown({ ...ref })
  const blobs = context.database
  const now = yield* Clock.currentTimeMillis
  const live = yield* blobs.adopt(now, [], { pins: [hold(context, ref, digest, now)] })
  const found = yield* blobs.locate(digest)
  if (!live.has(digest) || Option.isNone(found)) return yield* new UploadUnknown({ ...ref })
  // A catalogue of another application may not record sizes, which reads as 0.
  return { digest, sizeBytes: found.value.sizeBytes || session.receivedBytes } satisfies FinishedUpload
})
