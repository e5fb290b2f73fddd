/** To whom the collector's tables belong, whether keys name objects, and how old the database is. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { SweepReport } from "../../../src/domain/SweepReport.ts"
import { registryPhases } from "../../../src/oci/RegistryPhases.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { bindOrRequire, requireBound } from "../../../src/sweep/preflight/BindingGuard.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { fails } from "../../../src/testing/Faults.ts"
import {
  abandon,
  artifact,
  blobKey,
  blobs,
  bury,
  counts,
  day,
  digest,
  hour,
  journaled,
  minute,
  objects,
  replica,
  session,
  snapshot,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  type Wrapper,
  world
} from "../../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

/** A collector with another bucket, empty, over the same tables. */
const elsewhere = Effect.gen(function* () {
  const bucket = MemoryStorage.emptyState()
  const storage = Context.get(yield* Layer.build(MemoryStorage.layerOf(bucket)), Storage)
  const other = Storage.of({
    ...storage,
    description: "s3://b",
    identity: { store: "memory", S3_BUCKET: "b" }
  })
  const layer = Layer.provide(
    Sweep.layerUnchecked({ ...noWaits, phases: registryPhases }),
    Layer.succeed(Storage, other)
  )
  return Context.get(yield* Layer.build(layer), Sweep)
})

const errorOf = (report: SweepReport) => Object.values(report.phases)[0]?.error ?? null
const refusedBy = (report: SweepReport) => report.guards.find(({ decision }) => decision === "refused")

/** Takes the name of the bucket out of the binding, so that every bucket is the same. */
const unbound: Wrapper = (inner) => ({
  ...inner,
  binding: {
    ...inner.binding,
    read: Effect.map(inner.binding.read, (state) => ({ ...state, bound: null }))
  }
})

/** Binds to bucket a, whose journal has a key, and sweeps in bucket b. */
const inAnotherBucket = Effect.gen(function* () {
  const { state } = yield* World
  yield* upload("live", { references: [artifact("v1", "live")] })
  yield* sweep()
  if (state.binding !== null)
    state.binding = { ...state.binding, identity: { ...state.binding.identity, S3_BUCKET: "a" } }
  // A sweep by cron leaves, so that the settings guard knows nothing of it.
  yield* (yield* Sweep).leave
  yield* bury("dead")
  return yield* (yield* elsewhere).once()
})

describe("the binding", () => {
  it.effect("is written by the first sweep that is not a dry run", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      const before = yield* snapshot
      assert.strictEqual((yield* sweep({ dryRun: true })).outcome, "complete")
      assert.deepStrictEqual(yield* snapshot, before)
      yield* sweep()
      assert.deepInclude(state.binding, {
        boundAt: start,
        identity: {
          catalogue: "memory",
          store: "memory",
          GC_BLOB_PREFIX: "blobs/",
          GC_UPLOAD_PREFIX: "uploads/"
        },
        sweptAt: start
      })
    }).pipe(Effect.provide(world()))
  )

  it.effect("refuses another bucket, names both, and deletes no key of the one in the other", () =>
    Effect.gen(function* () {
      const report = yield* inAnotherBucket
      assert.strictEqual(report.outcome, "refused")
      assert.strictEqual(errorOf(report)?.tag, "BindingRefused")
      assert.strictEqual(refusedBy(report)?.guard, "binding")
      assert.include(errorOf(report)?.message, "S3_BUCKET: b here, a bound")
      assert.include(errorOf(report)?.message, "artifact-gc rebind")
      assert.deepStrictEqual(yield* journaled, [blobKey("dead")])
      assert.strictEqual((yield* sweep()).outcome, "complete")
      assert.deepStrictEqual(yield* objects, [blobKey("live")])
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("without which the journal of one bucket is emptied in another", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      // The sample would refuse, too.
      state.blobs.clear()
      yield* bury("dead")
      const report = yield* (yield* elsewhere).once()
      assert.strictEqual(report.phases.journal.deleted, 1)
      assert.deepStrictEqual(yield* journaled, [])
      assert.deepStrictEqual(yield* objects, [blobKey("dead")])
    }).pipe(Effect.provide(world(noWaits, unbound)))
  )

  it.effect("does not make a refused collector count as one that is at work", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* inAnotherBucket
      assert.strictEqual(state.peers.size, 0)
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("is that of one of two collectors that begin together, and the other compares", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      const other = yield* replica({ uploadPrefix: "up/", mixedSettings: "allow" })
      const reports = yield* Effect.all([sweep(), other.once()], { concurrency: 2 })
      const [bound, refused] = reports.sort((a, b) => Number(a.outcome < b.outcome) - 0.5)
      assert.deepStrictEqual([bound?.outcome, refused?.outcome].sort(), ["complete", "refused"])
      assert.isNotNull(state.binding)
    }).pipe(Effect.provide(world({ mixedSettings: "allow" })))
  )

  it.effect("is written by the first replica of a registry, and one with other prefixes does not start", () =>
    Effect.gen(function* () {
      const usual = { blobPrefix: "blobs/", uploadPrefix: "uploads/" }
      const other = { blobPrefix: "blobs/", uploadPrefix: "elsewhere/" }
      // Control: before the binding each starts, and no collector lists both prefixes.
      yield* requireBound(usual)
      yield* requireBound(other)
      yield* bindOrRequire(start, usual)
      yield* bindOrRequire(start, usual)
      const refused = yield* Effect.flip(bindOrRequire(start, other))
      assert.strictEqual(refused._tag, "BindingRefused")
      assert.include(refused.message, "GC_UPLOAD_PREFIX: elsewhere/ here, uploads/ bound")
      assert.include(refused.message, "artifact-gc rebind")
      assert.strictEqual((yield* sweep()).outcome, "complete")
    }).pipe(Effect.provide(world()))
  )

  it.effect("refuses a database that is a copy, or was restored from a dump", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* sweep()
      state.here = { ...state.here, server: "memory/2" }
      const report = yield* sweepAfter(hour)
      assert.strictEqual(errorOf(report)?.tag, "BindingRefused")
      assert.include(errorOf(report)?.message, "memory/2 here, memory/1 bound")
    }).pipe(Effect.provide(world()))
  )
})

