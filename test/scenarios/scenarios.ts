/**
 * What the collector is for, as stories that are told the same on every backend. Each says what must be left in the
 * end; that the way there is the same, too, is for whoever plays them on two backends to compare.
 */
import { assert } from "@effect/vitest"
import { Deferred, Duration, Effect, Result } from "effect"
import { hangsBefore, lands } from "../../src/testing/Faults.ts"
import { artifact, day, digest, hour, key, localFile, type Scenario } from "../fixtures/scenarios/Stage.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

const mixedGarbage: Scenario = {
  name: "a bit of everything: garbage goes, the rest stays",
  settings: { batchMax: 2, scanPage: 3 },
  play: Effect.fnUntraced(function* (stage) {
    yield* stage.chunk("uploads/stale/1", 10)
    yield* stage.chunk("uploads/stale/2", 20)
    yield* stage.chunk("other/kept", 30)
    // Half an hour from any instant that a store with a clock of its own could see otherwise.
    yield* stage.pass("21.5 hours")
    for (const name of ["a", "b", "c", "d", "e"]) yield* stage.upload(name, [], 100)
    yield* stage.upload("live", [artifact("v1", "live"), localFile("/srv/live", "live")])
    yield* stage.sweep()
    yield* stage.pass("1 hour")
    yield* stage.sweep()
    yield* stage.pass("1 hour")
    yield* stage.upload("condemnable", [], 200)
    yield* stage.upload("a", [artifact("v2", "a")], 100, 2)
    yield* stage.drop(localFile("/srv/live", "live"))
    assert.strictEqual((yield* stage.sweep()).phases.orphans.deleted, 4)
    yield* stage.pass("1 hour")
    yield* stage.upload("new", [], 400)
    const report = yield* stage.sweep()
    assert.deepInclude(report.left, { waiting: 1, condemned: 1 })
    assert.strictEqual(report.outcome, "complete")
    assert.deepStrictEqual(
      (yield* stage.rows).blobs.map((row) => row.digest as string),
      ["a", "condemnable", "live", "new"]
    )
    assert.deepStrictEqual(yield* stage.objects, [
      key("a"),
      key("condemnable"),
      key("live"),
      key("new"),
      "other/kept"
    ])
  })
}

const twoWaits: Scenario = {
  name: "grace and quarantine run out over weeks, each to the millisecond",
  settings: { grace: Duration.days(2), quarantine: Duration.days(14) },
  play: Effect.fnUntraced(function* (stage) {
    yield* stage.upload("a", [artifact("v1", "a")])
    yield* stage.pass("30 days")
    yield* stage.sweep()
    yield* stage.drop(artifact("v1", "a"))
    yield* stage.pass("1 hour")
    yield* stage.sweep()
    yield* stage.pass(2 * day - 1)
    assert.strictEqual((yield* stage.sweep()).left?.condemned, 0)
    yield* stage.pass(1)
    assert.strictEqual((yield* stage.sweep()).left?.condemned, 1)
    for (let n = 0; n < 6; n++) {
      yield* stage.pass("2 days")
      yield* stage.sweep()
    }
    yield* stage.pass(2 * day - 1)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [key("a")])
    yield* stage.pass(1)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [])
    assert.deepStrictEqual((yield* stage.rows).journal, [])
  })
}

const dedup: Scenario = {
  name: "content that is pushed twice is kept once, and a dedup hit in the grace period saves it",
  settings: { quarantine: Duration.zero },
  play: Effect.fnUntraced(function* (stage) {
    assert.strictEqual(yield* stage.upload("a", [artifact("v1", "a")]), "published")
    assert.strictEqual(yield* stage.upload("a", [artifact("v2", "a")], 1, 2), "deduplicated")
    assert.strictEqual(yield* stage.upload("b"), "published")
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [key("a"), key("b")])
    yield* stage.pass(hour - 1)
    assert.isTrue(yield* stage.refer(localFile("/srv/b", "b")))
    yield* stage.drop(localFile("/srv/b", "b"))
    yield* stage.pass(1)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [key("a"), key("b")])
    yield* stage.pass(hour)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [key("a")])
    assert.isFalse(yield* stage.refer(localFile("/srv/b", "b")))
    assert.strictEqual(yield* stage.upload("b", [localFile("/srv/b", "b")], 1, 2), "published")
    yield* stage.pass("7 days")
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [key("a"), key("b", 2)])
  })
}

const savedInQuarantine: Scenario = {
  name: "one reference ends a quarantine, and afterwards everything begins anew",
  settings: {},
  play: Effect.fnUntraced(function* (stage) {
    for (const name of ["ours", "theirs", "nobody's"]) yield* stage.upload(name)
    yield* stage.sweep()
    yield* stage.pass("1 hour")
    assert.strictEqual((yield* stage.sweep()).left?.condemned, 3)
    yield* stage.pass(hour - 1)
    yield* stage.refer(artifact("ours", "ours"))
    // A program that knows nothing of collectors.
    yield* stage.tables.write({ references: [localFile("/srv/theirs", "theirs")] })
    yield* stage.pass(1)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [key("ours"), key("theirs")])
    assert.deepStrictEqual((yield* stage.rows).orphans, [])
    yield* stage.pass("30 days")
    yield* stage.drop(artifact("ours", "ours"))
    yield* stage.drop(localFile("/srv/theirs", "theirs"))
    yield* stage.sweep()
    yield* stage.pass("1 hour")
    yield* stage.sweep()
    yield* stage.pass(hour - 1)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [key("ours"), key("theirs")])
    yield* stage.pass(1)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [])
  })
}

