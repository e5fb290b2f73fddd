/** What is asked before a sweep, and what would go without it. */

import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import type { SweepErrorTag } from "../../../src/domain/SweepError.ts"
import { emptyPhase, type SweepReport } from "../../../src/domain/SweepReport.ts"
import type { StoreTraits } from "../../../src/storage/Storage.ts"
import { culpritOf } from "../../../src/sweep/preflight/ClockGuard.ts"
import { fails } from "../../../src/testing/Faults.ts"
import { phaseNames } from "../../fixtures/phases.ts"
import {
  artifact,
  blobKey,
  blobs,
  bury,
  clean,
  day,
  drop,
  hour,
  minute,
  objects,
  replica,
  snapshot,
  stage,
  sweep,
  sweepAfter,
  upload,
  World,
  type Wrapper,
  world
} from "../../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

/** Garbage of every kind, all of it due. */
const garbage = Effect.gen(function* () {
  yield* upload("a")
  yield* upload("live", { references: [artifact("v1", "live")] })
  yield* stage("uploads/s/1")
  yield* bury("dead")
  yield* TestClock.adjust(3 * day)
})

const everything = ["blobs/a/1", "blobs/dead/1", "blobs/live/1", "uploads/s/1"]

/** Nothing was begun: every phase says why, and so does the guard. */
const refusedBy = (report: SweepReport, guard: string, tag: SweepErrorTag) => {
  const finding = report.guards.find(({ decision }) => decision === "refused")
  assert.strictEqual(finding?.guard, guard)
  const error = { tag, message: finding?.message ?? "" }
  for (const name of phaseNames)
    assert.deepStrictEqual(report.phases[name], { ...emptyPhase, stoppedBy: "failure", error })
  assert.deepInclude(report.totals, { eligible: 0, deleted: 0, reclaimedBytes: 0 })
  return error.message
}

