/** Reports of collectors that were stuck, slow, or delayed writers. See docs/design/incidents.md. */

import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Stream } from "effect"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { Progress, type ProgressEvent } from "../../src/sweep/Progress.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { fails, hangsBefore } from "../../src/testing/Faults.ts"
import { artifact, blobStore, bytesOf, digestOf } from "../fixtures/BlobStores.ts"
import { BlobStore } from "../fixtures/Referring.ts"
import * as Direct from "../fixtures/World.ts"
import {
  blobKey,
  day,
  hour,
  minute,
  objects,
  passing,
  sound,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

/** No waits, and no breaker for a catalogue that is nearly all garbage. */
const hasty = { grace: Duration.zero, quarantine: Duration.zero, breakerPercent: 100 }

const named = (count: number) => Array.from({ length: count }, (_, n) => `a${String(n).padStart(6, "0")}`)

/** Writes `count` orphans of one byte with their objects, as rows, since uploading them would take long. */
const orphans = Effect.fnUntraced(function* (count: number) {
  const { bucket, state } = yield* World
  for (const name of named(count)) {
    const key = blobKey(name)
    state.blobs.set(Direct.digest(name), { key, sizeBytes: 1, createdAt: start, lastUsedAt: start })
    bucket.objects.set(key, { bytes: new Uint8Array(1), modifiedAt: start })
  }
})

describe("zhaofengli/attic#361: 500 rows with missing files blocked 4.48 million behind them", () => {
  it.effect(
    "rows whose object is missing are deleted like all others, since a missing object counts as deleted",
    () =>
      Effect.gen(function* () {
        const { bucket } = yield* World
        yield* orphans(2000)
        for (const name of named(500)) bucket.objects.delete(blobKey(name))
        const report = yield* Effect.flatMap(Sweep, (sweep) => sweep.once())
        assert.deepInclude(report, { outcome: "complete" })
        assert.strictEqual(report.totals.deleted, 2000)
        yield* sound
        assert.deepStrictEqual(yield* objects, [])
      }).pipe(Effect.provide(world({ ...hasty, batchMax: 500 })))
  )

  it.effect("a first batch that fails as a whole does not delay later batches", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* orphans(2000)
      for (const name of named(500)) storage.refused.set(blobKey(name), "InternalError")
      const report = yield* sweep()
      assert.deepInclude(report.totals, { deleted: 1500, failed: 500 })
      assert.lengthOf(yield* objects, 500)
      yield* upload("later")
      assert.strictEqual((yield* sweepAfter(1)).totals.deleted, 1, "later orphans are not delayed either")
      storage.refused.clear()
      yield* sweepAfter(day)
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world({ ...hasty, batchMax: 500 })))
  )
})

describe("penpot/penpot#11344: a key that cannot be deleted was retried for ever", () => {
  it.effect(
    "a forbidden key is tried 12 times, reported as a dead letter, and deleted after an operator retries it",
    () =>
      Effect.gen(function* () {
        const { rows, storage } = yield* World
        for (const name of ["good", "locked"]) yield* upload(name)
        storage.refused.set(blobKey("locked"), "AccessDenied")
        const outcomes: Array<string> = []
        for (let n = 0; n < 30; n++) outcomes.push((yield* sweepAfter(7 * hour)).outcome)
        const tried = storage.calls.filter(
          ({ args, operation }) =>
            operation === "delete" && (args[0] as ReadonlyArray<ObjectKey>).includes(blobKey("locked"))
        )
        assert.strictEqual(tried.length, 12)
        assert.strictEqual(
          outcomes.filter((outcome) => outcome === "failed").length,
          12,
          "each failed attempt is reported"
        )
        assert.deepStrictEqual(yield* objects, [blobKey("locked")])

        const report = yield* sweep()
        assert.strictEqual(report.left?.deadLetters, 1, "every report counts dead letters")
        const [letter] = yield* rows.journal.deadLetters(null, 10)
        assert.deepInclude(letter, { key: blobKey("locked"), lastError: "AccessDenied: scripted fault" })

        storage.refused.clear()
        assert.strictEqual(yield* rows.journal.retry(yield* Clock.currentTimeMillis, "all"), 1)
        assert.strictEqual((yield* sweep()).left?.deadLetters, 0)
        assert.deepStrictEqual(yield* objects, [])
      }).pipe(Effect.provide(world(hasty)))
  )
})

