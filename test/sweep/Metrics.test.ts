/** What the metrics of sweeps show. Each test has a registry of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Logger, Metric, References, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { PhaseReport, SweepReport } from "../../src/domain/SweepReport.ts"
import * as Collector from "../../src/sweep/Collector.ts"
import * as Metrics from "../../src/sweep/Metrics.ts"
import { fails, hangsBefore } from "../../src/testing/Faults.ts"
import {
  abandon,
  artifact,
  bury,
  day,
  drop,
  hour,
  manifest,
  minute,
  session,
  settle,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

/** Runs a test with a registry of its own. */
const alone = (registry = new Map()) => Effect.provideService(Metric.MetricRegistry, registry)

const countOf = (metric: Metric.Metric<number, Metric.CounterState<number>>) =>
  Effect.map(Metric.value(metric), ({ count }) => count)

const valueOf = (metric: Metric.Metric<number, Metric.GaugeState<number>>) =>
  Effect.map(Metric.value(metric), ({ value }) => value)

/** The series of a metric by the value of one label. */
const byLabel = Effect.fnUntraced(function* (name: string, label: string) {
  const series = yield* Metric.snapshot
  return Object.fromEntries(
    series.flatMap(({ attributes, id, state }) =>
      id === name && "count" in state ? [[attributes?.[label] ?? "", Number(state.count)]] : []
    )
  )
})

/** Something of every kind. */
const mixed = Effect.gen(function* () {
  const { storage } = yield* World
  yield* upload("a", { sizeBytes: 100 })
  yield* upload("b", { sizeBytes: 200 })
  yield* upload("used", { references: [artifact("v1", "used")] })
  yield* stage("uploads/stale/1", 10)
  yield* session("idle", [50, 60])
  yield* manifest("untagged")
  yield* bury("dead", start, 3)
  storage.refused.set(yield* bury("undeletable", start, 7), "AccessDenied")
  yield* TestClock.adjust("2 days")
})

const sumOf = (reports: ReadonlyArray<SweepReport>, phase: string, of: (phase: PhaseReport) => number) =>
  reports.reduce((sum, { phases }) => sum + of(phases[phase] as PhaseReport), 0)