/** Instants are taken from the store, because a real one dates objects by its own clock. */
export const stagedUploads: Scenario = {
  name: "staged uploads go 24 hours after the newest object of their session",
  settings: { batchMax: 2 },
  play: Effect.fnUntraced(function* (stage) {
    const first = yield* stage.chunk("uploads/slow/1")
    yield* stage.chunk("uploads/stale/1", 2)
    yield* stage.chunk("uploads/stale/2", 3)
    const stale = yield* stage.chunk("uploads/stale/3", 4)
    yield* stage.chunk("uploads")
    yield* stage.chunk("uploadsx/1")
    yield* stage.later
    const newest = Math.max(yield* stage.chunk("uploads/slow/2"), yield* stage.chunk("uploads/slow/3"))
    assert.isAbove(newest, stale)

    yield* stage.setTime(first + day - 1)
    yield* stage.sweep()
    assert.strictEqual((yield* stage.objects).length, 8)
    // The other session is stale by now.
    yield* stage.setTime(newest + day - 1)
    yield* stage.sweep()
    const slow = ["uploads/slow/1", "uploads/slow/2", "uploads/slow/3"]
    assert.deepStrictEqual(yield* stage.objects, ["uploads", ...slow, "uploadsx/1"])
    yield* stage.setTime(newest + day)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, ["uploads", "uploadsx/1"])
  })
}

const undeletable: Scenario = {
  name: "keys that cannot be deleted back off, become dead letters, and come back when retried",
  settings: { ...noWaits, attemptsMax: 3, deleteConcurrency: 1, batchMax: 4 },
  play: Effect.fnUntraced(function* (stage) {
    for (let n = 0; n < 10; n++) yield* stage.upload(`a${n}`)
    for (const name of ["a1", "a2", "a7"]) stage.faults.refused.set(key(name), "AccessDenied")
    for (let n = 0; n < 3; n++) {
      yield* stage.sweep()
      yield* stage.pass("10 minutes")
    }
    assert.deepStrictEqual(yield* stage.objects, [key("a1"), key("a2"), key("a7")])
    assert.strictEqual((yield* stage.sweep()).left?.deadLetters, 3)
    stage.faults.refused.clear()
    yield* stage.pass("30 days")
    yield* stage.sweep()
    assert.strictEqual((yield* stage.objects).length, 3)
    const { journal } = stage.database
    assert.strictEqual(yield* Effect.orDie(journal.retry(yield* stage.now, [key("a2")])), 1)
    yield* stage.sweep()
    assert.strictEqual(yield* Effect.orDie(journal.retry(yield* stage.now, "all")), 2)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [])
    assert.deepStrictEqual((yield* stage.rows).journal, [])
  })
}

const dryRun: Scenario = {
  name: "a dry run changes nothing and foretells the next sweep",
  settings: { ...noWaits, batchMax: 2, scanPage: 2 },
  play: Effect.fnUntraced(function* (stage) {
    yield* stage.chunk("uploads/s/1", 10)
    yield* stage.chunk("uploads/s/2", 20)
    yield* stage.pass("25 hours")
    for (const name of ["a", "b", "c"]) yield* stage.upload(name, [], 100)
    yield* stage.upload("live", [artifact("v1", "live")])
    yield* stage.upload("live", [], 7, 2)
    const before = [yield* stage.rows, yield* stage.objects]
    const plan = yield* stage.sweep({ dryRun: true })
    assert.deepStrictEqual([yield* stage.rows, yield* stage.objects], before)
    const done = yield* stage.sweep()
    assert.deepStrictEqual(plan.totals, { ...done.totals, deleted: 0, eligible: done.totals.deleted })
    assert.strictEqual(done.totals.deleted, 6)
    assert.deepStrictEqual(plan.phases.orphans.sample, ["a", "b", "c"])
    assert.deepStrictEqual(yield* stage.objects, [key("live")])
  })
}

