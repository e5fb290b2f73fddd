/** A search for leftovers in a store so large that its keys are cut into ranges, which are listed at once and shared. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { fails, hangsBefore } from "../../../src/testing/Faults.ts"
import {
  artifact,
  blobKey,
  clean,
  counts,
  day,
  journaled,
  objects,
  passing,
  replica,
  settle,
  stage,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../../fixtures/World.ts"

const digits = [..."0123456789abcdef"]
/** One key in each range, as the blob store makes keys, and some before and after them that no store makes. */
const strays = [
  ...digits.map((digit) => `blobs/sha256/${digit}0/stray`),
  ...["blobs/by-hand", "blobs/sha256/zz/stray", "blobs/sha512/00/stray", "blobs/unknown"]
].map((key) => ObjectKey.make(key))

const settings: Partial<SweepSettings> = {
  leftoverCutFrom: 0,
  breakerPercent: 100,
  maxDuration: Duration.minutes(60)
}

const stageAll = (keys: ReadonlyArray<string>) => Effect.forEach(keys, (key) => stage(key), { discard: true })

/** A page of blobs takes a minute. */
const slowListing = Effect.map(World, ({ storage }) =>
  storage.always(({ operation, args }) =>
    operation === "list" && args[0] === "blobs/" ? hangsBefore(Effect.sleep("1 minute")) : undefined
  )
)

/** Where listings of blobs began. */
const begins = Effect.map(World, ({ storage }) =>
  storage.calls.flatMap(({ operation, args: [prefix, options] }) =>
    operation === "list" && prefix === "blobs/"
      ? [(options as { after?: string } | undefined)?.after ?? "the beginning"]
      : []
  )
)

const eachRange = ["the beginning", ..."123456789abcdef".split("").map((digit) => `blobs/sha256/${digit}`)]

