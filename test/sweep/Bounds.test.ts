import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { SweepReport } from "../../src/domain/SweepReport.ts"
import { type Fault, hangsBefore } from "../../src/testing/Faults.ts"
import { phaseNames } from "../fixtures/phases.ts"
import {
  artifact,
  blobKey,
  blobs,
  bury,
  clean,
  counts,
  day,
  hour,
  journaled,
  minute,
  objects,
  passing,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }
const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(4, "0")}`)
const takes = (duration: Duration.Input): Fault<never> => hangsBefore(Effect.sleep(duration))

/** Sweeps until one says it is complete, at most `limit` times; answers the reports. */
const sweepUntilComplete = Effect.fnUntraced(function* (limit: number) {
  const reports: Array<SweepReport> = []
  while (reports.length < limit) {
    const report = yield* passing(sweep())
    reports.push(report)
    if (report.outcome === "complete") return reports
  }
  return assert.fail(`not complete after ${limit} sweeps`)
})

describe("the count bound", () => {
  it.effect("is kept to the object, and later sweeps delete the rest", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(names("a", 10), (name) => upload(name, { sizeBytes: 2 }))
      const first = yield* sweep()
      assert.deepInclude(counts(first, "orphans"), {
        eligible: 4,
        deleted: 4,
        bytes: 8,
        stoppedBy: "count"
      })
      assert.strictEqual(first.outcome, "bounded")
      assert.strictEqual((yield* objects).length, 6)
      assert.strictEqual((yield* blobs).length, 6)
      const second = yield* sweep()
      const third = yield* sweep()
      assert.deepStrictEqual(
        [second, third].map((report) => [report.totals.deleted, report.outcome]),
        [
          [4, "bounded"],
          [2, "complete"]
        ]
      )
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world({ ...noWaits, maxDeletes: 4, batchMax: 3, deleteConcurrency: 2 })))
  )

  it.effect("holds for all phases together", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(names("uploads/s/", 3), (key) => stage(key))
      yield* Effect.forEach(names("a", 3), (name) => upload(name))
      yield* Effect.forEach(names("dead", 3), (name) => bury(name))
      const deletedBy = (report: SweepReport) =>
        [report.phases.uploads, report.phases.orphans, report.phases.journal].map((p) => p.deleted)
      assert.deepStrictEqual(deletedBy(yield* sweepAfter(day)), [3, 1, 0])
      assert.deepStrictEqual(deletedBy(yield* sweep()), [0, 2, 2])
      assert.deepStrictEqual(deletedBy(yield* sweep()), [0, 0, 1])
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world({ ...noWaits, maxDeletes: 4 })))
  )

  it.effect("cuts a batch of staged uploads short", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(names("uploads/s/", 9), (key) => stage(key))
      assert.deepInclude(counts(yield* sweepAfter(day), "uploads"), {
        eligible: 4,
        deleted: 4,
        stoppedBy: "count"
      })
      assert.strictEqual((yield* objects).length, 5)
      yield* sweep()
      assert.deepInclude(counts(yield* sweep(), "uploads"), { deleted: 1, stoppedBy: null })
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world({ maxDeletes: 4 })))
  )

  it.effect("is not used up by staged uploads that cannot be deleted", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const bad = names("uploads/bad/", 6)
      yield* Effect.forEach(bad, (key) => stage(key))
      for (const key of bad) storage.refused.set(ObjectKey.make(key), "AccessDenied")
      yield* Effect.forEach(names("uploads/good/", 6), (key) => stage(key))
      yield* Effect.forEach(names("a", 3), (name) => upload(name))
      yield* TestClock.adjust(day)
      for (let n = 0; n < 4; n++) yield* sweep()
      assert.deepStrictEqual(yield* objects, bad)
      yield* clean
    }).pipe(Effect.provide(world({ ...noWaits, maxDeletes: 3, batchMax: 3 })))
  )
})

describe("the time bound", () => {
  it.effect("ends a sweep after the batch in hand, and the next goes on where it ended", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(names("a", 10), (name) => upload(name))
      const { storage } = yield* World
      storage.next("delete", takes("4 minutes"), Number.POSITIVE_INFINITY)
      const first = yield* passing(sweep())
      // Batches begin at 0, 4 and 8 minutes.
      assert.deepInclude(counts(first, "orphans"), { deleted: 6, stoppedBy: "time" })
      assert.strictEqual(first.outcome, "bounded")
      assert.strictEqual(first.durationMillis, 12 * minute)
      assert.strictEqual((yield* objects).length, 4)
      const second = yield* passing(sweep())
      assert.deepInclude(counts(second, "orphans"), { deleted: 4, stoppedBy: null })
      assert.strictEqual(second.outcome, "complete")
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(
      Effect.provide(
        world({ ...noWaits, maxDuration: Duration.minutes(10), batchMax: 2, deleteConcurrency: 1 })
      )
    )
  )

  it.effect("lets every batch in hand come to its end, in every phase", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      // Two at once, of 40 and 50 seconds by turns: one is always under way when the other finds the time is up.
      let deletes = 0
      storage.always(({ operation }) => {
        if (operation !== "delete") return undefined
        deletes += 1
        return takes(deletes % 2 === 1 ? "40 seconds" : "50 seconds")
      })
      const check = Effect.fnUntraced(function* (phase: "uploads" | "orphans" | "journal") {
        const report = yield* passing(sweep())
        assert.strictEqual(report.phases[phase].stoppedBy, "time")
        assert.isAtLeast(report.phases[phase].deleted, 2)
        assert.strictEqual(report.phases[phase].eligible, report.phases[phase].deleted)
      })
      yield* Effect.forEach(names("uploads/s/", 8), (key) => stage(key))
      yield* TestClock.adjust(day)
      yield* check("uploads")
      yield* sweepUntilComplete(10)
      yield* Effect.forEach(names("a", 8), (name) => upload(name))
      yield* check("orphans")
      yield* sweepUntilComplete(10)
      yield* Effect.forEach(names("dead", 8), (name) => bury(name))
      yield* check("journal")
      yield* sweepUntilComplete(10)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(
      Effect.provide(
        world({ ...noWaits, maxDuration: Duration.minutes(1), batchMax: 1, deleteConcurrency: 2 })
      )
    )
  )

  it.effect("shorter than a scan still lets all garbage go, since scans go on where they ended", () =>
    Effect.gen(function* () {
      const live = names("live", 30)
      yield* Effect.forEach(live, (name) => upload(name, { references: [artifact(name, name)] }))
      yield* Effect.forEach(names("orphan", 30), (name) => upload(name))
      const { database } = yield* World
      // 20 slices of a minute each; a sweep has ten minutes.
      database.next("orphans.find", takes("1 minute"), Number.POSITIVE_INFINITY)
      const first = yield* passing(sweep())
      assert.deepInclude(counts(first, "orphans"), { stoppedBy: "time", deleted: 0 })
      assert.isBelow(first.phases.orphans.seen, 60)
      for (let n = 0; n < 20; n++) {
        yield* TestClock.adjust(hour)
        yield* passing(sweep())
      }
      assert.deepStrictEqual(yield* blobs, live)
      assert.deepStrictEqual(
        yield* objects,
        live.map((name) => blobKey(name))
      )
      yield* clean
    }).pipe(Effect.provide(world({ maxDuration: Duration.minutes(10), scanPage: 3 })))
  )

  it.effect("is not used up by listing uploads that are all in use", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* Effect.forEach(names("uploads/busy/", 2500), (key) => stage(key))
      yield* Effect.forEach(names("a", 3), (name) => upload(name))
      storage.next("list", takes("4 minutes"), Number.POSITIVE_INFINITY)
      const report = yield* passing(sweep())
      assert.deepInclude(counts(report, "uploads"), { seen: 1000, deleted: 0, stoppedBy: "time" })
      assert.deepInclude(counts(report, "orphans"), { deleted: 3, stoppedBy: null })
      assert.strictEqual((yield* objects).length, 2500)
    }).pipe(Effect.provide(world({ ...noWaits, maxDuration: Duration.minutes(10) })))
  )

  it.effect("in the middle of a listing deletes nothing of the session that was read in part", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* Effect.forEach(names("uploads/slow/", 1500), (key) => stage(key))
      yield* TestClock.adjust(day)
      yield* stage("uploads/slow/9999")
      storage.next("list", takes("6 minutes"), Number.POSITIVE_INFINITY)
      const report = yield* passing(sweep())
      assert.deepInclude(counts(report, "uploads"), { eligible: 0, deleted: 0, stoppedBy: "time" })
      assert.strictEqual((yield* objects).length, 1501)
    }).pipe(Effect.provide(world({ maxDuration: Duration.minutes(10) })))
  )
})

describe("a request to stop", () => {
  const stopsAt = (instant: number) => ({
    stopping: Effect.map(Clock.currentTimeMillis, (now) => now >= instant)
  })
  const slow = { ...noWaits, batchMax: 1, deleteConcurrency: 2, scanPage: 2 }

  it.effect.each([
    ["uploads", (name: string) => stage(`uploads/s/${name}`)],
    ["orphans", (name: string) => upload(name)],
    ["journal", (name: string) => bury(name)]
  ] as const)("finishes the batches in hand and begins no other (%s)", ([phase, garbage]) =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* Effect.forEach(names("a", 9), (name): Effect.Effect<unknown, unknown, World> => garbage(name))
      yield* TestClock.adjust(day)
      const now = yield* Clock.currentTimeMillis
      storage.next("delete", takes("1 minute"), Number.POSITIVE_INFINITY)
      const report = yield* passing(sweep(stopsAt(now + minute + 1)))
      assert.deepInclude(counts(report, phase), { eligible: 4, deleted: 4, stoppedBy: "stopped" })
      assert.strictEqual(report.durationMillis, 2 * minute)
      assert.deepInclude(report, { outcome: "bounded" })
      assert.strictEqual((yield* objects).length, 5)
      yield* sweepUntilComplete(5)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world(slow)))
  )

  it.effect("before the sweep begins leaves everything as it is", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* stage("uploads/s/1")
      yield* upload("a")
      yield* bury("b")
      yield* TestClock.adjust(day)
      const report = yield* sweep(stopsAt(start))
      assert.strictEqual(report.outcome, "bounded")
      assert.deepStrictEqual(
        Object.entries(report.phases).map(([name, phase]) => [name, phase.stoppedBy]),
        // Without rules, retention has nothing to do.
        phaseNames.map((name) => [name, name === "retention" ? null : "stopped"])
      )
      assert.deepStrictEqual(
        storage.calls.map(({ operation }) => operation),
        ["skew", "traits", "head"]
      )
      assert.deepStrictEqual(yield* objects, ["blobs/a/1", "blobs/b/1", "uploads/s/1"])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("is heard between the pages of a listing", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* Effect.forEach(names("uploads/busy/", 3500), (key) => stage(key))
      storage.next("list", takes("1 minute"), Number.POSITIVE_INFINITY)
      const report = yield* passing(sweep(stopsAt(start + minute + 1)))
      assert.deepInclude(counts(report, "uploads"), { seen: 1000, stoppedBy: "stopped" })
      assert.strictEqual(report.durationMillis, 2 * minute)
    }).pipe(Effect.provide(world()))
  )

  it.effect("between slices leaves the rest of the scan to the next sweep", () =>
    Effect.gen(function* () {
      const { database, state } = yield* World
      yield* Effect.forEach(names("a", 9), (name) => upload(name))
      database.next("orphans.find", takes("1 minute"), Number.POSITIVE_INFINITY)
      const report = yield* passing(sweep(stopsAt(start + minute + 1)))
      assert.deepInclude(counts(report, "orphans"), { seen: 4, deleted: 0, stoppedBy: "stopped" })
      assert.strictEqual(state.scan.position, "a0003")
      yield* passing(sweep())
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world(slow)))
  )
})
