/** `Time.pass`: forked work comes to its end while the clock moves. */
import { readFile } from "node:fs/promises"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as Collector from "../../src/sweep/Collector.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { hangsBefore } from "../../src/testing/Faults.ts"
import * as Time from "../../src/testing/Time.ts"
import { bury, objects, upload, World, world } from "../fixtures/World.ts"

/** A service whose calls take real time, as those of a server do. */
class Server extends Context.Service<
  Server,
  {
    readonly verbs: { readonly ask: (millis: number) => Effect.Effect<number> }
    readonly ping: Effect.Effect<void>
  }
>()("test/Server") {}

const slowly = (millis: number) => TestClock.withLive(Effect.sleep(millis))

const server = Layer.succeed(Server, {
  verbs: { ask: (millis) => Effect.as(slowly(millis), millis) },
  ping: slowly(5)
})

describe("time that passes", () => {
  it.effect("lets a forked sweep come to its end, which one adjustment does not", () =>
    Effect.gen(function* () {
      for (const name of ["a", "b", "c"]) yield* bury(name)
      const sweep = yield* Sweep
      const { database } = yield* World
      // As many turns of the scheduler as a real backend needs, and more than one adjustment gives.
      database.next("inspect", hangsBefore(Effect.repeat(Effect.yieldNow, { times: 100 })))
      const adjusted = yield* Effect.forkChild(sweep.once())
      yield* TestClock.adjust(1)
      assert.isUndefined(adjusted.pollUnsafe(), "the control: it is under way")
      yield* Time.pass(0)
      assert.isDefined(adjusted.pollUnsafe())
      const passed = yield* Effect.forkChild(sweep.once())
      yield* Time.pass("1 second")
      assert.isDefined(passed.pollUnsafe())
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("stops at every sleep, however far it goes", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("inspect", hangsBefore(Effect.sleep("10 minutes")), Number.POSITIVE_INFINITY)
      const starts: Array<string> = []
      yield* Layer.build(
        Collector.layer({
          every: "1 hour",
          jitter: 0,
          onReport: ({ startedAt }) => Effect.sync(() => void starts.push(startedAt.slice(11, 16)))
        })
      )
      yield* upload("a")
      yield* Time.pass("5 hours")
      assert.deepStrictEqual(starts, ["00:00", "01:10", "02:20", "03:30", "04:40"])
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()), Effect.scoped)
  )

  it.effect("lets a collector with jitter sweep every hour, however far it goes", () =>
    Effect.gen(function* () {
      const starts: Array<number> = []
      yield* Layer.build(
        Collector.layer({
          every: "1 hour",
          jitter: "2 minutes",
          onReport: ({ startedAt }) => Effect.sync(() => void starts.push(Date.parse(startedAt)))
        })
      )
      yield* Time.pass("7 days")
      assert.isAbove(starts.length, 160, "sweeps of a week")
      for (const [n, start] of starts.entries()) {
        const wait = start - (starts[n - 1] ?? start - 3_600_000)
        assert.isTrue(wait >= 3_600_000 && wait <= 3_720_000, `sweep ${n} began ${wait} ms after the last`)
      }
    }).pipe(Effect.provide(world()), Effect.scoped)
  )

  it.effect("waits for work that takes longer than a test clock waits by itself", () =>
    Effect.gen(function* () {
      const work = Effect.gen(function* () {
        yield* Effect.sleep("1 hour")
        const since = performance.now()
        while (performance.now() - since < 100) yield* Effect.yieldNow
        return yield* Clock.currentTimeMillis
      })
      const passed = yield* Effect.forkChild(work)
      yield* Time.pass("1 day")
      assert.strictEqual(yield* Fiber.join(passed), 3_600_000)
      const adjusted = yield* Effect.forkChild(work)
      yield* TestClock.adjust("1 day")
      assert.strictEqual(yield* Fiber.join(adjusted), 48 * 3_600_000, "the control")
    }).pipe(Effect.provide(Layer.merge(Logger.layer([]), TestClock.layer({ warningDelay: "20 millis" }))))
  )

  it.effect("stands still while woken fibres read files", () =>
    Effect.gen(function* () {
      const work = Effect.gen(function* () {
        const at: Array<number> = []
        for (let n = 0; n < 5; n++) {
          yield* Effect.sleep("1 hour")
          yield* Effect.promise(() => readFile(new URL(import.meta.url)))
          at.push(yield* Clock.currentTimeMillis)
        }
        return at.map((millis) => millis / 3_600_000)
      })
      const passed = yield* Effect.forkChild(work)
      yield* Time.pass("1 day")
      assert.deepStrictEqual(yield* Fiber.join(passed), [1, 2, 3, 4, 5])
    })
  )

  it.effect("dies and names fibres that never sleep, and leaves the clock usable", () =>
    Effect.gen(function* () {
      const restless = yield* Effect.sleep("1 hour").pipe(
        Effect.andThen(Effect.forever(Effect.sleep(0))),
        Effect.withSpan("restless"),
        Effect.forkChild
      )
      const exit = yield* Effect.exit(Time.pass("30 days", { patience: "50 millis" }))
      assert.isTrue(Exit.isFailure(exit))
      assert.match(String(exit), /1970-01-01T01:00:00.000Z: it waited 50 ms .* \(#\d+ in restless\)/)
      yield* Fiber.interrupt(restless)
      const slept = yield* Effect.forkChild(Effect.sleep("1 hour"))
      yield* Time.pass("1 hour")
      assert.isDefined(slept.pollUnsafe())
    })
  )

  it.effect("leaves the clock where it is when it is interrupted", () =>
    Effect.gen(function* () {
      const calls = Time.calls()
      const asking = Effect.flatMap(Server, ({ verbs }) => verbs.ask(60_000)).pipe(
        Effect.provide(calls.watch(Server).pipe(Layer.provide(server)))
      )
      const waits = yield* Effect.forkChild(asking)
      const passing = yield* Effect.forkChild(Time.pass("1 day", { calls }))
      yield* slowly(20)
      yield* Fiber.interrupt(passing)
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
      yield* Fiber.interrupt(waits)
      yield* Time.pass("1 day", { calls })
      assert.strictEqual(yield* Clock.currentTimeMillis, 24 * 3_600_000)
    })
  )

  it.effect("waits for files that are being read", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(
        Effect.promise(async () => {
          let size = 0
          for (let n = 0; n < 20; n++) size += (await readFile(new URL(import.meta.url))).byteLength
          return size
        })
      )
      yield* Time.pass("1 hour")
      assert.isDefined(fiber.pollUnsafe())
    })
  )

  it.effect("waits for the calls of a watched service, at any depth", () =>
    Effect.gen(function* () {
      const calls = Time.calls()
      const work = Effect.gen(function* () {
        const { ping, verbs } = yield* Server
        const at: Array<number> = []
        for (let n = 0; n < 3; n++) {
          yield* verbs.ask(20)
          yield* ping
          at.push(yield* Clock.currentTimeMillis)
          yield* Effect.sleep("1 hour")
        }
        return at
      })
      const fiber = yield* work.pipe(
        Effect.provide(calls.watch(Server).pipe(Layer.provide(server))),
        Effect.forkChild
      )
      yield* Time.pass("3 hours", { calls })
      assert.deepStrictEqual(calls.underWay(), [])
      assert.deepStrictEqual(yield* Fiber.join(fiber), [0, 3_600_000, 7_200_000])
    })
  )

  it.effect("runs away from a service that is not watched", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.flatMap(Server, ({ verbs }) => verbs.ask(30)).pipe(
        Effect.andThen(Clock.currentTimeMillis),
        Effect.provide(server),
        Effect.forkChild
      )
      yield* Time.pass("1 hour")
      assert.isUndefined(fiber.pollUnsafe(), "the control")
      assert.strictEqual(yield* Fiber.join(fiber), 3_600_000)
    })
  )

  it.effect("dies and names a watched call that sleeps by the test's clock", () =>
    Effect.gen(function* () {
      const calls = Time.calls()
      const sleeping = Layer.succeed(Server, {
        verbs: { ask: (millis) => Effect.as(Effect.sleep(millis), millis) },
        ping: Effect.void
      })
      yield* Effect.flatMap(Server, ({ verbs }) => verbs.ask(1000)).pipe(
        Effect.provide(calls.watch(Server).pipe(Layer.provide(sleeping))),
        Effect.forkChild
      )
      const exit = yield* Effect.exit(Time.pass("1 hour", { calls, patience: "50 millis" }))
      assert.isTrue(Exit.isFailure(exit))
      assert.match(String(exit), /verbs\.ask/)
    })
  )
})
