/** Many blobs in few transactions: each step of docs/design/protocol.md is taken once for all of them. */
import { Clock, Effect, type Stream } from "effect"
import type { Published } from "../database/Database.ts"
import type { Digest } from "../domain/Digest.ts"
import { bodyProgress } from "./BodyProgress.ts"
import { type PutFailure, UploadExpired } from "./errors.ts"
import { declareIntents, renewingIntents } from "./Intents.ts"
import type { CommittedBlob, PutOutcome } from "./Put.ts"
import { sendBody } from "./SendBody.ts"
import { attemptsMax, type WriterContext } from "./WriterContext.ts"

/** One blob of a `putAll`. */
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
}

/** Options of `BlobStore.putAll`. */
export interface PutAllOptions<E, R> {
  /**
   * Statements of the caller that refer to the blobs, given in the order of the uploads. They run once, in a
   * transaction in which all blobs exist. All is as for `commit` of `put`. Required: blobs without a reference
   * are garbage.
   */
  readonly commit: (blobs: ReadonlyArray<CommittedBlob>) => Effect.Effect<unknown, E, R>
}

/** Implements `BlobStore.putAll`. */
export const putAll = Effect.fnUntraced(function* <E, R, E2, R2>(
  context: WriterContext,
  uploads: ReadonlyArray<Upload<E, R>>,
  options: PutAllOptions<E2, R2>
): Effect.fn.Return<ReadonlyArray<PutOutcome>, E | E2 | PutFailure, R | R2> {
  const { database } = context
  // Equal bytes within one call are sent once.
  const distinct = [...new Map([...uploads].reverse().map((upload) => [upload.digest, upload])).values()]
  const digests = distinct.map(({ digest }) => digest)
  const sentHere = new Set<Digest>()
  // The statements run in the caller's fiber, which has their services. `putAll` requires these in its type.
  const statements = Effect.suspend(() =>
    options.commit(uploads.map(({ digest, sizeBytes }) => ({ digest, sizeBytes })))
  ) as Effect.Effect<unknown, E2>
  const outcomes = () =>
    uploads.map(
      (upload): PutOutcome =>
        sentHere.has(upload.digest) && distinct.includes(upload) ? "uploaded" : "deduplicated"
    )
  for (let attempt = 1; ; attempt++) {
    const live = yield* database.adopt(yield* Clock.currentTimeMillis, digests, {
      allOrNothing: true,
      commit: () => statements
    })
    if (live.size === digests.length) return outcomes()
    const missing = distinct.filter(({ digest }) => !live.has(digest))
    const sent = yield* sendAll(context, missing)
    let isComplete = false
    const commit = ({ live: settled }: Published) => {
      isComplete = digests.every((digest) => settled.has(digest))
      return isComplete ? statements : Effect.void
    }
    const published = yield* database.publish(yield* Clock.currentTimeMillis, sent, {
      adopts: [...live],
      commit
    })
    for (const [index, { digest }] of sent.entries())
      if (published[index] === "published") sentHere.add(digest)
    if (isComplete) return outcomes()
    if (attempt >= attemptsMax) {
      const lost = missing.find(({ digest }) => !sentHere.has(digest)) ?? missing[0]
      return yield* new UploadExpired({ digest: lost?.digest ?? null, attempts: attempt })
    }
  }
})

/** Declares and sends. Returns what the store acknowledged, without uploads that a collector took away. */
const sendAll = Effect.fnUntraced(function* <E, R>(
  context: WriterContext,
  missing: ReadonlyArray<Upload<E, R>>
) {
  const keys = yield* declareIntents(
    context,
    missing.map(({ digest }) => digest)
  )
  const progress = bodyProgress()
  const sending = Effect.forEach(
    missing.flatMap((upload, index) => keys.slice(index, index + 1).map((key) => ({ upload, key }))),
    ({ upload, key }) => sendBody(context, key, upload.body, upload, progress),
    { concurrency: context.concurrency }
  )
  const sent = yield* renewingIntents(context, keys, progress, sending)
  return sent.filter((bytes) => bytes !== null)
})
