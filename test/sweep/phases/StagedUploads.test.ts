import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { fails, hangsBefore } from "../../../src/testing/Faults.ts"
import {
  abandon,
  artifact,
  beginParts,
  blobKey,
  counts,
  day,
  digest,
  hour,
  minute,
  objects,
  parts,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../../fixtures/World.ts"

const chunk = (session: string, index: number) => `uploads/${session}/${String(index).padStart(6, "0")}`
const chunks = (session: string, count: number) => Array.from({ length: count }, (_, i) => chunk(session, i))
const stageAll = (keys: ReadonlyArray<string>) => Effect.forEach(keys, (key) => stage(key), { discard: true })

describe("staged uploads", () => {
  it.effect("are kept for 24 hours after their last object, to the millisecond", () =>
    Effect.gen(function* () {
      yield* stage(chunk("s", 1), 4)
      const kept = yield* sweepAfter(day - 1)
      assert.deepStrictEqual(counts(kept, "uploads"), {
        seen: 1,
        eligible: 0,
        deleted: 0,
        bytes: 0,
        kept: { grace: 1 },
        failed: {},
        stoppedBy: null
      })
      assert.deepStrictEqual(yield* objects, [chunk("s", 1)])
      assert.deepStrictEqual(counts(yield* sweepAfter(1), "uploads"), {
        seen: 1,
        eligible: 1,
        deleted: 1,
        bytes: 4,
        kept: {},
        failed: {},
        stoppedBy: null
      })
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("of a slow push are kept whole while its newest chunk is fresh", () =>
    Effect.gen(function* () {
      yield* stage(chunk("slow", 1))
      yield* TestClock.adjust("20 hours")
      yield* stage(chunk("slow", 2))
      yield* stage(chunk("slower", 1))
      // The first chunk is 43 hours and 59 minutes old.
      assert.deepInclude(counts(yield* sweepAfter(day - minute), "uploads"), {
        deleted: 0,
        kept: { grace: 3 }
      })
      assert.deepStrictEqual(yield* objects, [chunk("slow", 1), chunk("slow", 2), chunk("slower", 1)])
      assert.deepInclude(counts(yield* sweepAfter(minute), "uploads"), { deleted: 3 })
    }).pipe(Effect.provide(world()))
  )

  it.effect("of a slow push are lost if only the old chunk is looked at (control)", () =>
    Effect.gen(function* () {
      yield* stage(chunk("slow", 1))
      yield* TestClock.adjust("20 hours")
      yield* stage(chunk("slow", 2))
      yield* sweepAfter(day - minute)
      const { store } = yield* World
      assert.deepStrictEqual(yield* objects, [chunk("slow", 1), chunk("slow", 2)])
      yield* store.delete([ObjectKey.make(chunk("slow", 2))])
      yield* sweep()
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("of one session do not keep those of another", () =>
    Effect.gen(function* () {
      // Neighbours in key order, one of them an object directly below the prefix.
      const stale = ["uploads/a", "uploads/a!", "uploads/a!/1", "uploads/a/1", "uploads/b"]
      yield* stageAll(stale)
      yield* TestClock.adjust(day)
      const fresh = ["uploads/a/b/1", "uploads/a0", "uploads/a0/1"]
      yield* stageAll(fresh)
      const report = yield* sweep()
      assert.deepStrictEqual(yield* objects, ["uploads/a/1", "uploads/a/b/1", "uploads/a0", "uploads/a0/1"])
      assert.deepInclude(counts(report, "uploads"), { seen: 8, eligible: 4, deleted: 4, kept: { grace: 4 } })
    }).pipe(Effect.provide(world()))
  )

  it.effect("are judged by session across the pages of a listing", () =>
    Effect.gen(function* () {
      // Sessions of 700 objects, pages of 1000: each page ends within a session.
      const [a, b, c] = [chunks("a", 700), chunks("b", 700), chunks("c", 700)]
      yield* stageAll([...a, ...b, ...c].filter((key) => key !== b.at(-1)))
      yield* TestClock.adjust(day)
      yield* stage(chunk("b", 699))
      const report = yield* sweep()
      assert.deepStrictEqual(yield* objects, b)
      assert.deepInclude(counts(report, "uploads"), { seen: 2100, deleted: 1400, kept: { grace: 700 } })
      assert.isNull(report.phases.uploads.stoppedBy)
    }).pipe(Effect.provide(world()))
  )

  it.effect(
    "of a session too large to hold are counted while it is kept, and listed again when it is stale",
    () =>
      Effect.gen(function* () {
        yield* stageAll(chunks("huge", 10_500))
        yield* stageAll(chunks("small", 3))
        const { storage } = yield* World
        const kept = yield* sweepAfter(hour)
        assert.deepInclude(counts(kept, "uploads"), { seen: 10_503, eligible: 0, kept: { grace: 10_503 } })

        yield* TestClock.setTime(start + day)
        // One more chunk arrives after the session was judged, before it is listed again. It is left alone.
        const here = yield* World
        const arrives = Effect.orDie(Effect.provideService(stage(chunk("huge", 10_500)), World, here))
        storage.calls.length = 0
        storage.always(({ operation, args }) =>
          operation === "list" && args[0] === "uploads/huge/" ? hangsBefore(arrives) : undefined
        )
        const report = yield* sweep()
        assert.deepStrictEqual(yield* objects, [chunk("huge", 10_500)])
        assert.deepInclude(counts(report, "uploads"), { seen: 10_503, eligible: 10_503, deleted: 10_503 })
        const listed = storage.calls
          .filter(({ operation }) => operation === "list")
          .map(({ args }) => args[0])
        assert.deepStrictEqual([...new Set(listed)], ["uploads/", "uploads/huge/"])
      }).pipe(Effect.provide(world()))
  )

  it.effect("lie below their prefix and nowhere else", () =>
    Effect.gen(function* () {
      const others = [
        "upload/1",
        "uploads",
        "uploads-old/s/1",
        "uploadsx",
        "Uploads/s/1",
        "other/uploads/s/1"
      ]
      yield* stageAll([...others, chunk("s", 1)])
      assert.deepInclude(counts(yield* sweepAfter(30 * day), "uploads"), { seen: 1, deleted: 1 })
      assert.sameMembers([...(yield* objects)], others)
    }).pipe(Effect.provide(world()))
  )
})

describe("a key below the upload prefix", () => {
  it.effect("is kept while a blob row owns it", () =>
    Effect.gen(function* () {
      const key = ObjectKey.make(chunk("s", 1))
      yield* upload("a", { key, references: [artifact("v1", "a")] })
      yield* stage(chunk("s", 2))
      const report = yield* sweepAfter(7 * day)
      assert.deepStrictEqual(yield* objects, [key])
      assert.deepInclude(counts(report, "uploads"), {
        seen: 2,
        eligible: 1,
        deleted: 1,
        kept: { "owned by the catalogue": 1 }
      })
    }).pipe(Effect.provide(world()))
  )

  it.effect("is kept while an upload under way owns it", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start - 30 * day)
      yield* stage(chunk("s", 1))
      yield* TestClock.setTime(start)
      const { rows } = yield* World
      const key = ObjectKey.make(chunk("s", 1))
      yield* rows.blobs.intend([{ key, digest: digest("a"), expiresAt: start + hour }])
      yield* sweep()
      assert.deepStrictEqual(yield* objects, [key])
      // Reaped when it expires, and then its object goes like any other.
      yield* sweepAfter(hour)
      yield* sweepAfter(minute)
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is deleted once nothing owns it any more (control)", () =>
    Effect.gen(function* () {
      const { rows, state } = yield* World
      const [owned, intended] = [ObjectKey.make(chunk("s", 1)), ObjectKey.make(chunk("t", 1))]
      yield* upload("a", { key: owned })
      yield* stage(intended)
      yield* rows.blobs.intend([{ key: intended, digest: digest("b"), expiresAt: start + 365 * day }])
      yield* TestClock.adjust(day)
      yield* sweep()
      assert.deepStrictEqual(yield* objects, [owned, intended])
      state.blobs.clear()
      state.orphans.clear()
      state.intents.clear()
      assert.deepInclude(counts(yield* sweep(), "uploads"), { deleted: 2, kept: {} })
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )
})

describe("a delete of staged uploads that fails", () => {
  it.effect("is reported by code and tried again by the next sweep", () =>
    Effect.gen(function* () {
      const { storage, state } = yield* World
      yield* stageAll(chunks("s", 5))
      storage.refused.set(ObjectKey.make(chunk("s", 0)), "AccessDenied")
      storage.refused.set(ObjectKey.make(chunk("s", 3)), "InternalError")
      storage.refused.set(ObjectKey.make(chunk("s", 4)), "InternalError")
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "uploads"), {
        seen: 5,
        eligible: 5,
        deleted: 2,
        bytes: 2,
        failed: { AccessDenied: 1, InternalError: 2 },
        stoppedBy: null
      })
      assert.strictEqual(report.outcome, "failed")
      assert.deepStrictEqual(yield* objects, [chunk("s", 0), chunk("s", 3), chunk("s", 4)])
      assert.strictEqual(state.journal.size, 0)

      storage.refused.clear()
      assert.deepInclude(counts(yield* sweepAfter(hour), "uploads"), { deleted: 3, failed: {} })
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("as a whole ends the phase, with the error in the report, and the next sweep goes on", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* stageAll(chunks("s", 5))
      storage.next("delete", fails("Unavailable"))
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "uploads"), { deleted: 0, failed: { Unavailable: 5 } })
      assert.deepInclude(report.phases.uploads.error, { tag: "StorageError" })
      assert.strictEqual(report.phases.uploads.stoppedBy, "failure")
      yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("in the listing deletes nothing of a session that was read in part", () =>
    Effect.gen(function* () {
      const { storage, store } = yield* World
      yield* stageAll(chunks("s", 1500))
      yield* TestClock.adjust(day)
      // The chunk that keeps the session alive stands on the second page, which cannot be read.
      yield* store.put(ObjectKey.make(chunk("s", 1600)), Stream.empty, 0)
      storage.always(({ operation, args }) =>
        operation === "list" && storage.count("list") === 2 && args[0] === "uploads/"
          ? fails("Unavailable")
          : undefined
      )
      const report = yield* sweep()
      assert.deepInclude(counts(report, "uploads"), { seen: 1000, eligible: 0, deleted: 0 })
      assert.deepInclude(report.phases.uploads.error, { tag: "StorageError" })
      assert.strictEqual((yield* objects).length, 1501)
    }).pipe(Effect.provide(world()))
  )
})

describe("an announced upload that is never finished", () => {
  it.effect("is reaped when its intent expires, to the millisecond, with or without bytes", () =>
    Effect.gen(function* () {
      yield* abandon("a", start + hour)
      yield* abandon("b", start + hour, false)
      yield* sweepAfter(hour - 1)
      const { state } = yield* World
      assert.strictEqual(state.intents.size, 2)
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
      yield* sweepAfter(1)
      assert.strictEqual(state.intents.size, 0)
      const report = yield* sweepAfter(1)
      assert.deepInclude(counts(report, "journal"), { seen: 2, eligible: 2, deleted: 2 })
      assert.deepStrictEqual(yield* objects, [])
      assert.strictEqual(state.journal.size, 0)
    }).pipe(Effect.provide(world()))
  )

  it.effect("takes nothing from a writer that starts again under a new key", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      yield* abandon("a", start + hour)
      yield* sweepAfter(hour)
      const late = { key: blobKey("a"), digest: digest("a"), sizeBytes: 1, references: [] }
      assert.deepStrictEqual(yield* rows.blobs.publish(start + hour, [late]), ["expired"])
      yield* upload("a", { key: blobKey("a", 2), references: [artifact("v1", "a")] })
      yield* sweepAfter(hour)
      assert.deepStrictEqual(yield* objects, [blobKey("a", 2)])
    }).pipe(Effect.provide(world()))
  )
})

describe("files of another program below the upload prefix", () => {
  const settings = { unannouncedWriters: "none" } as const
  const session = "0f3a6c1e-7d0b-4f0e-9a53-5b0c1d2e3f40"
  const theirs = [
    ...Array.from({ length: 60 }, (_, n) => `uploads/avatars/user-${n}.png`),
    "uploads/logo.svg",
    `uploads/${session}.png`
  ]
  const ours = [`uploads/${session}/1`, `uploads/${session.replaceAll("-", "")}`]
  const aDayLater = Effect.gen(function* () {
    yield* stageAll([...theirs, ...ours])
    yield* beginParts("uploads/avatars/user-61.png", "theirs")
    yield* beginParts(`uploads/${session}/2`, "ours")
    return yield* sweepAfter(day)
  })

  it.effect("stay where the catalogue existed before, and names of sessions are taken", () =>
    Effect.gen(function* () {
      ;(yield* World).state.installation.catalogueExisted = true
      const report = yield* aDayLater
      assert.deepStrictEqual(yield* objects, [...theirs].sort())
      assert.deepInclude(counts(report, "uploads"), {
        seen: 64,
        deleted: 2,
        kept: { "no session's name": 62 }
      })
      assert.deepInclude(counts(report, "multiparts"), { deleted: 1, kept: { "no session's name": 1 } })
      assert.deepStrictEqual(yield* parts, ["theirs"])
    }).pipe(Effect.provide(world(settings)))
  )

  it.effect("are deleted where this program made the catalogue and all below is its own (control)", () =>
    Effect.gen(function* () {
      yield* aDayLater
      assert.deepStrictEqual([yield* objects, yield* parts], [[], []])
    }).pipe(Effect.provide(world(settings)))
  )
})
