/**
 * Deleting the objects of journaled keys: one request, then the journal row by row: gone or put off.
 *
 * A key is only ever deleted after the transaction that killed it has committed, and no transaction is open while
 * the request is under way.
 */
import { Clock, Duration, Effect, Random, Result } from "effect"
import { Database, type JournalEntry, type Postponement } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { Storage } from "../storage/Storage.ts"
import type { SweepSettings } from "./Settings.ts"
import type { Tally } from "./Tally.ts"

/**
 * After this many requests in a row that failed as a whole, the store is down, not the keys: going on would only
 * add load to its recovery.
 */
const consecutiveFailuresMax = 3

export interface Deletion {
  /** Deletes the objects of `entries`, which this collector has leased, and settles their rows. */
  readonly delete: (
    entries: ReadonlyArray<JournalEntry>,
    tally: Tally
  ) => Effect.Effect<void, DatabaseError | StorageError>
}

export const make = Effect.fnUntraced(function* (settings: SweepSettings) {
  const database = yield* Database
  const storage = yield* Storage
  let failuresInARow = 0

  const deletion: Deletion = {
    delete: Effect.fnUntraced(function* (entries, tally) {
      const outcome = yield* Effect.result(storage.delete(entries.map((entry) => entry.key)))
      const now = yield* Clock.currentTimeMillis
      if (Result.isFailure(outcome)) {
        // The request failed, not the keys: their attempts are not counted, or an outage would make dead letters.
        failuresInARow += 1
        tally.failed(outcome.failure.reason, entries.length)
        const notBefore = now + Duration.toMillis(settings.backoffBase)
        yield* database.journal.postpone(
          entries.map(({ key, attempts }) => ({
            key,
            attempts,
            notBefore,
            error: outcome.failure.detail,
            deadAt: null
          }))
        )
        if (failuresInARow >= consecutiveFailuresMax) return yield* outcome.failure
        return
      }
      failuresInARow = 0
      const gone = new Set(outcome.success.deleted)
      const size = entries.reduce((sum, entry) => (gone.has(entry.key) ? sum + entry.sizeBytes : sum), 0)
      tally.deleted(gone.size, size)
      yield* database.journal.confirm([...gone])
      if (outcome.success.failed.length === 0) return
      const attempts = new Map(entries.map((entry) => [entry.key, entry.attempts + 1]))
      const random = yield* Random.next
      yield* database.journal.postpone(
        outcome.success.failed.map(({ key, code, detail }): Postponement => {
          const failedAttempts = attempts.get(key) ?? 1
          tally.failed(code, 1)
          return {
            key,
            attempts: failedAttempts,
            notBefore: now + backoffMillis(settings, failedAttempts, random),
            error: `${code}: ${detail}`,
            deadAt: failedAttempts >= settings.attemptsMax ? now : null
          }
        })
      )
    })
  }
  return deletion
})

/** Capped exponential back-off with ±20 % jitter; `random` is in [0, 1). */
export const backoffMillis = (settings: SweepSettings, attempts: number, random: number): number => {
  const base = Duration.toMillis(settings.backoffBase) * 2 ** (attempts - 1)
  return Math.round(Math.min(base, Duration.toMillis(settings.backoffCap)) * (0.8 + 0.4 * random))
}
