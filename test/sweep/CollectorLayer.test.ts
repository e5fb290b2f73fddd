/** `Collector.layer`: begins with its scope, stops with it, and tells the other collectors that it has left. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { SettingsInvalid } from "../../src/domain/SettingsInvalid.ts"
import type { SweepReport } from "../../src/domain/SweepReport.ts"
import * as Collector from "../../src/sweep/Collector.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { fails, hangsBefore } from "../../src/testing/Faults.ts"
import {
  bury,
  clean,
  minute,
  objects,
  settle,
  sound,
  start,
  World,
  type Wrapper,
  world
} from "../fixtures/World.ts"

/** Builds the layer in a scope that the test closes. */
const open = Effect.fnUntraced(function* (options: Collector.LayerOptions = {}) {
  const scope = yield* Scope.make()
  const reports: Array<SweepReport> = []
  const context = yield* Layer.buildWithScope(
    Collector.layer({
      jitter: 0,
      onReport: (report) => Effect.sync(() => void reports.push(report)),
      ...options
    }),
    scope
  )
  yield* settle
  return {
    reports,
    collector: Context.get(context, Collector.Collector),
    close: Scope.close(scope, Exit.void)
  }
})

const minutesOf = (reports: ReadonlyArray<SweepReport>) =>
  reports.map((report) => (Date.parse(report.startedAt) - start) / minute)

const registered = Effect.map(World, ({ state }) => [...state.peers.keys()])

describe("a collector's layer", () => {
  it.effect("sweeps while its scope is open, and no longer", () =>
    Effect.gen(function* () {
      const { close, reports } = yield* open({ every: "30 minutes" })
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(minutesOf(reports), [0, 30, 60, 90, 120])
      assert.lengthOf(yield* registered, 1)
      yield* close
      assert.deepStrictEqual(yield* registered, [])
      yield* TestClock.adjust("1 day")
      assert.strictEqual(reports.length, 5)
    }).pipe(Effect.provide(world()))
  )

  it.effect("finishes the batch in hand when the scope closes, begins no other, and leaves", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      for (const name of ["a", "b", "c"]) yield* bury(name)
      storage.next("delete", hangsBefore(Effect.sleep("10 seconds")), Number.POSITIVE_INFINITY)
      const { close, reports } = yield* open()
      yield* TestClock.adjust("15 seconds")
      const closing = yield* Effect.forkChild(close)
      yield* settle
      assert.isUndefined(closing.pollUnsafe())
      assert.lengthOf(yield* registered, 1)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* objects, ["blobs/c/1"])
      assert.lengthOf(reports, 1, "the report of the last sweep is not lost")
      assert.strictEqual(reports[0]?.outcome, "bounded")
      assert.deepStrictEqual(yield* registered, [])
      yield* sound
      yield* clean
    }).pipe(Effect.provide(world({ batchMax: 1, deleteConcurrency: 1 })))
  )

  it.effect("interrupts a batch that outlasts the deadline, and leaves", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* bury("a")
      storage.next("delete", hangsBefore(Effect.never))
      const { close } = yield* open({ deadline: "5 seconds" })
      const closing = yield* Effect.forkChild(close)
      yield* TestClock.adjust("4 seconds")
      yield* settle
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* registered, [])
      assert.strictEqual(storage.count("delete"), 1)
      assert.deepStrictEqual(yield* objects, ["blobs/a/1"])
      yield* sound
    }).pipe(Effect.provide(world()))
  )

  it.effect("gives the batch 25 seconds without a deadline of the host's", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* bury("a")
      storage.next("delete", hangsBefore(Effect.never))
      const { close } = yield* open()
      const closing = yield* Effect.forkChild(close)
      yield* TestClock.adjust("24 seconds")
      yield* settle
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
    }).pipe(Effect.provide(world()))
  )

  it.effect("sweeps when asked, at any hour, and the schedule continues from there", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-12-01T12:00:00Z"))
      const { close, collector, reports } = yield* open({ every: "1 hour", window: "22:00-06:00" })
      assert.deepStrictEqual(reports, [])
      const report = yield* collector.sweepNow()
      assert.strictEqual(report.startedAt, "2026-12-01T12:00:00.000Z")
      yield* settle
      assert.strictEqual((yield* collector.status).nextDueAt, "2026-12-01T22:00:00.000Z")
      yield* TestClock.adjust("11 hours")
      assert.deepStrictEqual(
        reports.map(({ startedAt }) => startedAt.slice(11, 16)),
        ["12:00", "22:00", "23:00"]
      )
      yield* close
    }).pipe(Effect.provide(world()))
  )

  it.effect("asked during a sweep, runs another after it: the first may have passed over what is meant", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("inspect", hangsBefore(Effect.sleep("10 minutes")))
      const { close, collector, reports } = yield* open({ every: "1 day" })
      const answers = yield* Effect.forkChild(
        Effect.all([collector.sweepNow(), collector.sweepNow()], { concurrency: 2 })
      )
      yield* settle
      yield* TestClock.adjust("10 minutes")
      const [one, other] = yield* Fiber.join(answers)
      assert.deepStrictEqual(minutesOf(reports), [0, 10])
      assert.strictEqual(one, reports[1], "both callers share one sweep")
      assert.strictEqual(other, reports[1])
      yield* close
    }).pipe(Effect.provide(world()))
  )

  it.effect("ends the wait of a caller whose sweep can never begin", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("inspect", hangsBefore(Effect.never))
      const { close, collector } = yield* open({ deadline: 0 })
      const waiting = yield* Effect.forkChild(collector.sweepNow())
      yield* settle
      yield* close
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(waiting)))
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(yield* Effect.forkChild(collector.sweepNow()))))
    }).pipe(Effect.provide(world()))
  )

  it.effect("says what it does", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* bury("a")
      storage.next("delete", hangsBefore(Effect.sleep("10 minutes")))
      const { close, collector, reports } = yield* open({ every: "1 hour" })
      const busy = yield* collector.status
      assert.deepInclude(busy, { activity: "sweeping", last: null, nextDueAt: null })
      assert.strictEqual(Date.parse(busy.sweep?.startedAt ?? "") - start, 0)
      assert.isNotEmpty(busy.sweep?.phases)
      yield* TestClock.adjust("10 minutes")
      const idle = yield* collector.status
      assert.deepInclude(idle, { activity: "waiting", sweep: null, last: reports[0] ?? null })
      assert.strictEqual(Date.parse(idle.nextDueAt ?? "") - start, 70 * minute)
      yield* close
      assert.deepInclude(yield* collector.status, { activity: "stopped", nextDueAt: null })
    }).pipe(Effect.provide(world()))
  )

  it.effect("publishes its reports to any number of subscribers, and a slow one delays no sweep", () =>
    Effect.gen(function* () {
      const { close, collector, reports } = yield* open({ every: "1 hour" })
      const seen: Array<SweepReport> = []
      yield* Effect.forkChild(
        Stream.runForEach(collector.reports, (report) => Effect.sync(() => void seen.push(report)))
      )
      yield* Effect.forkChild(Stream.runForEach(collector.reports, () => Effect.never))
      yield* settle
      yield* TestClock.adjust("200 hours")
      assert.strictEqual(reports.length, 201)
      assert.deepStrictEqual(seen, reports.slice(1))
      yield* close
    }).pipe(Effect.provide(world()))
  )

  it.effect("goes on when onReport dies", () =>
    Effect.gen(function* () {
      let calls = 0
      const { close } = yield* open({
        every: "1 hour",
        onReport: () =>
          Effect.suspend(() => {
            calls += 1
            return Effect.die(new Error("a host's bug"))
          })
      })
      yield* TestClock.adjust("3 hours")
      assert.strictEqual(calls, 4)
      yield* close
    }).pipe(Effect.provide(world()))
  )
})

