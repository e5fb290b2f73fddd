/**
 * Holes in the protocols of other collectors, on PostgreSQL with two sessions. Each race runs in their
 * protocol, which loses a blob, and in ours, which does not.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Result } from "effect"
import { SqlClient } from "effect/sql"
import { hangsBefore } from "../../src/testing/Faults.ts"
import { before, later, purgeStatement } from "../fixtures/Arena.ts"
import * as Databases from "../fixtures/Databases.ts"
import { keyOf, refer, scene, store } from "../fixtures/incidents/Scene.ts"
import { digest } from "../fixtures/samples.ts"

const unreferenced = "NOT EXISTS (SELECT FROM artifacts a WHERE a.digest = b.digest)"

/** Makes a catalogue with one orphan. */
const oneOrphan = Effect.fnUntraced(function* (server: Databases.Server) {
  const s = yield* scene(server)
  yield* store(s.database, s.storage, 1)
  return s
})

const oneStatement = (server: Databases.Server): void => {
  it.live("theirs: marks a row to which a reference was committed before it was locked", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      const writer = yield* s.session
      yield* writer("BEGIN")
      yield* writer("SELECT pg_advisory_xact_lock(42)")
      yield* refer(writer, "late", 1)
      // The statement takes its snapshot now, and locks the row after the writer has committed.
      const marking = yield* Effect.forkChild(
        s.hand(`SELECT digest FROM blobs b WHERE (SELECT true FROM pg_advisory_xact_lock(42)) AND ${unreferenced}
          FOR UPDATE SKIP LOCKED`)
      )
      yield* s.waiting()
      yield* writer("COMMIT")
      assert.deepStrictEqual(yield* Fiber.join(marking), [{ digest: digest(1) }])
      assert.lengthOf((yield* s.tables.rows).references, 1)
    })
  )

  it.live("ours: locks first, checks again, and keeps the blob", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      const writer = yield* s.session
      const report = yield* (yield* s.collector())
        .once()
        .pipe(before(purgeStatement.locksBlobs, refer(writer, "late", 1)))
      assert.deepInclude(report.phases.orphans, { deleted: 0, kept: { referenced: 1 } })
      assert.deepStrictEqual([...s.objects.keys()], [keyOf(1)])
    })
  )
}

const objectFirst = (server: Databases.Server): void => {
  it.live("theirs: a reference that is written between the deletes of object and row has no bytes", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      assert.lengthOf(yield* s.hand(`SELECT FROM blobs b WHERE ${unreferenced}`), 1)
      yield* s.storage.delete([keyOf(1)])
      yield* refer(yield* s.session, "late", 1)
      assert.lengthOf(yield* s.hand(`DELETE FROM blobs b WHERE ${unreferenced} RETURNING 1`), 0)
      const { blobs, references } = yield* s.tables.rows
      assert.deepStrictEqual([blobs.length, references.length, s.objects.size], [1, 1, 0])
    })
  )

  it.live(
    "ours: the row is deleted first, so the reference is refused, and the next upload has a key of its own",
    () =>
      Effect.gen(function* () {
        const s = yield* oneOrphan(server)
        const [arrived, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const stop = Effect.andThen(Deferred.succeed(arrived, undefined), Deferred.await(go))
        s.faults.next("delete", hangsBefore(stop))
        const sweeping = yield* Effect.forkChild((yield* s.collector()).once())
        yield* Deferred.await(arrived)
        const late = yield* Effect.result(refer(yield* s.session, "late", 1))
        assert.isTrue(Result.isFailure(late) && late.failure.reason._tag === "ConstraintError")
        assert.deepStrictEqual(yield* store(s.database, s.storage, 1, 2, "late"), ["published"])
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(sweeping)
        assert.deepStrictEqual([...s.objects.keys()], [keyOf(1, 2)])
      })
  )
}

