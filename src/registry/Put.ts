/**
 * One blob: found, or else sent, and published with what holds it. Steps W1 to W4 of docs/design/protocol.md, and from
 * the start again when a collector was faster.
 */
import { Clock, Duration, Effect, Option, type Stream } from "effect"
import type { Pin, PublishOutcome, Reference } from "../database/Database.ts"
import { algorithmOf, type Digest } from "../domain/Digest.ts"
import { KeyNonce, type ObjectKey } from "../domain/ObjectKey.ts"
import { announce, attemptsMax, renewing, type Sent, send, type Writer } from "./Attempt.ts"
import { DigestUnsupported, SizeMismatch, UploadExpired } from "./failures.ts"
import { type Declared, flow } from "./Measure.ts"

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

interface Source<E, R> {
  readonly body: Stream.Stream<Uint8Array, E, R>
  readonly declared: Declared
  readonly replayable: boolean
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
  const stored = yield* store(writer, source, hold)
  yield* Effect.annotateCurrentSpan({ ...stored })
  yield* Effect.annotateLogs(Effect.logDebug("Blob stored"), { ...stored })
  return stored
})

const holdOf = Effect.fnUntraced(function* (writer: Writer, options: PutOptions): Effect.fn.Return<Hold> {
  const references = options.references ?? []
  const fallback = references.length > 0 ? null : writer.pinMillis
  const millis =
    options.pin === undefined ? fallback : Duration.toMillis(Duration.fromInputUnsafe(options.pin))
  return { references, pin: millis === null ? null : { id: (yield* KeyNonce)(), millis } }
})

const store = Effect.fnUntraced(function* <E, R>(writer: Writer, source: Source<E, R>, hold: Hold) {
  const { declared } = source
  const pin = hold.pin?.id ?? null
  if (declared.digest !== null) {
    const found = yield* adopt(writer, declared.digest, declared.sizeBytes, hold)
    if (Option.isSome(found)) return storedAs("deduplicated", declared.digest, found.value.sizeBytes, pin)
  }
  let before: Sent | null = null
  for (let attempt = 1; ; attempt++) {
    const sent: Sent | Digest | null = yield* arrive(writer, source, before)
    if (typeof sent === "string") {
      return yield* new UploadExpired({ digest: sent, attempts: attempt - 1 })
    }
    if (sent === null) {
      if (source.replayable && attempt < attemptsMax) continue
      return yield* new UploadExpired({ digest: before?.digest ?? declared.digest, attempts: attempt })
    }
    const { digest, sizeBytes, key } = sent
    const outcome = yield* publish(writer, sent, hold)
    if (outcome === "published") return storedAs("uploaded", digest, sizeBytes, pin)
    if (outcome === "deduplicated") return storedAs("deduplicated", digest, sizeBytes, pin)
    // Reaped; or an answer was lost, and the attempt is published all the same, or not.
    const found = yield* adopt(writer, digest, sizeBytes, hold)
    if (Option.isSome(found)) {
      return storedAs(found.value.key === key ? "uploaded" : "deduplicated", digest, sizeBytes, pin)
    }
    if (attempt >= attemptsMax) return yield* new UploadExpired({ digest, attempts: attempt })
    yield* Effect.annotateLogs(Effect.logInfo("An upload was not published, and goes to another key"), {
      key
    })
    before = sent
  }
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

/**
 * Brings the bytes to a key of their own. If they have been sent already, under a key that was reaped since, the store
 * copies them from there for as long as it has them; only then is the body run again, if it may be. If not, only
 * the digest is left of them. Null when the upload was taken away under way.
 */
const arrive = Effect.fnUntraced(function* <E, R>(
  writer: Writer,
  { body, declared, replayable }: Source<E, R>,
  before: Sent | null
) {
  const key = yield* announce(writer, before?.digest ?? declared.digest)
  const moving = flow()
  const bring = Effect.gen(function* () {
    if (before !== null && (yield* copied(writer, before, key))) return { ...before, key } satisfies Sent
    if (before !== null && !replayable) return before.digest
    return yield* send(writer, key, body, declared, moving)
  })
  return yield* renewing(writer, [key], moving, bring)
})

/**
 * The store's own copy of an object under a key that was lost, if it is still there. It may have arrived after the
 * reaped key was struck off the journal, and then nothing would know of it: it is journaled again, unless something
 * owns the key after all. That it was announced before it was sent is what makes one snapshot enough.
 */
const copied = Effect.fnUntraced(function* ({ database, storage }: Writer, from: Sent, to: ObjectKey) {
  const isThere = yield* storage.copy(from.key, to).pipe(
    Effect.as(true),
    Effect.catchIf(
      (error) => error.reason === "NotFound",
      () => Effect.succeed(false)
    )
  )
  const now = yield* Clock.currentTimeMillis
  if (isThere) {
    yield* Effect.catch(database.leftovers.journal(now, [from], now), (error) =>
      Effect.logWarning("A copied object was not journaled; the search for leftovers will find it", error)
    )
  }
  return isThere
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
