/**
 * Deletes the objects of journaled keys: one request, then the journal row by row, confirmed or postponed.
 *
 * An upload in parts that was begun for a key is aborted before its object is deleted: until then a client could complete
 * it, and the object would appear after the delete.
 *
 * A key is deleted only after the transaction that journaled it has committed. No transaction is open during the request.
 */
import { Clock, Duration, Effect, Metric, Random, Result } from "effect"
import type { CollectorDatabase, Journal, JournalEntry, Postponement } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { StorageError } from "../domain/StorageError.ts"
import { isStoreTrouble } from "../storage/DeleteFailure.ts"
import type { DeleteFailure, DeleteOutcome, Storage } from "../storage/Storage.ts"
import * as Metrics from "./Metrics.ts"
import type { Pace } from "./Pace.ts"
import type { PhaseCounts } from "./PhaseCounts.ts"
import { reasonOf, reasonOfKey } from "./PhaseMetrics.ts"
import type { SweepSettings } from "./Settings.ts"

/** After this many failed requests in a row the store is down, not the keys, and more load delays its recovery. */
const consecutiveFailuresMax = 3

/** Deletes objects whose keys are in the journal. One value serves all phases of a sweep. */
export interface Deletion {
  /**
   * Deletes the objects of `entries`, which this collector has leased, and settles their rows. Keys that fail are
   * postponed. Fails after three failed requests in a row.
   */
  readonly delete: (
    entries: ReadonlyArray<JournalEntry>,
    counts: PhaseCounts
  ) => Effect.Effect<void, DatabaseError | StorageError>
}

/** Why one key is still there. */
interface KeyFailure {
  readonly error: string
  /** In the words of the metrics. */
  readonly reason: Metrics.FailureReason
  /** Whether it counts as an attempt at this key. */
  readonly counts: boolean
}

/** What a deletion works with. */
interface Deleting {
  readonly settings: SweepSettings
  readonly pace: Pace
  readonly journal: Journal
  readonly storage: Storage["Service"]
  failuresInARow: number
}

/** Returns a deletion at the given pace. */
export const make = (
  settings: SweepSettings,
  pace: Pace,
  { journal }: Pick<CollectorDatabase["Service"], "journal">,
  storage: Storage["Service"]
): Deletion => {
  const deleting: Deleting = { settings, pace, journal, storage, failuresInARow: 0 }
  return { delete: (entries, counts) => deleteEntries(deleting, entries, counts) }
}

const deleteEntries = Effect.fnUntraced(function* (
  deleting: Deleting,
  claimed: ReadonlyArray<JournalEntry>,
  counts: PhaseCounts
) {
  const { pace, storage } = deleting
  const again = claimed.filter(({ attempts }) => attempts > 0).length
  if (again > 0) yield* Metric.update(Metrics.retried.of(), again)
  const entries = yield* aborted(deleting, claimed, counts)
  if (entries.length === 0) return
  const keys = entries.map((entry) => entry.key)
  const outcome = yield* Effect.result(pace.deleting(keys.length, storage.delete(keys)))
  if (Result.isSuccess(outcome)) return yield* settle(deleting, entries, outcome.success, counts)
  const { detail, reason } = outcome.failure
  counts.failed(reason, entries.length)
  const failure: KeyFailure = { error: detail, reason: reasonOf(reason), counts: false }
  yield* postpone(deleting, entries, new Map(keys.map((key) => [key, failure])))
  yield* requestFailed(deleting, outcome.failure)
})

/** Ends the phase when the store fails again and again. */
const requestFailed = (deleting: Deleting, error: StorageError) => {
  deleting.failuresInARow += 1
  return deleting.failuresInARow >= consecutiveFailuresMax ? Effect.fail(error) : Effect.void
}

/** Postpones those of `entries` that failed. */
const postpone = Effect.fnUntraced(function* (
  { journal, settings }: Deleting,
  entries: ReadonlyArray<JournalEntry>,
  failures: ReadonlyMap<ObjectKey, KeyFailure>
) {
  const now = yield* Clock.currentTimeMillis
  const random = yield* Random.next
  const postponements = entries.flatMap((entry) => {
    const failure = failures.get(entry.key)
    return failure === undefined ? [] : [postponementOf(settings, entry, failure, now, random)]
  })
  yield* journal.postpone(postponements)
  yield* countPostponed([...failures.values()], postponements)
})

