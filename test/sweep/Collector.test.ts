import { assert, describe, it } from "@effect/vitest"
import { Cron, Deferred, Duration, Effect, Fiber, Random, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { SweepReport } from "../../src/domain/SweepReport.ts"
import * as Collector from "../../src/sweep/Collector.ts"
import { dies, fails, hangsBefore } from "../../src/testing/Faults.ts"
import {
  bury,
  clean,
  hour,
  minute,
  objects,
  settle,
  sound,
  start,
  upload,
  World,
  world
} from "../fixtures/World.ts"

const interval = (jitter: Duration.Input = 0): Collector.StreamOptions => ({ every: "1 hour", jitter })

const cron = (expression: string, zone?: string): Collector.StreamOptions => ({
  cron: expression,
  zone,
  jitter: 0
})

/** Runs a collector in the background; its reports appear in the answer as they come. */
const running = Effect.fnUntraced(function* (options: Collector.StreamOptions) {
  const reports: Array<SweepReport> = []
  const fiber = yield* Collector.reports(options).pipe(
    Stream.runForEach((report) => Effect.sync(() => void reports.push(report))),
    Effect.forkChild
  )
  yield* settle
  return { reports, fiber }
})

const startsOf = (reports: ReadonlyArray<SweepReport>) => reports.map((report) => report.startedAt)
/** Since the test began, in minutes. */
const minutesOf = (reports: ReadonlyArray<SweepReport>) =>
  reports.map((report) => (Date.parse(report.startedAt) - start) / minute)

/** The random source that always answers `n` of [0, 1). */
const fixed = (n: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => n, nextIntUnsafe: () => 0 })

describe("a collector on an interval", () => {
  it.effect("sweeps at once, then an hour after the previous sweep ended", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      // Sweeps of ten minutes.
      database.next("inspect", hangsBefore(Effect.sleep("10 minutes")), Number.POSITIVE_INFINITY)
      const { reports } = yield* running(interval())
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(minutesOf(reports), [0])
      yield* TestClock.adjust("5 hours")
      assert.deepStrictEqual(minutesOf(reports), [0, 70, 140, 210, 280])
      assert.deepStrictEqual([...new Set(reports.map((report) => report.durationMillis))], [10 * minute])
    }).pipe(Effect.provide(world()))
  )

  it.effect("runs for weeks, and what becomes garbage meanwhile goes", () =>
    Effect.gen(function* () {
      const { reports } = yield* running(interval())
      for (let n = 0; n < 7; n++) {
        yield* upload(`a${n}`)
        yield* TestClock.adjust("1 day")
      }
      assert.strictEqual(reports.length, 1 + 7 * 24)
      assert.strictEqual(
        reports.reduce((sum, report) => sum + report.totals.deleted, 0),
        7
      )
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("adds up to the jitter to each wait", () =>
    Effect.gen(function* () {
      const least = yield* running(interval("10 minutes")).pipe(fixed(0))
      const most = yield* running(interval("10 minutes")).pipe(fixed(1 - 2 ** -53))
      yield* TestClock.adjust("4 hours")
      assert.deepStrictEqual(minutesOf(least.reports), [0, 60, 120, 180, 240])
      assert.deepStrictEqual(minutesOf(most.reports).map(Math.round), [0, 70, 140, 210])
    }).pipe(Effect.provide(world()))
  )

  it.effect("draws its jitter anew each time", () =>
    Effect.gen(function* () {
      const { reports } = yield* running(interval("10 minutes")).pipe(Random.withSeed("jitter"))
      yield* TestClock.adjust("3 days")
      const starts = minutesOf(reports)
      const waits = starts.slice(1).map((at, i) => at - (starts[i] ?? 0))
      assert.isAbove(waits.length, 60)
      assert.isAtLeast(Math.min(...waits), 60)
      assert.isBelow(Math.max(...waits), 70)
      assert.isAbove(new Set(waits).size, 50)
    }).pipe(Effect.provide(world()))
  )
})

describe("a collector on a cron expression", () => {
  it.effect("waits for the first time, and means its time zone", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-07-01T00:00:00Z"))
      const { reports } = yield* running(cron("15 4 * * *", "Asia/Kolkata"))
      assert.deepStrictEqual(startsOf(reports), [])
      yield* TestClock.adjust("2 days")
      assert.deepStrictEqual(startsOf(reports), ["2026-07-01T22:45:00.000Z", "2026-07-02T22:45:00.000Z"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("in the night that has no 02:30 sweeps once, an hour later by the wall", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-03-27T12:00:00Z"))
      const { reports } = yield* running(cron("30 2 * * *", "Europe/Berlin"))
      yield* TestClock.adjust("4 days")
      assert.deepStrictEqual(startsOf(reports), [
        "2026-03-28T01:30:00.000Z",
        "2026-03-29T01:30:00.000Z",
        "2026-03-30T00:30:00.000Z",
        "2026-03-31T00:30:00.000Z"
      ])
    }).pipe(Effect.provide(world()))
  )

  it.effect("in the night that has 02:30 twice sweeps once, the first time", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-10-23T12:00:00Z"))
      const { reports } = yield* running(cron("30 2 * * *", "Europe/Berlin"))
      yield* TestClock.adjust("4 days")
      assert.deepStrictEqual(startsOf(reports), [
        "2026-10-24T00:30:00.000Z",
        "2026-10-25T00:30:00.000Z",
        "2026-10-26T01:30:00.000Z",
        "2026-10-27T01:30:00.000Z"
      ])
    }).pipe(Effect.provide(world()))
  )

  it.effect("passes over the times that fall into a sweep", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("inspect", hangsBefore(Effect.sleep("25 minutes")), Number.POSITIVE_INFINITY)
      const { reports } = yield* running(cron("*/10 * * * *"))
      yield* TestClock.adjust("2 hours")
      // From 10 to 35, then at 40: the times 20 and 30 are not made up for.
      assert.deepStrictEqual(minutesOf(reports), [10, 40, 70])
    }).pipe(Effect.provide(world()))
  )
})

