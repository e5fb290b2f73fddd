/** When doubt ends: suspects that are verified where they are, and tombstones whose danger is over. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as Collector from "../../../src/sweep/Collector.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { fails } from "../../../src/testing/Faults.ts"
import { later } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import {
  inserts,
  refers,
  refused,
  type Stage,
  stage,
  unannouncedKey,
  unverified
} from "../../fixtures/database/WriterStage.ts"
import { digest } from "../../fixtures/samples.ts"
import { untilTrue } from "../../fixtures/Until.ts"

const hour = 3_600_000
const marks = (s: Stage, where = "true") =>
  Effect.map(
    s.session(`SELECT 'digest' AS of, lasting FROM artifact_gc.tombstones WHERE ${where}
      UNION ALL SELECT 'key', lasting FROM artifact_gc.buried_keys WHERE ${where} ORDER BY 1`),
    (rows) => rows.map(({ of, lasting }) => `${of}${lasting === true ? " lasts" : ""}`)
  )

/** An unannounced blob is stored and purged. Its DELETE is answered at once. */
const collected = Effect.fnUntraced(function* (s: Stage) {
  yield* s.puts(1)
  yield* inserts(s.session, 1)
  assert.deepInclude((yield* s.purges).totals, { deleted: 1 })
})

/** The writer stores the same content again. */
const again = Effect.fnUntraced(function* (s: Stage) {
  yield* s.puts(1)
  yield* inserts(s.session, 1)
  yield* refused(unverified, refers(s.session, "tag", 1))
})

const inPlace = (server: Server): void => {
  it.live("a suspect whose key has no DELETE on its way keeps its key, and its tombstones end", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      yield* again(s)
      assert.deepInclude((yield* s.sweeps).phases.suspects, { seen: 1, kept: { verified: 1 } })
      assert.strictEqual(yield* s.keyOf(1), unannouncedKey(1))
      assert.deepStrictEqual(yield* marks(s), [])
      yield* inserts(s.session, 1)
      assert.deepStrictEqual(yield* s.suspects, [], "a dedup hit casts no doubt on it")
      yield* refers(s.session, "tag", 1)
      yield* s.sweeps
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live("a suspect without an object is dropped, and leaves a tombstone for writers that saw its row", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      yield* inserts(s.session, 1)
      // As after the writers' patience: what made it suspect has ended before it was verified.
      yield* s.session("DELETE FROM artifact_gc.tombstones")
      yield* s.session("DELETE FROM artifact_gc.buried_keys")
      assert.isTrue(yield* s.looks(1))
      assert.deepInclude((yield* s.sweeps).phases.suspects, { kept: { dropped: 1 } })
      yield* inserts(s.session, 1)
      yield* refused(unverified, refers(s.session, "tag", 1))
    })
  )

  it.live("control: without that tombstone, such a writer refers to a blob without bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      yield* inserts(s.session, 1)
      assert.isTrue(yield* s.looks(1))
      yield* s.sweeps
      yield* s.session("DELETE FROM artifact_gc.tombstones")
      yield* s.session("DELETE FROM artifact_gc.buried_keys")
      yield* inserts(s.session, 1)
      yield* refers(s.session, "tag", 1)
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )
}

const stale = (server: Server): void => {
  /** The store has the object. Then the row is dropped, and inserted again without bytes. */
  const insertedAgain = Effect.fnUntraced(function* (s: Stage) {
    yield* collected(s)
    yield* again(s)
    const [before] = yield* s.database.suspects.page(null, 10)
    assert.isTrue(before?.settled)
    if (before === undefined) return yield* Effect.die("no suspect")
    s.objects.delete(unannouncedKey(1))
    assert.strictEqual(yield* s.database.suspects.drop(Date.now(), before), "dropped")
    yield* inserts(s.session, 1)
    const [after] = yield* s.database.suspects.page(null, 10)
    return { before, latest: after?.latest ?? 0 }
  })

  it.live("an answer of the store says nothing of a row that was inserted after it", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const { before } = yield* insertedAgain(s)
      assert.strictEqual(yield* s.database.suspects.trust(before), "superseded")
      yield* refused(unverified, refers(s.session, "tag", 1))
    })
  )

  it.live("control: if it did, the row would be referred to and have no bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const { before, latest } = yield* insertedAgain(s)
      assert.strictEqual(yield* s.database.suspects.trust({ ...before, latest }), "verified")
      yield* refers(s.session, "tag", 1)
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )
}

