/**
 * One blob: adopted if it is live, otherwise sent and published, with the caller's statements or a pin. Steps W1 to
 * W4 of docs/design/protocol.md, repeated if a collector reaped the upload.
 */
import { Clock, Duration, Effect, Option, Result, type Stream } from "effect"
import type { HostStatements, Pin } from "../database/Database.ts"
import { DatabaseError } from "../domain/DatabaseError.ts"
import { algorithmOf, type Digest } from "../domain/Digest.ts"
import { KeyNonce } from "../domain/ObjectKey.ts"
import { bodyProgress } from "./BodyProgress.ts"
import { DigestUnsupported, type PutFailure, SizeMismatch } from "./errors.ts"
import type { Declared } from "./Measure.ts"
import type { Sent } from "./SendBody.ts"
import { type Source, sendUntilSettled } from "./SendUntilSettled.ts"
import { attemptsMax, type WriterContext } from "./WriterContext.ts"

/** `uploaded`: the blob is new and has the bytes of this call. `deduplicated`: the blob existed. */
export type PutOutcome = "uploaded" | "deduplicated"

/** Options of `BlobStore.put`. */
export interface PutOptions<E = never, R = never> {
  /**
   * The digest that the bytes must have, `sha256:…` or `sha512:…`. If that blob is live, no byte is read.
   * Default: none, and the blob gets the sha256 of its bytes.
   */
  readonly digest?: Digest | undefined
  /**
   * The length that the body must have, in bytes. Default: any. Without a digest, only the length tells a
   * whole body from a torn one, so give it where it is known.
   */
  readonly sizeBytes?: number | undefined
  /**
   * Statements of the caller that refer to the blob. They run in the transaction that stores it, whether its
   * bytes were sent or the blob existed. Both are committed, or neither. Default: none.
   *
   * ```ts
   * yield* blobs.put(body, {
   *   commit: ({ digest }) => sql`INSERT INTO attachments (ticket, digest) VALUES (${ticket}, ${digest})`
   * })
   * ```
   *
   * Use the client of the database layer: the transaction is open on it. If the transaction loses a lock, meets
   * a deadlock or loses its connection, it rolls back and the statements run again, so they must do nothing that
   * a rollback does not undo. At most one run is committed. Its time-outs are those of the collector: 2 s for a
   * lock, 30 s for a statement, 60 s between two statements.
   *
   * If the statements fail, nothing is stored and `put` fails with their error. A collector deletes the bytes.
   */
  readonly commit?: ((blob: CommittedBlob) => Effect.Effect<unknown, E, R>) | undefined
  /**
   * How long a pin keeps the blob until its references are made. Default: no pin with `commit`, otherwise
   * `BlobStoreOptions.pin`, because a blob with neither is garbage.
   */
  readonly pin?: Duration.Input | undefined
  /**
   * The pin's id. An existing pin of this id is prolonged, also if another writer began it; a repository's
   * hold needs that. Default: an id that was never used before.
   */
  readonly pinId?: string | undefined
  /**
   * Whether the body is read and verified even if the declared digest is live. Default: false. Set it where
   * only the bytes prove that the caller may have the blob.
   */
  readonly proven?: boolean | undefined
  /**
   * Whether a second run of the body yields the same bytes, as a file does and a socket does not. Default:
   * false, and the body runs at most once.
   */
  readonly replayable?: boolean | undefined
}

/** The blob to which the statements of `commit` refer. */
export interface CommittedBlob {
  /** The digest of the bytes. */
  readonly digest: Digest
  /** The length of the blob, in bytes. */
  readonly sizeBytes: number
}

/** A blob that was stored or adopted. */
export interface Stored {
  /** The digest of the bytes. */
  readonly digest: Digest
  /** The length of the blob, in bytes. */
  readonly sizeBytes: number
  /** Whether this call's bytes became the blob. */
  readonly outcome: PutOutcome
  /**
   * The id of the pin that keeps the blob, or null without a pin. Release it once the blob's references are
   * made.
   */
  readonly pin: string | null
}

/** What keeps the blob once it is published. */
interface Retention<E> {
  readonly commit: ((blob: CommittedBlob) => Effect.Effect<unknown, E>) | null
  readonly pin: { readonly id: string; readonly millis: number } | null
}

/** Implements `BlobStore.put`. */
export const put = Effect.fnUntraced(function* <E, R, E2 = never, R2 = never>(
  context: WriterContext,
  body: Stream.Stream<Uint8Array, E, R>,
  options: PutOptions<E2, R2>
): Effect.fn.Return<Stored, E | E2 | PutFailure | DigestUnsupported, R | R2> {
  const declared: Declared = { digest: options.digest ?? null, sizeBytes: options.sizeBytes ?? null }
  if (declared.digest !== null && algorithmOf(declared.digest) === null) {
    return yield* new DigestUnsupported({ digest: declared.digest })
  }
  const retention = yield* retentionOf(context, options)
  const source = { body, declared, replayable: options.replayable ?? false }
  const stored = yield* store(context, source, retention, options.proven ?? false)
  yield* Effect.annotateCurrentSpan({ ...stored })
  yield* Effect.annotateLogs(Effect.logDebug("Blob stored"), { ...stored })
  return stored
})

