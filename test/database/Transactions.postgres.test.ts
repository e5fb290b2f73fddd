/**
 * What a transaction of the collector sets for itself, on the client of a host whose role has other settings, and how a
 * connection is given back.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Stream } from "effect"
import { SqlClient, type SqlConnection, SqlError } from "effect/sql"
import { UnknownError } from "effect/sql/SqlError"
import * as Postgres from "../../src/database/Postgres.ts"
import { make } from "../../src/database/postgres/Sql.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import * as Databases from "../fixtures/Databases.ts"
import {
  careless,
  databaseWith,
  type Host,
  hostOn,
  hostsClient,
  orphan,
  runAll
} from "../fixtures/database/Host.ts"

const names = [...Object.keys(careless), "search_path"]

/** Notes the settings whenever a row of one of these tables changes. */
const witnesses = (...tables: ReadonlyArray<string>) => [
  "CREATE TABLE public.seen (event text, name text, value text)",
  `CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
     INSERT INTO public.seen SELECT TG_OP || ' ' || TG_TABLE_NAME, n, pg_catalog.current_setting(n)
       FROM pg_catalog.unnest('{${names.join(",")}}'::text[]) n;
     RETURN NULL; END $$`,
  ...tables.map(
    (table) =>
      `CREATE TRIGGER aa AFTER INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION public.note()`
  )
]

const own = (...tables: ReadonlyArray<string>) => tables.map((table) => `artifact_gc.${table}`)

describe("A transaction on the client of a host", () => {
  it.live("sets what it needs in every verb, and leaves the host's sessions as they were", () =>
    Effect.gen(function* () {
      const host = yield* hostOn(hostsClient(yield* databaseWith(careless)))
      yield* runAll(
        host.sql,
        ...witnesses(
          "public.blobs",
          "public.local_files",
          ...own("journal", "orphans", "pins", "intents", "collectors")
        )
      )
      const kept = yield* orphan(host, "kept")
      yield* host.store.reference([{ _tag: "LocalFile", path: "a", digest: kept }])
      yield* orphan(host, "gone")
      yield* host.sweeps
      yield* host.store.unreference([{ _tag: "LocalFile", path: "a", digest: kept }])
      yield* host.sql`INSERT INTO artifact_gc.intents (object_key, expires_at) VALUES ('blobs/dead', to_timestamp(0))`
      yield* host.sql`DELETE FROM public.seen WHERE event = 'INSERT intents' AND name = 'synchronous_commit' AND value = 'off'`
      yield* host.sql`DELETE FROM public.seen WHERE event = 'INSERT intents' AND value = '0'`
      yield* host.sweeps
      const seen = yield* host.sql<{ event: string; name: string; value: string }>`
        SELECT DISTINCT event, name, value FROM public.seen WHERE name <> 'search_path'`
      const odd = seen.filter(
        ({ name, value }) =>
          value !==
          {
            synchronous_commit: "on",
            lock_timeout: "2s",
            statement_timeout: "30s",
            idle_in_transaction_session_timeout: "1min"
          }[name]
      )
      assert.deepStrictEqual(odd, [
        // A key that is struck off twice is deleted twice, and an absent object is success.
        { event: "DELETE journal", name: "synchronous_commit", value: "off" }
      ])
      const events = new Set(seen.map(({ event }) => event))
      for (const event of [
        "DELETE blobs",
        "INSERT blobs",
        "INSERT intents",
        "INSERT journal",
        "INSERT local_files"
      ]) {
        assert.include([...events], event)
      }
      const left = yield* host.sql<Record<string, string>>`
        SELECT ${host.sql.csv(names.slice(0, 4).map((name) => `current_setting('${name}') AS ${name}`))}`
      assert.deepStrictEqual(left, [careless])
    })
  )

  it.live("takes the time-outs that the layer is given", () =>
    Effect.gen(function* () {
      const options = { lockTimeout: Duration.millis(1234), statementTimeout: Duration.seconds(56) }
      const host = yield* hostOn(hostsClient(yield* databaseWith(careless)), options)
      yield* runAll(host.sql, ...witnesses("public.blobs"))
      yield* orphan(host)
      const seen =
        yield* host.sql`SELECT DISTINCT value FROM public.seen WHERE name IN ('lock_timeout', 'statement_timeout')
        ORDER BY 1`
      assert.deepStrictEqual(seen, [{ value: "1234ms" }, { value: "56s" }])
    })
  )

  it.live("does not weaken a commit that waits for replicas", () =>
    Effect.gen(function* () {
      const host = yield* hostOn(hostsClient(yield* databaseWith({ synchronous_commit: "remote_apply" })))
      yield* runAll(host.sql, ...witnesses("public.blobs"))
      yield* orphan(host)
      const seen = yield* host.sql`SELECT DISTINCT value FROM public.seen WHERE name = 'synchronous_commit'`
      assert.deepStrictEqual(seen, [{ value: "remote_apply" }])
    })
  )

  it.live("gives way to a lock, and ends a statement that takes too long", () =>
    Effect.gen(function* () {
      const place = yield* databaseWith(careless)
      const waiting = (options: Postgres.LayerOptions) =>
        Effect.gen(function* () {
          const host = yield* hostOn(hostsClient(place), options)
          return yield* host.sql.withTransaction(
            Effect.andThen(
              host.sql`LOCK TABLE artifact_gc.journal IN ACCESS EXCLUSIVE MODE`,
              Effect.flip(host.database.journal.claim(0, 1, 1))
            )
          )
        })
      const long = Duration.minutes(10)
      const locked = yield* waiting({ lockTimeout: Duration.millis(20), statementTimeout: long })
      assert.deepInclude(locked, { reason: "Contended", sqlState: "55P03" })
      const slow = yield* waiting({ lockTimeout: long, statementTimeout: Duration.millis(20) })
      assert.deepInclude(slow, { reason: "TimedOut", sqlState: "57014" })
      assert.include(slow.message, "DATABASE_STATEMENT_TIMEOUT")
    })
  )
})