const weakLock = (server: Databases.Server): void => {
  it.live("theirs: FOR NO KEY UPDATE permits a reference while the row is being condemned", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      const writer = yield* s.session
      yield* writer("SET lock_timeout = '1ms'")
      yield* s.hand("BEGIN")
      assert.lengthOf(yield* s.hand(`SELECT FROM blobs b WHERE ${unreferenced} FOR NO KEY UPDATE`), 1)
      yield* refer(writer, "late", 1)
      yield* s.hand("COMMIT")
      assert.lengthOf((yield* s.tables.rows).references, 1)
    })
  )

  it.live("ours: FOR UPDATE makes the reference wait, and it is then refused", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      const late = later(Effect.result(refer(yield* s.session, "late", 1)))
      yield* (yield* s.collector())
        .once()
        .pipe(before(purgeStatement.deletes, Effect.andThen(late.start, s.waiting())))
      const outcome = yield* late.outcome
      assert.isTrue(Result.isFailure(outcome) && outcome.failure.reason._tag === "ConstraintError")
      const { blobs, references } = yield* s.tables.rows
      assert.deepStrictEqual([blobs, references], [[], []])
    })
  )
}

const doNothing = (server: Databases.Server): void => {
  it.live("theirs: ON CONFLICT DO NOTHING reports an existing blob while its row is being deleted", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      const writer = yield* s.session
      let inserted = -1
      const dedup = Effect.map(
        writer(
          `INSERT INTO blobs (digest, object_key, size_bytes, created_at) VALUES ($1, 'theirs', 1, now())
           ON CONFLICT DO NOTHING RETURNING 1`,
          [digest(1)]
        ),
        (rows) => {
          inserted = rows.length
        }
      )
      yield* (yield* s.collector()).once().pipe(before(purgeStatement.deletes, dedup))
      assert.strictEqual(inserted, 0, "the writer concludes that the blob exists and sends nothing")
      assert.deepStrictEqual((yield* s.tables.rows).blobs, [])
    })
  )

  it.live("ours: a publish waits for the purge and then owns the blob", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      const publish = later(store(s.database, s.storage, 1, 2, "late"))
      yield* (yield* s.collector())
        .once()
        .pipe(before(purgeStatement.deletes, Effect.andThen(publish.start, s.waiting())))
      assert.deepStrictEqual(yield* publish.outcome, ["published"])
      assert.strictEqual((yield* s.tables.rows).blobs[0]?.key, keyOf(1, 2))
      assert.deepStrictEqual([...s.objects.keys()], [keyOf(1, 2)])
    })
  )
}

const leakingLock = (server: Databases.Server): void => {
  const held =
    "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE datname = current_database() AND locktype = 'advisory'"

  it.live("theirs: an advisory lock of a session stays with the pool's connection after its owner died", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      const reached = yield* Deferred.make<void>()
      const collecting = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`SELECT pg_advisory_lock(42)`
        yield* Deferred.succeed(reached, undefined)
        return yield* Effect.never
      })
      yield* Effect.gen(function* () {
        const owner = yield* Effect.forkChild(collecting)
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(owner)
        const [answer] = yield* s.hand("SELECT pg_try_advisory_lock(42) AS free")
        assert.deepStrictEqual(answer, { free: false })
      }).pipe(Effect.provide(Databases.client(s.place)))
    })
  )

  it.live("ours: no sweep leaves a lock in its pool, even if it is killed during a purge", () =>
    Effect.gen(function* () {
      const s = yield* oneOrphan(server)
      const collector = yield* s.collector()
      const reached = yield* Deferred.make<void>()
      const stop = Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      const dying = yield* Effect.forkChild(collector.once().pipe(before(purgeStatement.deletes, stop)))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(dying)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(dying)))
      assert.lengthOf(yield* s.hand(held), 0)
      const [due] = yield* (yield* s.process()).blobs.locate(digest(1)).pipe(Effect.map(Option.toArray))
      assert.strictEqual(due?.key, keyOf(1), "its purge was rolled back")
      assert.strictEqual((yield* collector.once()).totals.deleted, 1)
      assert.lengthOf(yield* s.hand(held), 0)
    })
  )
}

/** Runs the races on a server. */
export const peerHoles = (server: Databases.Server): void => {
  describe(`On ${server.name}`, () => {
    describe("one statement that looks for references and locks", () => oneStatement(server))
    describe("check, delete the object, delete the row", () => objectFirst(server))
    describe("a lock that references do not wait for", () => weakLock(server))
    describe("dedup by ON CONFLICT DO NOTHING", () => doNothing(server))
    describe("a session's advisory lock", () => leakingLock(server))
  })
}
