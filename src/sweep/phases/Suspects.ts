/**
 * Takes suspects out of doubt: blobs that unannounced writers inserted under keys that a late DELETE may meet. Where no
 * DELETE of the key can be on its way, it is enough that the store has the object. Otherwise the bytes are copied to a
 * fresh key, and the row moves there. A row whose object does not exist is deleted. Until then nothing can refer to the
 * blob.
 *
 * Their writers wait for this, so it runs before the orphans, and in a running collector as soon as there is a suspect
 * (VerifySuspects.ts). Afterwards tombstones end whose danger is over (docs/design/unannounced-writers.md).
 */
import { Clock, Duration, Effect, Option, Result } from "effect"
import { BlobDatabase, CollectorDatabase, type Suspect } from "../../database/Database.ts"
import type { Digest } from "../../domain/Digest.ts"
import { fresh, KeyNonce, ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { Storage } from "../../storage/Storage.ts"
import type { Phase, PhaseContext } from "../Phase.ts"

/** Longer than the store's own copy of the largest object takes. The next sweep repeats a slower one. */
const copyLease = Duration.hours(1)

/** Tombstones that one transaction ends or looks at: tens of milliseconds. */
const tombstonesAtOnce = 10_000

/** After this many failed copies in a row the store is down, not the objects. */
const consecutiveFailuresMax = 3

/** Takes a quarter of the time: copies may take long, and the phases behind must run. */
export const suspects: Phase<BlobDatabase | CollectorDatabase | Storage> = {
  name: "suspects",
  timeShare: 1 / 4,
  requires: [BlobDatabase, CollectorDatabase, Storage],
  isQuiet: true,
  run: (context) => (context.dryRun ? preview(context) : collect(context))
}

const collect = Effect.fnUntraced(function* (context: PhaseContext) {
  const { suspects } = yield* CollectorDatabase
  const { settings } = context
  const verifying: Verifying = { context, verify: null }
  if (!(yield* context.pages((after: Digest | null) => verifyPage(verifying, after)))) return
  yield* suspects.forget(settings.batchMax)
  if (settings.writerPatience === null) return
  const patience = Duration.toMillis(settings.writerPatience)
  do {
    const now = yield* Clock.currentTimeMillis
    const { begun, ended } = yield* suspects.endTombstones(now, patience, tombstonesAtOnce)
    if (Math.max(begun, ended) < tombstonesAtOnce) return
  } while (yield* context.mayContinue)
})

interface Verifying {
  readonly context: PhaseContext
  /** Made for the first suspect: most sweeps meet none. */
  verify: Effect.Success<ReturnType<typeof verifier>> | null
}

const verifyPage = Effect.fnUntraced(function* (verifying: Verifying, after: Digest | null) {
  const { suspects } = yield* CollectorDatabase
  const { counts, settings } = verifying.context
  const page = yield* suspects.page(after, settings.batchMax)
  counts.seen(page.length)
  if (page.length === 0) return null
  const verify = verifying.verify ?? (yield* verifier(verifying.context))
  verifying.verify = verify
  yield* Effect.forEach(page, (suspect) => Effect.andThen(verify(suspect), counts.announce), {
    concurrency: settings.deleteConcurrency,
    discard: true
  })
  return page.length < settings.batchMax ? null : (page.at(-1)?.digest ?? null)
})

const preview = Effect.fnUntraced(function* ({ counts, settings }: PhaseContext) {
  const { suspects } = yield* CollectorDatabase
  const page = yield* suspects.page(null, settings.batchMax)
  counts.seen(page.length)
  counts.kept("suspect", page.length)
})

/** Returns what takes one suspect out of doubt, for as long as the store answers. */
const verifier = Effect.fnUntraced(function* (context: PhaseContext) {
  const blobs = yield* BlobDatabase
  const { suspects } = yield* CollectorDatabase
  const { counts, settings } = context
  const storage = yield* Storage
  let failuresInARow = 0
  // A bucket that does not exist has none of the objects either, and proves nothing of them.
  const storeExists = yield* Effect.cached(storage.probe)

  /** Deletes the row of a suspect that has no object. */
  const drop = Effect.fnUntraced(function* (suspect: Suspect) {
    yield* storeExists
    const outcome = yield* suspects.drop(yield* Clock.currentTimeMillis, suspect)
    if (outcome === "referenced") counts.failed("object missing", 1)
    else counts.kept(outcome, 1)
  })

  /** Counts a failure of the store. Fails after three in a row. */
  const storeFailed = (error: StorageError) => {
    counts.failed(error.reason, 1)
    failuresInARow += 1
    return failuresInARow >= consecutiveFailuresMax ? Effect.fail(error) : Effect.void
  }

  return Effect.fnUntraced(function* (suspect: Suspect) {
    if (!(yield* context.mayContinue)) return
    if (suspect.settled) {
      const found = yield* Effect.result(storage.head(suspect.key))
      if (Result.isFailure(found)) return yield* storeFailed(found.failure)
      failuresInARow = 0
      if (Option.isNone(found.success)) return yield* drop(suspect)
      return counts.kept(yield* suspects.trust(suspect), 1)
    }
    const to = yield* freshKey(settings.blobPrefix, suspect.digest)
    const expiresAt = (yield* Clock.currentTimeMillis) + Duration.toMillis(copyLease)
    yield* blobs.intend([{ key: to, digest: suspect.digest, expiresAt }])
    const copied = yield* Effect.result(storage.copy(suspect.key, to))
    if (Result.isSuccess(copied)) {
      failuresInARow = 0
      const now = yield* Clock.currentTimeMillis
      // Not before the next sweep: a reader that found the old key a moment ago finds its bytes.
      const deleteNotBefore = now + Math.max(1, Duration.toMillis(settings.deleteDelay))
      return counts.kept(yield* suspects.rekey(now, suspect, to, deleteNotBefore), 1)
    }
    // The unused intent is reaped: the copy may yet arrive.
    if (copied.failure.reason === "NotFound") return yield* drop(suspect)
    yield* storeFailed(copied.failure)
  })
})

/** Digests of other catalogues may be any text, and need not fit into a key. */
const freshKey = (prefix: string, digest: Digest) =>
  /^[a-z0-9]+:[0-9a-f]{2,128}$/.test(digest)
    ? fresh(prefix, digest)
    : Effect.map(KeyNonce, (nonce) => ObjectKey.make(`${prefix}adopted/${nonce()}`))
