/**
 * One blob: adopted if it is live, otherwise sent and published, with its references or its pin. Steps W1 to
 * W4 of docs/design/protocol.md, repeated if a collector reaped the upload.
 */
import { Clock, Duration, Effect, Option, type Stream } from "effect"
import type { Pin, PublishOutcome, Reference } from "../database/Database.ts"
import { algorithmOf, type Digest } from "../domain/Digest.ts"
import { KeyNonce } from "../domain/ObjectKey.ts"
import { bodyProgress } from "./BodyProgress.ts"
import { DigestUnsupported, SizeMismatch } from "./errors.ts"
import type { Declared } from "./Measure.ts"
import type { Sent } from "./SendBody.ts"
import { type Source, sendUntilSettled } from "./SendUntilSettled.ts"
import type { WriterContext } from "./WriterContext.ts"

/** `uploaded`: the blob is new and has the bytes of this call. `deduplicated`: the blob existed. */
export type PutOutcome = "uploaded" | "deduplicated"

type WithoutDigest<A> = A extends unknown ? Omit<A, "digest"> : never

/** A reference without its digest: it gets that of the blob it is stored with. */
export type NewReference = WithoutDigest<Reference>

/** Options of `BlobStore.put`. */
export interface PutOptions {
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
  /** References committed with the blob. Default: none. */
  readonly references?: ReadonlyArray<NewReference> | undefined
  /**
   * How long a pin keeps the blob until its references are made. Default: no pin if there are references,
   * otherwise `BlobStoreOptions.pin`, because a blob with neither is garbage.
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
interface Retention {
  readonly references: ReadonlyArray<NewReference>
  readonly pin: { readonly id: string; readonly millis: number } | null
}

/** Implements `BlobStore.put`. */
export const put = Effect.fnUntraced(function* <E, R>(
  context: WriterContext,
  body: Stream.Stream<Uint8Array, E, R>,
  options: PutOptions
) {
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

const retentionOf = Effect.fnUntraced(function* (
  context: WriterContext,
  options: PutOptions
): Effect.fn.Return<Retention> {
  const references = options.references ?? []
  const fallback = references.length > 0 ? null : context.pinMillis
  const millis =
    options.pin === undefined ? fallback : Duration.toMillis(Duration.fromInputUnsafe(options.pin))
  return { references, pin: millis === null ? null : { id: options.pinId ?? (yield* KeyNonce)(), millis } }
})

const store = Effect.fnUntraced(function* <E, R>(
  context: WriterContext,
  source: Source<E, R>,
  retention: Retention,
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
 * Adds the references or the pin to a live blob and returns its key and size. Returns none if it is not live.
 */
const adopt = Effect.fnUntraced(function* (
  { database }: WriterContext,
  digest: Digest,
  sizeBytes: number | null,
  retention: Retention
) {
  const found = yield* database.locate(digest)
  if (Option.isNone(found)) return found
  // A catalogue of another application may not record sizes, which reads as 0.
  const known = found.value.sizeBytes === 0 ? (sizeBytes ?? 0) : found.value.sizeBytes
  if (sizeBytes !== null && sizeBytes !== known) {
    return yield* new SizeMismatch({ declared: sizeBytes, actual: known })
  }
  const now = yield* Clock.currentTimeMillis
  const live = yield* database.adopt(now, referencesTo(digest, retention), {
    pins: pinsOf(digest, retention, now)
  })
  return live.has(digest) ? Option.some({ key: found.value.key, sizeBytes: known }) : Option.none()
})

/**
 * Publishes the blob. A lost answer reads as `expired`: in both cases the caller looks whether the blob is
 * live.
 */
const publish = Effect.fnUntraced(function* ({ database }: WriterContext, sent: Sent, retention: Retention) {
  const now = yield* Clock.currentTimeMillis
  const references = referencesTo(sent.digest, retention)
  const [outcome = "expired"] = yield* Effect.catchIf(
    database.publish(now, [{ ...sent, references, pins: pinsOf(sent.digest, retention, now) }]),
    (error) => error.isRetryable,
    () => Effect.succeed<ReadonlyArray<PublishOutcome>>([])
  )
  return outcome
})

const referencesTo = (digest: Digest, { references }: Retention): ReadonlyArray<Reference> =>
  references.map((reference) => ({ ...reference, digest }))

const pinsOf = (digest: Digest, { pin }: Retention, now: number): ReadonlyArray<Pin> =>
  pin === null ? [] : [{ id: pin.id, digest, expiresAt: now + pin.millis }]
