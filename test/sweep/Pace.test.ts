import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import { StorageError } from "../../src/domain/StorageError.ts"
import type { DeleteOutcome } from "../../src/storage/Storage.ts"
import * as Pace from "../../src/sweep/Pace.ts"
import type { SweepSettings } from "../../src/sweep/Settings.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { upload, world } from "../fixtures/World.ts"

const settings: Pace.PaceSettings = {
  deleteConcurrency: 8,
  keysPerSecondMax: null,
  requestsPerSecondMax: null
}

const done: DeleteOutcome = { deleted: [], failed: [] }
const hadEnough: DeleteOutcome = { deleted: [], failed: [], throttled: 1 }

/** A store whose requests take 100 ms, and which has had enough when more than `capacity` are in flight. */
const storeOf = (
  capacity: number,
  refuses: (inFlight: number) => boolean = (inFlight) => inFlight > capacity
) => {
  const seen = { inFlight: 0, most: 0, refused: 0, answered: 0, mostLately: 0 }
  const request = Effect.suspend(() => {
    seen.inFlight += 1
    seen.most = Math.max(seen.most, seen.inFlight)
    seen.mostLately = Math.max(seen.mostLately, seen.inFlight)
    const isTooMuch = refuses(seen.inFlight)
    return Effect.sleep("100 millis").pipe(
      Effect.andThen(
        Effect.sync(() => {
          seen.inFlight -= 1
          seen.answered += 1
          if (isTooMuch) seen.refused += 1
          return isTooMuch ? hadEnough : done
        })
      )
    )
  })
  return { seen, request }
}

/** Sends so many requests as fast as the pace lets them go, while `lasts` passes in steps. */
const sending = Effect.fnUntraced(function* (
  pace: Pace.Pace,
  count: number,
  request: Effect.Effect<DeleteOutcome, StorageError>,
  keys = 1000
) {
  const fiber = yield* Effect.forkChild(
    Effect.forEach(Array.from({ length: count }), () => pace.deleting(keys, request), {
      concurrency: 100,
      discard: true
    })
  )
  let steps = 0
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.adjust("50 millis")
    steps += 1
    assert.isBelow(steps, 100_000)
  }
  yield* Fiber.join(fiber)
  return yield* Clock.currentTimeMillis
})

const quiet = Effect.provide(Logger.layer([]))

