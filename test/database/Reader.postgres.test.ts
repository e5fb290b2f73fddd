/** Connections for statements that only read, and for single ones that write: what they begin with, what they cannot do, and when there are none. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Fiber, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import * as Postgres from "../../src/database/Postgres.ts"
import { sqlState } from "../../src/database/postgres/Errors.ts"
import { SessionSettings, writerSettings } from "../../src/database/postgres/Session.ts"
import { make } from "../../src/database/postgres/Sql.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import * as Databases from "../fixtures/Databases.ts"
import { databaseWith } from "../fixtures/database/Host.ts"

/** The collector's own client on a catalogue, with this many connections. */
const client = Effect.fnUntraced(function* (maxConnections: number, lockTimeout = Duration.seconds(2)) {
  const place = yield* databaseWith({})
  const context = yield* Layer.build(
    Databases.client(place, { maxConnections, lockTimeout, statementTimeout: Duration.seconds(7) })
  )
  yield* Effect.provideContext(Postgres.migrate(defaultNames, { createCatalog: "artifacts" }), context)
  const db = yield* Effect.provideContext(make(defaultNames), context)
  // The first transaction reads where the operators of the catalogue's types are.
  yield* db.transaction(db.sql`SELECT 1`)
  return { db, host: Context.get(context, SqlClient.SqlClient), context }
})

/** The settings in force. */
const seen = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ path: string; limit: string; readonly: string }>`
      SELECT current_setting('search_path') AS path, current_setting('statement_timeout') AS limit,
        current_setting('transaction_read_only') AS readonly`,
    ([row]) => row
  )

describe("A statement that reads", () => {
  it.live("has what a transaction would set, whatever a host sets on the client", () =>
    Effect.gen(function* () {
      const { db, host } = yield* client(8)
      for (let n = 0; n < 6; n++) yield* host`SELECT set_config('search_path', 'public', false)`
      assert.deepStrictEqual(yield* seen(db.sql), {
        path: '"pg_catalog", "pg_temp"',
        limit: "7s",
        readonly: "on"
      })
    }).pipe(Effect.scoped)
  )

  it.live("is told from one that writes, locks or waits, which gets a transaction", () =>
    Effect.gen(function* () {
      const { db } = yield* client(8)
      const row = { digest: "d", object_key: "k", size_bytes: 1, created_at: new Date(0) }
      yield* db.sql`INSERT INTO public.blobs ${db.sql.insert(row)}`
      assert.lengthOf(
        yield* db.sql`WITH gone AS (DELETE FROM public.blobs RETURNING 1) SELECT * FROM gone`,
        1
      )
      for (const lock of ["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"])
        yield* db.sql.unsafe(`SELECT * FROM public.blobs FOR ${lock}`)
      yield* db.sql`SELECT pg_advisory_xact_lock_shared(1)`
    }).pipe(Effect.scoped)
  )

  it.live("cannot write even if it is mistaken for one that reads", () =>
    Effect.gen(function* () {
      const { context } = yield* client(8)
      const { reader } = Context.get(context, SessionSettings)
      const refused = yield* Effect.flip(
        reader?.unsafe("CREATE TABLE public.t ()") ?? Effect.die("no reader")
      )
      assert.strictEqual(sqlState(refused), "25006")
    }).pipe(Effect.scoped)
  )

  it.live("has a transaction where the pool is small, and on a host's client", () =>
    Effect.gen(function* () {
      const { context, db } = yield* client(3)
      assert.isUndefined(Context.get(context, SessionSettings).reader)
      assert.strictEqual((yield* seen(db.sql))?.readonly, "off")
      const { host } = yield* client(8)
      const onHosts = yield* Effect.provideService(make(defaultNames), SqlClient.SqlClient, host)
      assert.strictEqual((yield* seen(onHosts.sql))?.readonly, "off")
      assert.include((yield* seen(onHosts.sql))?.path, "pg_catalog")
    }).pipe(Effect.scoped)
  )
})