describe("a pause of a catalogue", () => {
  it.effect(
    "holds every scheduled sweep of every replica, and the one that was due begins when it ends",
    () =>
      Effect.gen(function* () {
        const one = yield* open({ every: "1 hour" })
        const other = yield* open({ every: "1 hour" })
        yield* one.collector.pause("restore of the store", { by: "alice" })
        assert.deepInclude(yield* other.collector.status, {
          activity: "paused",
          nextDueAt: null,
          pause: {
            since: new Date(start).toISOString(),
            by: "alice",
            reason: "restore of the store",
            until: null
          }
        })
        yield* TestClock.adjust("1 day")
        assert.deepStrictEqual([...minutesOf(one.reports), ...minutesOf(other.reports)], [0, 0])
        yield* one.collector.resume
        yield* settle
        assert.deepStrictEqual(minutesOf(one.reports), [0, 24 * 60])
        yield* TestClock.adjust("5 seconds")
        assert.lengthOf(other.reports, 2)
        assert.deepInclude(yield* other.collector.status, { activity: "waiting", pause: null })
        yield* one.close
        yield* other.close
      }).pipe(Effect.provide(world()))
  )

  it.effect("ends by itself where it was given a time", () =>
    Effect.gen(function* () {
      const { close, collector, reports } = yield* open({ every: "1 hour" })
      yield* collector.pause("nightly dump", { for: "150 minutes" })
      yield* TestClock.adjust("149 minutes")
      assert.deepStrictEqual(minutesOf(reports), [0])
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(minutesOf(reports), [0, 150])
      yield* close
    }).pipe(Effect.provide(world()))
  )

  it.effect("ends a sweep under way after the batch in hand", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      for (const name of ["a", "b", "c"]) yield* bury(name)
      storage.next("delete", hangsBefore(Effect.sleep("4 seconds")), Number.POSITIVE_INFINITY)
      const { close, collector, reports } = yield* open()
      yield* collector.pause("the store is full of faults")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* objects, ["blobs/c/1"])
      assert.deepInclude(reports[0]?.phases.journal, { deleted: 2, stoppedBy: "stopped" })
      yield* close
      yield* sound
    }).pipe(Effect.provide(world({ batchMax: 1, deleteConcurrency: 1 })))
  )

  it.effect("refuses sweeps that a host or an operator starts, unless they are meant in spite of it", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* bury("a")
      const sweep = yield* Sweep
      yield* sweep.pause("restore", { by: "bob" })
      const refused = yield* sweep.once()
      assert.strictEqual(refused.outcome, "refused")
      assert.match(
        refused.guards[0]?.message ?? "",
        /by bob, until it is resumed: restore\. Nothing was deleted/
      )
      assert.strictEqual(storage.count("delete"), 0)
      const dry = yield* sweep.once({ dryRun: true })
      assert.strictEqual(dry.guards[0]?.decision, "allowed")
      const { close, collector } = yield* open({ cron: "0 3 * * *" })
      assert.strictEqual((yield* collector.sweepNow()).outcome, "refused")
      assert.deepStrictEqual(yield* objects, ["blobs/a/1"])
      const forced = yield* collector.sweepNow({ evenIfPaused: true })
      assert.strictEqual(forced.outcome, "complete")
      assert.match(forced.guards[0]?.message ?? "", /started in spite of it/)
      assert.deepStrictEqual(yield* objects, [])
      assert.strictEqual((yield* sweep.resume)?.by, "bob")
      assert.isNull(yield* sweep.resume)
      yield* close
    }).pipe(Effect.provide(world()))
  )

  it.effect("also keeps suspects from being verified: that deletes rows whose object is missing", () =>
    Effect.gen(function* () {
      const arrives = yield* Deferred.make<void>()
      const suspects: Wrapper = (inner) => ({
        ...inner,
        suspects: {
          ...inner.suspects,
          arrival: (seen) => (seen === null ? Effect.as(Deferred.await(arrives), "1") : Effect.never)
        }
      })
      yield* Effect.gen(function* () {
        const { database } = yield* World
        const { close, collector } = yield* open({ cron: "0 3 * * *" })
        const verified = () => database.count("suspects.page")
        yield* collector.pause("restore of the store")
        yield* Deferred.succeed(arrives, undefined)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(verified(), 0)
        yield* collector.resume
        yield* TestClock.adjust("5 seconds")
        assert.isAbove(verified(), 0)
        yield* close
      }).pipe(Effect.provide(world({}, suspects)))
    })
  )

  it.effect("without an answer of the database is not assumed: the sweep reports the trouble", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("control.orders", fails("Unavailable"), 2)
      const { close, collector, reports } = yield* open({ every: "1 hour" })
      assert.strictEqual(reports[0]?.outcome, "failed")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(reports[1]?.outcome, "complete")
      database.next("control.paused", fails("Unavailable"))
      assert.strictEqual((yield* Effect.flip(collector.status)).reason, "Unavailable")
      yield* close
    }).pipe(Effect.provide(world()))
  )
})