describe("goharbor/harbor#19991, #21919, #22117: hours to months, and no report said how long", () => {
  const many = 10_000

  it.effect(
    "a long sweep reports its progress and remaining time, stops when asked, and the next one continues",
    () =>
      Effect.gen(function* () {
        const { storage } = yield* World
        yield* orphans(many)
        const answer = hangsBefore(Effect.sleep("50 millis"))
        storage.always(({ operation }) => (operation === "delete" ? answer : undefined))

        const events: Array<ProgressEvent & { readonly atMillis: number }> = []
        const watching = Effect.provideService(Progress, {
          watched: true,
          report: (event) =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              events.push({ ...event, atMillis: now - start })
            })
        })
        const stopping = Effect.sync(() => (events.at(-1)?.deleted ?? 0) >= many / 2)
        const first = yield* passing(watching(Effect.flatMap(Sweep, (sweep) => sweep.once({ stopping }))))
        assert.deepInclude(first, { outcome: "bounded" })
        assert.strictEqual(first.phases.orphans.stoppedBy, "stopped")
        const deleted = first.totals.deleted
        assert.isAtLeast(deleted, many / 2)
        assert.isBelow(deleted, many, "current batches are finished, and no other begins")
        assert.lengthOf(yield* objects, many - deleted)

        const last = events.at(-1)
        assert.deepInclude(last, { phase: "orphans", deleted, bytes: deleted, expected: many })
        const millisPerObject = (last?.atMillis ?? 0) / deleted
        const estimate = (many - deleted) * millisPerObject

        const before = yield* Clock.currentTimeMillis
        const second = yield* passing(Effect.flatMap(Sweep, (sweep) => sweep.once()))
        assert.deepInclude(second.totals, { deleted: many - deleted, failed: 0 })
        assert.deepInclude(second, { outcome: "complete" })
        assert.deepStrictEqual(yield* objects, [])
        assert.closeTo(second.startedAt === "" ? 0 : second.durationMillis, estimate, 0.25 * estimate)
        assert.isAtLeast(yield* Clock.currentTimeMillis, before)
      }).pipe(Effect.provide(world({ ...hasty, batchMax: 100, scanPage: 5000 })))
  )
})

describe("project-zot/zot#4235: a lock that the collector held for days stalled pushes", () => {
  /** Returns how long pushes took, in virtual time, while a collector deleted this many blobs. */
  const pushesTook = Effect.fnUntraced(function* (garbage: number) {
    const { storage } = yield* World
    yield* orphans(garbage)
    const second = hangsBefore(Effect.sleep("1 second"))
    const tenth = hangsBefore(Effect.sleep("100 millis"))
    storage.always(({ operation }) =>
      operation === "delete" ? second : operation === "put" ? tenth : undefined
    )
    const collecting = yield* Effect.forkChild(Effect.flatMap(Sweep, (sweep) => sweep.once()))
    const store = yield* BlobStore
    const took: Array<number> = []
    const pushing = Effect.forEach(Array(50).keys(), (n) =>
      Effect.gen(function* () {
        const before = yield* Clock.currentTimeMillis
        // New content, and content that may be condemned at the moment.
        for (const content of [`new ${n}`, "again"])
          yield* store.put(Stream.make(bytesOf(content)), {
            digest: digestOf(content),
            references: [artifact(`${content} ${n}`, content)]
          })
        took.push((yield* Clock.currentTimeMillis) - before)
        yield* store.unreference([artifact(`again ${n}`, "again")])
        yield* Effect.sleep("100 millis")
      })
    )
    yield* passing(pushing)
    const report = yield* passing(Fiber.join(collecting))
    yield* sound
    return { report, took }
  })

  it.effect("pushes take no longer than their own uploads while ten thousand blobs are deleted", () =>
    Effect.gen(function* () {
      const { report, took } = yield* pushesTook(10_000)
      assert.isAtLeast(report.totals.deleted, 10_000)
      assert.isAbove(report.durationMillis, 50 * 200, "the collector ran during all pushes")
      assert.isAtMost(Math.max(...took), 200, "the time of two uploads")
    }).pipe(Effect.provide(blobStore({}, { ...hasty, batchMax: 100 })))
  )
})

describe("Techiebutler/freeframe#251, minio/minio#20989: the listing of uploads in parts forgets", () => {
  it.effect(
    "an upload whose id was recorded is aborted although no listing shows it, before its object is deleted",
    () =>
      Effect.gen(function* () {
        const { rows, storage } = yield* World
        const key = blobKey("a")
        yield* Direct.abandon("a", start + hour)
        yield* Direct.beginParts(key, "recorded")
        assert.isTrue(yield* rows.blobs.recordMultipart(key, "recorded"))
        // After a restart the store still has the parts, but its listing fails.
        storage.next("multiparts", fails("Unknown"), Number.POSITIVE_INFINITY)
        yield* sweepAfter(2 * hour)
        yield* sweepAfter(minute)
        assert.deepStrictEqual(yield* Direct.parts, [])
        assert.deepStrictEqual(yield* objects, [])
        const order = storage.calls.flatMap(({ operation }) =>
          operation === "abort" || operation === "delete" ? [operation] : []
        )
        assert.deepStrictEqual(order, ["abort", "delete"])
      }).pipe(Effect.provide(world()))
  )

  it.effect(
    "an upload that was not recorded is aborted a day after its last part, not a day after its start",
    () =>
      Effect.gen(function* () {
        const { bucket } = yield* World
        const key = ObjectKey.make("blobs/slow/1")
        yield* Direct.beginParts(key, "slow", start)
        yield* sweepAfter(23 * hour)
        bucket.multiparts.set("slow", { key, lastActivityAt: start + 23 * hour })
        for (let n = 1; n < 24; n++) {
          yield* sweepAfter(hour)
          assert.deepStrictEqual(yield* Direct.parts, ["slow"])
        }
        yield* sweepAfter(hour)
        assert.deepStrictEqual(yield* Direct.parts, [])
      }).pipe(Effect.provide(world()))
  )
})