describe("the clock guard", () => {
  it.effect("names the clock that two others contradict, and refuses", () =>
    Effect.gen(function* () {
      yield* garbage
      const { bucket, state } = yield* World
      const cases = [
        [10 * minute, 0, "database"],
        [0, -10 * minute, "store"],
        [-10 * minute, -10 * minute, "host"],
        [10 * minute, -10 * minute, "undecided"]
      ] as const
      for (const [database, store, culprit] of cases) {
        state.skewMillis = database
        bucket.skewMillis = store
        const report = yield* sweep()
        assert.strictEqual(report.outcome, "refused")
        const message = refusedBy(report, "clock", "ClockRefused")
        assert.include(
          message,
          culprit === "undecided" ? "It is unknown which one is wrong" : `The ${culprit}'s clock is wrong`
        )
        assert.include(message, "600.0 s")
      }
      assert.deepStrictEqual(yield* objects, everything)
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("lets a sweep begin up to the tolerance, to the millisecond", () =>
    Effect.gen(function* () {
      yield* garbage
      const { bucket, state } = yield* World
      state.skewMillis = minute
      bucket.skewMillis = minute
      assert.strictEqual((yield* sweep({ dryRun: true })).outcome, "complete")
      state.skewMillis = minute + 1
      assert.strictEqual((yield* sweep({ dryRun: true })).outcome, "refused")
      state.skewMillis = -1
      assert.strictEqual((yield* sweep({ dryRun: true })).outcome, "refused", "database and store")
      state.skewMillis = 0
      assert.strictEqual((yield* sweep()).outcome, "complete")
    }).pipe(Effect.provide(world(noWaits)))
  )

  it("accuses no clock that lies between two others, and none where only two are compared", () => {
    assert.strictEqual(culpritOf(50, 100, 60), "undecided")
    assert.strictEqual(culpritOf(100, null, 60), "undecided")
    assert.isNull(culpritOf(60, null, 60))
    assert.isNull(culpritOf(-30, 30, 60))
  })

  it.effect(
    "incident 5: is not tripped by objects written long ago or dated in the future, and is by a true skew of ten minutes",
    () =>
      Effect.gen(function* () {
        yield* garbage
        const { bucket } = yield* World
        bucket.skewMillis = 0
        for (const [key, entry] of bucket.objects)
          bucket.objects.set(key, { ...entry, modifiedAt: key.startsWith("blobs/") ? 0 : 9e12 })
        assert.strictEqual((yield* sweep({ dryRun: true })).outcome, "complete")
        bucket.skewMillis = 10 * minute
        refusedBy(yield* sweep(), "clock", "ClockRefused")
      }).pipe(Effect.provide(world(noWaits)))
  )

  /** This host's clock is set four hours ahead between two sweeps. */
  const jumped = Effect.gen(function* () {
    yield* upload("a")
    yield* sweep()
    yield* sweepAfter(hour)
    const { bucket, state } = yield* World
    yield* TestClock.adjust(4 * hour)
    state.skewMillis = -4 * hour
    bucket.skewMillis = -4 * hour
    return yield* sweep()
  })

  it.effect("keeps what was condemned a moment ago when this host's clock jumps ahead", () =>
    Effect.gen(function* () {
      assert.include(refusedBy(yield* jumped, "clock", "ClockRefused"), "The host's clock is wrong")
      assert.deepStrictEqual(yield* blobs, ["a"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("without which its quarantine is over at once", () =>
    Effect.gen(function* () {
      yield* jumped
      assert.deepStrictEqual(yield* blobs, [])
    }).pipe(Effect.provide(world({ clockTolerance: Duration.days(1) })))
  )
})

describe("the settings guard", () => {
  it.effect("refuses beside a collector with other settings, naming each difference and the other", () =>
    Effect.gen(function* () {
      const other = yield* replica({ collectorId: "other", grace: Duration.days(1), uploadPrefix: "up/" })
      yield* garbage
      assert.strictEqual((yield* other.once()).outcome, "complete")
      const report = yield* sweep()
      assert.strictEqual(report.outcome, "refused")
      const message = refusedBy(report, "settings", "SettingsRefused")
      assert.include(message, "Collector other (last sweep 2026-11-25T00:00:00.000Z)")
      assert.include(
        message,
        "\n  GC_GRACE (grace): 1h here, 1d there\n  GC_UPLOAD_PREFIX (uploadPrefix): uploads/ here, up/ there\n"
      )
      assert.include(message, "GC_MIXED_SETTINGS=allow")
      // And the other way round: neither is in the right.
      refusedBy(yield* other.once(), "settings", "SettingsRefused")
    }).pipe(Effect.provide(world({ collectorId: "one" })))
  )

  it.effect("agrees with replicas of the same settings, whatever they may differ in", () =>
    Effect.gen(function* () {
      const other = yield* replica({ ...noWaits, batchMax: 1, breakerPercent: 1, maxDeletes: 1 })
      yield* garbage
      yield* other.once()
      assert.deepStrictEqual((yield* sweep()).guards, [])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("says so and goes on where settings may differ", () =>
    Effect.gen(function* () {
      const other = yield* replica({ collectorId: "other", grace: Duration.days(1) })
      yield* garbage
      yield* other.once()
      const report = yield* sweep()
      assert.deepStrictEqual(
        report.guards.map(({ decision, guard }) => [guard, decision]),
        [["settings", "allowed"]]
      )
      assert.include(report.guards[0]?.message, "GC_GRACE (grace): 0 here, 1d there")
      assert.strictEqual(report.outcome, "complete")
      assert.isAbove(report.totals.deleted, 0)
    }).pipe(Effect.provide(world({ ...noWaits, mixedSettings: "allow" })))
  )

  it.effect(
    "does not hold a collector that has left against anyone, nor one that was killed for longer than its presence",
    () =>
      Effect.gen(function* () {
        const settings = { grace: Duration.days(1), presence: Duration.hours(3) }
        const leaving = yield* replica({ collectorId: "leaving", ...settings })
        const killed = yield* replica({ collectorId: "killed", ...settings })
        yield* leaving.once()
        assert.strictEqual((yield* sweep()).outcome, "refused")
        yield* leaving.leave
        assert.strictEqual((yield* sweep()).outcome, "complete")
        yield* killed.once()
        assert.strictEqual((yield* sweepAfter(3 * hour - 1)).outcome, "refused")
        assert.strictEqual((yield* sweepAfter(1)).outcome, "complete")
      }).pipe(Effect.provide(world()))
  )

  it.effect("is asked by a dry run too, which leaves no registration", () =>
    Effect.gen(function* () {
      const other = yield* replica({ collectorId: "other", grace: Duration.days(1) })
      yield* garbage
      const before = yield* snapshot
      assert.strictEqual((yield* sweep({ dryRun: true })).outcome, "complete")
      assert.deepStrictEqual(yield* snapshot, before)
      yield* other.once()
      assert.strictEqual((yield* sweep({ dryRun: true })).outcome, "refused")
      const { state } = yield* World
      assert.deepStrictEqual([...state.peers.keys()], ["other"])
    }).pipe(Effect.provide(world()))
  )

  /** One collector promises a day, the other is in a hurry. */
  const mixed = Effect.gen(function* () {
    const patient = yield* replica({ grace: Duration.days(1), mixedSettings: "allow" })
    yield* upload("a")
    yield* patient.once()
    yield* TestClock.adjust(minute)
    yield* sweep()
  })

  it.effect("keeps the longer promise", () =>
    Effect.gen(function* () {
      yield* mixed
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("without which the shortest wait of all is in force", () =>
    Effect.gen(function* () {
      yield* mixed
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world({ ...noWaits, mixedSettings: "allow" })))
  )
})

describe("the store guard", () => {
  const versioned = (traits: Partial<StoreTraits> = {}) =>
    Effect.map(World, ({ bucket }) => {
      bucket.traits = { versioning: "on", objectLock: false, deletes: "markers", chosen: false, ...traits }
    })

  it.effect(
    "refuses a bucket with versions while no operator chose what a delete does, and names both choices",
    () =>
      Effect.gen(function* () {
        yield* garbage
        for (const versioning of ["on", "suspended"] as const) {
          yield* versioned({ versioning })
          const report = yield* sweep()
          assert.strictEqual(report.outcome, "refused")
          const message = refusedBy(report, "store", "StoreRefused")
          assert.include(message, "S3_VERSIONED_DELETE=versions")
          assert.include(message, "S3_VERSIONED_DELETE=markers")
          assert.deepStrictEqual(report.store, { versioning, objectLock: false, deletes: "markers" })
        }
        assert.deepStrictEqual(yield* objects, everything)
      }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("incident 17: hides objects where that was chosen, and says that nothing was reclaimed", () =>
    Effect.gen(function* () {
      yield* garbage
      yield* versioned({ chosen: true })
      const report = yield* sweep()
      assert.deepStrictEqual(report.guards, [])
      assert.deepInclude(report.totals, { deleted: 3, bytes: 3, reclaimedBytes: 0 })
      const { bucket } = yield* World
      assert.strictEqual(bucket.hidden.size, 3)
      assert.deepStrictEqual(yield* objects, ["blobs/live/1"])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("deletes all versions where that was chosen, and says how much came back", () =>
    Effect.gen(function* () {
      yield* garbage
      yield* versioned({ chosen: true, deletes: "versions" })
      const report = yield* sweep()
      assert.deepInclude(report.totals, { deleted: 3, bytes: 3, reclaimedBytes: 3 })
      const { bucket } = yield* World
      assert.strictEqual(bucket.hidden.size, 0)
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("says that locked objects fail alone, and lets them", () =>
    Effect.gen(function* () {
      yield* garbage
      yield* versioned({ chosen: true, deletes: "versions", objectLock: true })
      const { storage } = yield* World
      storage.refused.set(blobKey("a"), "AccessDenied")
      const report = yield* sweep()
      assert.deepStrictEqual(
        report.guards.map(({ decision, guard }) => [guard, decision]),
        [["store", "allowed"]]
      )
      assert.deepInclude(report.totals, { deleted: 2, failed: 1 })
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("without which a sweep reports bytes that the bucket keeps", () =>
    Effect.gen(function* () {
      yield* garbage
      yield* versioned({ chosen: true })
      const { bucket } = yield* World
      const held = () => [...bucket.hidden.values()].flat().length + bucket.objects.size
      const before = held()
      assert.strictEqual((yield* sweep()).totals.bytes, 3)
      assert.strictEqual(held(), before)
    }).pipe(Effect.provide(world(noWaits)))
  )
})

describe("a guard that gets no answer", () => {
  it.effect("refuses, says which it is, and everything stays", () =>
    Effect.gen(function* () {
      yield* garbage
      const before = yield* snapshot
      const { database, storage } = yield* World
      const cases = [
        ["schema", "DatabaseError", () => database.next("inspect", fails("Unavailable"))],
        ["clock", "DatabaseError", () => database.next("skew", fails("Unavailable"))],
        ["clock", "StorageError", () => storage.next("skew", fails("TimedOut"))],
        ["settings", "DatabaseError", () => database.next("peers.register", fails("Denied"))],
        ["store", "StorageError", () => storage.next("traits", fails("AccessDenied"))]
      ] as const
      for (const [guard, tag, strike] of cases) {
        strike()
        const report = yield* sweep()
        assert.strictEqual(report.outcome, "failed")
        refusedBy(report, guard, tag)
      }
      assert.deepStrictEqual((yield* snapshot).keys, before.keys)
      yield* sweep()
      assert.deepStrictEqual(yield* objects, ["blobs/live/1"])
      yield* clean
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("is not asked again once another has refused", () =>
    Effect.gen(function* () {
      const { state, storage } = yield* World
      state.skewMillis = hour
      yield* sweep()
      assert.deepStrictEqual(
        storage.calls.map(({ operation }) => operation),
        ["skew"]
      )
      assert.strictEqual(state.peers.size, 0)
    }).pipe(Effect.provide(world()))
  )
})

describe("the schema guard", () => {
  /** A table that refers to blobs is created while the service runs; it is found by asking again. */
  const changing: Wrapper = (inner) => {
    let asked = 0
    return {
      ...inner,
      inspect: Effect.suspend(() => (++asked > 1 ? Effect.die("changed") : inner.inspect))
    }
  }

  it.effect("is asked at every sweep, not only at the first", () =>
    Effect.gen(function* () {
      yield* upload("a", { references: [artifact("v1", "a")] })
      assert.strictEqual((yield* sweep()).outcome, "complete")
      yield* drop(artifact("v1", "a"))
      refusedBy(yield* sweepAfter(day), "schema", "Defect")
      assert.deepStrictEqual(yield* blobs, ["a"])
    }).pipe(Effect.provide(world(noWaits, changing)))
  )
})