describe("a search for leftovers that is cut", () => {
  it.effect("finds what is in any range or before and behind them, and lists each range once", () =>
    Effect.gen(function* () {
      yield* upload("live", { references: [artifact("v1", "live")] })
      yield* stageAll(strays)
      assert.deepInclude(counts(yield* sweepAfter(day), "leftovers"), {
        seen: strays.length + 1,
        eligible: strays.length,
        stoppedBy: null
      })
      assert.sameMembers([...(yield* begins)], eachRange)
      assert.sameMembers([...(yield* journaled)], strays)
      yield* sweepAfter(Duration.toMillis("1 hour"))
      assert.deepStrictEqual(yield* objects, [blobKey("live")])
      yield* clean
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect("lists four ranges at a time, and with another collector eight", () =>
    Effect.gen(function* () {
      yield* stageAll(strays)
      yield* TestClock.adjust(day)
      const other = yield* replica(settings)
      yield* slowListing
      const began = yield* Clock.currentTimeMillis
      const both = yield* passing(Effect.all([sweep(), other.once()], { concurrency: "unbounded" }))
      assert.strictEqual((yield* Clock.currentTimeMillis) - began, Duration.toMillis("2 minutes"))
      const eligible = both.map((report) => counts(report, "leftovers").eligible)
      assert.isTrue(eligible.every((count) => count > 0))
      assert.strictEqual(
        eligible.reduce((sum, count) => sum + count),
        strays.length
      )
      assert.sameMembers([...(yield* begins)], eachRange)
      yield* TestClock.adjust(day)
      const began2 = yield* Clock.currentTimeMillis
      yield* passing(sweep())
      assert.strictEqual((yield* Clock.currentTimeMillis) - began2, Duration.toMillis("4 minutes"))
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect("is gone on with where each range stood, when time was up", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      const many = strays.flatMap((key) =>
        Array.from({ length: 1001 }, (_, n) => `${key}/${String(n).padStart(4, "0")}`)
      )
      yield* stageAll(many)
      yield* TestClock.adjust(day)
      yield* slowListing
      const first = yield* passing(sweep())
      // Half of four minutes is the listing's share: two pages of four ranges.
      assert.deepInclude(counts(first, "leftovers"), { stoppedBy: "time" })
      assert.isTrue(state.listing?.ranges.every(({ claimedUntil }) => claimedUntil === null))
      const seen = [counts(first, "leftovers").seen]
      while (state.listing?.endedAt === null && seen.length < 20) {
        seen.push(counts(yield* passing(sweep()), "leftovers").seen)
      }
      assert.strictEqual(
        seen.reduce((sum, count) => sum + count),
        many.length
      )
      assert.isAbove(seen.length, 2)
      assert.strictEqual((yield* journaled).length, many.length)
    }).pipe(Effect.provide(world({ ...settings, maxDuration: Duration.minutes(4) })))
  )

  it.effect("that fails in one range is gone on with at once: the others gave up theirs", () =>
    Effect.gen(function* () {
      const { storage, state } = yield* World
      yield* stageAll(strays)
      yield* TestClock.adjust(day)
      storage.always(({ operation, args: [, options] }) =>
        operation === "list" && (options as { after?: string } | undefined)?.after === "blobs/sha256/2"
          ? fails("Unavailable" as const)
          : undefined
      )
      const report = yield* sweep()
      assert.strictEqual(report.phases.leftovers.stoppedBy, "failure")
      assert.isTrue(state.listing?.ranges.every(({ claimedUntil }) => claimedUntil === null))
      storage.heal()
      assert.isNull(counts(yield* sweep(), "leftovers").stoppedBy)
      assert.strictEqual((yield* journaled).length, strays.length)
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect("is judged by all its ranges, and what any had journaled is taken back", () =>
    Effect.gen(function* () {
      const { database, state } = yield* World
      const guarded = { ...settings, breakerBlobs: 15, breakerPercent: 50 }
      yield* stageAll(strays)
      // Enough that no range trips by itself, and all together do.
      for (const digit of digits) {
        const key = ObjectKey.make(`blobs/sha256/${digit}0/live`)
        yield* upload(`live${digit}`, { key, references: [artifact(`v${digit}`, `live${digit}`)] })
      }
      yield* TestClock.adjust(day)
      // Another collector that is about to journal what it found.
      const other = yield* replica(guarded)
      const wakes = yield* Deferred.make<void>()
      database.next("leftovers.journal", hangsBefore(Deferred.await(wakes)))
      const sleeper = yield* Effect.forkChild(other.once())
      yield* settle
      const report = yield* (yield* replica(guarded)).once()
      assert.strictEqual(report.phases.leftovers.error?.tag, "BreakerOpen")
      assert.deepStrictEqual(yield* journaled, [])
      yield* Deferred.succeed(wakes, undefined)
      yield* Fiber.join(sleeper)
      assert.deepStrictEqual(yield* journaled, [], "what came late is not journaled")
      assert.deepInclude(state.listing, { pass: 1, listed: 0, unowned: 0, endedAt: null })
      yield* TestClock.adjust(30 * day)
      yield* (yield* replica(guarded)).once()
      assert.strictEqual((yield* objects).length, strays.length + digits.length)
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect("control: without the lease that journaling asks for, the late page would be journaled", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      const [key = ObjectKey.make("blobs/none")] = strays
      const plan = { everyMillis: 1, cuts: [ObjectKey.make("blobs/sha256/8")], cutFrom: 0 }
      const now = yield* Clock.currentTimeMillis
      const claim = Effect.flatMap(rows.leftovers.claim(now, now + day, plan), Effect.fromOption)
      const [one, two] = [yield* claim, yield* claim]
      yield* rows.leftovers.withdraw(one)
      const late = [{ key, sizeBytes: 1 }]
      assert.deepStrictEqual(yield* rows.leftovers.journal(now, late, now, two), [])
      assert.deepStrictEqual(yield* rows.leftovers.journal(now, late, now), [key])
    }).pipe(Effect.provide(world(settings)))
  )
})