describe("the sample of keys", () => {
  /** So many referenced blobs, of which these have no object. */
  const catalogue = Effect.fnUntraced(function* (size: number, missing: number) {
    const { bucket } = yield* World
    for (let n = 0; n < size; n++) yield* upload(`b${n}`, { references: [artifact(`v${n}`, `b${n}`)] })
    for (let n = 0; n < missing; n++) bucket.objects.delete(blobKey(`b${n}`))
    yield* upload("orphan")
    yield* TestClock.adjust(minute)
  })

  const once = Effect.flatMap(Sweep, (sweeping) => sweeping.once())

  it.effect("refuses where more than a tenth of the rows have no object, and says which", () =>
    Effect.gen(function* () {
      yield* catalogue(20, 3)
      const report = yield* once
      assert.strictEqual(report.outcome, "refused")
      assert.strictEqual(refusedBy(report)?.guard, "binding")
      const message = errorOf(report)?.message
      assert.include(message, "3 of 20 rows")
      assert.include(message, "blobs/b0/1, blobs/b1/1, blobs/b2/1")
      assert.include(message, "memory")
      assert.include(yield* blobs, "orphan")
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("refuses where not a single one has an object, however few they are", () =>
    Effect.gen(function* () {
      yield* catalogue(2, 2)
      assert.strictEqual(errorOf(yield* once)?.tag, "KeysRefused")
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("lets an empty catalogue, a tiny one and one with a lost object pass", () =>
    Effect.gen(function* () {
      for (const [size, missing] of [
        [0, 0],
        [1, 1],
        [3, 1],
        [3, 2],
        [20, 2],
        [40, 3]
      ] as const) {
        const report = yield* Effect.provide(Effect.andThen(catalogue(size, missing), once), world(noWaits))
        assert.strictEqual(report.outcome, "complete", `${missing} of ${size}`)
        assert.strictEqual(report.phases.orphans.deleted, 1)
      }
    })
  )

  it.effect("is repeated in later sweeps that have something to delete, and in no other", () =>
    Effect.gen(function* () {
      const { bucket, storage } = yield* World
      for (let n = 0; n < 20; n++) yield* upload(`b${n}`, { references: [artifact(`v${n}`, `b${n}`)] })
      yield* sweep()
      bucket.objects.clear()
      storage.calls.length = 0
      assert.strictEqual((yield* (yield* Sweep).once()).outcome, "complete")
      assert.notInclude(
        storage.calls.map(({ operation }) => operation),
        "head"
      )
      yield* upload("another")
      yield* TestClock.adjust(hour)
      yield* once
      yield* TestClock.adjust(hour)
      assert.strictEqual(errorOf(yield* once)?.tag, "KeysRefused")
      assert.include(yield* blobs, "another")
    }).pipe(Effect.provide(world({ grace: Duration.zero, quarantine: Duration.minutes(30) })))
  )

  it.effect("takes no outage for a missing key", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* catalogue(20, 0)
      storage.next("head", fails("Unavailable"), Number.POSITIVE_INFINITY)
      const report = yield* once
      assert.strictEqual(report.outcome, "failed")
      assert.strictEqual(errorOf(report)?.tag, "StorageError")
      storage.heal()
      assert.strictEqual((yield* once).outcome, "complete")
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("is asked of the rows that an overloaded store answers for", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* catalogue(20, 0)
      storage.next("head", fails("Throttled"), 19)
      assert.strictEqual((yield* once).outcome, "complete")
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("tells of rows that are about to be deleted and have no object", () =>
    Effect.gen(function* () {
      const { bucket } = yield* World
      yield* upload("live", { references: [artifact("v1", "live")] })
      yield* upload("orphan")
      yield* sweep()
      yield* sweepAfter(2 * hour)
      bucket.objects.delete(blobKey("orphan"))
      const report = yield* Effect.andThen(TestClock.adjust(2 * hour), once)
      const finding = report.guards.find(({ guard }) => guard === "binding")
      assert.strictEqual(finding?.decision, "allowed")
      assert.include(finding?.message, "1 of 1 rows that are about to be deleted have no object")
    }).pipe(Effect.provide(world()))
  )
})

const usual = {
  presence: Duration.minutes(181),
  leftoverEvery: Duration.hours(1),
  leftoverGrace: Duration.hours(1)
}

/** Sweeps for hours, then the database is set back by a week, in which uploads were made: rows and no clock. */
const restored = Effect.gen(function* () {
  yield* upload("old", { references: [artifact("v1", "old")] })
  yield* abandon("halfway", start + 5 * hour)
  yield* session("s", [1])
  for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
  yield* TestClock.adjust(3 * day)
  for (const name of ["lost1", "lost2"]) yield* stage(`blobs/${name}/1`)
  yield* stage("uploads/x/1")
  yield* TestClock.adjust(4 * day)
})

const lostObjects = ["blobs/lost1/1", "blobs/lost2/1", "uploads/x/1"]

describe("the age of the database", () => {
  it.effect("keeps what was written since the last sweep that it remembers, until a person confirms", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      yield* restored
      const first = yield* sweep()
      assert.strictEqual(first.outcome, "refused")
      assert.strictEqual(first.phases.leftovers.error?.tag, "AgeRefused")
      assert.strictEqual(first.phases.orphans.error, null)
      assert.deepInclude(counts(first, "uploads").kept, { "lost time": 1 })
      for (let n = 0; n < 40; n++) {
        const later = yield* sweepAfter(hour)
        assert.strictEqual(later.outcome, "refused")
        assert.strictEqual(refusedBy(later)?.guard, "age")
      }
      // Nor what was unfinished then, and may have been finished since.
      assert.includeMembers([...(yield* objects)], [...lostObjects, blobKey("halfway"), "blobs/new/s"])
      assert.deepStrictEqual(yield* journaled, [])
      assert.deepStrictEqual(yield* rows.breakers.confirm(start + 30 * day), ["age"])
      for (let n = 0; n < 30; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [blobKey("old")])
    }).pipe(Effect.provide(world(usual)))
  )

  it.effect("without which a week of uploads is deleted within an hour, without a question", () =>
    Effect.gen(function* () {
      yield* restored
      assert.strictEqual((yield* sweep()).outcome, "complete")
      assert.strictEqual((yield* sweepAfter(hour)).outcome, "complete")
      assert.deepStrictEqual(yield* objects, [blobKey("old")])
    }).pipe(Effect.provide(world({ ...usual, presence: Duration.weeks(500) })))
  )

  /** Nothing in the store lacks an owner, and what the backup shows as unfinished may have become a blob since. */
  const unfinished = Effect.gen(function* () {
    yield* upload("old", { references: [artifact("v1", "old")] })
    // One intent expires in the lost time, the other after the restore.
    yield* abandon("halfway", start + 5 * hour)
    yield* abandon("later", start + 4 * hour + 7 * day + 2 * hour)
    for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
    yield* TestClock.adjust(7 * day)
    for (let n = 0; n < 40; n++) yield* sweepAfter(hour)
    return yield* sweep()
  })

  it.effect("keeps what the backup shows as unfinished, and asks about it", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      const report = yield* unfinished
      assert.strictEqual(report.phases.leftovers.error?.tag, "AgeRefused")
      assert.sameMembers(
        [...(yield* objects)],
        ["halfway", "later", "old"].map((name) => blobKey(name))
      )
      assert.deepStrictEqual(yield* journaled, [])
      yield* rows.breakers.confirm(start + 30 * day)
      for (let n = 0; n < 30; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [blobKey("old")])
    }).pipe(Effect.provide(world(usual)))
  )

  /** Sweeps of three days stopped before they reaped uploads. Then the database is set back. */
  const keepsOldBytes = (
    what: string,
    prepare: ReturnType<typeof session> | ReturnType<typeof abandon>,
    key: string
  ) =>
    it.effect(`keeps ${what} whose bytes are older than the lost time, and asks about it`, () =>
      Effect.gen(function* () {
        const { rows, state } = yield* World
        yield* upload("old", { references: [artifact("v1", "old")] })
        for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
        yield* prepare
        yield* TestClock.adjust(3 * day)
        assert.isNotNull(state.binding)
        if (state.binding !== null) state.binding = { ...state.binding, sweptAt: start + 4 * hour + 3 * day }
        yield* TestClock.adjust(14 * day)
        for (let n = 0; n < 40; n++) yield* sweepAfter(hour)
        assert.strictEqual((yield* sweep()).phases.leftovers.error?.tag, "AgeRefused")
        assert.sameMembers([...(yield* objects)], [blobKey("old"), key])
        yield* rows.breakers.confirm(start + 60 * day)
        for (let n = 0; n < 30; n++) yield* sweepAfter(hour)
        assert.deepStrictEqual(yield* objects, [blobKey("old")])
      }).pipe(Effect.provide(world(usual)))
    )

  keepsOldBytes("an upload", abandon("halfway", start + 5 * hour), blobKey("halfway"))
  keepsOldBytes("a session", session("s", [1]), "blobs/new/s")

  it.effect("without which the bytes of unfinished uploads are deleted, without a question", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* unfinished).outcome, "complete")
      assert.deepStrictEqual(yield* objects, [blobKey("old")])
    }).pipe(Effect.provide(world({ ...usual, presence: Duration.weeks(500) })))
  )

  it.effect("asks nothing after a collector was off, if nothing without an owner was written meanwhile", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* upload("old", { references: [artifact("v1", "old")] })
      for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
      yield* TestClock.adjust(14 * day)
      const report = yield* sweep()
      assert.strictEqual(report.outcome, "complete")
      assert.include(report.guards[0]?.message, "A collector that was switched off looks the same")
      for (let n = 0; n < 4; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual((yield* sweep()).guards, [])
      assert.isNull(state.binding?.lost)
    }).pipe(Effect.provide(world(usual)))
  )

  it.effect("takes a schedule of days, and one that was changed, for what they are", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 5; n++) assert.deepStrictEqual((yield* sweepAfter(7 * day)).guards, [])
      for (let n = 0; n < 200; n++) yield* sweepAfter(hour)
      assert.lengthOf((yield* sweepAfter(day)).guards, 1)
      yield* sweepAfter(day)
      for (let n = 0; n < 3; n++) assert.deepStrictEqual((yield* sweepAfter(day)).guards, [])
    }).pipe(Effect.provide(world(usual)))
  )

  it.effect("goes on after a fail-over that lost nothing, and keeps what has no owner", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* upload("orphan")
      yield* sweep()
      yield* sweepAfter(hour)
      state.here = { ...state.here, timeline: "00000002" }
      const report = yield* sweepAfter(hour)
      assert.strictEqual(report.outcome, "complete")
      assert.include(report.guards[0]?.message, "timeline 00000002")
      assert.deepStrictEqual(yield* blobs, [])
      yield* stage("blobs/stray/1")
      state.here = { ...state.here, timeline: "00000003" }
      for (let n = 0; n < 3; n++) yield* sweepAfter(hour)
      assert.strictEqual((yield* sweepAfter(hour)).phases.leftovers.error?.tag, "AgeRefused")
      assert.deepStrictEqual(yield* objects, ["blobs/stray/1"])
    }).pipe(Effect.provide(world(usual)))
  )

  it.effect("is noticed by a running collector that remembers more than the database", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* sweepAfter(hour)
      const backup = state.binding
      yield* sweepAfter(hour)
      yield* upload("lost", { key: ObjectKey.make("blobs/lost/1") })
      state.binding = backup
      state.blobs.delete(digest("lost"))
      const report = yield* sweepAfter(minute)
      assert.include(report.guards[0]?.message, "and this collector recorded one at")
      for (let n = 0; n < 6; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, ["blobs/lost/1"])
    }).pipe(Effect.provide(world(usual)))
  )
})