/** Aborts the uploads in parts of `entries`. Postpones what could not be aborted, and returns the others. */
const aborted = Effect.fnUntraced(function* (
  deleting: Deleting,
  entries: ReadonlyArray<JournalEntry>,
  counts: PhaseCounts
) {
  const failures = yield* abortUploads(deleting, entries)
  if (failures.size === 0) return entries
  for (const { reason } of failures.values()) counts.failed(reason, 1)
  yield* postpone(deleting, entries, mapValues(failures, failureOfAbort))
  const others = entries.filter((entry) => !failures.has(entry.key))
  const outage = [...failures.values()].find((failure) => failure.isRetryable)
  if (others.length === 0 && outage !== undefined) yield* requestFailed(deleting, outage)
  return others
})

/** Confirms and postpones what one answered request did. */
const settle = Effect.fnUntraced(function* (
  deleting: Deleting,
  entries: ReadonlyArray<JournalEntry>,
  { deleted, failed, resent }: DeleteOutcome,
  counts: PhaseCounts
) {
  const gone = new Set(deleted)
  const bytes = entries.reduce((sum, entry) => (gone.has(entry.key) ? sum + entry.sizeBytes : sum), 0)
  counts.deleted(gone.size, bytes)
  yield* deleting.journal.confirm(deleted, resent)
  counts.undeleted(failed)
  if (failed.length > 0) {
    yield* postpone(deleting, entries, new Map(failed.map((failure) => [failure.key, failureOfKey(failure)])))
  }
  // Stores without batch deletes answer an outage key by key.
  if (deleted.length === 0 && failed.every(({ reason }) => isStoreTrouble(reason))) {
    return yield* requestFailed(deleting, outageOf(failed))
  }
  deleting.failuresInARow = 0
})

/** Aborts the uploads in parts of `entries`. Returns why not, by key, where an upload may still be under way. */
const abortUploads = Effect.fnUntraced(function* (
  { pace, settings, storage }: Deleting,
  entries: ReadonlyArray<JournalEntry>
) {
  const failures = new Map<ObjectKey, StorageError>()
  const begun = entries.flatMap(({ key, uploadId }) => (uploadId === null ? [] : [{ key, uploadId }]))
  if (begun.length === 0) return failures
  let outage: StorageError | null = null
  yield* Effect.forEach(
    begun,
    Effect.fnUntraced(function* (upload) {
      // Each would wait for the same time-outs.
      const aborting =
        outage === null ? Effect.andThen(pace.asking, storage.abortMultipart(upload)) : Effect.fail(outage)
      const outcome = yield* Effect.result(aborting)
      if (Result.isSuccess(outcome)) return
      failures.set(upload.key, outcome.failure)
      if (outcome.failure.isRetryable) outage = outcome.failure
    }),
    { concurrency: settings.deleteConcurrency, discard: true }
  )
  return failures
})

const mapValues = <K, A, B>(map: ReadonlyMap<K, A>, to: (value: A) => B): ReadonlyMap<K, B> =>
  new Map([...map].map(([key, value]) => [key, to(value)]))

const failureOfAbort = ({ detail, isRetryable, reason }: StorageError): KeyFailure => ({
  error: `${reason}: ${detail}`,
  reason: reasonOf(reason),
  counts: !isRetryable
})

/** An hour of throttling must not leave dead letters: trouble of the store does not count against a key. */
const failureOfKey = ({ code, detail, reason }: DeleteFailure): KeyFailure => ({
  error: reason === "locked" ? `Locked: ${code}: ${detail}` : `${code}: ${detail}`,
  reason: reasonOfKey(reason),
  counts: !isStoreTrouble(reason)
})

const countPostponed = (
  failures: ReadonlyArray<KeyFailure>,
  postponements: ReadonlyArray<Postponement>
): Effect.Effect<void> =>
  Effect.contextWith((context) => {
    for (const { reason } of failures) Metrics.postponed.of({ reason }).updateUnsafe(1, context)
    const dead = postponements.filter(({ deadAt }) => deadAt !== null).length
    Metrics.deadLettered.of().updateUnsafe(dead, context)
    return Effect.void
  })

/** Returns the row of a key whose object is still there: tried again later, or a dead letter. */
const postponementOf = (
  settings: SweepSettings,
  entry: JournalEntry,
  { counts, error }: KeyFailure,
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

const outageOf = (failed: ReadonlyArray<DeleteFailure>): StorageError =>
  new StorageError({
    operation: "delete",
    subject: `${failed.length} keys`,
    reason: "Unavailable",
    detail: `every key was answered with ${[...new Set(failed.map(({ code }) => code))].join(", ")}`
  })

/** Returns capped exponential back-off with ±20 % jitter, in milliseconds. `random` is in [0, 1). */
export const backoffMillis = (settings: SweepSettings, attempts: number, random: number): number => {
  const base = Duration.toMillis(settings.backoffBase) * 2 ** (attempts - 1)
  return Math.round(Math.min(base, Duration.toMillis(settings.backoffCap)) * (0.8 + 0.4 * random))
}
