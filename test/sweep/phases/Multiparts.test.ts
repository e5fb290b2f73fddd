import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { fails, hangsBefore } from "../../../src/testing/Faults.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import {
  abandon,
  artifact,
  beginParts,
  blobKey,
  bury,
  clean,
  counts,
  day,
  digest,
  hour,
  journaled,
  journalRow,
  leaked,
  objects,
  parts,
  settle,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../../fixtures/World.ts"

/** A key that is dead and has an upload in parts that its writer began and told of. */
const buryWithParts = Effect.fnUntraced(function* (name: string, uploadId: string) {
  const { state } = yield* World
  const key = yield* bury(name)
  state.journal.set(key, { ...(yield* journalRow(key)), uploadId })
  yield* beginParts(key, uploadId)
  return key
})

/** What was asked of the store to take away, in order. */
const removals = Effect.map(World, ({ storage }) =>
  storage.calls.flatMap(({ operation, args: [what] }) =>
    operation === "abort"
      ? [`abort ${(what as { uploadId: string }).uploadId}`]
      : operation === "delete"
        ? [`delete ${(what as ReadonlyArray<string>).join(" ")}`]
        : []
  )
)

describe("an upload in parts that was never finished", () => {
  it.effect("is aborted 24 hours after its newest part, to the millisecond, below either prefix", () =>
    Effect.gen(function* () {
      yield* beginParts("uploads/s/1", "staged")
      yield* beginParts("blobs/a/1", "blob")
      yield* beginParts("blobs/b/1", "slow", start + 1)
      yield* beginParts("other/a/1", "another program's")
      assert.deepInclude(counts(yield* sweepAfter(day - 1), "multiparts"), { seen: 3, kept: { grace: 3 } })
      assert.deepStrictEqual(counts(yield* sweepAfter(1), "multiparts"), {
        seen: 3,
        eligible: 2,
        deleted: 2,
        bytes: 0,
        kept: { grace: 1 },
        failed: {},
        stoppedBy: null
      })
      assert.deepStrictEqual(yield* parts, ["another program's", "slow"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is kept as long as it sends parts, however slowly", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 10; n++) {
        yield* beginParts("uploads/s/1", "slow", yield* Clock.currentTimeMillis)
        yield* sweepAfter(day - 1)
        assert.deepStrictEqual(yield* parts, ["slow"])
      }
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* parts, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is kept while an intent owns its key, however long it is silent", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      yield* abandon("a", start + 7 * day, false)
      yield* beginParts(blobKey("a"), "silent")
      for (let n = 0; n < 6; n++) {
        assert.deepInclude(counts(yield* sweepAfter(day), "multiparts").kept, { "in use": 1 })
        assert.deepStrictEqual(yield* parts, ["silent"])
      }
      const publication = { key: blobKey("a"), digest: digest("a"), sizeBytes: 1, references: [] }
      assert.deepStrictEqual(yield* rows.blobs.publish(start + 6 * day, [publication]), ["published"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is kept while a live session sends it, for days and as its first chunk or a later one", () =>
    Effect.gen(function* () {
      const { bucket, rows, state, store } = yield* World
      const services = Layer.merge(AllDatabases.all(rows), Layer.succeed(Storage, store))
      const uploads = Context.get(yield* Layer.build(Layer.provide(Uploads.layer(), services)), Uploads)
      const { id } = yield* uploads.start("r")
      /** A byte every fifty minutes, for three days. */
      const body = Stream.fromSchedule(Schedule.spaced("50 minutes")).pipe(
        Stream.take(87),
        Stream.map(() => new Uint8Array(1))
      )
      for (const [startByte, prefix] of [
        [0, "blobs/"],
        [87, `uploads/${id}/`]
      ] as const) {
        const push = yield* Effect.forkChild(uploads.append("r", id, body, { startByte, sizeBytes: 87 }))
        yield* settle
        const [key = ""] = state.intents.keys()
        assert.match(key, new RegExp(`^${prefix}`))
        // As if the store had heard of it last when it began.
        yield* beginParts(key, "slow", yield* Clock.currentTimeMillis)
        for (let hours = 0; hours < 72; hours += 0.5) {
          yield* TestClock.adjust("30 minutes")
          const { multiparts } = (yield* sweep()).phases
          assert.deepStrictEqual(multiparts.kept, hours < 23.5 ? { grace: 1 } : { "in use": 1 })
        }
        bucket.multiparts.clear()
        for (let n = 0; n < 3; n++) yield* TestClock.adjust("30 minutes")
        assert.strictEqual((yield* Fiber.join(push)).receivedBytes, startByte + 87)
      }
      yield* clean
    }).pipe(Effect.provide(world()), Effect.scoped)
  )

  it.effect("is looked up after the listing: one that was announced in between is kept", () =>
    Effect.gen(function* () {
      const { rows, storage } = yield* World
      yield* beginParts(blobKey("a"), "announced")
      yield* TestClock.adjust(day)
      const intent = { key: blobKey("a"), digest: digest("a"), expiresAt: start + 7 * day }
      storage.always(({ operation, args }) =>
        operation === "multiparts" && args[0] === "blobs/"
          ? hangsBefore(Effect.orDie(rows.blobs.intend([intent])))
          : undefined
      )
      assert.deepInclude(counts(yield* sweep(), "multiparts"), { kept: { "in use": 1 } })
      assert.deepStrictEqual(yield* parts, ["announced"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is aborted if the owner of its key is not asked for (control)", () =>
    Effect.gen(function* () {
      yield* abandon("a", start + 7 * day, false)
      yield* beginParts(blobKey("a"), "silent")
      yield* sweepAfter(day)
      assert.deepStrictEqual(yield* parts, [])
    }).pipe(
      Effect.provide(
        world({}, (inner) => ({ ...inner, audit: { ...inner.audit, lookup: () => Effect.succeed([]) } }))
      )
    )
  )

  it.effect("is not kept by the blob at its key, whose bytes are all there", () =>
    Effect.gen(function* () {
      yield* upload("a", { references: [artifact("v1", "a")] })
      yield* beginParts(blobKey("a"), "of an earlier request")
      yield* sweepAfter(day)
      assert.deepStrictEqual(yield* parts, [])
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
    }).pipe(Effect.provide(world()))
  )

  it.effect(
    "that its writer recorded goes with the intent; one it had no time to record is found by listing",
    () =>
      Effect.gen(function* () {
        const { rows } = yield* World
        for (const name of ["recorded", "unrecorded"]) {
          yield* abandon(name, start + hour, false)
          yield* beginParts(blobKey(name), name)
        }
        assert.isTrue(yield* rows.blobs.recordMultipart(blobKey("recorded"), "recorded"))
        yield* sweepAfter(hour)
        yield* sweepAfter(1)
        assert.deepStrictEqual(yield* parts, ["unrecorded"])
        assert.deepStrictEqual(yield* leaked, [blobKey("unrecorded")])
        yield* sweepAfter(23 * hour)
        assert.deepStrictEqual(yield* parts, [])
        assert.deepStrictEqual(yield* journaled, [])
        yield* clean
      }).pipe(Effect.provide(world()))
  )

  it.effect("that cannot be aborted is reported by reason, and tried again by the next sweep", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      for (const id of ["1", "2", "3"]) yield* beginParts(`blobs/a/${id}`, id)
      storage.always(({ operation, args }) =>
        operation === "abort" && (args[0] as { uploadId: string }).uploadId === "2"
          ? fails("AccessDenied")
          : undefined
      )
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "multiparts"), {
        eligible: 3,
        deleted: 2,
        failed: { AccessDenied: 1 },
        stoppedBy: null
      })
      assert.strictEqual(report.outcome, "failed")
      storage.heal()
      assert.deepInclude(counts(yield* sweep(), "multiparts"), { deleted: 1, failed: {} })
    }).pipe(Effect.provide(world()))
  )

  it.effect("in a store that does not answer ends the phase, and no other", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* beginParts("uploads/s/1", "staged")
      yield* beginParts("blobs/a/1", "blob")
      yield* upload("a")
      storage.next("abort", fails("Unavailable"))
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "multiparts"), { seen: 1, failed: { Unavailable: 1 } })
      assert.deepInclude(report.phases.multiparts.error, { tag: "StorageError" })
      assert.deepInclude(counts(report, "orphans"), { seen: 1 })
      assert.deepInclude(counts(yield* sweep(), "multiparts"), { deleted: 2 })
    }).pipe(Effect.provide(world()))
  )

  it.effect("uses up the count like any object, and what fails gives it back", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      for (const id of ["1", "2", "3", "4"]) yield* beginParts(`uploads/a/${id}`, id)
      storage.next("abort", fails("AccessDenied"))
      yield* bury("dead")
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "multiparts"), { eligible: 3, deleted: 2, stoppedBy: "count" })
      assert.deepInclude(counts(report, "journal"), { deleted: 1 })
      assert.deepInclude(counts(yield* sweep(), "multiparts"), { deleted: 2, stoppedBy: null })
    }).pipe(Effect.provide(world({ maxDeletes: 3 })))
  )

  it.effect("that takes minutes to abort leaves the rest to the next sweep when the time is over", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      for (const id of ["1", "2", "3", "4"]) yield* beginParts(`uploads/a/${id}`, id)
      storage.always(({ operation }) =>
        operation === "abort" ? hangsBefore(Effect.sleep("4 minutes")) : undefined
      )
      const sweeping = yield* Effect.forkChild(sweepAfter(day))
      yield* TestClock.adjust("1 day")
      yield* TestClock.adjust("1 hour")
      const first = yield* Fiber.join(sweeping)
      assert.deepInclude(counts(first, "multiparts"), { seen: 4, eligible: 2, deleted: 2, stoppedBy: "time" })
      assert.deepStrictEqual([yield* parts, first.outcome], [["3", "4"], "bounded"])
      storage.heal()
      assert.deepInclude(counts(yield* sweep(), "multiparts"), { deleted: 2, stoppedBy: null })
    }).pipe(Effect.provide(world({ maxDuration: Duration.minutes(20), deleteConcurrency: 1 })))
  )

  it.effect("that the store may not list is said: 'seen 0' does not mean that there is none", () =>
    Effect.gen(function* () {
      const { bucket } = yield* World
      const unlisted = Effect.map(sweep(), ({ phases }) => phases.multiparts.unlisted)
      assert.isUndefined(yield* unlisted)
      bucket.multipartSearch = "partial"
      assert.match((yield* unlisted) ?? "", /does not list uploads in parts by a prefix.*MinIO: 24 hours/)
      bucket.multipartSearch = "unknown"
      assert.match((yield* unlisted) ?? "", /was not tested/)
    }).pipe(Effect.provide(world()))
  )

  it.effect("is counted and named by a dry run, and left alone", () =>
    Effect.gen(function* () {
      yield* beginParts("uploads/s/1", "stale")
      yield* beginParts("uploads/s/2", "fresh", start + 1)
      const { multiparts } = (yield* sweepAfter(day, { dryRun: true })).phases
      assert.deepInclude(multiparts, { seen: 2, eligible: 1, deleted: 0, bytes: 0, sample: ["uploads/s/1"] })
      assert.deepStrictEqual(yield* parts, ["fresh", "stale"])
    }).pipe(Effect.provide(world()))
  )
})