/** Triggers of an app that looks names up by its own path, before and after the change of a row. */
const appsTriggers = [
  "CREATE SCHEMA app",
  "CREATE TABLE app.log (event text)",
  `CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
     INSERT INTO log VALUES (TG_WHEN || ' ' || TG_OP || ' ' || TG_TABLE_NAME);
     IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$`,
  ...["blobs", "local_files", "artifacts"].flatMap((table) =>
    ["BEFORE", "AFTER"].map(
      (when) =>
        `CREATE TRIGGER app_${when} ${when} INSERT OR DELETE ON public.${table} FOR EACH ROW EXECUTE FUNCTION app.note()`
    )
  )
]

describe("The search path", () => {
  const withTriggers = Effect.gen(function* () {
    const host = yield* hostOn(hostsClient(yield* databaseWith({ search_path: "app, public" })))
    yield* runAll(host.sql, ...appsTriggers)
    return host
  })
  const logged = ({ sql }: Host) =>
    Effect.map(sql<{ event: string }>`SELECT DISTINCT event FROM app.log ORDER BY 1`, (rows) =>
      rows.map(({ event }) => event)
    )

  it.live(
    "of the host is in force for the host's triggers, in verbs of their own and in those that join",
    () =>
      Effect.gen(function* () {
        const host = yield* withTriggers
        const digest = yield* orphan(host)
        const file = { _tag: "LocalFile", path: "a", digest } as const
        const artifact = { _tag: "Artifact", repository: "r", name: "n", digest } as const
        yield* host.store.reference([file])
        yield* host.sql.withTransaction(
          Effect.gen(function* () {
            yield* host.store.reference([artifact])
            yield* host.store.unreference([file])
            const [row] = yield* host.sql<{ path: string }>`SELECT current_setting('search_path') AS path`
            assert.strictEqual(row?.path, "app, public", "the app's own statements follow")
            yield* host.sql`INSERT INTO log VALUES ('its own')`
          })
        )
        yield* host.store.unreference([artifact])
        yield* host.sweeps
        assert.strictEqual(yield* host.objects, 0)
        const events = ["DELETE", "INSERT"].flatMap((event) =>
          ["artifacts", "blobs", "local_files"].map((table) => `${event} ${table}`)
        )
        assert.deepStrictEqual(yield* logged(host), [
          ...["AFTER", "BEFORE"].flatMap((when) => events.map((event) => `${when} ${event}`)),
          "its own"
        ])
      })
  )

  it.live("of the collector would hide the names of the host's triggers (control)", () =>
    Effect.gen(function* () {
      const host = yield* withTriggers
      const db = yield* Effect.provideService(make(defaultNames), SqlClient.SqlClient, host.sql)
      const error = yield* Effect.flip(
        db.sql`INSERT INTO public.blobs (digest, object_key, size_bytes, created_at) VALUES ('d', 'k', 1, now())`
      )
      assert.include(String(error.reason.cause), 'relation "log" does not exist')
    })
  )

  it.live("is the host's again after a verb that joined failed", () =>
    Effect.gen(function* () {
      const host = yield* hostOn(hostsClient(yield* databaseWith({ search_path: "public" })))
      const digest = yield* orphan(host)
      yield* host.sql`ALTER TABLE artifact_gc.pins ADD CHECK (id <> 'bad')`
      yield* host.sql.withTransaction(
        Effect.gen(function* () {
          yield* Effect.flip(host.store.put(Stream.die("unread"), { digest, pin: "1 hour", pinId: "bad" }))
          const [row] = yield* host.sql<{ path: string }>`SELECT current_setting('search_path') AS path`
          assert.strictEqual(row?.path, "public")
        })
      )
    })
  )

  it.live("has the schema of the digest's type, and finds its operators there", () =>
    Effect.gen(function* () {
      const place = yield* Databases.emptyDatabase(Databases.embedded)
      const host = yield* hostOn(hostsClient(place))
      yield* runAll(
        host.sql,
        "CREATE SCHEMA ext",
        "CREATE EXTENSION citext SCHEMA ext",
        "CREATE DOMAIN public.digest AS ext.citext",
        `CREATE TABLE public.blobs (digest public.digest PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint,
           created_at timestamptz NOT NULL, last_used_at timestamptz)`,
        "CREATE TABLE public.docs (digest public.digest REFERENCES public.blobs)",
        "CREATE INDEX ON public.docs (digest)",
        `INSERT INTO public.blobs SELECT 'd' || n, 'blobs/' || n, 1, 'epoch', 'epoch' FROM generate_series(1, 4) n`,
        "INSERT INTO public.docs VALUES ('D1')"
      )
      const migrated = Effect.provideService(SqlClient.SqlClient, host.sql)
      yield* migrated(Postgres.migrate(defaultNames, {}))
      yield* migrated(Postgres.watchReferences(defaultNames))
      yield* migrated(Postgres.guardUnannouncedWriters(defaultNames))
      yield* host.sweeps
      assert.deepStrictEqual(yield* host.sql`SELECT digest::text AS digest FROM public.blobs`, [
        { digest: "d1" }
      ])
    })
  )
})