const lessees = (server: Server): void => {
  /**
   * A DELETE gets no answer and is still on its way. Another lessee deletes the object and confirms. Then the
   * content returns and is verified, and the first DELETE arrives.
   */
  const zombie = Effect.fnUntraced(function* <E>(s: Stage, between: Effect.Effect<unknown, E>) {
    yield* s.puts(1)
    yield* inserts(s.session, 1)
    s.faults.next("delete", fails("TimedOut"), 2)
    yield* s.purges
    yield* between
    yield* Effect.sleep("10 millis")
    while ((yield* s.tables.rows).journal.length > 0)
      yield* Effect.andThen(s.sweeps, Effect.sleep("5 millis"))
    const found = yield* marks(s)
    yield* again(s)
    const { kept } = (yield* s.sweeps).phases.suspects
    yield* refers(s.session, "tag", 1)
    s.objects.delete(unannouncedKey(1))
    return { found, kept }
  })

  it.live("a key that was leased twice keeps its tombstone, and its suspects are copied away", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const { found, kept } = yield* zombie(s, Effect.void)
      assert.deepStrictEqual(found, ["digest", "key lasts"])
      assert.deepStrictEqual(kept, { adopted: 1 })
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live(
    "control: if leases were not counted, the first lessee's DELETE would delete a reference's bytes",
    () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* s.session(`CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.leases = 1; RETURN NEW; END'`)
        yield* s.session(`CREATE TRIGGER forget BEFORE UPDATE ON artifact_gc.journal
        FOR EACH ROW EXECUTE FUNCTION forget()`)
        const { found, kept } = yield* zombie(s, Effect.void)
        assert.deepStrictEqual(found, ["digest", "key"])
        assert.deepStrictEqual(kept, { verified: 1 })
        assert.deepStrictEqual(yield* s.lost, ["tag"])
      })
  )

  it.live("a key that one request deleted may be trusted, and one that was sent again may not", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const { journal } = s.database
      const dead = Effect.fnUntraced(function* (n: number, resent: ReadonlyArray<ObjectKey>) {
        const now = Date.now()
        const object = { key: unannouncedKey(n), sizeBytes: 1 }
        yield* s.database.leftovers.journal(now, [object], now)
        yield* journal.claim(now, now + hour, 10)
        yield* journal.confirm([object.key], resent)
        return yield* marks(s)
      })
      assert.deepStrictEqual(yield* dead(1, []), ["key"])
      assert.deepStrictEqual(yield* dead(2, [unannouncedKey(2)]), ["key", "key lasts"])
    })
  )

  it.live("a leftover that was taken back after it had been leased keeps its tombstone", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const { journal, leftovers } = s.database
      const now = Date.now()
      const scan = yield* leftovers.claim(now, now + hour, { everyMillis: hour, cuts: [], cutFrom: 1 })
      if (scan._tag === "None") return assert.fail("no range")
      const objects = [1, 2].map((n) => ({ key: unannouncedKey(n), sizeBytes: 1 }))
      yield* leftovers.journal(now, objects.slice(0, 1), now, scan.value)
      yield* journal.claim(now, now + hour, 10)
      const error = "503: busy"
      const put = { key: unannouncedKey(1), notBefore: now, attempts: 0, error, deadAt: null }
      yield* journal.postpone([put])
      yield* leftovers.journal(now, objects.slice(1), now, scan.value)
      assert.strictEqual(yield* leftovers.withdraw(scan.value), 2)
      assert.deepStrictEqual(yield* marks(s), ["key", "key lasts"])
    })
  )
}

