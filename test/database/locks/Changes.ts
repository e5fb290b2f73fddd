/** A schema that changes during a sweep, and servers that do not wait or go away: nothing is half done. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Result } from "effect"
import type { PurgeRequest } from "../../../src/database/Database.ts"
import {
  type Arena,
  arena,
  before,
  later,
  ownArena,
  purgeStatement,
  type Session
} from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { artifact, blobs, condemned, dead, digest, hour, key, minute, now } from "../../fixtures/samples.ts"

const request: PurgeRequest = {
  now,
  condemnedCutoff: now - hour,
  seenCutoff: 4_000_000_000_000,
  usedCutoff: now - hour,
  limit: 100,
  after: null,
  deleteNotBefore: now + minute,
  leaseUntil: null
}
const gone = (n: number) => ({ digest: digest(n), key: key(n), sizeBytes: n })

const condemnedBlobs = ({ tables }: Arena, ...ns: ReadonlyArray<number>) =>
  tables.write({ blobs: blobs(...ns), orphans: ns.map((n) => condemned(n)) })

/** A table that was added without notice and refers to blob 1. */
const pins = Effect.fnUntraced(function* (session: Session) {
  yield* session('CREATE TABLE pins (id serial PRIMARY KEY, digest text COLLATE "C" NOT NULL)')
  yield* session("CREATE INDEX ON pins (digest)")
  yield* session("INSERT INTO pins (digest) VALUES ($1)", [digest(1)])
})
const addKey = (action = "") =>
  `ALTER TABLE pins ADD CONSTRAINT pins_fkey FOREIGN KEY (digest) REFERENCES blobs (digest) ${action}`

/** Purges, expects that reason of failure, and that no row has changed. */
const purgeFails = Effect.fnUntraced(function* (
  a: Arena,
  reason: string,
  database: Arena["database"] = a.database
) {
  const earlier = yield* a.tables.rows
  const outcome = yield* Effect.result(database.orphans.purge(request))
  assert.strictEqual(Result.isFailure(outcome) ? outcome.failure.reason : "no failure", reason)
  assert.deepStrictEqual(yield* a.tables.rows, earlier)
})

const newKeys = (server: Server): void => {
  it.live("stops the purge, and protects its blobs once the guard has seen it", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1, 2)
      const operator = yield* a.session
      yield* pins(operator)
      yield* operator(addKey())
      yield* purgeFails(a, "SchemaChanged")
      assert.include(
        (yield* a.database.inspect).map((reference) => reference.constraint),
        "pins_fkey"
      )
      const page = yield* a.database.orphans.purge(request)
      assert.deepStrictEqual(page, { purged: [gone(2)], absolved: 1, busy: 0, next: null })
      assert.deepStrictEqual((yield* a.tables.rows).blobs, blobs(1))
    })
  )

  it.live("cannot slip in a CASCADE: the purge stops, and the guard refuses it", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1)
      const operator = yield* a.session
      yield* pins(operator)
      yield* operator(addKey("ON DELETE CASCADE"))
      yield* purgeFails(a, "SchemaChanged")
      assert.strictEqual((yield* Effect.flip(a.database.inspect))._tag, "SchemaRefused")
      yield* purgeFails(a, "SchemaChanged")
      assert.lengthOf(yield* operator("SELECT FROM pins"), 1)
    })
  )

  it.live("waits for a purge in flight, and is then refused by its own missing blob", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1)
      const operator = yield* a.session
      yield* pins(operator)
      const adding = later(Effect.result(operator(addKey("ON DELETE CASCADE"))))
      const page = yield* a.database.orphans
        .purge(request)
        .pipe(before(purgeStatement.deletes, Effect.andThen(adding.start, a.waiting())))
      assert.deepStrictEqual(page.purged, [gone(1)])
      assert.isTrue(Result.isFailure(yield* adding.outcome))
      assert.lengthOf(yield* operator("SELECT FROM pins"), 1)
    })
  )

  it.live("is waited for by a purge when it is in flight itself, and seen then", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1)
      const operator = yield* a.session
      yield* pins(operator)
      yield* operator("BEGIN")
      yield* operator(addKey())
      const purge = later(Effect.result(a.database.orphans.purge(request)))
      yield* purge.start
      yield* a.waiting()
      yield* operator("COMMIT")
      const outcome = yield* purge.outcome
      assert.strictEqual(Result.isFailure(outcome) ? outcome.failure.reason : "no failure", "SchemaChanged")
      assert.deepStrictEqual((yield* a.tables.rows).blobs, blobs(1))
    })
  )

  it.live("is not missed when it comes while the guard reads, whenever that is", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1)
      const operator = yield* a.session
      yield* pins(operator)
      for (const statement of [
        /pg_inherits/,
        /AS\s+fingerprint/,
        /indisunique/,
        /confmatchtype/,
        /has_schema/
      ]) {
        yield* Effect.ignore(
          a.database.inspect.pipe(before(statement, operator(addKey("ON DELETE CASCADE"))))
        )
        yield* purgeFails(a, "SchemaChanged")
        assert.lengthOf(yield* operator("SELECT FROM pins"), 1, String(statement))
        yield* operator("ALTER TABLE pins DROP CONSTRAINT pins_fkey")
      }
      yield* a.database.inspect
      assert.lengthOf((yield* a.database.orphans.purge(request)).purged, 1)
    })
  )

  it.live(
    "control: a purge that looks at none but the tables it knows destroys the references of a new one",
    () =>
      Effect.gen(function* () {
        const a = yield* ownArena(server)
        yield* condemnedBlobs(a, 1)
        const operator = yield* a.session
        yield* pins(operator)
        yield* operator(addKey("ON DELETE CASCADE"))
        yield* operator(
          "DELETE FROM blobs b WHERE NOT EXISTS (SELECT FROM artifacts a WHERE a.digest = b.digest)"
        )
        assert.lengthOf(yield* operator("SELECT FROM pins"), 0)
      })
  )
}