describe("what a collector takes for its schedule", () => {
  const problems = (options: Collector.LayerOptions) =>
    Layer.build(Collector.layer(options)).pipe(
      Effect.scoped,
      Effect.match({
        onFailure: (error) => {
          assert.instanceOf(error, SettingsInvalid)
          return error.problems
        },
        onSuccess: (): ReadonlyArray<string> => []
      }),
      Effect.provide(world())
    )

  it.effect("lists everything that is wrong, in the words of its options", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* problems({
          every: "0.5 seconds" as Duration.Input,
          zone: "Europe/Atlantis",
          jitter: "-1 minute" as Duration.Input,
          window: "22-6",
          deadline: Duration.infinity
        }),
        [
          "zone: not an IANA time zone (such as Europe/Berlin)",
          'every: must be a duration such as "90 seconds", between 1s and 520 weeks',
          'jitter: must be a duration such as "90 seconds", between 0 and 520 weeks',
          "window: write two different times of the day, such as 22:00-06:00",
          'deadline: must be a duration such as "90 seconds", between 0 and 520 weeks'
        ]
      )
      assert.deepStrictEqual(yield* problems({ every: "1 hour", cron: "30 2" }), [
        "cron: give either every or cron, not both",
        'cron: Invalid number of segments in cron expression (expected a cron expression such as "30 2 * * *")'
      ])
      assert.deepStrictEqual(yield* problems({ cron: "0 0 31 2 *" }), [
        "cron: no day matches it (for example the 31st of February)"
      ])
    })
  )

  it.effect("adds a tenth of a short interval as jitter, and a minute at most", () =>
    Effect.gen(function* () {
      const waits = Effect.fnUntraced(function* (every: Duration.Input) {
        const { close, reports } = yield* open({ every, jitter: undefined })
        yield* TestClock.adjust(Duration.times(Duration.fromInputUnsafe(every), 30))
        yield* close
        const starts = reports.map(({ startedAt }) => Date.parse(startedAt))
        return starts.slice(1).map((at, i) => at - (starts[i] ?? 0))
      })
      const short = yield* waits("10 seconds")
      assert.isAtMost(Math.max(...short), 11_000)
      assert.isAbove(new Set(short).size, 15)
      assert.isAtMost(Math.max(...(yield* waits("1 day"))), 24 * 60 * minute + minute)
    }).pipe(Effect.provide(world()))
  )
})