describe("A single statement on the collector's tables", () => {
  const sessionOf = (sql: SqlClient.SqlClient) =>
    Effect.map(
      sql<{ path: string; limit: string; commit: string; readonly: string }>`
        SELECT current_setting('search_path') AS path, current_setting('statement_timeout') AS limit,
          current_setting('synchronous_commit') AS commit, current_setting('transaction_read_only') AS readonly`,
      ([row]) => row
    )
  const expected = { path: '"pg_catalog", "pg_temp"', limit: "7s", commit: "on", readonly: "off" }

  it.live("has what a transaction would set, in one round trip", () =>
    Effect.gen(function* () {
      const { context, db, host } = yield* client(10)
      for (let n = 0; n < 6; n++) yield* host`SELECT set_config('search_path', 'public', false)`
      assert.deepStrictEqual(yield* sessionOf(db.single), expected)
      const { writer } = Context.get(context, SessionSettings)
      assert.deepStrictEqual(yield* sessionOf(writer ?? host), expected)
      yield* db.single`INSERT INTO ${db.id.intents} (object_key, expires_at) VALUES ('k', now())`
      assert.lengthOf(yield* db.sql`SELECT 1 AS there FROM ${db.id.intents}`, 1)
    }).pipe(Effect.scoped)
  )

  it.live("is part of the transaction that is open", () =>
    Effect.gen(function* () {
      const { db } = yield* client(10)
      const failed = db.transaction(
        Effect.andThen(
          db.single`INSERT INTO ${db.id.intents} (object_key, expires_at) VALUES ('k', now())`,
          Effect.fail("rolled back" as const)
        )
      )
      assert.strictEqual(yield* Effect.flip(failed), "rolled back")
      assert.lengthOf(yield* db.sql`SELECT 1 AS there FROM ${db.id.intents}`, 0)
    }).pipe(Effect.scoped)
  )

  it.live("has a transaction where the pool is small, and on a host's client", () =>
    Effect.gen(function* () {
      const { context, db } = yield* client(7)
      assert.isUndefined(Context.get(context, SessionSettings).writer)
      assert.deepStrictEqual(yield* sessionOf(db.single), expected)
      const { host } = yield* client(10)
      const onHosts = yield* Effect.provideService(make(defaultNames), SqlClient.SqlClient, host)
      assert.include(yield* sessionOf(onHosts.single), { path: expected.path, commit: "on" })
    }).pipe(Effect.scoped)
  )
})

describe("Single statements that wait for a lock", () => {
  /** Locks a row for which four statements wait, and returns what became of 50 others meanwhile. */
  const others = (context: Context.Context<SqlClient.SqlClient>, within: Duration.Input) =>
    Effect.gen(function* () {
      const db = yield* Effect.provideContext(make(defaultNames), context)
      const insert = (key: string) =>
        db.single`INSERT INTO ${db.id.intents} (object_key, expires_at) VALUES (${key}, now())`
      yield* insert("locked")
      const [locked, released] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const holding = db.transaction(
        Effect.gen(function* () {
          yield* db.sql`SELECT 1 FROM ${db.id.intents} FOR UPDATE`
          yield* Deferred.succeed(locked, undefined)
          yield* Deferred.await(released)
        })
      )
      const holder = yield* Effect.forkChild(holding)
      yield* Deferred.await(locked)
      const waiting = yield* Effect.forEach([1, 2, 3, 4], () =>
        Effect.forkChild(
          db.single`UPDATE ${db.id.intents} SET expires_at = now() WHERE object_key = 'locked' RETURNING 1`,
          { startImmediately: true }
        )
      )
      const keys = Array.from({ length: 50 }, (_, at) => `k${at}`)
      const done = yield* Effect.timeoutOption(
        Effect.forEach(keys, insert, { concurrency: "unbounded" }),
        within
      )
      assert.isTrue(waiting.every((fiber) => fiber.pollUnsafe() === undefined))
      yield* Deferred.succeed(released, undefined)
      yield* Fiber.join(holder)
      for (const fiber of waiting) assert.lengthOf(yield* Fiber.join(fiber), 1)
      return Option.isSome(done)
    })

  it.live("make way for others, and wait on in a transaction", () =>
    Effect.gen(function* () {
      const { context } = yield* client(10, Duration.seconds(10))
      assert.isTrue(yield* others(context, "5 seconds"))
    }).pipe(Effect.scoped)
  )

  it.live("keep the connections of others where they wait as long as a transaction (control)", () =>
    Effect.gen(function* () {
      const { context } = yield* client(10, Duration.seconds(10))
      const { writer } = Context.get(context, SessionSettings)
      if (writer === undefined) return assert.fail("no writer")
      const patient = writer`SELECT set_config('lock_timeout', '10s', false), pg_sleep(0.1)`
      yield* Effect.all([patient, patient, patient, patient], { concurrency: "unbounded" })
      assert.isFalse(yield* others(context, "1 second"))
    }).pipe(Effect.scoped)
  )
})

describe("the settings of connections for single statements", () => {
  it("wait for the disk at least, and for more where the server does", () => {
    const commits = ["off", "local", "on", "remote_apply"].map(
      (set) => writerSettings({}, set).synchronous_commit
    )
    assert.deepStrictEqual(commits, ["on", "on", "on", "remote_apply"])
  })
})
