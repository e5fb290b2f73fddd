/**
 * The lines of the triggers that look superfluous. Each is removed from the installed functions, or avoided,
 * while other programs interfere between the steps of one statement.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { later } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import {
  inserts,
  missing,
  mutate,
  pause,
  refers,
  refused,
  type Stage,
  stage,
  unannouncedKey
} from "../../fixtures/database/WriterStage.ts"
import { artifact, digest, key } from "../../fixtures/samples.ts"
import { isolation } from "./Isolation.ts"

/** A tombstone of blob 1, and nothing else. */
const collected = Effect.fnUntraced(function* (s: Stage) {
  yield* s.stores(1, "first")
  yield* s.purges
  assert.deepStrictEqual((yield* s.tables.rows).blobs, [])
})

/**
 * Runs `happens` after the triggers looked at the row that `statement` inserts, and before it is inserted.
 */
const meanwhile = Effect.fnUntraced(function* <A, E, R, B, E2, R2>(
  s: Stage,
  table: string,
  statement: Effect.Effect<A, E, R>,
  happens: Effect.Effect<B, E2, R2>
) {
  const { goOn } = yield* pause(yield* s.another, table)
  const fiber = yield* Effect.forkChild(Effect.result(statement))
  yield* s.waiting()
  const happened = yield* happens
  yield* goOn
  return { outcome: yield* Fiber.join(fiber), happened }
})

const lock = (server: Server): void => {
  /**
   * A writer saw a row and sent nothing. The blob is purged between the trigger's look for a tombstone and
   * the insert.
   */
  const purgedMeanwhile = Effect.fnUntraced(function* (s: Stage) {
    yield* s.stores(1, "first")
    const { happened } = yield* meanwhile(s, "blobs", inserts(yield* s.another, 1), s.purges)
    yield* refers(s.session, "tag", 1)
    return happened
  })

  it.live("a purge skips the blob that an unannounced writer is inserting", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const report = yield* purgedMeanwhile(s)
      assert.deepInclude(report.phases.orphans, { deleted: 0, kept: { busy: 1 } })
      const after = yield* s.tables.rows
      assert.deepStrictEqual(after.references, [artifact("tag", 1)])
      assert.strictEqual(yield* s.keyOf(1), key("1-first"))
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live("control: without the lock that both take, it is not suspect and has no bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* mutate(
        s.session,
        "guard_blobs",
        "PERFORM pg_catalog.pg_advisory_xact_lock_shared",
        "PERFORM concat"
      )
      assert.deepInclude((yield* purgedMeanwhile(s)).totals, { deleted: 1 })
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )
}

const existing = (server: Server): void => {
  /** The row that a dedup hit finds is deleted before the hit ends. */
  const goneMeanwhile = Effect.fnUntraced(function* (s: Stage) {
    yield* collected(s)
    yield* s.stores(1, "second")
    const gone = Effect.andThen(
      s.session("DELETE FROM blobs"),
      Effect.sync(() => s.objects.clear())
    )
    yield* meanwhile(s, "blobs", inserts(yield* s.another, 1), gone)
    assert.strictEqual(yield* s.keyOf(1), unannouncedKey(1))
  })

  it.live("a row is suspect even if another existed while the trigger looked", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* goneMeanwhile(s)
      assert.deepStrictEqual(yield* s.suspects, [{ digest: digest(1), key: unannouncedKey(1) }])
      yield* s.sweeps
      yield* refused(missing, refers(s.session, "tag", 1))
    })
  )

  it.live("control: if only blobs without a row became suspect, it is referred to and has no bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const tombstone = 'IF EXISTS (SELECT FROM "artifact_gc"."tombstones"'
      const unlessThere = tombstone.replace("EXISTS", "NOT EXISTS (SELECT FROM public.blobs) AND EXISTS")
      yield* mutate(s.session, "guard_blobs", tombstone, unlessThere)
      yield* goneMeanwhile(s)
      yield* refers(s.session, "tag", 1)
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )

  it.live("a suspicion of one key does not concern a row with another", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      yield* s.stores(1, "second", "tag")
      yield* inserts(s.session, 1)
      assert.lengthOf(yield* s.suspects, 1)
      yield* refers(s.session, "another", 1)
      assert.strictEqual((yield* s.sweeps).phases.suspects.seen, 0)
      assert.deepStrictEqual(yield* s.suspects, [], "and is forgotten")
    })
  )

  it.live("a suspicion is not forgotten while a writer in flight needs it", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      yield* s.stores(1, "second")
      yield* inserts(s.session, 1)
      const sweepAndDelete = Effect.andThen(s.database.suspects.forget(10), s.session("DELETE FROM blobs"))
      yield* meanwhile(s, "blobs", inserts(yield* s.another, 1), sweepAndDelete)
      assert.deepStrictEqual(yield* s.suspects, [{ digest: digest(1), key: unannouncedKey(1) }])
    })
  )
}

