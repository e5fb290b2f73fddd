/** Settings that operators change in the database: judged like the environment's, taken up without a restart. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, Result, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { Override } from "../../src/database/Database.ts"
import * as Changes from "../../src/sweep/Changes.ts"
import * as Collector from "../../src/sweep/Collector.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { bury, minute, settle, start, sweep, World, world } from "../fixtures/World.ts"

const judged = (name: string, value: string) => Changes.add(Changes.unchanged, { name, value })

describe("a value of a changed setting", () => {
  const good: ReadonlyArray<readonly [string, string, Changes.Changes]> = [
    ["GC_KEYS_PER_SECOND", "500", { pacing: { keysPerSecondMax: 500 } }],
    ["GC_KEYS_PER_SECOND", "none", { pacing: { keysPerSecondMax: null } }],
    ["GC_REQUESTS_PER_SECOND", "7", { pacing: { requestsPerSecondMax: 7 } }],
    ["GC_DELETE_CONCURRENCY", "256", { pacing: { deleteConcurrency: 256 } }],
    ["GC_INTERVAL", "10 minutes", { pacing: {}, interval: Duration.minutes(10) }],
    ["GC_WINDOW", "22:00-06:00", { pacing: {}, window: "22:00-06:00" }],
    ["GC_WINDOW", "none", { pacing: {}, window: null }]
  ]
  for (const [name, value, changes] of good) {
    it.effect(`may be ${value} for ${name}`, () =>
      Effect.map(judged(name, value), (added) => assert.deepStrictEqual(added, Result.succeed(changes)))
    )
  }

  const bad: ReadonlyArray<readonly [string, string, RegExp]> = [
    ["GC_KEYS_PER_SECOND", "0", /^GC_KEYS_PER_SECOND: .*from 1 to 1000000, or none/],
    ["GC_KEYS_PER_SECOND", "", /^GC_KEYS_PER_SECOND: is empty/],
    ["GC_KEYS_PER_SECOND", "1.5", /whole number/],
    ["GC_DELETE_CONCURRENCY", "none", /whole number from 1 to 256/],
    ["GC_INTERVAL", "10", /10 of what\? Write "10 seconds"/],
    ["GC_INTERVAL", "0 seconds", /between 1 second and 520 weeks/],
    ["GC_WINDOW", "22-06", /write two different times of the day/],
    ["GC_WINDOW", "22:00-22:00", /write two different times of the day/],
    ["GC_GRACE", "1 second", /^GC_GRACE: cannot be changed in the database/],
    ["GC_INTERVALL", "1 hour", /Did you mean GC_INTERVAL\?/],
    ["pause", "now", /cannot be changed in the database/]
  ]
  for (const [name, value, reason] of bad) {
    it.effect(`may not be "${value}" for ${name}`, () =>
      Effect.map(judged(name, value), (added) =>
        assert.match(Result.isFailure(added) ? added.failure : "accepted", reason)
      )
    )
  }
})

const change = (name: string, value: string, until: number | null = null): Override => ({
  name,
  value,
  since: start,
  by: "an operator",
  reason: "a test",
  until
})

const set = (override: Override) => Effect.flatMap(World, ({ rows }) => rows.control.set(override))

describe("a sweep", () => {
  it.effect("takes a changed ceiling up at once, and its own again when the change has ended", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const { settings } = yield* Effect.map(Sweep, (found) => ({ settings: () => found.settings }))
      yield* set(change("GC_KEYS_PER_SECOND", "10", start + minute))
      yield* set(change("GC_NEWER_VERSION", "1"))
      yield* sweep()
      assert.deepInclude(settings(), { keysPerSecondMax: 10, batchMax: 1 })
      yield* TestClock.adjust("1 minute")
      yield* bury("a")
      yield* sweep()
      assert.deepInclude(settings(), { keysPerSecondMax: null, batchMax: 1000 })
      assert.strictEqual(storage.count("delete"), 1)
    }).pipe(Effect.provide(world()))
  )
})

const opened = Effect.fnUntraced(function* (options: Collector.LayerOptions) {
  const scope = yield* Scope.make()
  const at: Array<number> = []
  const context = yield* Layer.buildWithScope(
    Collector.layer({
      jitter: 0,
      onReport: ({ startedAt }) => Effect.sync(() => void at.push((Date.parse(startedAt) - start) / minute)),
      ...options
    }),
    scope
  )
  yield* settle
  return { at, collector: Context.get(context, Collector.Collector), close: Scope.close(scope, Exit.void) }
})

describe("a collector", () => {
  it.effect("takes a changed interval up with the sweep that is due, and tells when the next is", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      const { at, close } = yield* opened({ every: "1 hour" })
      yield* set(change("GC_INTERVAL", "2 hours"))
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(at, [0, 120])
      const [peer] = yield* rows.peers.others(start, "")
      assert.strictEqual(peer?.activity?.nextDueAt, start + 240 * minute)
      yield* rows.control.unset("GC_INTERVAL", start)
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(at, [0, 120, 240, 300, 360])
      yield* close
    }).pipe(Effect.provide(world()))
  )

  it.effect("that looks for changes takes a shorter interval up while it waits, and counts as at work", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      const { at, close } = yield* opened({ every: "1 day", lookEvery: "1 minute" })
      yield* set(change("GC_INTERVAL", "30 minutes", start + 100 * minute))
      yield* TestClock.adjust("99 minutes")
      assert.deepStrictEqual(at, [0, 30, 60, 90])
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(at, [0, 30, 60, 90], "its own interval of a day is in force again")
      const later = start + 24 * 60 * minute
      assert.lengthOf(yield* rows.peers.others(later, ""), 1, "not forgotten before its next sweep")
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(at, [0, 30, 60, 90, 90 + 24 * 60])
      yield* close
    }).pipe(Effect.provide(world()))
  )

  it.effect("follows a changed window, and one that is lifted", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      const hours = new Date(start).getUTCHours()
      const two = (hour: number) => String((hours + hour) % 24).padStart(2, "0")
      const { at, close } = yield* opened({ every: "30 minutes", lookEvery: "1 minute" })
      yield* set(change("GC_WINDOW", `${two(3)}:00-${two(4)}:00`))
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(at, [0])
      yield* rows.control.unset("GC_WINDOW", start)
      yield* TestClock.adjust("2 minutes")
      assert.lengthOf(at, 2)
      yield* close
    }).pipe(Effect.provide(world()))
  )

  it.effect("keeps its own schedule where the changed one would make it forgotten", () =>
    Effect.gen(function* () {
      const { at, close } = yield* opened({ every: "1 hour", lookEvery: "1 minute" })
      yield* set(change("GC_INTERVAL", "7 days"))
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(at, [0, 60, 120])
      yield* close
    }).pipe(Effect.provide(world({ presence: Duration.hours(4) })))
  )
})
