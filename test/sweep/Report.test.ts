import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { SchemaRefused } from "../../src/domain/SchemaRefused.ts"
import { emptyPhase, SweepReport } from "../../src/domain/SweepReport.ts"
import { Progress, type ProgressEvent } from "../../src/sweep/Progress.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { dies, fails, hangsBefore } from "../../src/testing/Faults.ts"
import type { Verb } from "../fixtures/Database.ts"
import { phaseNames } from "../fixtures/phases.ts"
import {
  abandon,
  artifact,
  beginParts,
  blobKey,
  blobs,
  bury,
  clean,
  counts,
  day,
  digest,
  hour,
  journalRow,
  manifest,
  minute,
  objects,
  session,
  snapshot,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

/** Something of every kind, at the moment when the first orphans' waits are over. */
const mixed = Effect.gen(function* () {
  const { storage, state, rows } = yield* World
  yield* stage("uploads/stale/1", 10)
  yield* stage("uploads/stale/2", 20)
  yield* stage("blobs/stray/1", 11)
  yield* upload("kept", {
    key: ObjectKey.make("uploads/stale/kept"),
    references: [artifact("v1", "kept")]
  })
  yield* session("idle", [50, 60])
  yield* manifest("untagged")
  yield* manifest("tagged", { tags: ["v1"] })
  yield* TestClock.setTime(start + 22 * hour)
  yield* stage("uploads/fresh/1", 40)
  yield* session("busy", [70, 80])
  yield* upload("purgeable", { sizeBytes: 100 })
  yield* upload("purgeable too", { sizeBytes: 200 })
  yield* upload("saved", { sizeBytes: 400 })
  yield* sweep()
  yield* TestClock.adjust("30 minutes")
  yield* upload("quarantined", { sizeBytes: 800 })
  for (let n = 0; n < 3; n++) yield* sweepAfter(n === 0 ? 0 : 30 * minute)
  yield* TestClock.setTime(start + day)
  yield* upload("waiting", { sizeBytes: 1600 })
  state.references.set("theirs", artifact("theirs", "saved"))
  yield* bury("dead", start, 3)
  yield* bury("dead too", start, 5)
  storage.refused.set(yield* bury("undeletable", start, 7), "AccessDenied")
  yield* bury("not due", start + day + 1, 9)
  yield* rows.journal.postpone([
    { key: yield* bury("given up", start), notBefore: start, attempts: 12, error: "no", deadAt: start }
  ])
  yield* abandon("forgotten", start + day - 1)
  yield* beginParts("uploads/stale/3", "abandoned", start)
  yield* beginParts("uploads/fresh/2", "under way", start + 1)
  yield* beginParts(blobKey("forgotten"), "of an intent", start)
  // As if leftovers had never been looked for.
  state.listing = null
})

const nothing = {
  bytes: 0,
  kept: {},
  failed: {},
  stoppedBy: null,
  error: null,
  sample: [],
  durationMillis: 0
}

describe("the report of a sweep", () => {
  it.effect("has exact numbers for a bit of everything", () =>
    Effect.gen(function* () {
      yield* mixed
      const report = yield* sweep()
      assert.match(report.sweep, /^20261123T000000\.000Z-[0-9a-f]{4}$/)
      assert.deepStrictEqual(report, {
        sweep: report.sweep,
        startedAt: "2026-11-23T00:00:00.000Z",
        durationMillis: 0,
        dryRun: false,
        outcome: "failed",
        guards: [],
        store: { deletes: "objects", objectLock: false, versioning: "off" },
        phases: {
          suspects: emptyPhase,
          retention: emptyPhase,
          manifests: { ...nothing, seen: 1, eligible: 1, deleted: 0, kept: { dropped: 1 } },
          uploads: {
            ...nothing,
            seen: 7,
            eligible: 4,
            deleted: 4,
            bytes: 140,
            kept: { grace: 2, "owned by the catalogue": 1 }
          },
          multiparts: { ...nothing, seen: 3, eligible: 1, deleted: 1, kept: { grace: 1, "in use": 1 } },
          orphans: {
            ...nothing,
            seen: 8,
            eligible: 2,
            deleted: 2,
            bytes: 300,
            kept: { grace: 2, quarantine: 1, referenced: 1, "in use": 2 }
          },
          leftovers: {
            ...nothing,
            seen: 13,
            eligible: 1,
            deleted: 0,
            kept: { quarantine: 1, "owned by the catalogue": 7, journaled: 5 }
          },
          journal: { ...nothing, seen: 3, eligible: 3, deleted: 2, bytes: 8, failed: { AccessDenied: 1 } }
        },
        totals: { eligible: 12, deleted: 9, bytes: 448, reclaimedBytes: 448, failed: 1 },
        left: {
          waiting: 2,
          condemned: 1,
          condemnedBytes: 800,
          journaled: 4,
          intents: 0,
          sessions: 1,
          pins: 0,
          deadLetters: 1,
          nextDueAt: new Date(start + day + 1).toISOString()
        }
      })
      assert.deepStrictEqual(yield* blobs, ["kept", "quarantined", "saved", "tagged", "untagged", "waiting"])
      assert.deepStrictEqual(yield* objects, [
        "blobs/forgotten/1",
        "blobs/given up/1",
        "blobs/new/busy",
        "blobs/not due/1",
        "blobs/quarantined/1",
        "blobs/saved/1",
        "blobs/stray/1",
        "blobs/tagged/1",
        "blobs/undeletable/1",
        "blobs/untagged/1",
        "blobs/waiting/1",
        "uploads/busy/70",
        "uploads/fresh/1",
        "uploads/stale/kept"
      ])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("survives JSON", () =>
    Effect.gen(function* () {
      yield* mixed
      const { database } = yield* World
      database.next("orphans.purge", fails("Contended"))
      const codec = Schema.toCodecJson(SweepReport)
      for (const report of [yield* sweep({ dryRun: true }), yield* sweep(), yield* sweep()]) {
        const text = JSON.stringify(yield* Schema.encodeEffect(codec)(report))
        assert.deepStrictEqual(yield* Schema.decodeEffect(codec)(JSON.parse(text)), report)
      }
    }).pipe(Effect.provide(world()))
  )

  it.effect("says when the next orphan is due", () =>
    Effect.gen(function* () {
      const dueAfter = Effect.map(sweep(), ({ left }) => Date.parse(left?.nextDueAt ?? "") - start)
      assert.isNaN(yield* dueAfter)
      yield* upload("a")
      assert.strictEqual(yield* dueAfter, hour)
      yield* TestClock.adjust(90 * minute)
      assert.strictEqual(yield* dueAfter, 90 * minute + hour)
      yield* TestClock.adjust(hour)
      assert.isNaN(yield* dueAfter)
    }).pipe(Effect.provide(world()))
  )
})

describe("a dry run", () => {
  it.effect("changes nothing, and names and counts what the sweep after it deletes", () =>
    Effect.gen(function* () {
      yield* mixed
      const before = yield* snapshot
      const { database, storage } = yield* World
      database.calls.length = 0
      storage.calls.length = 0
      const plan = yield* sweep({ dryRun: true })
      assert.deepStrictEqual(yield* snapshot, before)
      assert.deepStrictEqual(
        [...new Set(storage.calls.map((call) => call.operation))],
        ["skew", "traits", "head", "list", "multiparts"]
      )
      const reads: ReadonlyArray<Verb> = [
        "inspect",
        "control.orders",
        "references.check",
        "references.everHeld",
        "installation",
        "candidates.watch",
        "skew",
        "instants.ahead",
        "peers.others",
        "binding.read",
        "binding.due",
        "binding.sample",
        "backlog",
        "sessions.backlog",
        "orphans.readSlice",
        "orphans.find",
        "suspects.page",
        "sessions.idle",
        "manifests.untagged",
        "manifests.exposure",
        "audit.lookup",
        "breakers.read",
        "breakers.exposure",
        "breakers.history",
        "orphans.held"
      ]
      assert.sameMembers([...new Set(database.calls.map((call) => call.operation))], [...reads])

      storage.refused.clear()
      const done = yield* sweep()
      for (const name of phaseNames) {
        const [planned, swept] = [counts(plan, name), counts(done, name)]
        assert.strictEqual(planned.deleted, 0)
        if (name === "leftovers" || name === "manifests") continue
        assert.strictEqual(planned.eligible, swept.deleted, name)
        assert.strictEqual(planned.bytes, swept.bytes, name)
      }
      // They are journaled, and go with later sweeps.
      assert.deepInclude(plan.phases.leftovers, { eligible: 1, bytes: 11, sample: ["blobs/stray/1"] })
      assert.deepInclude(done.phases.leftovers, { eligible: 1, deleted: 0 })
      // Rows only: their blobs are the orphans of later sweeps.
      assert.deepInclude(plan.phases.manifests, { eligible: 1, kept: { dropped: 1 } })
      assert.deepInclude(done.phases.manifests, { eligible: 1, deleted: 0, kept: { dropped: 1 } })
      assert.deepStrictEqual(plan.phases.uploads.sample, ["uploads/stale/1", "uploads/stale/2"])
      assert.deepStrictEqual(plan.phases.orphans.sample, ["purgeable", "purgeable too"])
      assert.deepStrictEqual(plan.phases.journal.kept, { "not due": 1 })
      assert.isTrue(plan.dryRun)
      assert.strictEqual(plan.outcome, "complete")
    }).pipe(Effect.provide(world()))
  )

  it.effect("can be repeated for weeks and nothing goes", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* stage("uploads/s/1")
      for (let n = 0; n < 4; n++) yield* sweepAfter(7 * day, { dryRun: true })
      assert.deepStrictEqual(yield* objects, ["blobs/a/1", "uploads/s/1"])
      assert.deepStrictEqual(yield* blobs, ["a"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("names twenty candidates of a phase and counts them all", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 45; n++) yield* stage(`uploads/s/${String(n).padStart(2, "0")}`, 2)
      const { uploads } = (yield* sweepAfter(day, { dryRun: true })).phases
      assert.deepInclude(uploads, { seen: 45, eligible: 45, bytes: 90 })
      assert.deepStrictEqual(uploads.sample.slice(0, 2), ["uploads/s/00", "uploads/s/01"])
      assert.strictEqual(uploads.sample.length, 20)
    }).pipe(Effect.provide(world()))
  )
})

describe("a failure", () => {
  it.effect("in the uploads leaves orphans and journal to be collected", () =>
    Effect.gen(function* () {
      yield* mixed
      const { storage } = yield* World
      storage.next("list", fails("AccessDenied"))
      const report = yield* sweep()
      // The sessions need no listing.
      assert.deepInclude(report.phases.uploads, { seen: 2, deleted: 2, stoppedBy: "failure" })
      assert.strictEqual(report.phases.uploads.error?.tag, "StorageError")
      assert.deepStrictEqual([report.phases.orphans.deleted, report.phases.journal.deleted], [2, 2])
      assert.strictEqual(report.outcome, "failed")
    }).pipe(Effect.provide(world()))
  )

  it.effect("in the orphans leaves the journal to be collected", () =>
    Effect.gen(function* () {
      yield* mixed
      const { database } = yield* World
      database.next("orphans.purge", fails("Contended"))
      const report = yield* sweep()
      assert.deepInclude(report.phases.orphans, { eligible: 0, deleted: 0, stoppedBy: "failure" })
      assert.include(report.phases.orphans.error?.message, "orphans.purge failed (Contended)")
      assert.strictEqual(report.phases.journal.deleted, 2)
      assert.deepInclude(counts(yield* sweep(), "orphans"), { deleted: 2 })
    }).pipe(Effect.provide(world()))
  )

  it.effect("to find the orphans purges none, not even those condemned long ago", () =>
    Effect.gen(function* () {
      yield* mixed
      const { database } = yield* World
      const before = yield* blobs
      database.next("orphans.find", fails("Unavailable"))
      const report = yield* sweepAfter(7 * day)
      assert.deepInclude(counts(report, "orphans"), { eligible: 0, deleted: 0, stoppedBy: "failure" })
      assert.deepStrictEqual(yield* blobs, before)
      assert.include(yield* objects, blobKey("purgeable"))
    }).pipe(Effect.provide(world()))
  )

  it.effect("of every call leaves a report and everything else as it was", () =>
    Effect.gen(function* () {
      yield* mixed
      const { database, storage } = yield* World
      const before = yield* snapshot
      database.always(() => fails("Unavailable"))
      storage.always(() => fails("Unavailable"))
      const report = yield* sweep()
      assert.strictEqual(report.outcome, "failed")
      assert.isNull(report.left)
      assert.deepInclude(report.totals, { eligible: 0, deleted: 0 })
      assert.deepStrictEqual(yield* snapshot, before)
    }).pipe(Effect.provide(world()))
  )

  it.effect("that is a defect is reported like any other, wherever it strikes", () =>
    Effect.gen(function* () {
      yield* mixed
      const { database, storage } = yield* World
      const bug = new TypeError("undefined is not a function")
      const defect = { tag: "Defect", message: bug.message } as const
      storage.next("list", dies(bug))
      storage.next("multiparts", dies(bug))
      database.next("suspects.page", dies(bug))
      database.next("manifests.exposure", dies(bug))
      database.next("orphans.record", dies(bug))
      database.next("leftovers.claim", dies(bug))
      database.next("journal.claim", dies("not even an Error"))
      database.next("backlog", dies(bug))
      const report = yield* sweep()
      assert.deepStrictEqual(
        phaseNames.map((name) => report.phases[name]?.error),
        [
          defect,
          defect,
          defect,
          // Without rules, retention asks nothing.
          null,
          defect,
          defect,
          defect,
          { tag: "Defect", message: "not even an Error" } as const
        ]
      )
      assert.isNull(report.left)
      database.next("inspect", dies(bug))
      const guarded = yield* sweep()
      assert.strictEqual(guarded.outcome, "failed")
      assert.deepStrictEqual(guarded.phases.uploads.error, defect)
      assert.strictEqual(guarded.totals.deleted, 0)
    }).pipe(Effect.provide(world()))
  )
})

describe("an interruption", () => {
  it.effect("passes through and is not reported as a failure", () =>
    Effect.gen(function* () {
      yield* mixed
      const { storage } = yield* World
      const deleting = yield* Deferred.make<void>()
      storage.next("delete", hangsBefore(Effect.andThen(Deferred.succeed(deleting, undefined), Effect.never)))
      const fiber = yield* Effect.forkChild(sweep())
      yield* Deferred.await(deleting)
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.include(yield* objects, "uploads/stale/1")
    }).pipe(Effect.provide(world()))
  )
})

describe("a catalogue that the guard refuses", () => {
  const refused = new SchemaRefused({
    problems: [
      {
        kind: "DestructiveForeignKey",
        table: "public.artifacts",
        constraint: "artifacts_digest_fkey",
        problem: "ON DELETE CASCADE",
        fix: "ALTER TABLE …"
      }
    ]
  })
  it.effect("is not collected from, in any phase, dry or not", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* stage("uploads/s/1")
      yield* bury("dead")
      yield* TestClock.adjust(7 * day)
      const before = yield* snapshot
      const { storage } = yield* World
      for (const dryRun of [false, true]) {
        const report = yield* sweep({ dryRun })
        assert.strictEqual(report.outcome, "refused")
        const error = { tag: "SchemaRefused", message: refused.message } as const
        assert.deepStrictEqual(report.phases.orphans, { ...emptyPhase, stoppedBy: "failure", error })
      }
      const after = yield* snapshot
      assert.lengthOf(after.rows.history, 1, "of the sweep that was no dry run")
      assert.deepStrictEqual({ ...after, rows: { ...after.rows, history: [] } }, before)
      assert.deepStrictEqual(storage.calls, [])
    }).pipe(Effect.provide(world({}, (inner) => ({ ...inner, inspect: Effect.fail(refused) }))))
  )
})

describe("progress", () => {
  it.effect("is reported to the caller of the sweep, batch by batch", () =>
    Effect.gen(function* () {
      yield* mixed
      const mine: Array<ProgressEvent> = []
      const watching = {
        watched: true,
        report: (event: ProgressEvent) => Effect.sync(() => void mine.push(event))
      }
      yield* Effect.provideService((yield* Sweep).once(), Progress, watching)
      assert.deepStrictEqual(
        phaseNames.flatMap((name) => mine.findLast((event) => event.phase === name) ?? []),
        [
          { phase: "uploads", seen: 7, deleted: 4, bytes: 140, expected: null },
          { phase: "multiparts", seen: 3, deleted: 1, bytes: 0, expected: null },
          { phase: "manifests", seen: 1, deleted: 0, bytes: 0, expected: null },
          { phase: "orphans", seen: 8, deleted: 2, bytes: 300, expected: 2 },
          { phase: "leftovers", seen: 13, deleted: 0, bytes: 0, expected: null },
          { phase: "journal", seen: 3, deleted: 2, bytes: 8, expected: 3 }
        ]
      )
    }).pipe(
      Effect.provide(world()),
      // Somebody else's, when the layers were built.
      Effect.provideService(Progress, { watched: false, report: () => Effect.die("the wrong one") })
    )
  )

  it.effect("expects no number of orphans where another collector scans a part of them", () =>
    Effect.gen(function* () {
      for (const name of ["a", "b", "c", "d", "e", "f"]) yield* upload(name)
      const expected = Effect.fnUntraced(function* () {
        const events: Array<ProgressEvent> = []
        const report = (event: ProgressEvent) => Effect.sync(() => void events.push(event))
        yield* Effect.provideService((yield* Sweep).once(), Progress, { watched: true, report })
        return events.findLast(({ phase }) => phase === "orphans")?.expected
      })
      const { database, rows } = yield* World
      const another = hangsBefore(Effect.orDie(rows.orphans.claimSlice(3, null)))
      // It takes the slice between ours, and then the last.
      for (const slices of [1, 2]) {
        if (slices === 2) database.next("orphans.record", hangsBefore(Effect.void))
        database.next("orphans.record", another)
        assert.isNull(yield* expected())
        for (const name of ["g", "h", "i", "j", "k", "l"]) yield* upload(`${name}${slices}`)
      }
      assert.isNumber(yield* expected(), "the control")
    }).pipe(
      Effect.provide(world({ grace: Duration.zero, quarantine: Duration.zero, scanPage: 3, batchMax: 2 }))
    )
  )
})

describe("an expired intent", () => {
  it.effect("is due for the next sweep, so that a dry run is right about this one", () =>
    Effect.gen(function* () {
      yield* abandon("a", start + hour)
      yield* TestClock.adjust(hour)
      assert.strictEqual((yield* sweep({ dryRun: true })).totals.eligible, 0)
      assert.strictEqual((yield* sweep()).totals.deleted, 0)
      assert.deepInclude(yield* journalRow(blobKey("a")), { digest: digest("a"), reason: "reaped" })
      assert.strictEqual((yield* sweepAfter(1, { dryRun: true })).totals.eligible, 1)
      assert.strictEqual((yield* sweep()).totals.deleted, 1)
      const { rows } = yield* World
      assert.isTrue(Option.isNone(yield* rows.blobs.locate(digest("a"))))
    }).pipe(Effect.provide(world()))
  )
})
