import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { backoffMillis } from "../../../src/sweep/Deletion.ts"
import { defaultSettings } from "../../../src/sweep/Settings.ts"
import { fails, hangsBefore, lands } from "../../../src/testing/Faults.ts"
import {
  artifact,
  blobKey,
  blobs,
  bury,
  clean,
  counts,
  day,
  digest,
  hour,
  journaled,
  journalRow,
  killedWhen,
  minute,
  objects,
  push,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../../fixtures/World.ts"

/** Orphans go at first sight, so that a test gets to the journal at once. */
const noWaits = { grace: Duration.zero, quarantine: Duration.zero }
const second = 1000

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

describe("a crash", () => {
  it.effect("between purge and delete leaves the key to the first sweep after the lease", () =>
    Effect.gen(function* () {
      yield* upload("a", { sizeBytes: 3 })
      const { storage } = yield* World
      const died = yield* Deferred.make<void>()
      storage.next("delete", hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never)))
      yield* killedWhen(sweep(), Deferred.await(died))
      assert.deepStrictEqual(yield* blobs, [])
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      assert.deepInclude(yield* journalRow(blobKey("a")), { attempts: 0, claimedUntil: start + 5 * minute })

      assert.deepInclude(counts(yield* sweepAfter(5 * minute - 1), "journal"), { seen: 0, deleted: 0 })
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      assert.deepInclude(counts(yield* sweepAfter(1), "journal"), {
        seen: 1,
        eligible: 1,
        deleted: 1,
        bytes: 3
      })
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("between delete and confirm costs a second delete of the absent object, no more", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const { database, storage } = yield* World
      const died = yield* Deferred.make<void>()
      database.next(
        "journal.confirm",
        hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
      )
      yield* killedWhen(sweep(), Deferred.await(died))
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* journaled, [blobKey("a")])

      assert.deepInclude(counts(yield* sweepAfter(5 * minute), "journal"), { deleted: 1 })
      assert.strictEqual(storage.count("delete"), 2)
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world(noWaits)))
  )
})

describe("a confirmation", () => {
  it.effect("that fails is made up for by the first sweep after the lease", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const { database } = yield* World
      database.next("journal.confirm", fails("Unavailable"))
      const report = yield* sweep()
      assert.strictEqual(report.outcome, "failed")
      assert.deepInclude(report.phases.orphans.error, { tag: "DatabaseError" })
      assert.deepInclude(report.left, { journaled: 1 })
      assert.deepStrictEqual(yield* objects, [])
      assert.deepInclude(yield* sweepAfter(5 * minute), { outcome: "complete" })
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("whose answer is lost took effect, and nothing is left to do", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const { database } = yield* World
      database.next("journal.confirm", lands("Unavailable"))
      assert.strictEqual((yield* sweep()).outcome, "failed")
      assert.deepStrictEqual(yield* journaled, [])
      assert.deepInclude(yield* sweepAfter(hour), { outcome: "complete" })
    }).pipe(Effect.provide(world(noWaits)))
  )
})

