/** Many blobs in few transactions: each step of docs/design/protocol.md is taken once for all of them. */
import { Clock, Effect, type Stream } from "effect"
import type { Publication, Reference } from "../database/Database.ts"
import type { Digest } from "../domain/Digest.ts"
import { bodyProgress } from "./BodyProgress.ts"
import { UploadExpired } from "./errors.ts"
import { declareIntents, renewingIntents } from "./Intents.ts"
import type { PutOutcome } from "./Put.ts"
import { sendBody } from "./SendBody.ts"
import { attemptsMax, type WriterContext } from "./WriterContext.ts"

/** One blob of a `putAll`, with its references. */
export interface Upload<E, R> {
  /** The digest that the body must have, sha256 or sha512. */
  readonly digest: Digest
  /** The length that the body must have, in bytes. */
  readonly sizeBytes: number
  /**
   * The bytes. Runs once for each attempt, and not at all if the blob is live. A second run must yield the
   * same bytes.
   */
  readonly body: Stream.Stream<Uint8Array, E, R>
  /** References committed with the blob. At least one: a blob without references is garbage. */
  readonly references: readonly [Reference, ...ReadonlyArray<Reference>]
}

/** Implements `BlobStore.putAll`. */
export const putAll = Effect.fnUntraced(function* <E, R>(
  context: WriterContext,
  uploads: ReadonlyArray<Upload<E, R>>
) {
  const outcomes = new Map<Upload<E, R>, PutOutcome>()
  let rest = uploads
  for (let attempt = 1; rest.length > 0; attempt++) {
    const live = yield* context.database.adopt(
      yield* Clock.currentTimeMillis,
      rest.flatMap((upload) => upload.references)
    )
    for (const upload of rest) if (live.has(upload.digest)) outcomes.set(upload, "deduplicated")
    const missing = rest.filter((upload) => !live.has(upload.digest))
    const expired = yield* publishMissing(context, missing, outcomes)
    const first = expired[0]
    if (first !== undefined && attempt >= attemptsMax) {
      return yield* new UploadExpired({ digest: first.digest, attempts: attempt })
    }
    rest = expired
  }
  return uploads.map((upload): PutOutcome => outcomes.get(upload) ?? "deduplicated")
})

/** Declares, sends and publishes. Returns the uploads that a collector reaped meanwhile. */
const publishMissing = Effect.fnUntraced(function* <E, R>(
  context: WriterContext,
  missing: ReadonlyArray<Upload<E, R>>,
  outcomes: Map<Upload<E, R>, PutOutcome>
) {
  if (missing.length === 0) return []
  // Equal bytes within one call are sent once.
  const senders = [...new Map([...missing].reverse().map((upload) => [upload.digest, upload])).values()]
  const keys = yield* declareIntents(
    context,
    senders.map(({ digest }) => digest)
  )
  const progress = bodyProgress()
  const sending = Effect.forEach(
    senders.flatMap((upload, index) => keys.slice(index, index + 1).map((key) => ({ upload, key }))),
    ({ upload, key }) => sendBody(context, key, upload.body, upload, progress),
    { concurrency: context.concurrency }
  )
  const sent = yield* renewingIntents(context, keys, progress, sending)
  const publications = sent
    .filter((bytes) => bytes !== null)
    .map(
      (bytes): Publication => ({
        ...bytes,
        references: missing
          .filter((other) => other.digest === bytes.digest)
          .flatMap((other) => other.references)
      })
    )
  const published = yield* context.database.publish(yield* Clock.currentTimeMillis, publications)
  const outcomeOf = new Map(publications.map(({ digest }, index) => [digest, published[index] ?? "expired"]))
  for (const upload of missing) {
    const isNew = senders.includes(upload) && outcomeOf.get(upload.digest) === "published"
    outcomes.set(upload, isNew ? "uploaded" : "deduplicated")
  }
  return missing.filter((upload) => (outcomeOf.get(upload.digest) ?? "expired") === "expired")
})