/** How the transactions of a database's other sessions stand. */
const idleTransactions = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql`SELECT state FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`,
    (rows) => rows.length
  )

const refusing = (what: (statement: string) => boolean) => (sql: SqlClient.SqlClient) => {
  const failure = new SqlError.SqlError({
    reason: new UnknownError({
      cause: new Error("refused by the test"),
      message: "refused",
      operation: "query"
    })
  })
  const refuses = (connection: SqlConnection.Connection) =>
    new Proxy(connection, {
      get: (target, name) =>
        name === "executeUnprepared"
          ? (statement: string, parameters: ReadonlyArray<unknown>) =>
              what(statement)
                ? Effect.fail(failure)
                : target.executeUnprepared(statement, parameters, undefined)
          : Reflect.get(target, name)
    })
  return new Proxy(sql, {
    get: (target, name) =>
      name === "reserve" ? Effect.map(target.reserve, refuses) : Reflect.get(target, name)
  })
}

describe("A connection", () => {
  it.live("whose ROLLBACK failed is closed, and the next verb has another", () =>
    Effect.gen(function* () {
      const place = yield* databaseWith({})
      let refused = 0
      const host = yield* hostOn(
        hostsClient(place, 1),
        {},
        refusing((statement) => statement === "ROLLBACK" && ++refused <= 3)
      )
      const watcher = Context.get(yield* Layer.build(hostsClient(place, 1)), SqlClient.SqlClient)
      yield* host.sql`ALTER TABLE artifact_gc.pins ADD CHECK (id <> 'bad')`
      const digest = yield* orphan(host)
      for (let n = 0; n < 3; n++) {
        yield* Effect.flip(host.store.put(Stream.die("unread"), { digest, pin: "1 hour", pinId: "bad" }))
        assert.isTrue(Option.isSome(yield* host.store.stat(digest)))
      }
      assert.isAtLeast(refused, 3)
      assert.strictEqual(yield* idleTransactions(watcher), 0)
    })
  )

  it.live("whose server forgot a prepared statement loses no verb", () =>
    Effect.gen(function* () {
      const host = yield* hostOn(hostsClient(yield* databaseWith({}), 1))
      const digest = yield* orphan(host)
      for (let n = 0; n < 3; n++) {
        yield* host.store.stat(digest)
        yield* host.sql`DEALLOCATE ALL`
        assert.isTrue(Option.isSome(yield* host.store.stat(digest)))
      }
    })
  )

  it.live("whose server forgot a prepared statement fails a transaction of the client (control)", () =>
    Effect.gen(function* () {
      const { sql } = yield* hostOn(hostsClient(yield* databaseWith({}), 1))
      const twice = Effect.andThen(sql.withTransaction(sql`SELECT 1 AS one`), sql`DEALLOCATE ALL`)
      const error = yield* Effect.flip(Effect.andThen(twice, sql.withTransaction(sql`SELECT 1 AS one`)))
      assert.include(String(error.reason.cause), "does not exist")
    })
  )
})
