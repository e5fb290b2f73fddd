import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { SweepReport } from "../../../src/domain/SweepReport.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { fails, hangsAfter, hangsBefore } from "../../../src/testing/Faults.ts"
import {
  abandon,
  artifact,
  blobKey,
  bury,
  clean,
  counts,
  day,
  digest,
  hour,
  journaled,
  journalRow,
  killedWhen,
  leaked,
  minute,
  objects,
  passing,
  replica,
  settle,
  snapshot,
  sound,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../../fixtures/World.ts"

const stray = (n: number) => ObjectKey.make(`blobs/stray/${String(n).padStart(4, "0")}`)
const strays = (count: number, from = 0) => Array.from({ length: count }, (_, n) => stray(from + n))
const stageAll = (keys: ReadonlyArray<string>) => Effect.forEach(keys, (key) => stage(key), { discard: true })
const uploadLive = (names: ReadonlyArray<string>) =>
  Effect.forEach(names, (name) => upload(name, { references: [artifact(name, name)] }), { discard: true })

/** Every sweep looks for leftovers. */
const always: Partial<SweepSettings> = { leftoverEvery: Duration.millis(1) }

/** Prefixes after which the sweep's listings of blobs began. */
const listings = Effect.map(World, ({ storage }) =>
  storage.calls.flatMap(({ operation, args: [prefix, options] }) =>
    operation === "list" && prefix === "blobs/" ? [(options as { after?: string } | undefined)?.after] : []
  )
)

const takes = (duration: Duration.Input) => hangsBefore(Effect.sleep(duration))

/** The listings of blobs take so long a page; those of staged uploads do not. */
const slowListing = (duration: Duration.Input) =>
  Effect.map(World, ({ storage }) =>
    storage.always(({ operation, args }) =>
      operation === "list" && args[0] === "blobs/" ? takes(duration) : undefined
    )
  )

describe("a leftover", () => {
  it.effect("is journaled a day after it was written and deleted when the quarantine is over", () =>
    Effect.gen(function* () {
      yield* stage("blobs/stray/1", 7)
      yield* upload("live", { references: [artifact("v1", "live")] })
      assert.deepStrictEqual(counts(yield* sweepAfter(day - 1), "leftovers"), {
        seen: 2,
        eligible: 0,
        deleted: 0,
        bytes: 0,
        kept: { grace: 1, "owned by the catalogue": 1 },
        failed: {},
        stoppedBy: null
      })
      const found = yield* sweepAfter(1)
      assert.deepStrictEqual(counts(found, "leftovers"), {
        seen: 2,
        eligible: 1,
        deleted: 0,
        bytes: 0,
        kept: { quarantine: 1, "owned by the catalogue": 1 },
        failed: {},
        stoppedBy: null
      })
      assert.deepInclude(found.left, { journaled: 1, nextDueAt: new Date(start + day + hour).toISOString() })
      assert.deepInclude(yield* journalRow(ObjectKey.make("blobs/stray/1")), {
        reason: "leftover",
        sizeBytes: 7,
        notBefore: start + day + hour
      })
      const waiting = yield* sweepAfter(hour - 1)
      assert.deepInclude(counts(waiting, "leftovers").kept, { journaled: 1 })
      assert.deepStrictEqual(yield* objects, ["blobs/live/1", "blobs/stray/1"])
      assert.deepInclude(counts(yield* sweepAfter(1), "journal"), { deleted: 1, bytes: 7 })
      assert.deepStrictEqual(yield* objects, ["blobs/live/1"])
      yield* clean
    }).pipe(Effect.provide(world(always)))
  )

  it.effect.each([
    [{ quarantine: Duration.hours(2), deleteDelay: Duration.hours(3) }, 3 * hour],
    [{ quarantine: Duration.hours(4), deleteDelay: Duration.hours(3) }, 4 * hour],
    [{ quarantine: Duration.zero, deleteDelay: Duration.zero }, 1]
  ] as const)(
    "waits for quarantine or delete delay, the longer, and for the next sweep (%#)",
    ([waits, due]) =>
      Effect.gen(function* () {
        yield* stage("blobs/stray/1")
        assert.strictEqual((yield* sweepAfter(day)).totals.deleted, 0)
        assert.deepInclude(yield* journalRow(ObjectKey.make("blobs/stray/1")), {
          notBefore: start + day + due
        })
      }).pipe(Effect.provide(world({ ...always, ...waits })))
  )

  it.effect("is the object of an upload that arrived after its intent was reaped", () =>
    Effect.gen(function* () {
      yield* abandon("late", start + hour, false)
      yield* sweepAfter(hour)
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* journaled, [])
      // Only now do the bytes arrive.
      yield* stage(blobKey("late"))
      assert.deepStrictEqual(yield* leaked, [blobKey("late")])
      for (let n = 0; n < 27; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [])
      yield* clean
    }).pipe(Effect.provide(world({ leftoverEvery: Duration.hours(1) })))
  )

  it.effect("is nothing that a row, an intent or the journal names, however old", () =>
    Effect.gen(function* () {
      yield* upload("live", { references: [artifact("v1", "live")] })
      yield* upload("orphan")
      yield* abandon("under way", start + 365 * day)
      yield* bury("not due", start + 365 * day)
      assert.deepInclude(counts(yield* sweepAfter(30 * day), "leftovers"), {
        seen: 4,
        eligible: 0,
        kept: { "owned by the catalogue": 3, journaled: 1 }
      })
      assert.deepStrictEqual(yield* journaled, [blobKey("not due")])
      // Without the delay the clock guard would take the wait for a wrong clock's and end it.
    }).pipe(Effect.provide(world({ ...always, deleteDelay: Duration.days(365) })))
  )

  it.effect("lies below the blob prefix, and not below that of the uploads even inside it", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      const others = ["blobs/a/1", "store", "stores/a/1", "other/a/1"]
      yield* stageAll([...others, "store/a/1", "store/uploads/s/1"])
      const key = ObjectKey.make("store/uploads/s/1")
      // Only this keeps it: the uploads' own phase asks, and the leftovers must not even look.
      yield* rows.blobs.intend([{ key, digest: digest("a"), expiresAt: start + 365 * day }])
      assert.deepInclude(counts(yield* sweepAfter(day), "leftovers"), { seen: 1, eligible: 1 })
      yield* sweepAfter(hour)
      assert.sameMembers([...(yield* objects)], [...others, key])
    }).pipe(Effect.provide(world({ ...always, blobPrefix: "store/", uploadPrefix: "store/uploads/" })))
  )

  it.effect("that a row owns by the time it is due is struck off and kept", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* stage(blobKey("theirs"))
      yield* sweepAfter(day)
      const now = yield* Clock.currentTimeMillis
      state.blobs.set(digest("theirs"), {
        key: blobKey("theirs"),
        sizeBytes: 1,
        createdAt: now,
        lastUsedAt: now
      })
      state.references.set("theirs", artifact("theirs", "theirs"))
      yield* TestClock.adjust(hour)
      const report = yield* (yield* Sweep).once()
      assert.deepInclude(counts(report, "journal"), { kept: { "owned again": 1 }, deleted: 0 })
      yield* sound
      assert.deepStrictEqual(yield* objects, [blobKey("theirs")])
    }).pipe(Effect.provide(world(always)))
  )
})

