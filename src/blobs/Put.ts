/**
 * One blob: found, or else sent, and published with what holds it. Steps W1 to W4 of docs/design/protocol.md, and from
 * the start again when a collector was faster.
 */
import { Clock, Duration, Effect, Option, type Stream } from "effect"
import type { Pin, PublishOutcome, Reference } from "../database/Database.ts"
import { algorithmOf, type Digest } from "../domain/Digest.ts"
import { KeyNonce } from "../domain/ObjectKey.ts"
import type { Sent, Writer } from "./AnnouncedUpload.ts"
import { DigestUnsupported, SizeMismatch } from "./errors.ts"
import { type Declared, flow } from "./Measure.ts"
import { type Source, settled } from "./SendUntilSettled.ts"

/** `uploaded`: the blob is new, with the bytes of this call; `deduplicated`: it was there already. */
export type PutOutcome = "uploaded" | "deduplicated"

type WithoutDigest<A> = A extends unknown ? Omit<A, "digest"> : never

/** A reference whose digest is that of the blob it comes with. */
export type NewReference = WithoutDigest<Reference>

export interface PutOptions {
  /** What the bytes must hash to: `sha256:…` or `sha512:…`. If it lives already, no byte is read. Default: sha256 of what comes. */
  readonly digest?: Digest | undefined
  /** How long the body must be. Worth giving: only it tells a whole body from a torn one when there is no digest. */
  readonly sizeBytes?: number | undefined
  /** Committed with the blob. */
  readonly references?: ReadonlyArray<NewReference> | undefined
  /**
   * Keeps the blob for so long, until its references come. Default: none when there are references, else that of the
   * layer, because a blob that nothing holds is garbage.
   */
  readonly pin?: Duration.Input | undefined
  /**
   * The pin's id, for a pin that is begun or prolonged whoever stores the blob (domain/Repository.ts, `holdOf`). Default:
   * one that was never used before.
   */
  readonly pinId?: string | undefined
  /**
   * Whether the body is read and verified even if a declared digest lives already. Default false. To be set where the
   * bytes are what proves that the caller may have the blob.
   */
  readonly proven?: boolean | undefined
  /**
   * Whether running the body again gives the same bytes, as a file does and a socket does not. Default false: then the
   * body is run once at most.
   */
  readonly replayable?: boolean | undefined
}

export interface Stored {
  readonly digest: Digest
  readonly sizeBytes: number
  readonly outcome: PutOutcome
  /** The pin that keeps the blob, if one was asked for; to be released when its references have come. */
  readonly pin: string | null
}

/** What will hold the blob once it is there. */
interface Hold {
  readonly references: ReadonlyArray<NewReference>
  readonly pin: { readonly id: string; readonly millis: number } | null
}

export const put = Effect.fnUntraced(function* <E, R>(
  writer: Writer,
  body: Stream.Stream<Uint8Array, E, R>,
  options: PutOptions
) {
  const declared: Declared = { digest: options.digest ?? null, sizeBytes: options.sizeBytes ?? null }
  if (declared.digest !== null && algorithmOf(declared.digest) === null) {
    return yield* new DigestUnsupported({ digest: declared.digest })
  }
  const hold = yield* holdOf(writer, options)
  const source = { body, declared, replayable: options.replayable ?? false }
  const stored = yield* store(writer, source, hold, options.proven ?? false)
  yield* Effect.annotateCurrentSpan({ ...stored })
  yield* Effect.annotateLogs(Effect.logDebug("Blob stored"), { ...stored })
  return stored
})

const holdOf = Effect.fnUntraced(function* (writer: Writer, options: PutOptions): Effect.fn.Return<Hold> {
  const references = options.references ?? []
  const fallback = references.length > 0 ? null : writer.pinMillis
  const millis =
    options.pin === undefined ? fallback : Duration.toMillis(Duration.fromInputUnsafe(options.pin))
  return { references, pin: millis === null ? null : { id: options.pinId ?? (yield* KeyNonce)(), millis } }
})

const store = Effect.fnUntraced(function* <E, R>(
  writer: Writer,
  source: Source<E, R>,
  hold: Hold,
  proven: boolean
) {
  const { declared } = source
  const pin = hold.pin?.id ?? null
  if (declared.digest !== null && !proven) {
    const found = yield* adopt(writer, declared.digest, declared.sizeBytes, hold)
    if (Option.isSome(found)) return storedAs("deduplicated", declared.digest, found.value.sizeBytes, pin)
  }
  const settle = Effect.fnUntraced(function* (sent: Sent) {
    const { digest, sizeBytes, key } = sent
    const outcome = yield* publish(writer, sent, hold)
    if (outcome === "published") return storedAs("uploaded", digest, sizeBytes, pin)
    if (outcome === "deduplicated") return storedAs("deduplicated", digest, sizeBytes, pin)
    // Reaped; or an answer was lost, and the attempt is published all the same, or not.
    const found = yield* adopt(writer, digest, sizeBytes, hold)
    if (Option.isNone(found)) return null
    return storedAs(found.value.key === key ? "uploaded" : "deduplicated", digest, sizeBytes, pin)
  })
  return yield* settled(writer, source, flow(), settle)
})

const storedAs = (outcome: PutOutcome, digest: Digest, sizeBytes: number, pin: string | null): Stored => ({
  digest,
  sizeBytes,
  outcome,
  pin
})

/** Holds the blob if it lives; where it is then. */
const adopt = Effect.fnUntraced(function* (
  { database }: Writer,
  digest: Digest,
  sizeBytes: number | null,
  hold: Hold
) {
  const found = yield* database.blobs.locate(digest)
  if (Option.isNone(found)) return found
  // A catalogue of somebody else may not know the sizes of its blobs, which reads as 0.
  const known = found.value.sizeBytes === 0 ? (sizeBytes ?? 0) : found.value.sizeBytes
  if (sizeBytes !== null && sizeBytes !== known) {
    return yield* new SizeMismatch({ declared: sizeBytes, actual: known })
  }
  const now = yield* Clock.currentTimeMillis
  const live = yield* database.blobs.adopt(now, referencesTo(digest, hold), {
    pins: pinsOf(digest, hold, now)
  })
  return live.has(digest) ? Option.some({ key: found.value.key, sizeBytes: known }) : Option.none()
})

/** Whoever gets no answer must look whether it is published, as after `expired`. */
const publish = Effect.fnUntraced(function* ({ database }: Writer, sent: Sent, hold: Hold) {
  const now = yield* Clock.currentTimeMillis
  const references = referencesTo(sent.digest, hold)
  const [outcome = "expired"] = yield* Effect.catchIf(
    database.blobs.publish(now, [{ ...sent, references, pins: pinsOf(sent.digest, hold, now) }]),
    (error) => error.isRetryable,
    () => Effect.succeed<ReadonlyArray<PublishOutcome>>([])
  )
  return outcome
})

const referencesTo = (digest: Digest, { references }: Hold): ReadonlyArray<Reference> =>
  references.map((reference) => ({ ...reference, digest }))

const pinsOf = (digest: Digest, { pin }: Hold, now: number): ReadonlyArray<Pin> =>
  pin === null ? [] : [{ id: pin.id, digest, expiresAt: now + pin.millis }]
