/** Places under a test clock: who gets one, who loses it, and what is bounded. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Places from "../../../src/oci/http/Places.ts"

const options: Places.PlacesOptions = {
  max: 2,
  overtakeAfter: Duration.millis(100),
  overtakenMax: 2,
  overtakenBytesMax: 1000,
  heldBytesMax: 100
}

/** Begins a transfer that asks for a place. */
const ask = (places: Places.Places, client = "a") =>
  Effect.gen(function* () {
    const transfer = places.begin(client)
    const lost: Array<string> = []
    transfer.onLost = (isEnded) => lost.push(isEnded ? "ended" : "overtaken")
    const taking = yield* Effect.forkChild(Effect.exit(transfer.take), { startImmediately: true })
    return { transfer, lost, taking }
  })

/** Begins transfers that have places and wait for their clients, which moved a byte. */
const trickling = (places: Places.Places, count: number, client = "a") =>
  Effect.forEach(Array.from({ length: count }), () =>
    Effect.tap(ask(places, client), ({ transfer }) => {
      transfer.moved(1)
      transfer.waits()
      return TestClock.adjust("100 millis")
    })
  )

const holdings = (asked: ReadonlyArray<{ readonly transfer: Places.Transfer }>) =>
  asked.map(({ transfer }) => transfer.holds())

describe("a transfer that finds all places taken", () => {
  it.effect("overtakes one that waits for its client, which reads on with a place of its own", () =>
    Effect.gen(function* () {
      const places = yield* Places.make(options)
      const slow = yield* trickling(places, 2)
      const fast = yield* ask(places)
      assert.deepStrictEqual(holdings([fast, ...slow]), [true, false, true])
      assert.deepStrictEqual(slow[0]?.lost, ["overtaken"])
      assert.deepStrictEqual(places.load(), { inHand: 2, waiting: 0, overtaken: 1 })
      const again = yield* Effect.forkChild(slow[0]?.transfer.take ?? Effect.void, { startImmediately: true })
      assert.deepStrictEqual(holdings([fast, ...slow]), [true, true, false])
      yield* Fiber.join(again)
    })
  )

  it.effect("waits while they wait for the store, and where nothing is overtaken (control)", () =>
    Effect.gen(function* () {
      for (const [overtakeAfter, isBusy] of [
        [Duration.millis(100), true],
        [Duration.infinity, false]
      ] as const) {
        const places = yield* Places.make({ ...options, overtakeAfter })
        const slow = yield* trickling(places, 2)
        if (isBusy) for (const { transfer } of slow) transfer.moved(1)
        const next = yield* ask(places)
        yield* TestClock.adjust("10 seconds")
        assert.isFalse(next.transfer.holds())
        assert.strictEqual(places.stuckMillis(), 10_000)
        slow[0]?.transfer.end()
        assert.isTrue(next.transfer.holds())
        assert.strictEqual(places.stuckMillis(), 0)
      }
    })
  )

  it.effect("waits for a new transfer's first 100 milliseconds, and overtakes it then", () =>
    Effect.gen(function* () {
      const places = yield* Places.make({ ...options, max: 1 })
      const first = yield* ask(places)
      first.transfer.waits()
      const next = yield* ask(places)
      assert.isFalse(next.transfer.holds())
      yield* TestClock.adjust("100 millis")
      assert.isTrue(next.transfer.holds())
    })
  )

  it.effect("does not overtake a fast client, until it stalls for a second", () =>
    Effect.gen(function* () {
      const places = yield* Places.make({ ...options, max: 1 })
      const first = yield* ask(places)
      first.transfer.moved(100 * 1024 * 1024)
      first.transfer.waits()
      const next = yield* ask(places)
      yield* TestClock.adjust("900 millis")
      assert.isFalse(next.transfer.holds())
      yield* TestClock.adjust("200 millis")
      assert.isTrue(next.transfer.holds())
    })
  )

  it.effect(
    "does not overtake a fast client whose store is slow, although it is waited for now and then",
    () =>
      Effect.gen(function* () {
        for (const [waitMillis, isOvertaken] of [
          [1, false],
          [500, true]
        ] as const) {
          const places = yield* Places.make({ ...options, max: 1 })
          const first = yield* ask(places)
          const next = yield* ask(places)
          for (let piece = 0; piece < 50 && first.transfer.holds(); piece++) {
            first.transfer.waits()
            yield* TestClock.adjust(waitMillis)
            first.transfer.moved(64 * 1024)
            yield* TestClock.adjust(1000 - waitMillis)
          }
          assert.strictEqual(next.transfer.holds(), isOvertaken)
        }
      })
  )

  it.effect("waits for the turn of a fast one that has turns, and of no other", () =>
    Effect.gen(function* () {
      const places = yield* Places.make({ ...options, turn: Duration.seconds(5) })
      const fast = [yield* ask(places), yield* ask(places)]
      const [, turning] = fast
      if (turning !== undefined) turning.transfer.hasTurns = true
      const next = yield* ask(places)
      yield* TestClock.adjust("4900 millis")
      assert.isFalse(next.transfer.holds())
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(holdings([next, ...fast]), [true, true, false])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(holdings([next, ...fast]), [true, true, false])
    })
  )

  it.effect("gets the next one before clients that hold more", () =>
    Effect.gen(function* () {
      const places = yield* Places.make(options)
      const greedy = [yield* ask(places, "greedy"), yield* ask(places, "greedy")]
      const more = yield* ask(places, "greedy")
      const modest = yield* ask(places, "modest")
      greedy[0]?.transfer.end()
      assert.deepStrictEqual(holdings([more, modest]), [false, true])
      greedy[1]?.transfer.end()
      assert.deepStrictEqual(holdings([more, modest]), [true, true])
    })
  )

  it.effect("gets it before those that were overtaken, except each fourth time", () =>
    Effect.gen(function* () {
      const places = yield* Places.make({ ...options, max: 1 })
      const [slow] = yield* trickling(places, 1)
      const order: Array<string> = []
      let current = yield* ask(places)
      yield* Effect.forkChild(
        Effect.tap(slow?.transfer.take ?? Effect.void, () => Effect.sync(() => order.push("slow"))),
        {
          startImmediately: true
        }
      )
      for (let at = 0; at < 4; at++) {
        const next = yield* ask(places)
        current.transfer.end()
        if (!next.transfer.holds()) slow?.transfer.end()
        order.push(next.transfer.holds() ? "new" : "waits")
        current = next
      }
      assert.include(order, "slow")
      assert.strictEqual(order.filter((who) => who === "new").length, 4)
    })
  )
})

