/**
 * Deleting the objects of journaled keys: one request, then the journal row by row: gone or put off.
 *
 * An upload in parts that was begun for a key is aborted before its object is deleted: until then it could still be
 * completed, and the object come after the delete.
 *
 * A key is only ever deleted after the transaction that killed it has committed, and no transaction is open while
 * the request is under way.
 */
import { Clock, Duration, Effect, Random, Result } from "effect"
import { CollectorDatabase, type JournalEntry, type Postponement } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"
import { isStoreTrouble } from "../storage/DeleteFailure.ts"
import { type DeleteFailure, Storage } from "../storage/Storage.ts"
import type { Pace } from "./Pace.ts"
import type { PhaseCounts } from "./PhaseCounts.ts"
import type { SweepSettings } from "./Settings.ts"

/**
 * After this many requests in a row that failed as a whole, the store is down, not the keys: going on would only
 * add load to its recovery.
 */
const consecutiveFailuresMax = 3

export interface Deletion {
  /** Deletes the objects of `entries`, which this collector has leased, and settles their rows. */
  readonly delete: (
    entries: ReadonlyArray<JournalEntry>,
    counts: PhaseCounts
  ) => Effect.Effect<void, DatabaseError | StorageError>
}

export const make = Effect.fnUntraced(function* (settings: SweepSettings, pace: Pace) {
  const { journal } = yield* CollectorDatabase
  const storage = yield* Storage
  let failuresInARow = 0

  /** Ends the phase when the store fails again and again. */
  const requestFailed = (error: StorageError) => {
    failuresInARow += 1
    return failuresInARow >= consecutiveFailuresMax ? Effect.fail(error) : Effect.void
  }

  /** Aborts the uploads in parts of `entries`; why not, by key, where one may still be under way. */
  const abortUploads = Effect.fnUntraced(function* (entries: ReadonlyArray<JournalEntry>) {
    const failures = new Map<ObjectKey, StorageError>()
    let outage: StorageError | null = null
    yield* Effect.forEach(
      entries,
      Effect.fnUntraced(function* ({ key, uploadId }) {
        if (uploadId === null) return
        // Each would wait for the same time-outs.
        const aborting =
          outage === null
            ? Effect.andThen(pace.asking, storage.abortMultipart({ key, uploadId }))
            : Effect.fail(outage)
        const outcome = yield* Effect.result(aborting)
        if (Result.isSuccess(outcome)) return
        failures.set(key, outcome.failure)
        if (outcome.failure.isRetryable) outage = outcome.failure
      }),
      { concurrency: settings.deleteConcurrency, discard: true }
    )
    return failures
  })

  /** Puts off the entries whose upload could not be aborted, and answers the others. */
  const aborted = Effect.fnUntraced(function* (entries: ReadonlyArray<JournalEntry>, counts: PhaseCounts) {
    const failures = yield* abortUploads(entries)
    if (failures.size === 0) return entries
    const now = yield* Clock.currentTimeMillis
    const random = yield* Random.next
    yield* journal.postpone(
      entries.flatMap((entry) => {
        const failure = failures.get(entry.key)
        if (failure === undefined) return []
        counts.failed(failure.reason, 1)
        const words = `${failure.reason}: ${failure.detail}`
        return [putOff(settings, entry, words, !failure.isRetryable, now, random)]
      })
    )
    const others = entries.filter((entry) => !failures.has(entry.key))
    const outage = [...failures.values()].find((failure) => failure.isRetryable)
    if (others.length === 0 && outage !== undefined) yield* requestFailed(outage)
    return others
  })

  const deletion: Deletion = {
    delete: Effect.fnUntraced(function* (claimed, counts) {
      const entries = yield* aborted(claimed, counts)
      if (entries.length === 0) return
      const keys = entries.map((entry) => entry.key)
      const outcome = yield* Effect.result(pace.deleting(keys.length, storage.delete(keys)))
      const now = yield* Clock.currentTimeMillis
      const random = yield* Random.next
      if (Result.isFailure(outcome)) {
        const { reason, detail } = outcome.failure
        counts.failed(reason, entries.length)
        yield* journal.postpone(entries.map((entry) => putOff(settings, entry, detail, false, now, random)))
        return yield* requestFailed(outcome.failure)
      }
      const { deleted, failed } = outcome.success
      const gone = new Set(deleted)
      counts.deleted(
        gone.size,
        entries.reduce((sum, entry) => (gone.has(entry.key) ? sum + entry.sizeBytes : sum), 0)
      )
      yield* journal.confirm(deleted)
      const byKey = new Map(entries.map((entry) => [entry.key, entry]))
      yield* journal.postpone(
        failed.flatMap(({ key, reason, code, detail }) => {
          const entry = byKey.get(key)
          counts.failed(code, 1)
          // An hour of throttling must not leave dead letters.
          const isOwn = !isStoreTrouble(reason)
          return entry === undefined
            ? []
            : [putOff(settings, entry, `${code}: ${detail}`, isOwn, now, random)]
        })
      )
      // Stores without batch deletes answer an outage key by key.
      if (deleted.length === 0 && failed.every(({ reason }) => isStoreTrouble(reason))) {
        return yield* requestFailed(outage(failed))
      }
      failuresInARow = 0
    })
  }
  return deletion
})

/** The row of a key whose object is still there. Only a failure of its own `counts` against it. */
const putOff = (
  settings: SweepSettings,
  entry: JournalEntry,
  error: string,
  counts: boolean,
  now: number,
  random: number
): Postponement => {
  const attempts = counts ? entry.attempts + 1 : entry.attempts
  return {
    key: entry.key,
    attempts,
    notBefore: now + backoffMillis(settings, Math.max(1, attempts), random),
    error,
    deadAt: counts && attempts >= settings.attemptsMax ? now : null
  }
}

const outage = (failed: ReadonlyArray<DeleteFailure>): StorageError =>
  new StorageError({
    operation: "delete",
    subject: `${failed.length} keys`,
    reason: "Unavailable",
    detail: `every key was answered with ${[...new Set(failed.map(({ code }) => code))].join(", ")}`
  })

/** Capped exponential back-off with ±20 % jitter; `random` is in [0, 1). */
export const backoffMillis = (settings: SweepSettings, attempts: number, random: number): number => {
  const base = Duration.toMillis(settings.backoffBase) * 2 ** (attempts - 1)
  return Math.round(Math.min(base, Duration.toMillis(settings.backoffCap)) * (0.8 + 0.4 * random))
}