describe("the upload in parts of a journaled key", () => {
  it.effect("is aborted before the object is deleted, which nothing can then bring back", () =>
    Effect.gen(function* () {
      yield* bury("dead")
      yield* buryWithParts("parts", "begun")
      yield* sweep()
      assert.deepStrictEqual(yield* removals, ["abort begun", "delete blobs/dead/1 blobs/parts/1"])
      assert.deepStrictEqual([yield* parts, yield* objects, yield* journaled], [[], [], []])
    }).pipe(Effect.provide(world()))
  )

  /** Somebody completes the upload right before the delete, if it is still there. */
  const completes = (key: ObjectKey, uploadId: string) =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const here = yield* World
      const completed = Effect.gen(function* () {
        if (here.bucket.multiparts.delete(uploadId)) yield* stage(key)
      }).pipe(Effect.provideService(World, here), Effect.orDie)
      storage.always(({ operation }) => {
        if (operation !== "delete") return undefined
        storage.heal()
        return { _tag: "Hangs" as const, when: "after" as const, until: completed }
      })
    })

  it.effect("cannot be completed after the delete", () =>
    Effect.gen(function* () {
      yield* completes(yield* buryWithParts("a", "begun"), "begun")
      yield* sweep()
      assert.deepStrictEqual(yield* leaked, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("which without the abort makes an object that nothing knows (control)", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      const key = yield* buryWithParts("a", "begun")
      state.journal.set(key, { ...(yield* journalRow(key)), uploadId: null })
      yield* completes(key, "begun")
      yield* sweep()
      assert.deepStrictEqual(yield* leaked, [key])
    }).pipe(Effect.provide(world()))
  )

  it.effect("that cannot be aborted puts its own key off, and no other, and counts against it", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const key = yield* buryWithParts("parts", "begun")
      yield* bury("dead")
      storage.next("abort", fails("AccessDenied"), 3)
      const report = yield* sweep()
      assert.deepInclude(counts(report, "journal"), {
        eligible: 2,
        deleted: 1,
        failed: { AccessDenied: 1 },
        stoppedBy: null
      })
      assert.deepStrictEqual(yield* objects, [key])
      assert.deepInclude(yield* journalRow(key), {
        attempts: 1,
        claimedUntil: null,
        uploadId: "begun",
        lastError: "AccessDenied: scripted fault"
      })
      yield* sweepAfter(hour)
      yield* sweepAfter(hour)
      assert.deepInclude(yield* journalRow(key), { attempts: 3, deadAt: start + 2 * hour })
      const { rows } = yield* World
      yield* rows.journal.retry(start + 2 * hour, "all")
      yield* sweep()
      assert.deepStrictEqual([yield* parts, yield* objects, yield* journaled], [[], [], []])
    }).pipe(Effect.provide(world({ attemptsMax: 3 })))
  )

  it.effect("in a store that does not answer is asked for once a batch, and held against no key", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const names = Array.from({ length: 9 }, (_, n) => `a${n}`)
      for (const name of names) yield* buryWithParts(name, name)
      storage.next("abort", fails("Unavailable"), Number.POSITIVE_INFINITY)
      const report = yield* sweep()
      assert.deepInclude(counts(report, "journal"), { deleted: 0, failed: { Unavailable: 9 } })
      // Three batches of three, after which the store is taken to be down.
      assert.deepStrictEqual((yield* removals).length, 3)
      assert.strictEqual(report.phases.journal.stoppedBy, "failure")
      assert.deepInclude(yield* journalRow(blobKey("a0")), { attempts: 0, deadAt: null, claimedUntil: null })
      storage.heal()
      yield* sweepAfter(day)
      assert.deepStrictEqual([yield* parts, yield* objects, yield* journaled], [[], [], []])
    }).pipe(Effect.provide(world({ batchMax: 3, deleteConcurrency: 1, uploadGrace: Duration.days(7) })))
  )
})