describe("a collector", () => {
  it.effect("never overlaps itself, however long the store hangs", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const answer = yield* Deferred.make<void>()
      storage.next("list", hangsBefore(Deferred.await(answer)))
      const { reports } = yield* running(interval())
      yield* TestClock.adjust("3 days")
      assert.deepStrictEqual(reports, [])
      assert.strictEqual(storage.count("list"), 1)
      yield* Deferred.succeed(answer, undefined)
      yield* settle
      assert.deepStrictEqual(minutesOf(reports), [0])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(minutesOf(reports), [0, 73 * 60])
    }).pipe(Effect.provide(world()))
  )

  it.effect("goes on after sweeps in which everything fails", () =>
    Effect.gen(function* () {
      const { database, storage } = yield* World
      yield* bury("a")
      database.always(() => fails("Unavailable"))
      storage.always(() => fails("Unavailable"))
      const { reports } = yield* running(interval())
      yield* TestClock.adjust("1 hour")
      database.always(() => dies(new Error("bug")))
      storage.always(() => dies(new Error("bug")))
      yield* TestClock.adjust("1 hour")
      database.heal()
      storage.always(() => dies(new Error("bug")))
      yield* TestClock.adjust("1 hour")
      storage.heal()
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(
        reports.map((report) => report.outcome),
        ["failed", "failed", "failed", "failed", "complete"]
      )
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("waits for a slow consumer before it sweeps again", () =>
    Effect.gen(function* () {
      const seen: Array<SweepReport> = []
      yield* Collector.reports(interval()).pipe(
        Stream.runForEach((report) =>
          Effect.andThen(
            Effect.sync(() => void seen.push(report)),
            Effect.sleep("5 hours")
          )
        ),
        Effect.forkChild
      )
      yield* settle
      yield* TestClock.adjust("13 hours")
      assert.deepStrictEqual(minutesOf(seen), [0, 6 * 60, 12 * 60])
    }).pipe(Effect.provide(world()))
  )
})

describe("a collector that is asked to stop", () => {
  const stoppable = Effect.gen(function* () {
    const stop = yield* Deferred.make<void>()
    return {
      ...(yield* running({ ...interval(), stop: Deferred.await(stop) })),
      stop: Effect.andThen(Deferred.succeed(stop, undefined), settle)
    }
  })

  it.effect("while it waits ends at once", () =>
    Effect.gen(function* () {
      const { reports, fiber, stop } = yield* stoppable
      yield* TestClock.adjust("90 minutes")
      assert.isUndefined(fiber.pollUnsafe())
      yield* stop
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(minutesOf(reports), [0, 60])
      yield* TestClock.adjust("1 day")
      assert.strictEqual(reports.length, 2)
    }).pipe(Effect.provide(world()))
  )

  it.effect("during a sweep finishes the batch in hand, begins no other, and ends", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      for (const name of ["a", "b", "c"]) yield* bury(name)
      storage.next("delete", hangsBefore(Effect.sleep("10 minutes")), Number.POSITIVE_INFINITY)
      const { reports, fiber, stop } = yield* stoppable
      yield* TestClock.adjust("15 minutes")
      yield* stop
      assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual(storage.count("delete"), 2)
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.join(fiber)
      assert.strictEqual(storage.count("delete"), 2)
      assert.deepStrictEqual(yield* objects, ["blobs/c/1"])
      assert.strictEqual(reports.length, 1)
      assert.deepInclude(reports[0]?.phases.journal, { deleted: 2, stoppedBy: "stopped" })
      assert.strictEqual(reports[0]?.outcome, "bounded")
      yield* sound
      yield* clean
    }).pipe(Effect.provide(world({ batchMax: 1, deleteConcurrency: 1 })))
  )

  it.effect("before it began deletes nothing and ends", () =>
    Effect.gen(function* () {
      yield* bury("a")
      const { reports, fiber } = yield* running({ ...interval(), stop: Effect.void })
      yield* Fiber.join(fiber)
      assert.strictEqual(
        reports.reduce((sum, report) => sum + report.totals.deleted, 0),
        0
      )
      assert.deepStrictEqual(yield* objects, ["blobs/a/1"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("waits for the time of its cron expression no longer", () =>
    Effect.gen(function* () {
      const stop = yield* Deferred.make<void>()
      const { reports, fiber } = yield* running({ ...cron("0 0 1 1 *"), stop: Deferred.await(stop) })
      yield* TestClock.adjust(hour)
      yield* Deferred.succeed(stop, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(reports, [])
    }).pipe(Effect.provide(world()))
  )
})

describe("a collector with a window", () => {
  /** Virtual time begins at noon, UTC. */
  const nights = (options: Collector.StreamOptions): Collector.StreamOptions => ({
    ...options,
    window: { opens: Cron.parseUnsafe("0 22 * * *", "UTC"), closes: Cron.parseUnsafe("30 5 * * *", "UTC") }
  })
  const hoursOf = (reports: ReadonlyArray<SweepReport>) =>
    reports.map(({ startedAt }) => startedAt.slice(11, 16))

  it.effect("sweeps by night only, the first time when it opens", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-12-01T12:00:00Z"))
      const { reports } = yield* running(nights(interval()))
      assert.deepStrictEqual(reports, [])
      yield* TestClock.adjust("2 days")
      assert.deepStrictEqual(hoursOf(reports), [
        ...["22:00", "23:00", "00:00", "01:00", "02:00", "03:00", "04:00", "05:00"],
        ...["22:00", "23:00", "00:00", "01:00", "02:00", "03:00", "04:00", "05:00"]
      ])
    }).pipe(Effect.provide(world()))
  )

  it.effect("ends a sweep that is under way when it closes, and the next night goes on", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-12-01T23:00:00Z"))
      for (let n = 0; n < 12; n++) yield* upload(`a${n}`)
      const { storage } = yield* World
      // An object an hour, until half past five.
      storage.next("delete", hangsBefore(Effect.sleep("1 hour")), Number.POSITIVE_INFINITY)
      const { reports } = yield* running(nights(interval()))
      yield* TestClock.adjust("1 day")
      const cut = reports.find(({ phases }) => phases.orphans.stoppedBy === "time")
      assert.isDefined(cut)
      assert.isAbove((yield* objects).length, 0)
      yield* TestClock.adjust("3 days")
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world({ batchMax: 1, deleteConcurrency: 1, maxDuration: Duration.days(1) })))
  )

  it.effect("keeps to the clock of its time zone when that is changed", () =>
    Effect.gen(function* () {
      // The night in which Berlin's clocks go from 2 to 3.
      yield* TestClock.setTime(Date.parse("2027-03-27T12:00:00Z"))
      const berlin: Collector.StreamOptions = {
        ...cron("0 * * * *", "UTC"),
        window: {
          opens: Cron.parseUnsafe("0 1 * * *", "Europe/Berlin"),
          closes: Cron.parseUnsafe("0 5 * * *", "Europe/Berlin")
        }
      }
      const { reports } = yield* running(berlin)
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(
        hoursOf(reports),
        ["00:00", "01:00", "02:00"],
        "one o'clock to five, of which one hour is missing"
      )
    }).pipe(Effect.provide(world()))
  )

  it.effect("stops at once while it waits for the window", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-12-01T12:00:00Z"))
      const stop = yield* Deferred.make<void>()
      const { reports, fiber } = yield* running({ ...nights(interval()), stop: Deferred.await(stop) })
      yield* Deferred.succeed(stop, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(reports, [])
    }).pipe(Effect.provide(world()))
  )
})