describe("a key that cannot be deleted", () => {
  it("is put off twice as long each time, up to six hours, give or take a fifth", () => {
    const minutes = (attempts: number, random: number) =>
      backoffMillis(defaultSettings, attempts, random) / minute
    assert.deepStrictEqual(
      [1, 2, 3, 9, 10, 11, 2000].map((attempts) => minutes(attempts, 0.5)),
      [1, 2, 4, 256, 360, 360, 360]
    )
    assert.deepStrictEqual([minutes(1, 0), minutes(10, 0)], [0.8, 288])
    assert.closeTo(minutes(1, 1 - Number.EPSILON), 1.2, 0.0001)
    assert.closeTo(minutes(10, 1 - Number.EPSILON), 432, 0.0001)
  })

  it.effect(
    "is tried when its back-off is over, becomes a dead letter after 12 attempts, and stays one",
    () =>
      Effect.gen(function* () {
        const key = yield* bury("a", start, 9)
        const { storage, rows } = yield* World
        storage.refused.set(key, "AccessDenied")
        let triedAt = start
        for (let attempt = 1; attempt <= 12; attempt++) {
          const report = yield* sweep()
          assert.deepInclude(counts(report, "journal"), {
            eligible: 1,
            deleted: 0,
            failed: { AccessDenied: 1 }
          })
          const row = yield* journalRow(key)
          const wait = Math.min(minute * 2 ** (attempt - 1), 6 * hour)
          assert.deepInclude(row, { attempts: attempt, lastError: "AccessDenied: scripted fault" })
          assert.isAtLeast(row.notBefore - triedAt, wait * 0.8)
          assert.isAtMost(row.notBefore - triedAt, wait * 1.2)
          assert.strictEqual(row.deadAt, attempt === 12 ? triedAt : null)
          if (attempt === 12) break
          yield* TestClock.setTime(row.notBefore - 1)
          assert.deepInclude(counts(yield* sweep(), "journal"), { eligible: 0 })
          yield* TestClock.adjust(1)
          triedAt = row.notBefore
        }
        const requests = storage.count("delete")
        assert.strictEqual(requests, 12)
        const quiet = yield* sweepAfter(30 * day)
        assert.strictEqual(storage.count("delete"), requests)
        assert.deepInclude(counts(quiet, "journal"), { seen: 0, eligible: 0, failed: {} })
        assert.deepInclude(quiet.left, { journaled: 0, deadLetters: 1 })
        assert.deepStrictEqual(yield* objects, [key])
        assert.deepStrictEqual(yield* rows.journal.deadLetters(null, 10), [
          {
            key,
            sizeBytes: 9,
            reason: "purged",
            attempts: 12,
            uploadId: null,
            lastError: "AccessDenied: scripted fault",
            deadAt: triedAt
          }
        ])
      }).pipe(Effect.provide(world()))
  )

  it.effect("comes back from the dead letters when it is retried, with a clean slate", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* bury("a"), yield* bury("b")]
      const { storage, rows } = yield* World
      for (const key of [one, other]) storage.refused.set(key, "AccessDenied")
      assert.deepInclude((yield* sweep()).left, { deadLetters: 2 })
      storage.refused.clear()
      assert.strictEqual(yield* rows.journal.retry(start + 1, [one]), 1)
      assert.deepInclude(yield* journalRow(one), { attempts: 0, deadAt: null })
      assert.deepInclude(counts(yield* sweepAfter(1), "journal"), { eligible: 1, deleted: 1 })
      assert.deepStrictEqual(yield* objects, [other])
      assert.strictEqual(yield* rows.journal.retry(start + 2, "all"), 1)
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world({ attemptsMax: 1 })))
  )

  it.effect("does not hold up the good ones behind it, even when the whole first batch is bad", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const bad = yield* Effect.forEach(names("bad", 5), (name) => bury(name, start - hour))
      for (const key of bad) storage.refused.set(key, "InternalError")
      yield* Effect.forEach(names("good", 23), (name) => bury(name))
      const report = yield* sweep()
      assert.deepInclude(counts(report, "journal"), {
        seen: 28,
        eligible: 28,
        deleted: 23,
        failed: { InternalError: 5 },
        stoppedBy: null
      })
      assert.strictEqual(report.outcome, "failed")
      assert.deepStrictEqual(yield* objects, bad)
      yield* clean
    }).pipe(Effect.provide(world({ batchMax: 5, deleteConcurrency: 1 })))
  )

  it.effect("does not hold up the good ones when a sweep may delete no more than there are bad ones", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const bad = yield* Effect.forEach(names("bad", 3), (name) => bury(name, start - hour))
      for (const key of bad) storage.refused.set(key, "InternalError")
      yield* Effect.forEach(names("good", 9), (name) => bury(name))
      for (let n = 0; n < 5; n++) yield* sweepAfter(30 * second)
      assert.deepStrictEqual(yield* objects, bad)
    }).pipe(Effect.provide(world({ maxDeletes: 3 })))
  )
})