describe("the registration of a collector", () => {
  const begins = Effect.fnUntraced(function* (stream: boolean) {
    const fiber = yield* Collector.reports({ every: "1 hour" }).pipe(Stream.runDrain, Effect.forkChild)
    yield* settle
    assert.lengthOf(yield* registered, 1)
    if (stream) yield* Fiber.interrupt(fiber)
    return fiber
  })

  it.effect("is taken back when a host interrupts its stream", () =>
    Effect.gen(function* () {
      yield* begins(true)
      assert.deepStrictEqual(yield* registered, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is taken back after a sweep that is interrupted with its stream", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* bury("a")
      const arrived = yield* Deferred.make<void>()
      storage.next("delete", hangsBefore(Effect.andThen(Deferred.succeed(arrived, undefined), Effect.never)))
      const fiber = yield* begins(false)
      yield* Deferred.await(arrived)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* registered, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is taken back when the scope of Sweep.layer closes, whatever ran the sweeps", () =>
    Effect.gen(function* () {
      const peers = yield* Effect.gen(function* () {
        const { state } = yield* World
        yield* (yield* Sweep).once()
        assert.strictEqual(state.peers.size, 1)
        return state.peers
      }).pipe(Effect.provide(world()))
      assert.strictEqual(peers.size, 0)
    })
  )

  it.effect("after a kill refuses a redeploy with another setting, and not after an interruption", () =>
    Effect.gen(function* () {
      const redeployed = (left: boolean) =>
        Effect.gen(function* () {
          const { rows, state, store: _ } = yield* World
          yield* begins(true)
          // A killed process sends no farewell.
          if (!left) {
            yield* rows.peers.register(start, start + 181 * minute, {
              id: "killed",
              settings: { GC_GRACE: "2h" }
            })
          }
          assert.strictEqual(state.peers.size, left ? 0 : 1)
          return (yield* (yield* Sweep).once()).outcome
        }).pipe(Effect.provide(world({ grace: Duration.hours(1), presence: Duration.minutes(181) })))
      assert.strictEqual(yield* redeployed(true), "complete")
      assert.strictEqual(yield* redeployed(false), "refused")
    })
  )

  it.effect("follows the schedule: a daily collector is known from one sweep to the next", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      const { close } = yield* open({ every: "1 day" })
      for (let n = 0; n < 3; n++) {
        yield* TestClock.adjust("23 hours")
        const [peer] = [...state.peers.values()]
        assert.isAbove(peer?.expiresAt ?? 0, start + (n + 1) * 24 * 60 * minute)
        yield* TestClock.adjust("1 hour")
      }
      yield* close
    }).pipe(Effect.provide(world({ presence: undefined })))
  )

  it.effect(
    "without the schedule is forgotten after 181 minutes, unless the host says how often it sweeps",
    () =>
      Effect.gen(function* () {
        const { state } = yield* World
        const sweep = yield* Sweep
        const ends = Effect.gen(function* () {
          yield* sweep.once()
          return [...state.peers.values()].map(({ expiresAt }) => (expiresAt - start) / minute)
        })
        assert.deepStrictEqual(yield* ends, [181])
        yield* sweep.scheduled("1 day")
        assert.deepStrictEqual(yield* ends, [(24 + 2) * 60])
      }).pipe(Effect.provide(world({ presence: undefined })))
  )

  it.effect("with a presence that is shorter than the schedule is refused", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Collector.layer({ every: "1 day" }))))
      assert.match(error.problems[0] ?? "", /^presence: must not be less than the time from one sweep/)
    }).pipe(Effect.provide(world({ presence: Duration.minutes(181) })))
  )
})