const crashes: Scenario = {
  name: "a crash between purge and delete, a lost answer and an abandoned upload leave nothing behind",
  settings: { ...noWaits, batchMax: 2, deleteConcurrency: 1 },
  play: Effect.fnUntraced(function* (stage) {
    for (const name of ["a", "b", "c"]) yield* stage.upload(name)
    const died = yield* Deferred.make<void>()
    stage.faults.next("delete", hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never)))
    yield* Effect.raceFirst(stage.sweep(), Deferred.await(died))
    assert.deepStrictEqual(yield* stage.objects, [key("a"), key("b"), key("c")])
    assert.isFalse(yield* stage.refer(artifact("again", "a")))
    yield* stage.upload("a", [artifact("again", "a")], 1, 2)

    const expiresAt = (yield* stage.now) + hour
    yield* Effect.orDie(
      stage.database.blobs.intend([{ key: key("abandoned"), digest: digest("abandoned"), expiresAt }])
    )
    yield* stage.chunk(key("abandoned"))
    stage.faults.next("delete", lands("TimedOut"))
    yield* stage.pass("5 minutes")
    yield* stage.sweep()
    for (let n = 0; n < 3; n++) {
      yield* stage.pass("1 hour")
      yield* stage.sweep()
    }
    const late = { key: key("abandoned"), digest: digest("abandoned"), sizeBytes: 1, references: [] }
    const outcomes = yield* Effect.result(stage.database.blobs.publish(yield* stage.now, [late]))
    assert.deepStrictEqual(outcomes, Result.succeed(["expired"]))
    assert.deepStrictEqual(yield* stage.objects, [key("a", 2)])
    const rows = yield* stage.rows
    assert.deepStrictEqual([rows.journal, rows.intents, rows.orphans], [[], [], []])
  })
}

/** A store with a clock of its own dates all objects near the beginning; each sweep is half an hour from that. */
const lateUpload: Scenario = {
  name: "an upload whose bytes arrive after its intent was reaped is found and deleted",
  settings: {},
  play: Effect.fnUntraced(function* (stage) {
    yield* stage.upload("live", [artifact("v1", "live")])
    const { intend } = stage.database.blobs
    const begun = yield* stage.now
    const announce = (name: string, expiresAt: number) =>
      Effect.orDie(intend([{ key: key(name), digest: digest(name), expiresAt }]))
    yield* announce("late", begun + hour)
    yield* announce("slow", begun + 30 * day)
    yield* stage.chunk(key("slow"), 5)
    yield* stage.pass("1 hour")
    yield* stage.sweep()
    yield* stage.pass("1 minute")
    yield* stage.sweep()
    // The key has been deleted, for what the store knows, when its object appears.
    assert.deepStrictEqual((yield* stage.rows).journal, [])
    yield* stage.chunk(key("late"), 7)
    yield* stage.setTime(begun + 23 * hour)
    yield* stage.sweep()
    assert.deepStrictEqual((yield* stage.rows).journal, [])
    yield* stage.setTime(begun + 26 * hour)
    assert.deepInclude((yield* stage.sweep()).phases.leftovers, { seen: 3, eligible: 1 })
    assert.include(yield* stage.objects, key("late"))
    yield* stage.pass("1 hour")
    assert.deepInclude((yield* stage.sweep()).phases.journal, { deleted: 1, bytes: 7 })
    assert.deepStrictEqual(yield* stage.objects, [key("live"), key("slow")])
    const slow = {
      key: key("slow"),
      digest: digest("slow"),
      sizeBytes: 5,
      references: [artifact("v1", "slow")]
    }
    const outcomes = yield* Effect.orDie(stage.database.blobs.publish(yield* stage.now, [slow]))
    assert.deepStrictEqual(outcomes, ["published"])
    yield* stage.pass("7 days")
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.objects, [key("live"), key("slow")])
  })
}

const killedInParts: Scenario = {
  name: "an upload in parts whose writer was killed is aborted by its recorded id, or else found by listing",
  settings: {},
  play: Effect.fnUntraced(function* (stage) {
    const { intend, recordMultipart } = stage.database.blobs
    const begun = yield* stage.now
    for (const name of ["recorded", "slow", "unrecorded"]) {
      const expiresAt = begun + (name === "slow" ? 30 * day : hour)
      yield* Effect.orDie(intend([{ key: key(name), digest: digest(name), expiresAt }]))
      const id = yield* stage.begin(key(name))
      if (name !== "unrecorded") yield* Effect.orDie(recordMultipart(key(name), id))
    }
    yield* stage.pass("1 hour")
    assert.deepInclude((yield* stage.sweep()).phases.multiparts, { seen: 3, deleted: 0, kept: { grace: 3 } })
    yield* stage.pass("1 minute")
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.parts, [key("slow"), key("unrecorded")])
    assert.deepStrictEqual((yield* stage.rows).journal, [])
    yield* stage.setTime(begun + 23 * hour)
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.parts, [key("slow"), key("unrecorded")])
    yield* stage.setTime(begun + 26 * hour)
    assert.deepInclude((yield* stage.sweep()).phases.multiparts, {
      seen: 2,
      deleted: 1,
      kept: { "in use": 1 }
    })
    assert.deepStrictEqual(yield* stage.parts, [key("slow")])
    yield* stage.setTime(begun + 30 * day)
    yield* stage.sweep()
    yield* stage.pass("1 minute")
    yield* stage.sweep()
    assert.deepStrictEqual(yield* stage.parts, [])
    const rows = yield* stage.rows
    assert.deepStrictEqual([rows.journal, rows.intents], [[], []])
  })
}

export const scenarios: ReadonlyArray<Scenario> = [
  mixedGarbage,
  twoWaits,
  dedup,
  savedInQuarantine,
  stagedUploads,
  undeletable,
  dryRun,
  crashes,
  lateUpload,
  killedInParts
]