describe("metrics of sweeps", () => {
  it.effect("count no sweep as under way that was interrupted or has died", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      const running = valueOf(Metrics.sweepsRunning.of())
      database.next("backlog", hangsBefore(Effect.never))
      const hanging = yield* Effect.forkChild(sweep())
      yield* settle
      assert.strictEqual(yield* running, 1)
      yield* Fiber.interrupt(hanging)
      assert.strictEqual(yield* running, 0)
      database.next("inspect", hangsBefore(Effect.die("a defect")))
      yield* Effect.exit(sweep())
      assert.strictEqual(yield* running, 0)
    }).pipe(Effect.provide(world()), alone())
  )

  it.effect("add up what the reports say, by phase", () =>
    Effect.gen(function* () {
      yield* mixed
      const reports = [yield* sweep(), yield* sweepAfter(2 * hour), yield* sweepAfter(2 * hour)]
      let deleted = 0
      for (const phase of Object.keys(reports[0]?.phases ?? {})) {
        const sum = (of: (phase: PhaseReport) => number) => sumOf(reports, phase, of)
        assert.strictEqual(
          yield* countOf(Metrics.phaseSeen.of({ phase })),
          sum(({ seen }) => seen),
          phase
        )
        assert.strictEqual(
          yield* countOf(Metrics.phaseEligible.of({ phase })),
          sum(({ eligible }) => eligible),
          phase
        )
        assert.strictEqual(
          yield* countOf(Metrics.phaseDeleted.of({ phase })),
          sum(({ deleted }) => deleted),
          phase
        )
        assert.strictEqual(
          yield* countOf(Metrics.phaseDeletedBytes.of({ phase })),
          sum(({ bytes }) => bytes),
          phase
        )
        for (const reason of ["grace", "quarantine", "referenced", "dropped"]) {
          const kept = yield* countOf(Metrics.phaseKept.of({ phase, reason }))
          assert.strictEqual(
            kept,
            sum(({ kept }) => kept[reason] ?? 0),
            `${phase}: ${reason}`
          )
        }
        deleted += sum(({ deleted }) => deleted)
      }
      assert.isAtLeast(deleted, 6)
      assert.deepStrictEqual(yield* byLabel("artifact_gc_sweeps_total", "outcome"), { failed: 3 })
      assert.strictEqual((yield* Metric.value(Metrics.sweepDuration.of())).count, 3)
      assert.strictEqual(
        yield* valueOf(Metrics.lastSweep.of({ outcome: "failed" })),
        Date.parse(reports[2]?.startedAt ?? "") / 1000
      )
      assert.strictEqual(yield* valueOf(Metrics.sweepsRunning.of()), 0)
    }).pipe(Effect.provide(world()), alone())
  )

  it.effect("name failures by reason and never by a store's own code", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      storage.refused.set(yield* bury("a"), "AccessDenied")
      storage.refused.set(yield* bury("b"), "QuotaOfTuesdayExceeded")
      storage.refused.set(yield* bury("c"), "SlowDown")
      const report = yield* sweepAfter(hour)
      assert.deepStrictEqual(report.phases.journal.failed, {
        AccessDenied: 1,
        QuotaOfTuesdayExceeded: 1,
        SlowDown: 1
      })
      assert.deepStrictEqual(yield* byLabel("artifact_gc_phase_failures_total", "reason"), {
        denied: 1,
        unknown: 1,
        throttled: 1
      })
      assert.deepStrictEqual(yield* byLabel("artifact_gc_journal_postponed_total", "reason"), {
        denied: 1,
        unknown: 1,
        throttled: 1
      })
    }).pipe(Effect.provide(world()), alone())
  )

  it.effect("count keys that are tried again, and those that are given up on", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      storage.refused.set(yield* bury("a"), "AccessDenied")
      yield* sweep()
      assert.strictEqual(yield* countOf(Metrics.retried.of()), 0)
      yield* sweepAfter(day)
      assert.strictEqual(yield* countOf(Metrics.retried.of()), 1)
      assert.strictEqual(yield* countOf(Metrics.deadLettered.of()), 1)
      assert.strictEqual(yield* valueOf(Metrics.queueLength.of({ queue: "dead_letters" })), 1)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* valueOf(Metrics.queueOldestAge.of({ queue: "dead_letters" })), 3600)
    }).pipe(Effect.provide(world({ attemptsMax: 2 })), alone())
  )

  it.effect("show how much waits, and how old it is when an exporter reads it", () =>
    Effect.gen(function* () {
      yield* upload("a", { sizeBytes: 7 })
      yield* upload("b", { sizeBytes: 5 })
      yield* abandon("never sent", start + 4 * hour)
      yield* session("open", [1])
      yield* TestClock.adjust("30 minutes")
      yield* sweep()
      const length = (queue: "orphans" | "condemned" | "intents" | "sessions") =>
        valueOf(Metrics.queueLength.of({ queue }))
      assert.strictEqual(yield* length("orphans"), 2)
      assert.strictEqual(yield* length("condemned"), 0)
      assert.strictEqual(yield* length("intents"), 1)
      assert.strictEqual(yield* length("sessions"), 1)
      const age = (queue: "orphans" | "condemned" | "sessions") =>
        valueOf(Metrics.queueOldestAge.of({ queue }))
      const overdue = (queue: "orphans" | "condemned" | "intents") =>
        valueOf(Metrics.queueOverdue.of({ queue }))
      assert.strictEqual(yield* age("orphans"), 0)
      assert.strictEqual(yield* age("sessions"), 30 * 60)
      yield* TestClock.adjust("90 minutes")
      // No sweep has run meanwhile: the numbers grow by themselves.
      assert.strictEqual(yield* age("orphans"), 90 * 60)
      assert.strictEqual(yield* overdue("orphans"), 30 * 60, "beyond the grace of an hour")
      assert.strictEqual(yield* overdue("intents"), 0)
      yield* sweep()
      assert.strictEqual(yield* length("orphans"), 0)
      assert.strictEqual(yield* length("condemned"), 2)
      assert.strictEqual(yield* valueOf(Metrics.queueBytes.of({ queue: "condemned" })), 12)
      assert.strictEqual(yield* age("orphans"), 0)
      yield* TestClock.adjust("3 hours")
      assert.strictEqual(yield* overdue("intents"), 60 * 60)
    }).pipe(Effect.provide(world()), alone())
  )

  it.effect("do not change by a dry run", () => {
    const registry = new Map()
    return Effect.gen(function* () {
      yield* mixed
      yield* sweep({ dryRun: true })
      const shown = (yield* Metric.snapshot).filter(
        ({ state }) => "count" in state && Number(state.count) > 0
      )
      assert.deepStrictEqual(
        shown.map(({ id }) => id),
        []
      )
      assert.strictEqual(yield* countOf(Metrics.sweeps.of({ outcome: "complete" })), 0)
    }).pipe(Effect.provide(world()), alone(registry))
  })

  it.effect("show which guard refuses, until it no longer does", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      const refusing = valueOf(Metrics.guardRefusing.of({ guard: "schema" }))
      database.next("inspect", fails("Denied"))
      assert.strictEqual((yield* sweep()).outcome, "failed")
      assert.strictEqual(yield* refusing, 1)
      assert.strictEqual(
        yield* countOf(Metrics.phaseErrors.of({ phase: "orphans", error: "DatabaseError" })),
        0,
        "no phase ran"
      )
      yield* sweep()
      assert.strictEqual(yield* refusing, 0)
    }).pipe(Effect.provide(world()), alone())
  )

  it.effect("show a breaker that is open, until a person confirms", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      const names = Array.from({ length: 10 }, (_, n) => `b${n}`)
      for (const name of names) yield* upload(name, { references: [artifact(name, name)] })
      const open = valueOf(Metrics.breakerOpen.of({ breaker: "orphans" }))
      yield* sweep()
      assert.strictEqual(yield* open, 0)
      for (const name of names) yield* drop(artifact(name, name))
      yield* TestClock.adjust("1 hour")
      yield* sweep()
      yield* sweepAfter(2 * hour)
      assert.strictEqual(yield* open, 1)
      yield* rows.breakers.confirm(start + day)
      yield* sweepAfter(minute)
      assert.strictEqual(yield* open, 0)
    }).pipe(Effect.provide(world({ breakerBlobs: 4, breakerPercent: 20 })), alone())
  )

  it.effect("show how far the clocks are apart", () =>
    Effect.gen(function* () {
      yield* sweep()
      assert.strictEqual(yield* valueOf(Metrics.clockSkew.of({ clock: "database" })), 0)
    }).pipe(Effect.provide(world()), alone())
  )

  it.effect("show the pace, and the time that its ceilings cost", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 10; n++) yield* bury(`dead ${n}`)
      yield* TestClock.adjust("1 hour")
      const sweeping = yield* Effect.forkChild(sweep())
      yield* TestClock.adjust("1 minute")
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(sweeping)
      assert.strictEqual(yield* valueOf(Metrics.paceConcurrencyMax.of()), 3)
      assert.isAtLeast(yield* valueOf(Metrics.paceConcurrency.of()), 2)
      assert.isAtLeast(yield* countOf(Metrics.paceWaited.of({ cause: "ceiling" })), 1)
      const requests = yield* Metric.value(Metrics.deleteRequests.of({ result: "ok" }))
      assert.isAtLeast(requests.count, 5)
    }).pipe(Effect.provide(world({ deleteConcurrency: 3, keysPerSecondMax: 10 })), alone())
  )

  it.effect("show how long a sweep has been due: nothing while the schedule is kept", () =>
    Effect.gen(function* () {
      const lag = valueOf(Metrics.scheduleLag.of())
      const every = { every: "1 hour", jitter: "0 seconds" } as const
      const keeping = yield* Effect.forkChild(Stream.runDrain(Collector.reports(every)))
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual(yield* lag, 0)
      yield* Fiber.interrupt(keeping)
      // A consumer that never takes the second report makes the sweeps wait.
      const slow = Stream.runForEach(Collector.reports(every), () => Effect.never)
      yield* Effect.forkChild(slow)
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("2 hours")
      assert.isAtLeast(yield* lag, 3600)
    }).pipe(Effect.provide(world()), alone())
  )

  it.effect("are updated a batch at a time: ten times the keys cost no more updates", () => {
    const updatesOf = (keys: number) => {
      let updates = 0
      class Counting extends Map {
        override get(key: string) {
          updates += 1
          return super.get(key)
        }
      }
      return Effect.gen(function* () {
        for (let n = 0; n < keys; n++) yield* upload(`b${n}`)
        updates = 0
        yield* sweep()
        yield* sweep()
        return updates
      }).pipe(
        Effect.provide(world({ ...noWaits, batchMax: 1000, scanPage: 1000, breakerPercent: 100 })),
        alone(new Counting())
      )
    }
    return Effect.gen(function* () {
      const few = yield* updatesOf(50)
      assert.isAbove(few, 20)
      assert.strictEqual(yield* updatesOf(500), few)
    })
  })

  it.effect("of two collectors in a process are apart if the host gives each its own attributes", () =>
    Effect.gen(function* () {
      const named = (catalogue: string) =>
        Effect.provideService(Metric.CurrentMetricAttributes, { catalogue })
      yield* named("images")(sweep())
      yield* named("images")(sweep())
      yield* named("packages")(sweep())
      assert.deepStrictEqual(yield* byLabel("artifact_gc_sweeps_total", "catalogue"), {
        images: 2,
        packages: 1
      })
    }).pipe(Effect.provide(world()), alone())
  )
})

describe("logs of a sweep", () => {
  it.effect("name the sweep, the phase and the batch", () => {
    const lines: Array<Readonly<Record<string, unknown>>> = []
    const logger = Logger.make(({ fiber }) => {
      lines.push({ ...fiber.getRef(References.CurrentLogAnnotations) })
    })
    return Effect.gen(function* () {
      const { storage } = yield* World
      for (let n = 0; n < 4; n++) storage.refused.set(yield* bury(`${n}`), "SlowDown")
      yield* TestClock.adjust("1 hour")
      const { sweep: name } = yield* sweep()
      assert.deepInclude(lines[0], { sweep: name, phase: "journal", batch: 1 })
    }).pipe(Effect.provide([world(), Logger.layer([logger])]), alone())
  })
})