const retentionOf = Effect.fnUntraced(function* <E, R>(
  context: WriterContext,
  options: PutOptions<E, R>
): Effect.fn.Return<Retention<E>> {
  const fallback = options.commit === undefined ? context.pinMillis : null
  const millis =
    options.pin === undefined ? fallback : Duration.toMillis(Duration.fromInputUnsafe(options.pin))
  // The statements run in the caller's fiber, which has their services. `put` requires these in its type.
  const commit = (options.commit ?? null) as Retention<E>["commit"]
  const pin = millis === null ? null : { id: options.pinId ?? (yield* KeyNonce)(), millis }
  return { commit, pin }
})

const store = Effect.fnUntraced(function* <E, R, E2>(
  context: WriterContext,
  source: Source<E, R>,
  retention: Retention<E2>,
  proven: boolean
) {
  const { declared } = source
  const pin = retention.pin?.id ?? null
  if (declared.digest !== null && !proven) {
    const found = yield* adopt(context, declared.digest, declared.sizeBytes, retention)
    if (Option.isSome(found)) return storedAs("deduplicated", declared.digest, found.value.sizeBytes, pin)
  }
  const publishSent = Effect.fnUntraced(function* (sent: Sent) {
    const { digest, sizeBytes, key } = sent
    const outcome = yield* publish(context, sent, retention)
    if (outcome === "published") return storedAs("uploaded", digest, sizeBytes, pin)
    if (outcome === "deduplicated") return storedAs("deduplicated", digest, sizeBytes, pin)
    // Either the intent was reaped, or an answer was lost and the blob may have been published.
    const found = yield* adopt(context, digest, sizeBytes, retention)
    if (Option.isNone(found)) return null
    return storedAs(found.value.key === key ? "uploaded" : "deduplicated", digest, sizeBytes, pin)
  })
  return yield* sendUntilSettled(context, source, bodyProgress(), publishSent)
})

const storedAs = (outcome: PutOutcome, digest: Digest, sizeBytes: number, pin: string | null): Stored => ({
  digest,
  sizeBytes,
  outcome,
  pin
})

/**
 * Adds the pin and runs the caller's statements for a live blob, and returns its key and size. Returns none if it is not live.
 */
const adopt = Effect.fnUntraced(function* <E>(
  { database }: WriterContext,
  digest: Digest,
  sizeBytes: number | null,
  retention: Retention<E>
) {
  const found = yield* database.locate(digest)
  if (Option.isNone(found)) return found
  // A catalogue of another application may not record sizes, which reads as 0.
  const known = found.value.sizeBytes === 0 ? (sizeBytes ?? 0) : found.value.sizeBytes
  if (sizeBytes !== null && sizeBytes !== known) {
    return yield* new SizeMismatch({ declared: sizeBytes, actual: known })
  }
  const now = yield* Clock.currentTimeMillis
  const live = yield* database.adopt(now, [digest], {
    pins: pinsOf(digest, retention, now),
    ...statementsOf(retention, { digest, sizeBytes: known })
  })
  return live.has(digest) ? Option.some({ key: found.value.key, sizeBytes: known }) : Option.none()
})

/**
 * Publishes the blob. Without statements of the caller, a lost answer reads as `expired`: in both cases the
 * blob may be live, and adopting it twice does no harm.
 *
 * Statements of the caller must not be committed twice. After a lost answer the same key is published again:
 * its intent serves one transaction. If the intent is gone, the key tells whether that transaction was the one
 * without an answer. It does not tell if the blob existed, and then the failure is the caller's to judge.
 */
const publish = Effect.fnUntraced(function* <E>(
  { database }: WriterContext,
  sent: Sent,
  retention: Retention<E>
) {
  const { digest, key } = sent
  let lost: DatabaseError | null = null
  for (let attempt = 1; ; attempt++) {
    const now = yield* Clock.currentTimeMillis
    const publication = { ...sent, pins: pinsOf(digest, retention, now) }
    const published = yield* Effect.result(
      database.publish(now, [publication], statementsOf(retention, sent))
    )
    if (Result.isSuccess(published)) {
      const outcome = published.success[0] ?? "expired"
      if (outcome !== "expired" || lost === null) return outcome
      const found = yield* database.locate(digest)
      if (Option.isSome(found) && found.value.key === key) return "published"
      return yield* lost
    }
    const { failure } = published
    if (!(failure instanceof DatabaseError) || !failure.isRetryable) return yield* Effect.fail(failure)
    if (retention.commit === null) return "expired"
    if (attempt >= attemptsMax) return yield* failure
    lost = failure
  }
})

const statementsOf = <E>(
  { commit }: Retention<E>,
  { digest, sizeBytes }: CommittedBlob
): HostStatements<unknown, E> => (commit === null ? {} : { commit: () => commit({ digest, sizeBytes }) })

const pinsOf = (digest: Digest, { pin }: Retention<unknown>, now: number): ReadonlyArray<Pin> =>
  pin === null ? [] : [{ id: pin.id, digest, expiresAt: now + pin.millis }]