describe("the search for leftovers", () => {
  it.effect("begins a day after the last one began, not every sweep", () =>
    Effect.gen(function* () {
      yield* stage("blobs/stray/1")
      const at: Array<number> = []
      for (let n = 0; n <= 60; n++) {
        const before = (yield* listings).length
        yield* n === 0 ? sweep() : sweepAfter(hour)
        if ((yield* listings).length > before) at.push(n)
      }
      assert.deepStrictEqual(at, [0, 24, 48])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is shorter than its pass, and the next sweep of any collector goes on where it ended", () =>
    Effect.gen(function* () {
      yield* stageAll(strays(2500))
      yield* uploadLive(["live"])
      yield* TestClock.adjust(day)
      // Half of ten minutes is the listing's share: two pages.
      yield* slowListing("4 minutes")
      const first = yield* passing(sweep())
      assert.deepInclude(counts(first, "leftovers"), { seen: 2000, eligible: 1999, stoppedBy: "time" })
      assert.strictEqual(first.outcome, "bounded")
      const other = yield* replica({ breakerPercent: 100, maxDuration: Duration.minutes(10) })
      const second = yield* passing(other.once())
      assert.deepInclude(counts(second, "leftovers"), { seen: 501, eligible: 501, stoppedBy: null })
      assert.deepStrictEqual([...new Set(yield* listings)], [undefined, stray(1998)])
      yield* passing(sweepAfter(hour))
      assert.deepStrictEqual(yield* objects, [blobKey("live")])
    }).pipe(Effect.provide(world({ breakerPercent: 100, maxDuration: Duration.minutes(10) })))
  )

  it.effect("does not keep the journal from being collected, however much there is to list", () =>
    Effect.gen(function* () {
      yield* stageAll(strays(2500))
      yield* bury("dead")
      yield* slowListing("20 minutes")
      const report = yield* passing(sweep())
      assert.deepInclude(counts(report, "leftovers"), { seen: 2000, stoppedBy: "time" })
      assert.strictEqual(report.phases.journal.deleted, 1)
    }).pipe(Effect.provide(world()))
  )

  it.effect("ends after the page in hand when it is asked to stop", () =>
    Effect.gen(function* () {
      yield* stageAll(strays(2500))
      yield* slowListing("1 minute")
      const stopping = Effect.map(Clock.currentTimeMillis, (now) => now > start)
      const report = yield* passing(sweep({ stopping }))
      assert.deepInclude(counts(report, "leftovers"), { seen: 1000, stoppedBy: "stopped" })
      const { state } = yield* World
      assert.isNull(state.listing?.endedAt)
      assert.deepInclude(state.listing?.ranges[0], { after: stray(999), claimedUntil: null, endedAt: null })
    }).pipe(Effect.provide(world()))
  )

  it.effect.each([
    ["list", 2],
    ["audit.lookup", 2],
    ["leftovers.advance", 2],
    ["leftovers.journal", 1]
  ] as const)("goes on at the next sweep when %s fails", ([operation, nth]) =>
    Effect.gen(function* () {
      const { database, storage, state } = yield* World
      yield* uploadLive(["a"])
      yield* stageAll(strays(1500))
      yield* TestClock.adjust(day)
      let calls = 0
      const strike = (call: { readonly operation: string; readonly args: ReadonlyArray<unknown> }) => {
        if (call.operation !== operation || call.args[0] === "uploads/") return undefined
        calls += 1
        return calls === nth ? fails("Unavailable" as const) : undefined
      }
      database.always(strike)
      storage.always(strike)
      const report = yield* sweep()
      assert.strictEqual(report.phases.leftovers.stoppedBy, "failure")
      assert.isNull(state.listing?.ranges[0]?.claimedUntil)
      yield* sweep()
      assert.strictEqual((yield* journaled).length, 1500)
      yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* clean
    }).pipe(Effect.provide(world({ breakerPercent: 100 })))
  )

  it.effect("is left to another collector when the lease was lost", () =>
    Effect.gen(function* () {
      const { database, state } = yield* World
      yield* uploadLive(["a"])
      yield* stageAll(strays(1500))
      yield* TestClock.adjust(day)
      const wakes = yield* Deferred.make<void>()
      database.next("audit.lookup", hangsAfter(Deferred.await(wakes)))
      const sleeper = yield* Effect.forkChild(sweep())
      yield* settle
      yield* TestClock.adjust(5 * minute)
      yield* (yield* replica({ breakerPercent: 100 })).once()
      const position = structuredClone(state.listing)
      assert.isNotNull(position?.endedAt)
      yield* Deferred.succeed(wakes, undefined)
      yield* settle
      yield* TestClock.adjust(0)
      assert.isDefined(sleeper.pollUnsafe())
      assert.deepStrictEqual(state.listing, position)
      assert.strictEqual(database.count("leftovers.journal"), 2, "one for each page, by the other")
    }).pipe(Effect.provide(world({ breakerPercent: 100 })))
  )

  it.effect("goes on after its collector was killed, when the lease is over", () =>
    Effect.gen(function* () {
      const { database, state } = yield* World
      yield* uploadLive(["a"])
      yield* stageAll(strays(3))
      yield* TestClock.adjust(day)
      const died = yield* Deferred.make<void>()
      database.next(
        "leftovers.journal",
        hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
      )
      yield* killedWhen((yield* Sweep).once(), Deferred.await(died))
      assert.deepInclude(state.listing, { listed: 4, unowned: 3 }, "counted before it is journaled")
      assert.strictEqual((yield* sweepAfter(5 * minute - 1)).phases.leftovers.seen, 0)
      assert.deepInclude(counts(yield* sweepAfter(1), "leftovers"), { eligible: 3 })
    }).pipe(Effect.provide(world()))
  )
})

describe("the breaker of the leftovers", () => {
  const names = (count: number) =>
    Array.from({ length: count }, (_, n) => `live${String(n).padStart(4, "0")}`)
  const settings = { leftoverEvery: Duration.hours(24), breakerBlobs: 20, breakerPercent: 50 }
  const tag = (report: SweepReport) => report.phases.leftovers.error?.tag

  it.effect("trips when more than so many and more than so much of what is listed belongs to nothing", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* uploadLive(names(20))
      yield* stageAll(strays(21))
      const report = yield* sweepAfter(day)
      assert.strictEqual(report.outcome, "refused")
      assert.strictEqual(tag(report), "BreakerOpen")
      assert.include(report.phases.leftovers.error?.message, "21 (51.2 % of 41)")
      assert.deepStrictEqual(yield* journaled, [])
      assert.deepInclude(state.listing, { pass: 1, listed: 0, unowned: 0, endedAt: null })
      assert.deepInclude(state.listing?.ranges[0], { after: null, claimedUntil: null, endedAt: null })
      for (let n = 0; n < 30; n++) assert.strictEqual(tag(yield* sweepAfter(day)), "BreakerOpen")
      assert.strictEqual((yield* objects).length, 41)
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect.each([
    ["no more than so many", 5, 20],
    ["no more than so much", 21, 21]
  ] as const)("lets %s go", ([_, live, dead]) =>
    Effect.gen(function* () {
      yield* uploadLive(names(live))
      yield* stageAll(strays(dead))
      assert.deepInclude(counts(yield* sweepAfter(day), "leftovers"), { eligible: dead })
      yield* sweepAfter(hour)
      assert.strictEqual((yield* objects).length, live)
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect("takes back what earlier pages of the pass had journaled", () =>
    Effect.gen(function* () {
      yield* uploadLive(names(990))
      // In key order: the live ones, 10 strays to fill the page, and a page of strays.
      yield* stageAll(strays(700))
      yield* TestClock.adjust(day)
      const first = yield* sweep()
      assert.strictEqual(tag(first), "BreakerOpen")
      assert.deepStrictEqual(yield* journaled, [])
      yield* sweepAfter(30 * day)
      assert.strictEqual((yield* objects).length, 1690)
    }).pipe(Effect.provide(world({ ...settings, breakerPercent: 40 })))
  )

  it.effect("counts over all sweeps of a pass", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* uploadLive(names(990))
      yield* stageAll(strays(700))
      yield* TestClock.adjust(day)
      yield* slowListing("5 minutes")
      const first = yield* passing(sweep())
      assert.deepInclude(counts(first, "leftovers"), { seen: 1000, eligible: 10, stoppedBy: "time" })
      assert.deepInclude(state.listing, { listed: 1000, unowned: 10 })
      assert.strictEqual((yield* journaled).length, 10)
      assert.strictEqual(tag(yield* passing(sweep())), "BreakerOpen")
      assert.deepStrictEqual(yield* journaled, [])
      assert.deepInclude(state.breakers.get("leftovers")?.exposure, { blobs: 700, totalBlobs: 1690 })
    }).pipe(Effect.provide(world({ ...settings, breakerPercent: 40, maxDuration: Duration.minutes(10) })))
  )

  it.effect("leaves alone what was begun to be deleted, and what other reasons journaled", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* bury("purged", start + 365 * day)
      yield* uploadLive(["a"])
      yield* stageAll(strays(15))
      yield* sweepAfter(day)
      assert.strictEqual((yield* journaled).length, 16)
      const begun = stray(3)
      state.journal.set(begun, { ...(yield* journalRow(begun)), attempts: 1, notBefore: start + 365 * day })
      // Old objects arrive, as of another catalogue's store.
      yield* stageAll(strays(100, 100))
      yield* TestClock.setTime(start + 2 * day)
      state.journal.forEach((row, key) => {
        state.journal.set(key, { ...row, notBefore: start + 365 * day })
      })
      assert.strictEqual(tag(yield* sweep()), "BreakerOpen")
      assert.deepStrictEqual(yield* journaled, [blobKey("purged"), begun])
    }).pipe(
      Effect.provide(
        world({ ...settings, leftoverGrace: Duration.hours(24), deleteDelay: Duration.days(365) })
      )
    )
  )

  it.effect("lets a confirmed pass come to its end, and no other", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      yield* uploadLive(["a"])
      yield* stageAll(strays(30))
      assert.strictEqual(tag(yield* sweepAfter(day)), "BreakerOpen")
      assert.strictEqual(tag(yield* sweepAfter(hour)), "BreakerOpen")
      yield* TestClock.adjust(hour)
      assert.deepStrictEqual(yield* rows.breakers.confirm(yield* Clock.currentTimeMillis), ["leftovers"])
      assert.deepInclude(counts(yield* sweep(), "leftovers"), { eligible: 30, stoppedBy: null })
      yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* stageAll(strays(30))
      assert.strictEqual(tag(yield* sweepAfter(30 * hour)), "BreakerOpen")
      yield* sweepAfter(30 * day)
      assert.strictEqual((yield* objects).length, 31)
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect.each([
    ["by no more than the tolerance", hour, start + day],
    // The clock guard moves the beginning of the pass to the present. The second page is listed 5 minutes later.
    ["by more", hour - 1, start + day - hour + 5 * minute]
  ] as const)(
    "lets a confirmed pass go on that tripped by a clock behind the one by which it began, %s",
    ([_, tolerance, trippedAt]) =>
      Effect.gen(function* () {
        const { rows, state } = yield* World
        yield* TestClock.setTime(start - day)
        yield* uploadLive(names(990))
        yield* stageAll(strays(700))
        yield* TestClock.setTime(start + day)
        yield* slowListing("5 minutes")
        assert.strictEqual((yield* passing(sweep())).phases.leftovers.stoppedBy, "time")
        yield* TestClock.setTime(start + day - hour)
        assert.strictEqual(tag(yield* passing(sweep())), "BreakerOpen")
        assert.strictEqual(state.breakers.get("leftovers")?.trippedAt, trippedAt)
        yield* rows.breakers.confirm(yield* Clock.currentTimeMillis)
        for (let n = 0; n < 3; n++) assert.isUndefined(tag(yield* passing(sweep())))
        assert.strictEqual((yield* journaled).length, 700)
      }).pipe(
        Effect.provide(
          world({
            ...settings,
            breakerPercent: 40,
            maxDuration: Duration.minutes(10),
            clockTolerance: Duration.millis(tolerance)
          })
        )
      )
  )

  it.effect.each([
    ["by no more than the tolerance", Duration.days(30)],
    ["by more", Duration.minutes(1)]
  ] as const)(
    "trips again although the last confirmation was given by a clock that is ahead, %s",
    ([_, clockTolerance]) =>
      Effect.gen(function* () {
        const { rows } = yield* World
        yield* uploadLive(["a"])
        yield* stageAll(strays(30))
        yield* sweepAfter(day)
        yield* rows.breakers.confirm(start + 30 * day)
        yield* sweep()
        yield* sweepAfter(hour)
        yield* stageAll(strays(30, 100))
        for (let n = 0; n < 3; n++) assert.strictEqual(tag(yield* sweepAfter(day)), "BreakerOpen")
        assert.strictEqual((yield* objects).length, 31)
      }).pipe(Effect.provide(world({ ...settings, clockTolerance })))
  )

  it.effect("lets a confirmed pass go on after crashes and bounds", () =>
    Effect.gen(function* () {
      const { rows, database, state } = yield* World
      yield* uploadLive(["a"])
      yield* stageAll(strays(1500))
      yield* TestClock.adjust(day)
      assert.strictEqual(tag(yield* sweep()), "BreakerOpen")
      yield* rows.breakers.confirm(yield* Clock.currentTimeMillis)
      const died = yield* Deferred.make<void>()
      const dies = hangsAfter(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
      // Within the second page.
      database.always(({ operation }) =>
        operation === "leftovers.journal" && database.count("leftovers.journal") === 2 ? dies : undefined
      )
      yield* killedWhen((yield* Sweep).once(), Deferred.await(died))
      database.heal()
      assert.strictEqual(state.listing?.pass, 1)
      assert.strictEqual(state.listing?.ranges[0]?.after, stray(998))
      assert.isUndefined(tag(yield* sweepAfter(5 * minute)))
      assert.strictEqual((yield* journaled).length, 1500)
      assert.isNotNull(state.listing?.endedAt)
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect("is open, and takes back by the next sweep, when its collector dies in between", () =>
    Effect.gen(function* () {
      const { database, state } = yield* World
      yield* uploadLive(names(990))
      yield* stageAll(strays(700))
      yield* TestClock.adjust(day)
      const died = yield* Deferred.make<void>()
      database.next(
        "leftovers.withdraw",
        hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
      )
      yield* killedWhen((yield* Sweep).once(), Deferred.await(died))
      assert.strictEqual((yield* journaled).length, 10)
      assert.strictEqual(tag(yield* sweepAfter(10 * minute)), "BreakerOpen")
      assert.deepStrictEqual(yield* journaled, [])
      assert.deepInclude(state.listing, { pass: 1, startedAt: start + day })
      assert.isNull(state.listing?.ranges[0]?.after)
      assert.strictEqual((yield* objects).length, 1690)
    }).pipe(Effect.provide(world({ ...settings, breakerPercent: 40 })))
  )

  it.effect.each([
    [11, 0, true],
    [10, 0, false],
    [80, 1, false]
  ] as const)("of %i objects of which %i are owned, in a small store, trips: %s", ([dead, live, trips]) =>
    Effect.gen(function* () {
      yield* uploadLive(names(live))
      yield* stageAll(strays(dead))
      assert.strictEqual(tag(yield* sweepAfter(day)) === "BreakerOpen", trips)
      yield* sweepAfter(hour)
      assert.strictEqual((yield* objects).length, trips ? dead + live : live)
    }).pipe(Effect.provide(world()))
  )

  it.effect("does not count what is too young to belong to anything yet", () =>
    Effect.gen(function* () {
      yield* uploadLive(["a"])
      yield* stageAll(strays(1))
      yield* TestClock.adjust(day)
      yield* stageAll(strays(50, 10))
      assert.deepInclude(counts(yield* sweep(), "leftovers"), {
        eligible: 1,
        kept: { grace: 50, quarantine: 1, "owned by the catalogue": 1 }
      })
    }).pipe(Effect.provide(world(settings)))
  )
})

describe("a dry run", () => {
  it.effect("names what would be journaled, due or not, and writes nothing", () =>
    Effect.gen(function* () {
      yield* uploadLive(["a"])
      yield* stageAll(strays(3))
      yield* sweepAfter(day - minute)
      yield* TestClock.adjust(minute)
      const before = yield* snapshot
      const { leftovers } = (yield* sweep({ dryRun: true })).phases
      assert.deepInclude(leftovers, { seen: 4, eligible: 3, deleted: 0, bytes: 3, sample: strays(3) })
      assert.deepStrictEqual(yield* snapshot, before)
    }).pipe(Effect.provide(world()))
  )

  it.effect("says when the breaker would trip, or is open, and trips nothing", () =>
    Effect.gen(function* () {
      yield* stageAll(strays(11))
      yield* TestClock.adjust(day)
      const before = yield* snapshot
      const plan = yield* sweep({ dryRun: true })
      assert.strictEqual(plan.phases.leftovers.error?.tag, "BreakerOpen")
      assert.include(
        plan.phases.leftovers.error?.message,
        "A sweep would trip the breaker: nothing in this catalogue owns 11 (100.0 % of 11)"
      )
      assert.deepStrictEqual(yield* snapshot, before)
      yield* sweep()
      assert.deepInclude((yield* sweep({ dryRun: true })).phases.leftovers.error, { tag: "BreakerOpen" })
    }).pipe(Effect.provide(world()))
  )
})