describe("a store that is down", () => {
  it.effect("is asked three times in a sweep, and no key is blamed for days of it", () =>
    Effect.gen(function* () {
      const { storage, state } = yield* World
      yield* Effect.forEach(names("dead", 20), (name) => bury(name))
      storage.next("delete", fails("Unavailable"), Number.POSITIVE_INFINITY)
      const first = yield* sweep()
      assert.strictEqual(storage.count("delete"), 3)
      assert.deepInclude(counts(first, "journal"), { deleted: 0, failed: { Unavailable: 6 } })
      assert.deepInclude(first.phases.journal.error, { tag: "StorageError" })

      for (let n = 0; n < 3 * 24; n++) {
        const before = storage.count("delete")
        const report = yield* sweepAfter(hour)
        assert.strictEqual(storage.count("delete") - before, 3)
        assert.strictEqual(report.outcome, "failed")
        assert.deepInclude(report.left, { journaled: 20, deadLetters: 0 })
      }
      assert.deepStrictEqual([...new Set([...state.journal.values()].map((row) => row.attempts))], [0])

      storage.heal()
      assert.deepInclude(counts(yield* sweepAfter(hour), "journal"), { deleted: 20 })
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world({ batchMax: 2, deleteConcurrency: 1 })))
  )

  it.effect("is given up on by the orphans and asked once more by the journal", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* Effect.forEach(names("orphan", 20), (name) => upload(name))
      yield* Effect.forEach(names("dead", 20), (name) => bury(name))
      storage.next("delete", fails("Throttled"), Number.POSITIVE_INFINITY)
      const report = yield* sweep()
      assert.strictEqual(storage.count("delete"), 4)
      assert.deepInclude(counts(report, "orphans"), { failed: { Throttled: 6 }, stoppedBy: "failure" })
      assert.deepInclude(counts(report, "journal"), { failed: { Throttled: 2 }, stoppedBy: "failure" })
      storage.heal()
      yield* sweepAfter(5 * minute)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world({ ...noWaits, batchMax: 2, deleteConcurrency: 1 })))
  )

  it.effect("for two requests in a row is not given up on", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* Effect.forEach(names("dead", 12), (name) => bury(name))
      const down = fails("Unavailable" as const)
      storage.next("delete", down, 2)
      storage.next("delete", hangsBefore(Effect.void))
      storage.next("delete", down, 2)
      const report = yield* sweep()
      assert.deepInclude(counts(report, "journal"), {
        deleted: 4,
        failed: { Unavailable: 8 },
        stoppedBy: null
      })
      assert.isNull(report.phases.journal.error)
      yield* sweepAfter(1.2 * minute)
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world({ batchMax: 2, deleteConcurrency: 1 })))
  )

  it.effect(
    "that throttles key by key for days leaves no dead letter, and is asked three times in a sweep",
    () =>
      Effect.gen(function* () {
        const { storage, rows } = yield* World
        const keys = yield* Effect.forEach(names("slow", 10), (name) => bury(name))
        for (const key of keys) storage.refused.set(key, "SlowDown")
        for (let hours = 0; hours < 72; hours++) {
          const before = storage.count("delete")
          const report = yield* sweepAfter(hour)
          assert.strictEqual(storage.count("delete") - before, 3)
          assert.deepInclude(counts(report, "journal"), { failed: { SlowDown: 6 }, stoppedBy: "failure" })
        }
        assert.deepStrictEqual(yield* rows.journal.deadLetters(null, 10), [])
        storage.refused.clear()
        yield* sweepAfter(hour)
        assert.deepStrictEqual(yield* objects, [])
      }).pipe(Effect.provide(world({ batchMax: 2, deleteConcurrency: 1 })))
  )

  it.effect("may delete ten seconds after its time-out: content pushed in between survives", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* upload("a")
      storage.next("delete", lands("TimedOut", "10 seconds"))
      assert.deepInclude(counts(yield* sweep(), "orphans"), { deleted: 0, failed: { TimedOut: 1 } })
      assert.strictEqual(yield* push(artifact("again", "a"), blobKey("a", 2)), "uploaded")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* objects, [blobKey("a", 2)])
      yield* sweepAfter(1.2 * minute)
      assert.deepStrictEqual(yield* journaled, [])
      assert.deepStrictEqual(yield* objects, [blobKey("a", 2)])
    }).pipe(Effect.provide(world(noWaits)))
  )
})

describe("a journaled key", () => {
  it.effect("whose object is absent is struck off as deleted", () =>
    Effect.gen(function* () {
      const key = yield* bury("a")
      const { store } = yield* World
      yield* store.delete([key])
      assert.deepInclude(counts(yield* sweep(), "journal"), { deleted: 1, failed: {} })
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is left alone until the delete delay is over, to the millisecond", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const purged = yield* sweep()
      assert.deepInclude(counts(purged, "orphans"), {
        eligible: 1,
        deleted: 0,
        kept: { "delete delay": 1 }
      })
      assert.strictEqual(purged.outcome, "complete")
      assert.deepStrictEqual(yield* blobs, [])
      assert.strictEqual(purged.left?.nextDueAt, new Date(start + 2 * hour).toISOString())
      assert.deepInclude(counts(yield* sweepAfter(2 * hour - 1), "journal"), { eligible: 0 })
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      assert.deepInclude(counts(yield* sweepAfter(1), "journal"), { eligible: 1, deleted: 1 })
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world({ ...noWaits, deleteDelay: Duration.hours(2) })))
  )

  it.effect("that a blob row owns again is struck off and its object stays", () =>
    Effect.gen(function* () {
      const key = yield* bury("a")
      yield* bury("b")
      const { state } = yield* World
      // Only a writer outside the protocol does this: it puts a row at a key it has used before.
      state.blobs.set(digest("a"), { key, sizeBytes: 1, createdAt: start, lastUsedAt: start })
      state.references.set("theirs", artifact("theirs", "a"))
      const report = yield* sweep()
      assert.deepInclude(counts(report, "journal"), {
        seen: 2,
        eligible: 1,
        deleted: 1,
        kept: { "owned again": 1 }
      })
      assert.deepStrictEqual(yield* objects, [key])
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("from a lost race between two uploads of one content is deleted, the winner's stays", () =>
    Effect.gen(function* () {
      yield* upload("a", { references: [artifact("v1", "a")] })
      assert.strictEqual(
        yield* upload("a", { key: blobKey("a", 2), references: [artifact("v2", "a")] }),
        "deduplicated"
      )
      assert.deepStrictEqual(yield* journaled, [blobKey("a", 2)])
      assert.deepInclude(counts(yield* sweep(), "journal"), { deleted: 1 })
      assert.deepStrictEqual(yield* objects, [blobKey("a", 1)])
    }).pipe(Effect.provide(world()))
  )
})
