/** Many blobs in few transactions: each step of docs/design/protocol.md is taken for all of them together. */
import { Clock, Effect, type Stream } from "effect"
import type { Publication, Reference } from "../database/Database.ts"
import type { Digest } from "../domain/Digest.ts"
import { announceAll, attemptsMax, renewing, send, type Writer } from "./AnnouncedUpload.ts"
import { UploadExpired } from "./errors.ts"
import { flow } from "./Measure.ts"
import type { PutOutcome } from "./Put.ts"

/** Bytes to store, with what refers to them. */
export interface Upload<E, R> {
  readonly digest: Digest
  readonly sizeBytes: number
  /** Run once for each attempt, and not at all when the blob lives already. */
  readonly body: Stream.Stream<Uint8Array, E, R>
  /** At least one: a blob without references is garbage. */
  readonly references: readonly [Reference, ...ReadonlyArray<Reference>]
}

export const putAll = Effect.fnUntraced(function* <E, R>(
  writer: Writer,
  uploads: ReadonlyArray<Upload<E, R>>
) {
  const outcomes = new Map<Upload<E, R>, PutOutcome>()
  let rest = uploads
  for (let attempt = 1; rest.length > 0; attempt++) {
    const live = yield* writer.database.blobs.adopt(
      yield* Clock.currentTimeMillis,
      rest.flatMap((upload) => upload.references)
    )
    for (const upload of rest) if (live.has(upload.digest)) outcomes.set(upload, "deduplicated")
    const missing = rest.filter((upload) => !live.has(upload.digest))
    const expired = yield* publishMissing(writer, missing, outcomes)
    const first = expired[0]
    if (first !== undefined && attempt >= attemptsMax) {
      return yield* new UploadExpired({ digest: first.digest, attempts: attempt })
    }
    rest = expired
  }
  return uploads.map((upload): PutOutcome => outcomes.get(upload) ?? "deduplicated")
})

/** Announces, sends and publishes; answers the uploads that a collector reaped meanwhile. */
const publishMissing = Effect.fnUntraced(function* <E, R>(
  writer: Writer,
  missing: ReadonlyArray<Upload<E, R>>,
  outcomes: Map<Upload<E, R>, PutOutcome>
) {
  if (missing.length === 0) return []
  // Equal bytes within one call are sent once.
  const senders = [...new Map([...missing].reverse().map((upload) => [upload.digest, upload])).values()]
  const keys = yield* announceAll(
    writer,
    senders.map(({ digest }) => digest)
  )
  const moving = flow()
  const sending = Effect.forEach(
    senders.flatMap((upload, index) => keys.slice(index, index + 1).map((key) => ({ upload, key }))),
    ({ upload, key }) => send(writer, key, upload.body, upload, moving),
    { concurrency: writer.concurrency }
  )
  const sent = yield* renewing(writer, keys, moving, sending)
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
  const published = yield* writer.database.blobs.publish(yield* Clock.currentTimeMillis, publications)
  const outcomeOf = new Map(publications.map(({ digest }, index) => [digest, published[index] ?? "expired"]))
  for (const upload of missing) {
    const isNew = senders.includes(upload) && outcomeOf.get(upload.digest) === "published"
    outcomes.set(upload, isNew ? "uploaded" : "deduplicated")
  }
  return missing.filter((upload) => (outcomeOf.get(upload.digest) ?? "expired") === "expired")
})