const absent = (server: Server): void => {
  /**
   * A reference is inserted, and the suspect row it needs between the trigger's look and the foreign key's.
   */
  const rowMeanwhile = Effect.fnUntraced(function* (s: Stage) {
    yield* collected(s)
    return yield* meanwhile(s, "artifacts", refers(yield* s.another, "tag", 1), inserts(s.session, 1))
  })

  it.live(
    "a reference to a missing blob is refused at once, also if the blob is inserted a moment later",
    () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* collected(s)
        yield* refused(missing, refers(s.session, "tag", 1))
        yield* refused(missing, s.session("INSERT INTO local_files VALUES ('f', $1, now())", [digest(1)]))
        yield* s.stores(2, "other", "tag")
        const moved = s.session("UPDATE artifacts SET digest = $1", [digest(1)])
        yield* refused(missing, moved)
        yield* s.session("UPDATE artifacts SET digest = digest, name = 'tag 2'")
      })
  )

  it.live("control: left to the foreign key, it is to a blob without bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* mutate(s.session, "guard_references", "IF NOT FOUND THEN", "IF false THEN")
      const { outcome } = yield* rowMeanwhile(s)
      assert.isTrue(Result.isSuccess(outcome))
      assert.deepInclude((yield* s.sweeps).phases.suspects, { seen: 1, failed: { "object missing": 1 } })
      assert.deepStrictEqual(yield* s.lost, ["tag"], "the row stays, so that its bytes can be restored")
    })
  )
}

const twice = (server: Server): void => {
  /** A native writer uploads a blob that exists and is condemned. */
  const again = Effect.fnUntraced(function* (s: Stage) {
    yield* s.stores(1, "first")
    const slice = yield* s.database.orphans.readSlice(null, 100)
    yield* s.database.orphans.record(slice, { now: 1, seen: [digest(1)], condemned: [digest(1)], sweep: "s" })
    return yield* Effect.result(s.stores(1, "second", "tag"))
  })

  it.live("a native writer's DO UPDATE meets no row that the triggers changed", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      assert.deepStrictEqual(yield* again(s), Result.succeed(["deduplicated"]))
      assert.deepStrictEqual((yield* s.tables.rows).orphans, [])
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live("control: if a trigger wrote into the row, that would fail", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.session(`CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN UPDATE blobs SET last_used_at = now() WHERE digest = NEW.digest; RETURN NEW; END'`)
      yield* s.session(
        "CREATE TRIGGER zzz_touch BEFORE INSERT ON blobs FOR EACH ROW EXECUTE FUNCTION touch()"
      )
      const failed = yield* again(s)
      assert.include(Result.isFailure(failed) ? failed.failure.message : "", "a second time (SQLSTATE 21000)")
    })
  )

  it.live("control: if the trigger did not look for its intent, it would be refused", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      yield* mutate(s.session, "guard_blobs", "IF EXISTS (SELECT FROM", "IF false AND EXISTS (SELECT FROM")
      yield* mutate(
        s.session,
        "guard_blobs",
        'IF false AND EXISTS (SELECT FROM "artifact_gc"."tomb',
        'IF EXISTS (SELECT FROM "artifact_gc"."tomb'
      )
      const failed = yield* Effect.flip(s.stores(1, "second", "tag"))
      assert.strictEqual(failed.reason, "Contended")
    })
  )

  it.live("an intent makes one key native, and neither a copy of its shape nor its transaction", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      yield* s.database.blobs.intend([
        { key: key("1-second"), digest: digest(1), expiresAt: Date.now() + 1000 }
      ])
      yield* s.session("BEGIN")
      yield* s.session("SELECT FROM artifact_gc.intents FOR UPDATE")
      yield* inserts(s.session, 1)
      yield* s.session("COMMIT")
      assert.lengthOf(yield* s.suspects, 1)
    })
  )
}