const otherChanges = (server: Server): void => {
  const changes = {
    "a foreign key that is dropped": "ALTER TABLE artifacts DROP CONSTRAINT artifacts_digest_fkey",
    "a foreign key whose triggers are disabled": "ALTER TABLE artifacts DISABLE TRIGGER ALL",
    "foreign keys whose triggers on blobs are disabled": "ALTER TABLE blobs DISABLE TRIGGER ALL",
    "a reference table that is dropped": "DROP TABLE local_files",
    "a catalogue that is renamed": "ALTER TABLE blobs RENAME TO old_blobs"
  }
  for (const [change, statement] of Object.entries(changes)) {
    it.live(`${change} stops the purge`, () =>
      Effect.gen(function* () {
        const a = yield* ownArena(server)
        yield* condemnedBlobs(a, 1)
        yield* (yield* a.session)(statement)
        const outcome = yield* Effect.result(a.database.orphans.purge(request))
        assert.isTrue(Result.isFailure(outcome))
        const left = yield* (yield* a.session)("SELECT digest FROM artifact_gc.orphans")
        assert.lengthOf(left, 1)
      })
    )
  }

  it.live("a process that has not looked at the schema does not purge", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* condemnedBlobs(a, 1)
      const operator = yield* a.session
      yield* operator("ALTER TABLE artifact_gc.migrations RENAME TO elsewhere")
      const blind = yield* a.process()
      yield* purgeFails(a, "SchemaChanged", blind)
    })
  )
}

/** The collector's connections that are within a transaction. */
const killPurge = `
  SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()`

const interruptions = (server: Server): void => {
  it.live("gives way to the transaction that holds the table, says so, and has changed nothing", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlobs(a, 1)
      const hasty = yield* a.process({ lockTimeout: Duration.millis(20) })
      const foreground = yield* a.session
      yield* foreground("BEGIN")
      yield* foreground("LOCK TABLE blobs IN SHARE ROW EXCLUSIVE MODE")
      yield* purgeFails(a, "Contended", hasty)
      yield* foreground("COMMIT")
      assert.lengthOf((yield* hasty.orphans.purge(request)).purged, 1)
    })
  )

  it.live("repeats a purge whose connection is killed, and each blob is purged once", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlobs(a, 1, 2)
      yield* a.tables.write({ references: [artifact("a", 2)] })
      const operator = yield* a.session
      const page = yield* a.database.orphans
        .purge(request)
        .pipe(before(purgeStatement.clearsOrphans, operator(killPurge)))
      assert.deepStrictEqual(page, { purged: [gone(1)], absolved: 1, busy: 0, next: null })
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, blobs(2))
      assert.deepStrictEqual(after.journal, [dead(1, { notBefore: now + minute })])
      assert.deepStrictEqual(after.orphans, [])
    })
  )

  it.live("gives up on a server that kills each attempt, and nothing is half done", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlobs(a, 1)
      const earlier = yield* a.tables.rows
      const operator = yield* a.session
      const outcome = yield* Effect.result(
        a.database.orphans
          .purge(request)
          .pipe(before(purgeStatement.clearsOrphans, operator(killPurge), "always"))
      )
      assert.isTrue(Result.isFailure(outcome) && outcome.failure.reason === "Unavailable")
      assert.deepStrictEqual(yield* a.tables.rows, earlier)
      assert.lengthOf((yield* a.database.orphans.purge(request)).purged, 1)
    })
  )
}

export const changes = (server: Server): void => {
  describe("a foreign key that is added during a sweep", () => newKeys(server))
  describe("another change during a sweep", () => otherChanges(server))
  describe("a purge", () => interruptions(server))
}
