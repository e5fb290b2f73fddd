/**
 * Deleting the objects of journaled keys: one request, then the journal row by row: gone or put off.
 *
 * A key is only ever deleted after the transaction that killed it has committed, and no transaction is open while
 * the request is under way.
 */
import { Clock, Duration, Effect, Random, Result } from "effect"
import { Database, type JournalEntry, type Postponement } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { StorageError } from "../domain/StorageError.ts"
import { type DeleteFailure, Storage } from "../storage/Storage.ts"
import type { SweepSettings } from "./Settings.ts"
import type { Tally } from "./Tally.ts"

/**
 * After this many requests in a row that failed as a whole, the store is down, not the keys: going on would only
 * add load to its recovery.
 */
const consecutiveFailuresMax = 3

/**
 * Codes that say something of the store's present state and nothing of the key. They are not held against it, or an
 * hour of throttling would leave dead letters.
 */
const passing = new Set([
  "SlowDown",
  "Throttled",
  "TooManyRequests",
  "ServiceUnavailable",
  "Unavailable",
  "RequestTimeout",
  "TimedOut"
])

export interface Deletion {
  /** Deletes the objects of `entries`, which this collector has leased, and settles their rows. */
  readonly delete: (
    entries: ReadonlyArray<JournalEntry>,
    tally: Tally
  ) => Effect.Effect<void, DatabaseError | StorageError>
}

export const make = Effect.fnUntraced(function* (settings: SweepSettings) {
  const { journal } = yield* Database
  const storage = yield* Storage
  let failuresInARow = 0

  /** Ends the phase when the store fails again and again. */
  const requestFailed = (error: StorageError) => {
    failuresInARow += 1
    return failuresInARow >= consecutiveFailuresMax ? Effect.fail(error) : Effect.void
  }

  const deletion: Deletion = {
    delete: Effect.fnUntraced(function* (entries, tally) {
      const outcome = yield* Effect.result(storage.delete(entries.map((entry) => entry.key)))
      const now = yield* Clock.currentTimeMillis
      const random = yield* Random.next
      if (Result.isFailure(outcome)) {
        const { reason, detail } = outcome.failure
        tally.failed(reason, entries.length)
        yield* journal.postpone(entries.map((entry) => putOff(settings, entry, detail, false, now, random)))
        return yield* requestFailed(outcome.failure)
      }
      const { deleted, failed } = outcome.success
      const gone = new Set(deleted)
      tally.deleted(
        gone.size,
        entries.reduce((sum, entry) => (gone.has(entry.key) ? sum + entry.sizeBytes : sum), 0)
      )
      yield* journal.confirm(deleted)
      const byKey = new Map(entries.map((entry) => [entry.key, entry]))
      yield* journal.postpone(
        failed.flatMap(({ key, code, detail }) => {
          const entry = byKey.get(key)
          tally.failed(code, 1)
          const counts = !passing.has(code)
          return entry === undefined
            ? []
            : [putOff(settings, entry, `${code}: ${detail}`, counts, now, random)]
        })
      )
      // Stores without batch deletes answer an outage key by key.
      if (deleted.length === 0 && failed.every(({ code }) => passing.has(code))) {
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