describe("the pace of a sweep", () => {
  it.effect("begins with two requests in flight and comes up to the ceiling, never above", () =>
    Effect.gen(function* () {
      const { request, seen } = storeOf(Number.POSITIVE_INFINITY)
      const pace = yield* Pace.make(settings)
      const inFlightAt: Array<number> = []
      const fiber = yield* Effect.forkChild(sending(pace, 40, request))
      for (let tick = 0; tick < 4; tick++) {
        yield* Effect.yieldNow
        yield* TestClock.adjust(0)
        inFlightAt.push(seen.inFlight)
        yield* TestClock.adjust("100 millis")
      }
      yield* Fiber.join(fiber)
      assert.strictEqual(inFlightAt[0], 2)
      assert.strictEqual(seen.most, 8)
      assert.strictEqual(seen.answered, 40)
    })
  )

  it.effect("stays at what the store takes, and is refused seldom", () =>
    Effect.gen(function* () {
      const { request, seen } = storeOf(4)
      const pace = yield* Pace.make(settings)
      yield* sending(pace, 100, request)
      seen.refused = 0
      seen.mostLately = 0
      yield* sending(pace, 400, request)
      assert.isAtMost(seen.mostLately, 5, "it tries one more now and then")
      assert.isAtMost(seen.refused, 60)
      // Without a pace, nearly all are: the control.
      const control = storeOf(4)
      const fiber = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 400 }), () => control.request, { concurrency: 8, discard: true })
      )
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(fiber)
      assert.isAbove(control.seen.refused, 190)
    }).pipe(quiet)
  )

  it.effect("halves once for all that were under way when the store had had enough", () =>
    Effect.gen(function* () {
      let refusing = false
      const { request, seen } = storeOf(0, () => refusing)
      const pace = yield* Pace.make(settings)
      yield* sending(pace, 40, request)
      refusing = true
      const refused = yield* Effect.forkChild(sending(pace, 8, request))
      yield* TestClock.adjust(0)
      assert.strictEqual(seen.inFlight, 8)
      refusing = false
      yield* Fiber.join(refused)
      seen.mostLately = 0
      const next = yield* Effect.forkChild(sending(pace, 4, request))
      yield* TestClock.adjust(0)
      assert.strictEqual(seen.inFlight, 4, "eight refusals, one halving")
      yield* Fiber.join(next)
    }).pipe(quiet)
  )

  it.effect("waits longer each time while even one request is too much, at most half a minute", () =>
    Effect.gen(function* () {
      const begunAt: Array<number> = []
      const request = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        begunAt.push(now)
        return Effect.succeed(hadEnough)
      })
      const pace = yield* Pace.make(settings)
      yield* sending(pace, 12, request)
      const waits = begunAt.slice(2).map((at, index) => at - (begunAt[index + 1] ?? 0))
      assert.deepStrictEqual(
        waits.slice(0, 8),
        [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
        "one by one behind the first two"
      )
      assert.isTrue(waits.slice(8).every((wait) => wait === 30_000))
    }).pipe(quiet)
  )

  it.effect("slows down when requests fail as a whole, without a wait of its own", () =>
    Effect.gen(function* () {
      const failure = new StorageError({
        operation: "delete",
        subject: "x",
        reason: "Throttled",
        detail: "x"
      })
      const pace = yield* Pace.make(settings)
      for (let n = 0; n < 5; n++) yield* Effect.flip(pace.deleting(1000, Effect.fail(failure)))
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
      const { request, seen } = storeOf(8)
      const fiber = yield* Effect.forkChild(sending(pace, 3, request))
      yield* TestClock.adjust(0)
      assert.strictEqual(seen.inFlight, 1)
      yield* Fiber.join(fiber)
    }).pipe(quiet)
  )

  it.effect("does not slow down over a key that may not be deleted", () =>
    Effect.gen(function* () {
      const denied: DeleteOutcome = {
        deleted: [],
        failed: [{ key: "a" as never, reason: "denied", code: "AccessDenied", detail: "" }]
      }
      const pace = yield* Pace.make(settings)
      for (let n = 0; n < 20; n++) yield* pace.deleting(1000, Effect.succeed(denied))
      const { request, seen } = storeOf(8)
      yield* sending(pace, 30, request)
      assert.strictEqual(seen.most, 8)
    })
  )

  it.effect("asks for no more keys a second than the ceiling", () =>
    Effect.gen(function* () {
      const { request } = storeOf(Number.POSITIVE_INFINITY)
      const pace = yield* Pace.make({ ...settings, keysPerSecondMax: 500 })
      const end = yield* sending(pace, 21, request, 100)
      // The first goes at once, the other 2000 keys take 4 s, and the last answer 100 ms.
      assert.strictEqual(end, 4100)
    })
  )

  it.effect("sends no more requests a second than the ceiling, those that delete nothing included", () =>
    Effect.gen(function* () {
      const pace = yield* Pace.make({ ...settings, requestsPerSecondMax: 10 })
      const fiber = yield* Effect.forkChild(
        Effect.andThen(
          Effect.forEach(Array.from({ length: 5 }), () => pace.asking, { discard: true }),
          Effect.forEach(Array.from({ length: 6 }), () => pace.deleting(1000, Effect.succeed(done)), {
            concurrency: 8,
            discard: true
          })
        )
      )
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isDefined(fiber.pollUnsafe())
    })
  )
})

describe("a sweep below a ceiling", () => {
  /** How many rows it takes at a time, of fifty orphans. */
  const pages = (ceilings: Partial<SweepSettings>) => {
    const sizes: Array<number> = []
    const sweeping = Effect.gen(function* () {
      for (let n = 0; n < 50; n++) yield* upload(`blob ${n}`)
      const fiber = yield* Effect.forkChild((yield* Sweep).once())
      while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("100 millis")
      const { outcome, totals } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([outcome, totals.deleted], ["complete", 50])
      return sizes.filter((size) => size > 0)
    })
    const waits = { grace: Duration.zero, quarantine: Duration.zero }
    return Effect.provide(
      sweeping,
      world({ ...waits, ...ceilings }, (inner) => ({
        ...inner,
        orphans: {
          ...inner.orphans,
          purge: (request) =>
            Effect.tap(inner.orphans.purge(request), ({ purged }) =>
              Effect.sync(() => void sizes.push(purged.length))
            )
        }
      }))
    )
  }

  it.effect("takes no more rows at a time than a tenth of a second's keys", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* pages({ keysPerSecondMax: 100 }), [10, 10, 10, 10, 10])
      assert.deepStrictEqual(yield* pages({ keysPerSecondMax: 5000 }), [50])
      assert.deepStrictEqual(yield* pages({}), [50], "the control")
    })
  )

  it.effect("takes as many as its requests need to keep up with it", () =>
    Effect.gen(function* () {
      const ceilings = { keysPerSecondMax: 100, requestsPerSecondMax: 4 }
      assert.deepStrictEqual(yield* pages(ceilings), [25, 25])
    })
  )
})
