import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import type { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { SweepReport } from "../../src/domain/SweepReport.ts"
import type { SweepSettings } from "../../src/sweep/Settings.ts"
import type { Sweep } from "../../src/sweep/Sweep.ts"
import { hangsBefore } from "../../src/testing/Faults.ts"
import {
  artifact,
  blobKey,
  blobs,
  bury,
  clean,
  day,
  drop,
  hour,
  journaled,
  killedWhen,
  minute,
  objects,
  passing,
  push,
  refer,
  replica,
  settle,
  sound,
  stage,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

const small = { batchMax: 4, scanPage: 7, deleteConcurrency: 2 }
const noWaits = { grace: Duration.zero, quarantine: Duration.zero }
const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(2, "0")}`)

/** Every call takes a second, so that collectors get in each other's way at every step. */
const slow = Effect.map(World, ({ database, storage }) => {
  const second = hangsBefore(Effect.sleep("1 second"))
  database.always(() => second)
  storage.always(() => second)
})

const replicas = (count: number, settings: Partial<SweepSettings> = small) =>
  Effect.forEach(Array(count), () => replica({ ...noWaits, ...settings }))

/** All sweep at once, the n-th beginning n seconds after the first. */
const together = (sweeps: ReadonlyArray<Sweep["Service"]>) =>
  passing(
    Effect.forEach(sweeps, (sweep, n) => Effect.delay(sweep.once(), n * 1000), { concurrency: "unbounded" })
  )

const deletedBy = (reports: ReadonlyArray<SweepReport>) =>
  reports.reduce((sum, report) => sum + report.totals.deleted, 0)

/** How often each key was in a delete request. */
const requested = Effect.map(World, ({ storage }) => {
  const times = new Map<ObjectKey, number>()
  for (const { operation, args } of storage.calls) {
    if (operation !== "delete") continue
    for (const key of args[0] as ReadonlyArray<ObjectKey>) times.set(key, (times.get(key) ?? 0) + 1)
  }
  return times
})

describe("collectors on one catalogue", () => {
  it.effect("share the orphans: each is deleted once, by one of them", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(names("a", 60), (name) => upload(name, { sizeBytes: 3 }))
      yield* upload("live", { references: [artifact("v1", "live")] })
      yield* slow
      const reports = yield* together(yield* replicas(4))
      yield* sound
      assert.strictEqual(deletedBy(reports), 60)
      assert.strictEqual(
        reports.reduce((sum, report) => sum + report.totals.bytes, 0),
        180
      )
      assert.isTrue(reports.every((report) => report.outcome === "complete"))
      assert.isAbove(
        reports.filter((report) => report.totals.deleted > 0).length,
        1,
        "no other collector helped"
      )
      const times = yield* requested
      assert.strictEqual(times.size, 60)
      assert.deepStrictEqual([...new Set(times.values())], [1])
      assert.deepStrictEqual(yield* objects, [blobKey("live")])
      assert.deepStrictEqual(yield* journaled, [])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("share the scan: the catalogue is read about once, not once for each", () =>
    Effect.gen(function* () {
      const live = names("live", 70)
      yield* Effect.forEach(live, (name) => upload(name, { references: [artifact(name, name)] }))
      yield* slow
      const alone = yield* together(yield* replicas(1))
      assert.strictEqual(alone[0]?.phases.orphans.seen, 70)
      const reports = yield* together(yield* replicas(5))
      const seen = reports.reduce((sum, report) => sum + report.phases.orphans.seen, 0)
      assert.isAtLeast(seen, 70)
      assert.isAtMost(seen, 140)
      assert.deepStrictEqual(yield* blobs, live)
    }).pipe(Effect.provide(world()))
  )

  it.effect("share the journal: each key is deleted once, by one of them", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(names("dead", 40), (name) => bury(name))
      yield* slow
      const reports = yield* together(yield* replicas(4))
      assert.strictEqual(deletedBy(reports), 40)
      assert.deepStrictEqual([...new Set((yield* requested).values())], [1])
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("share the search for leftovers: one of them lists, and each leftover is deleted once", () =>
    Effect.gen(function* () {
      const keys = Array.from({ length: 2500 }, (_, n) => `blobs/stray/${String(n).padStart(4, "0")}`)
      yield* Effect.forEach(keys, (key) => stage(key))
      yield* upload("live", { references: [artifact("v1", "live")] })
      yield* TestClock.adjust(day)
      yield* slow
      const sweeps = yield* replicas(4, { breakerPercent: 100 })
      const reports = yield* together(sweeps)
      const { storage } = yield* World
      const pages = storage.calls.filter(
        ({ operation, args }) => operation === "list" && args[0] === "blobs/"
      )
      assert.strictEqual(pages.length, 3)
      const seen = reports.reduce((sum, report) => sum + report.phases.leftovers.seen, 0)
      assert.strictEqual(seen, 2501)
      yield* sound
      yield* together(sweeps)
      assert.deepStrictEqual([...new Set((yield* requested).values())], [1])
      assert.strictEqual((yield* requested).size, 2500)
      assert.deepStrictEqual(yield* objects, [blobKey("live")])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("that meet at the same staged uploads delete them, some of them twice", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(names("uploads/s/", 20), (key) => stage(key))
      yield* TestClock.adjust(day)
      yield* stage("uploads/t/1")
      yield* slow
      const reports = yield* together(yield* replicas(3))
      assert.isAtLeast(deletedBy(reports), 20)
      assert.deepStrictEqual(yield* objects, ["uploads/t/1"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("delete each orphan when its waits are over, over hours of sweeping", () =>
    Effect.gen(function* () {
      const sweeps = yield* replicas(2, { ...small, ...waits })
      yield* slow
      const collectors = yield* Effect.forEach(sweeps, (sweep, n) =>
        Effect.forkChild(Effect.forever(Effect.delay(sweep.once(), (n + 1) * 10 * minute)))
      )
      const uploadedAt = new Map<string, number>()
      let now = 0
      for (const name of names("a", 12)) {
        yield* upload(name)
        uploadedAt.set(name, now)
        yield* TestClock.adjust(hour)
        now += hour
        yield* sound
        // Two hours of waiting, and a few sweeps' distance on top.
        const overdue = (yield* blobs).filter((blob) => now - (uploadedAt.get(blob) ?? 0) > 3.5 * hour)
        assert.deepStrictEqual(overdue, [])
        const young = [...uploadedAt].filter(([, at]) => now - at < 2 * hour).map(([blob]) => blob)
        assert.includeMembers([...(yield* blobs)], young)
      }
      yield* Fiber.interruptAll(collectors)
    }).pipe(Effect.provide(world()))
  )
})

/** The waits that the test above spells out; the other tests here do without. */
const waits = { grace: Duration.hours(1), quarantine: Duration.hours(1) }

describe("while collectors are at work", () => {
  it.effect("content that is pushed is kept, whatever becomes of its old key", () =>
    Effect.gen(function* () {
      const all = names("a", 40)
      yield* Effect.forEach(all, (name) => upload(name))
      yield* slow
      const pushed = all.filter((_, n) => n % 2 === 0)
      const outcomes = new Set<string>()
      const pushing = Effect.forEach(
        pushed,
        Effect.fnUntraced(function* (name, n) {
          yield* Effect.sleep((n % 20) * 5000)
          outcomes.add(yield* push(artifact(name, name), blobKey(name, 2)))
          yield* sound
        }),
        { concurrency: "unbounded" }
      )
      const sweeps = yield* replicas(3)
      yield* passing(
        Effect.all([Effect.forEach(sweeps, (s) => s.once(), { concurrency: 3 }), pushing], { concurrency: 2 })
      )
      yield* sound
      assert.sameMembers([...outcomes], ["found", "uploaded"], "the pushes came too early or too late")
      assert.includeMembers([...(yield* blobs)], pushed)
      yield* passing(sweepAfter(hour))
      assert.deepStrictEqual(yield* blobs, pushed)
      assert.strictEqual((yield* objects).length, pushed.length)
      yield* clean
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("references come and go at random, and nothing referenced is ever lost", () =>
    Effect.gen(function* () {
      const all = names("a", 12)
      yield* Effect.forEach(all, (name) => upload(name))
      yield* slow
      const sweeps = yield* replicas(3)
      const collectors = yield* Effect.forEach(sweeps, (sweep) =>
        Effect.forkChild(Effect.forever(sweep.once()))
      )
      let attempt = 1
      for (let step = 0; step < 150; step++) {
        const name = yield* Random.choice(all)
        const reference = artifact(`tag of ${name}`, name)
        if (yield* Random.nextBoolean) yield* drop(reference)
        else yield* push(reference, blobKey(name, ++attempt))
        yield* TestClock.adjust((yield* Random.nextIntBetween(0, 5)) * 500)
        yield* sound
      }
      yield* Fiber.interruptAll(collectors)
      const { database, storage, state } = yield* World
      database.heal()
      storage.heal()
      yield* sweepAfter(day)
      yield* sweepAfter(day)
      const referenced = new Set([...state.references.values()].map((reference) => reference.digest))
      assert.sameMembers([...(yield* blobs)], [...referenced])
      assert.strictEqual((yield* objects).length, referenced.size)
      yield* clean
    }).pipe(Random.withSeed("references come and go"), Effect.provide(world(noWaits)))
  )

  it.effect("one of them dies, and the others and the next sweeps do its work", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(names("a", 40), (name) => upload(name))
      yield* Effect.forEach(names("dead", 20), (name) => bury(name))
      yield* slow
      const [victim, ...others] = yield* replicas(3)
      const death = Effect.sleep("20 seconds")
      const dying = victim === undefined ? Effect.die("no victim") : killedWhen(victim.once(), death)
      yield* passing(
        Effect.all([dying, Effect.forEach(others, (s) => s.once(), { concurrency: 2 })], { concurrency: 2 })
      )
      yield* sound
      yield* passing(sweepAfter(5 * minute))
      assert.deepStrictEqual(yield* objects, [])
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world({ ...noWaits, ...small })))
  )
})

describe("a lease", () => {
  it.effect("keeps other collectors from a key, to the millisecond", () =>
    Effect.gen(function* () {
      yield* bury("a")
      const { storage } = yield* World
      const answer = yield* Deferred.make<void>()
      storage.next("delete", hangsBefore(Deferred.await(answer)))
      const first = yield* Effect.forkChild(sweep())
      yield* settle
      const second = yield* replica()
      yield* TestClock.adjust(5 * minute - 1)
      assert.strictEqual((yield* second.once()).phases.journal.seen, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* second.once()).phases.journal.deleted, 1)
      // The slow one comes back to a key that is long gone, and to no harm.
      yield* push(artifact("again", "a"), blobKey("a", 2))
      yield* Deferred.succeed(answer, undefined)
      assert.deepInclude(yield* Fiber.join(first), { outcome: "complete" })
      assert.deepStrictEqual(yield* objects, [blobKey("a", 2)])
      assert.isTrue(yield* refer(artifact("more", "a")))
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world()))
  )
})