const together = (server: Server): void => {
  it.live("a row and its reference in one statement, or in one transaction, are refused together", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collected(s)
      const both = s.session(
        `WITH blob AS (INSERT INTO blobs (digest, object_key, size_bytes, created_at) VALUES ($1, $2, 1, now())
           RETURNING digest)
         INSERT INTO artifacts (repository, name, digest, created_at) SELECT 'r', 'n', digest, now() FROM blob`,
        [digest(1), unannouncedKey(1)]
      )
      yield* refused("verified", both)
      yield* s.session("BEGIN")
      yield* inserts(s.session, 1)
      yield* refused("verified", refers(s.session, "tag", 1))
      yield* s.session("ROLLBACK")
      assert.deepStrictEqual(yield* s.suspects, [])
    })
  )

  it.live("a native and an unannounced writer that find the same orphan do not deadlock", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.stores(1, "first")
      const slice = yield* s.database.orphans.readSlice(null, 100)
      yield* s.database.orphans.record(slice, {
        now: 1,
        seen: [digest(1)],
        condemned: [digest(1)],
        sweep: "s"
      })
      yield* s.session("UPDATE blobs SET last_used_at = NULL")
      const adopting = later(s.database.blobs.adopt(Date.now(), [artifact("tag", 1)]))
      yield* meanwhile(s, "blobs", inserts(yield* s.another, 1), Effect.andThen(adopting.start, s.waiting(2)))
      assert.lengthOf([...(yield* adopting.outcome)], 1)
      assert.deepStrictEqual((yield* s.tables.rows).orphans, [])
      assert.strictEqual(yield* s.deadlocks, 0)
    })
  )

  it.live("a transaction may insert more rows than PostgreSQL has locks", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const many = `INSERT INTO blobs (digest, object_key, size_bytes, created_at)
        SELECT 'sha256:' || n, 'many/' || n, 1, now() FROM generate_series(1, 15000) n ON CONFLICT DO NOTHING`
      yield* s.session(many)
      const [found] = yield* s.session("SELECT count(*)::int AS n FROM blobs")
      assert.strictEqual(found?.n, 15_000)
    })
  )

  it.live("writers that insert the same blobs in another order do not deadlock", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      for (const n of [1, 2]) yield* s.stores(n, "first")
      yield* s.purges
      for (const n of [1, 2]) yield* s.stores(n, "second")
      const slice = yield* s.database.orphans.readSlice(null, 100)
      const seen = [digest(1), digest(2)]
      yield* s.database.orphans.record(slice, { now: 1, seen, condemned: seen, sweep: "s" })
      const [a, b] = [yield* s.another, yield* s.another]
      yield* a("BEGIN")
      yield* b("BEGIN")
      yield* inserts(a, 1)
      yield* inserts(b, 2)
      yield* inserts(a, 2)
      yield* inserts(b, 1)
      yield* a("COMMIT")
      yield* b("COMMIT")
      assert.deepStrictEqual((yield* s.tables.rows).orphans, [])
    })
  )
}

export const traps = (server: Server): void => {
  describe("what the triggers must not leave out", () => {
    lock(server)
    existing(server)
    absent(server)
    twice(server)
    isolation(server)
    together(server)
  })
}
