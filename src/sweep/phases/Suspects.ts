/**
 * Blobs that foreign writers inserted and that are in doubt: their bytes are copied to a fresh key, which no late DELETE
 * can meet, and the row moves there; a row whose object does not exist goes. Until then nothing can refer to them.
 *
 * Their writers wait for this, so it comes before the orphans. Docs: docs/design/foreign-writers.md.
 */
import { Clock, Duration, Effect, Result } from "effect"
import { Database, type Suspect } from "../../database/Database.ts"
import type { Digest } from "../../domain/Digest.ts"
import { fresh, KeyNonce, ObjectKey } from "../../domain/ObjectKey.ts"
import { Storage } from "../../storage/Storage.ts"
import type { Bounds } from "../Bounds.ts"
import type { Tally } from "../PhaseCounts.ts"
import type { SweepSettings } from "../Settings.ts"

/** Copies take as long as they take, and the other phases must come to pass in every sweep. */
const timeShare = 1 / 4

/** Longer than the store's own copy of the largest object takes; one that is slower is repeated by the next sweep. */
const copyLease = Duration.hours(1)

/** After this many copies in a row that failed it is the store that is down, and not the objects. */
const consecutiveFailuresMax = 3

export const collect = Effect.fnUntraced(function* (settings: SweepSettings, bounds: Bounds, tally: Tally) {
  const { suspects } = yield* Database
  const shared = yield* bounds.share(timeShare)
  const verify = yield* verifier(settings, tally)
  let after: Digest | null = null
  while (true) {
    const exceeded = yield* shared.exceeded
    if (exceeded !== null) return tally.stoppedBy(exceeded)
    const page: ReadonlyArray<Suspect> = yield* suspects.page(after, settings.batchMax)
    tally.seen(page.length)
    yield* Effect.forEach(page, (suspect) => Effect.andThen(verify(suspect, shared), tally.announce), {
      concurrency: settings.deleteConcurrency,
      discard: true
    })
    after = page.at(-1)?.digest ?? null
    if (page.length < settings.batchMax || after === null) break
  }
  yield* suspects.forget(settings.batchMax)
})

/** What `collect` would look at now. */
export const plan = Effect.fnUntraced(function* (settings: SweepSettings, tally: Tally) {
  const page = yield* (yield* Database).suspects.page(null, settings.batchMax)
  tally.seen(page.length)
  tally.kept("suspect", page.length)
})

const verifier = Effect.fnUntraced(function* (settings: SweepSettings, tally: Tally) {
  const { blobs, suspects } = yield* Database
  const storage = yield* Storage
  let failuresInARow = 0
  // A bucket that does not exist has none of the objects either, and proves nothing of them.
  const storeExists = yield* Effect.cached(storage.probe)

  return Effect.fnUntraced(function* (suspect: Suspect, bounds: Bounds) {
    const exceeded = yield* bounds.exceeded
    if (exceeded !== null) return tally.stoppedBy(exceeded)
    const to = yield* freshKey(settings.blobPrefix, suspect.digest)
    const expiresAt = (yield* Clock.currentTimeMillis) + Duration.toMillis(copyLease)
    yield* blobs.intend([{ key: to, digest: suspect.digest, expiresAt }])
    const copied = yield* Effect.result(storage.copy(suspect.key, to))
    if (Result.isSuccess(copied)) {
      failuresInARow = 0
      const now = yield* Clock.currentTimeMillis
      // Not before the next sweep: whoever found the old key a moment ago shall find its bytes.
      const deleteNotBefore = now + Math.max(1, Duration.toMillis(settings.deleteDelay))
      return tally.kept(yield* suspects.rekey(now, suspect, to, deleteNotBefore), 1)
    }
    // What was announced in vain is reaped: the copy may yet arrive.
    if (copied.failure.reason === "NotFound") {
      yield* storeExists
      const outcome = yield* suspects.drop(suspect)
      return outcome === "referenced" ? tally.failed("object missing", 1) : tally.kept(outcome, 1)
    }
    tally.failed(copied.failure.reason, 1)
    failuresInARow += 1
    if (failuresInARow >= consecutiveFailuresMax) return yield* copied.failure
  })
})

/** Digests of other people's catalogues may be anything, and need not fit into a key. */
const freshKey = (prefix: string, digest: Digest) =>
  /^[a-z0-9]+:[0-9a-f]{2,128}$/.test(digest)
    ? fresh(prefix, digest)
    : Effect.map(KeyNonce, (nonce) => ObjectKey.make(`${prefix}adopted/${nonce()}`))