const patience = (server: Server): void => {
  const ends = (s: Stage, now: number, patienceMillis: number) =>
    Effect.map(s.database.suspects.endTombstones(now, patienceMillis, 100), ({ ended }) => ended)

  it.live(
    "tombstones end when the writers' patience is over, and the content is inserted like any other",
    () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* collected(s)
        const now = Date.now()
        assert.strictEqual(yield* ends(s, now, 1000), 0)
        assert.strictEqual(yield* ends(s, now + 999, 1000), 0)
        assert.strictEqual(yield* ends(s, now + 1000, 1000), 2)
        yield* s.puts(1)
        yield* inserts(s.session, 1)
        yield* refers(s.session, "tag", 1)
        yield* s.sweeps
        assert.deepStrictEqual(yield* s.lost, [])
      })
  )

  it.live("control: without patience, a writer that saw the row and sent nothing refers to no bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.stores(1, "first")
      assert.isTrue(yield* s.looks(1))
      yield* s.purges
      const now = Date.now()
      yield* ends(s, now, 0)
      assert.strictEqual(yield* ends(s, now, 0), 2)
      yield* inserts(s.session, 1)
      yield* refers(s.session, "tag", 1)
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )

  it.live("a purge of the same content begins its patience anew", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      const now = Date.now()
      yield* ends(s, now, 1000)
      yield* again(s)
      yield* s.session("DELETE FROM artifact_gc.suspects")
      assert.deepInclude((yield* s.purges).totals, { deleted: 1 })
      assert.strictEqual(yield* ends(s, now + hour, 1000), 0)
      assert.strictEqual(yield* ends(s, now + 2 * hour, 1000), 2)
    })
  )

  /** A writer's transaction saw the row before the purge, and inserts after the patience. */
  const slow = Effect.fnUntraced(function* (s: Stage, meanwhile: ReadonlyArray<string>) {
    yield* s.stores(1, "first")
    const writer = yield* s.another
    yield* writer("BEGIN")
    assert.lengthOf(yield* writer("SELECT FROM blobs"), 1)
    yield* s.purges
    const now = Date.now()
    yield* ends(s, now, 1000)
    for (const statement of meanwhile) yield* s.session(statement)
    const ended = yield* ends(s, now + hour, 1000)
    yield* inserts(writer, 1)
    yield* writer("COMMIT")
    return { ended, now }
  })

  it.live("a transaction that is open for longer than the patience is waited for", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const { ended, now } = yield* slow(s, [])
      assert.strictEqual(ended, 0)
      yield* refused(unverified, refers(s.session, "tag", 1))
      assert.strictEqual(yield* ends(s, now + 2 * hour, 1000), 2)
    })
  )

  it.live("control: if it were not, its reference would be to a blob without bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const forgets = ["tombstones", "buried_keys"].map(
        (table) => `UPDATE artifact_gc.${table} SET holders = '{}'`
      )
      assert.strictEqual((yield* slow(s, forgets)).ended, 2)
      yield* refers(s.session, "tag", 1)
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )

  it.live(
    "a key in the journal keeps its tombstone, and so does one whose row was suspect when it ended",
    () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* s.puts(1)
        yield* inserts(s.session, 1)
        s.faults.next("delete", fails("TimedOut"), 2)
        yield* s.purges
        const now = Date.now()
        yield* ends(s, now, 1000)
        assert.strictEqual(yield* ends(s, now + hour, 1000), 1)
        assert.deepStrictEqual(yield* marks(s), ["key"])
        yield* again(s)
        yield* s.session("DELETE FROM artifact_gc.buried_keys")
        const [before] = yield* s.database.suspects.page(null, 10)
        yield* inserts(s.session, 1)
        const [after] = yield* s.database.suspects.page(null, 10)
        assert.isAbove(after?.latest ?? 0, before?.latest ?? 0, "a writer that returns adds its suspicion")
      })
  )
}

const arrivals = (server: Server): void => {
  it.live("a running collector learns of a suspect by its commit, and not by looking", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      const { arrival } = s.database.suspects
      const waiting = later(Effect.timeout(arrival(null), "1900 millis"))
      yield* waiting.start
      yield* Effect.sleep("200 millis")
      const writer = yield* s.another
      yield* writer("BEGIN")
      yield* s.puts(1)
      yield* inserts(writer, 1)
      yield* Effect.sleep("100 millis")
      yield* writer("COMMIT")
      const seen = yield* waiting.outcome
      assert.deepStrictEqual(yield* s.suspects, [{ digest: digest(1), key: unannouncedKey(1) }])
      const [one] = yield* s.database.suspects.page(null, 10)
      assert.strictEqual(seen, `${one?.latest} 1`)
    })
  )
}

const listening = (server: Server): void => {
  it.live("a running collector verifies a suspect at once, at an interval of an hour", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      const reports: Array<unknown> = []
      yield* Collector.reports({ every: "1 hour", jitter: 0 }).pipe(
        Stream.provideService(Sweep, s.sweep),
        Stream.runForEach((report) => Effect.sync(() => reports.push(report))),
        Effect.forkScoped
      )
      yield* untilTrue(
        "the first sweep has ended",
        Effect.sync(() => reports.length === 1)
      )
      yield* Effect.sleep("200 millis")
      yield* s.puts(1)
      yield* inserts(s.session, 1)
      yield* untilTrue(
        "the suspect is verified",
        Effect.map(s.suspects, (found) => found.length === 0)
      )
      yield* refers(s.session, "tag", 1)
      assert.strictEqual(yield* s.keyOf(1), unannouncedKey(1))
      assert.lengthOf(reports, 1, "without a sweep")
    })
  )

  it.live("it verifies nothing while a guard refuses: a wrong bucket has no object either", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      s.faults.next("traits", fails("Unavailable"), Number.POSITIVE_INFINITY)
      yield* Effect.forkScoped(s.sweep.verifying)
      yield* inserts(s.session, 1)
      yield* Effect.sleep("1 second")
      assert.isTrue(yield* s.looks(1), "the suspect without bytes is not dropped")
      assert.lengthOf(yield* s.suspects, 1)
    })
  )
}

export const endings = (server: Server): void => {
  describe("the end of doubt", () => {
    inPlace(server)
    stale(server)
    lessees(server)
    patience(server)
    arrivals(server)
    listening(server)
  })
}