describe("overtaken transfers", () => {
  it.effect("are bounded in number: then the slowest of all is ended", () =>
    Effect.gen(function* () {
      const places = yield* Places.make(options)
      const slow = yield* trickling(places, 4)
      assert.deepStrictEqual(places.load(), { inHand: 2, waiting: 0, overtaken: 2 })
      yield* TestClock.adjust("2 seconds")
      slow[1]?.transfer.moved(1)
      const fast = yield* ask(places)
      assert.isTrue(fast.transfer.holds())
      assert.deepStrictEqual(
        slow.map(({ lost }) => lost.includes("ended")),
        [true, false, false, false]
      )
      const ended = yield* Effect.exit(slow[0]?.transfer.take ?? Effect.void)
      assert.include(String(ended), "TransferShed")
    })
  )

  it.effect(
    "are ended for what they moved of late: one that began fast and drips is slower than a slow line",
    () =>
      Effect.gen(function* () {
        const places = yield* Places.make({ ...options, max: 1, overtakenMax: 1 })
        const dripping = yield* ask(places)
        dripping.transfer.moved(4 * 1024 * 1024)
        dripping.transfer.waits()
        yield* TestClock.adjust("1 second")
        const honest = yield* ask(places, "honest")
        for (let second = 0; second < 30; second++) {
          honest.transfer.waits()
          yield* TestClock.adjust("1 second")
          honest.transfer.moved(50_000)
        }
        honest.transfer.waits()
        yield* TestClock.adjust("100 millis")
        const fast = yield* ask(places)
        assert.isTrue(fast.transfer.holds())
        assert.deepStrictEqual([dripping.lost, honest.lost], [["overtaken", "ended"], ["overtaken"]])
      })
  )

  it.effect("are bounded in memory", () =>
    Effect.gen(function* () {
      const places = yield* Places.make({ ...options, max: 1, overtakenMax: 100, overtakenBytesMax: 250 })
      const all = []
      for (let at = 0; at < 4; at++) {
        const one = yield* ask(places)
        one.transfer.moved(1000)
        one.transfer.waits()
        yield* TestClock.adjust("2 seconds")
        all.push(one)
      }
      assert.strictEqual(places.load().overtaken, 2)
      assert.strictEqual(all.filter(({ lost }) => lost.includes("ended")).length, 1)
    })
  )

  it.effect("of a greedy client are ended at once for another client", () =>
    Effect.gen(function* () {
      const places = yield* Places.make({ ...options, overtakeAfter: Duration.millis(1) })
      for (let at = 0; at < 4; at++) {
        const { transfer } = yield* ask(places, "greedy")
        transfer.waits()
        yield* TestClock.adjust("1 millis")
      }
      const same = yield* ask(places, "greedy")
      assert.isFalse(same.transfer.holds())
      const other = yield* ask(places, "modest")
      assert.isTrue(other.transfer.holds())
    })
  )
})

it.effect("there is room until as many new transfers wait as there are places", () =>
  Effect.gen(function* () {
    const places = yield* Places.make({ ...options, overtakeAfter: Duration.infinity })
    const asked = yield* Effect.forEach(["a", "b", "c"], (client) => ask(places, client))
    yield* places.hasRoom
    yield* ask(places)
    const room = yield* Effect.forkChild(places.hasRoom, { startImmediately: true })
    assert.isUndefined(room.pollUnsafe())
    asked[0]?.transfer.end()
    yield* Fiber.join(room)
  })
)
