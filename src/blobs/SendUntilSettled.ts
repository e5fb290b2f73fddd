/**
 * Bytes at a key of their own, as often as it takes: whatever a collector takes away before they have become a blob is
 * brought to another key, by the store's own copy where it still can be.
 */
import { Clock, Effect, type Stream } from "effect"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { announce, attemptsMax, renewing, type Sent, send, type Writer } from "./AnnouncedUpload.ts"
import { UploadExpired } from "./errors.ts"
import type { Declared, Flow } from "./Measure.ts"

export interface Source<E, R> {
  readonly body: Stream.Stream<Uint8Array, E, R>
  readonly declared: Declared
  /** Whether running the body again gives the same bytes. */
  readonly replayable: boolean
}

/**
 * What `settle` makes of the bytes once they have been sent. Null from it says that their announcement was reaped, and
 * then they go to another key; `UploadExpired` when they cannot, or have too often.
 */
export const settled = Effect.fnUntraced(function* <E, R, A, E2, R2>(
  writer: Writer,
  source: Source<E, R>,
  flow: Flow,
  settle: (sent: Sent) => Effect.Effect<A | null, E2, R2>
) {
  let before: Sent | null = null
  for (let attempt = 1; ; attempt++) {
    const sent: Sent | Digest | null = yield* arrive(writer, source, flow, before)
    if (typeof sent === "string") {
      return yield* new UploadExpired({ digest: sent, attempts: attempt - 1 })
    }
    if (sent === null) {
      if (source.replayable && attempt < attemptsMax) continue
      return yield* new UploadExpired({
        digest: before?.digest ?? source.declared.digest,
        attempts: attempt
      })
    }
    const done = yield* settle(sent)
    if (done !== null) return done
    if (attempt >= attemptsMax) return yield* new UploadExpired({ digest: sent.digest, attempts: attempt })
    yield* Effect.annotateLogs(Effect.logInfo("An upload was not published, and goes to another key"), {
      key: sent.key
    })
    before = sent
  }
})

/**
 * Brings the bytes to a key of their own. If they have been sent already, under a key that was reaped since, the store
 * copies them from there for as long as it has them; only then is the body run again, if it may be. If not, only
 * the digest is left of them. Null when the upload was taken away under way.
 */
const arrive = Effect.fnUntraced(function* <E, R>(
  writer: Writer,
  { body, declared, replayable }: Source<E, R>,
  flow: Flow,
  before: Sent | null
) {
  const key = yield* announce(writer, before?.digest ?? declared.digest)
  const bring = Effect.gen(function* () {
    if (before !== null && (yield* copied(writer, before, key))) return { ...before, key } satisfies Sent
    if (before !== null && !replayable) return before.digest
    return yield* send(writer, key, body, declared, flow)
  })
  return yield* renewing(writer, [key], flow, bring)
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
