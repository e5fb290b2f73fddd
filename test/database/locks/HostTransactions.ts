/**
 * The collector and the blob store on the client of an app that has a transaction of its own open, and whose connections
 * do not wait for the disk. Each promise has a control that shows the loss.
 */

import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Semaphore, Stream } from "effect"
import { SqlClient, type SqlConnection } from "effect/sql"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import type { Database } from "../../fixtures/Database.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { BlobStore } from "../../fixtures/Referring.ts"
import { inPostgres, Tables } from "../../fixtures/Tables.ts"

const zero = Duration.zero
const services = Layer.mergeAll(
  Sweep.layerUnchecked({
    grace: zero,
    quarantine: zero,
    leftoverEvery: Duration.days(1),
    breakerPercent: 100
  }),
  BlobStore.layer()
).pipe(Layer.provideMerge(MemoryStorage.layer))

/**
 * A client from whose transactions no verb can tell that it should leave: in an open one, a verb's transaction is a
 * savepoint, one at a time.
 */
const unnoticed = (sql: SqlClient.SqlClient): SqlClient.SqlClient => {
  const turns = Semaphore.makeUnsafe(1)
  const savepoints: Readonly<Record<string, string>> = {
    "BEGIN ISOLATION LEVEL READ COMMITTED": "SAVEPOINT verb",
    COMMIT: "RELEASE SAVEPOINT verb",
    ROLLBACK: "ROLLBACK TO SAVEPOINT verb"
  }
  const reserve: SqlConnection.Acquirer = Effect.flatMap(
    Effect.serviceOption(sql.transactionService),
    Option.match({
      onNone: () => sql.reserve,
      onSome: ([connection]) =>
        Effect.as(
          turns.takeScoped(1),
          new Proxy(connection, {
            get: (target, name) =>
              name === "executeUnprepared"
                ? (statement: string, ...rest: [[], undefined]) =>
                    target.executeUnprepared(savepoints[statement] ?? statement, ...rest)
                : Reflect.get(target, name)
          })
        )
    })
  )
  return new Proxy(sql, {
    get: (target, name) =>
      name === "transactionService"
        ? SqlClient.TransactionConnection(-1)
        : name === "reserve"
          ? reserve
          : Reflect.get(target, name)
  })
}

interface App {
  readonly sql: SqlClient.SqlClient
  readonly store: BlobStore["Service"]
  readonly objects: Effect.Effect<number>
  readonly tables: Tables["Service"]
  /** As many sweeps as an orphan needs to be deleted. */
  readonly sweeps: Effect.Effect<void>
}

const appOn = (
  client: Layer.Layer<SqlClient.SqlClient>,
  collectorsClient: (sql: SqlClient.SqlClient) => SqlClient.SqlClient = (sql) => sql
) =>
  Effect.gen(function* () {
    const host = yield* Layer.build(client)
    const sql = Context.get(host, SqlClient.SqlClient)
    const database: Layer.Layer<Database | AllDatabases.Databases> = AllDatabases.onClient().pipe(
      Layer.provide(Layer.succeed(SqlClient.SqlClient, collectorsClient(sql)))
    )
    const all = yield* Layer.build(
      Layer.merge(
        Layer.provideMerge(services, database),
        Layer.provide(inPostgres, Layer.succeedContext(host))
      )
    )
    const storage = Context.get(all, Storage)
    const sweep = Context.get(all, Sweep)
    return {
      sql,
      store: Context.get(all, BlobStore),
      objects: Effect.map(Effect.orDie(Stream.runCollect(storage.list(""))), (pages) => pages.flat().length),
      tables: Context.get(all, Tables),
      sweeps: Effect.gen(function* () {
        for (let n = 0; n < 3; n++) {
          const { error } = (yield* sweep.once()).phases.orphans
          if (error !== null) return yield* Effect.die(new Error(error.message))
          yield* Effect.sleep("2 millis")
        }
      })
    } satisfies App as App
  })

const body = Stream.make(new TextEncoder().encode("the app's bytes"))

/** Ends a transaction that did its work by a failure of the app's. */
const rolledBack = <A, E>(sql: SqlClient.SqlClient, effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    let done = Option.none<A>()
    yield* effect.pipe(
      Effect.tap((answer) => Effect.sync(() => (done = Option.some(answer)))),
      Effect.andThen(Effect.fail("the app fails")),
      sql.withTransaction,
      Effect.exit
    )
    return Option.getOrThrow(done)
  })

const orphan = Effect.fnUntraced(function* ({ store }: App) {
  const { digest, pin } = yield* store.put(body, { pin: "1 hour" })
  yield* store.unpin([pin ?? ""])
  return digest
})

const transactions = (server: Databases.Server): void => {
  const app = (how?: typeof unnoticed) =>
    Effect.flatMap(Databases.leasedDatabase(server), ({ place }) => appOn(Databases.client(place), how))

  /** Sweeps inside a transaction that rolls back; what is left, and what storing the bytes again answers. */
  const sweptInside = Effect.fnUntraced(function* (host: App) {
    yield* orphan(host)
    yield* rolledBack(host.sql, host.sweeps)
    const rows = (yield* host.tables.rows).blobs.length
    const left = { rows, objects: yield* host.objects }
    const { digest, outcome } = yield* host.store.put(body, { pin: "1 hour" })
    const read = yield* Effect.exit(Stream.runDrain(host.store.open(digest)))
    return { left, outcome, read: read._tag }
  })

  it.live("a sweep leaves it: what it deleted is deleted, and the same bytes can be stored again", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* sweptInside(yield* app()), {
        left: { rows: 0, objects: 0 },
        outcome: "uploaded",
        read: "Success"
      })
    })
  )

  it.live("a sweep that joins it deletes objects whose rows return with the rollback (control)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* sweptInside(yield* app(unnoticed)), {
        left: { rows: 1, objects: 0 },
        outcome: "deduplicated",
        read: "Failure"
      })
    })
  )

  /** Stores a blob inside a transaction that rolls back; the rows before and after. */
  const storedInside = Effect.fnUntraced(function* (host: App) {
    const before = yield* rolledBack(
      host.sql,
      Effect.andThen(host.store.put(body, { pin: "1 hour" }), host.tables.rows)
    )
    const after = yield* host.tables.rows
    return [before.blobs.length, after.blobs.length, after.intents.length + after.journal.length]
  })

  it.live("a put leaves it: the blob is committed when put answers", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* storedInside(yield* app()), [1, 1, 0])
    })
  )

  it.live("a put that joins it answers for a blob that the rollback takes away (control)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* storedInside(yield* app(unnoticed)), [1, 0, 0])
    })
  )

  it.live("reference, pin, unpin, unreference and stat join it, and roll back with it", () =>
    Effect.gen(function* () {
      const host = yield* app()
      const digest = yield* orphan(host)
      const kept = { _tag: "LocalFile", path: "kept", digest } as const
      const reference = { _tag: "LocalFile", path: "a", digest } as const
      yield* host.store.reference([kept])
      const held = Option.getOrThrow(yield* host.store.pin(digest, "1 hour"))
      const before = yield* host.tables.rows
      const inside = yield* rolledBack(
        host.sql,
        Effect.gen(function* () {
          yield* host.store.reference([reference])
          yield* host.store.unreference([kept])
          yield* host.store.unpin([held])
          const pin = yield* host.store.pin(digest, "1 hour")
          const paths = yield* host.sql<{ path: string }>`SELECT path FROM local_files`
          const pins = yield* host.sql<{ id: string }>`SELECT id FROM artifact_gc.pins`
          assert.deepStrictEqual(
            pins.map(({ id }) => id),
            [Option.getOrThrow(pin)]
          )
          yield* host.sql`DELETE FROM local_files`
          yield* host.sql`UPDATE blobs SET size_bytes = 77`
          return [paths.map(({ path }) => path), yield* host.store.stat(digest)] as const
        })
      )
      assert.deepStrictEqual(inside[0], ["a"])
      assert.strictEqual(
        Option.getOrThrow(inside[1]).sizeBytes,
        77,
        "stat sees what the app has not committed"
      )
      assert.deepStrictEqual(yield* host.tables.rows, before)
    })
  )

  it.live("an app whose transaction commits keeps the reference that joined it", () =>
    Effect.gen(function* () {
      const host = yield* app()
      const digest = yield* orphan(host)
      yield* host.sql.withTransaction(host.store.reference([{ _tag: "LocalFile", path: "a", digest }]))
      yield* host.sweeps
      assert.strictEqual((yield* host.tables.rows).references.length, 1)
      assert.strictEqual(yield* host.objects, 1)
    })
  )
}

const onePool = (server: Databases.Server): void => {
  it.live(
    "a verb that must leave it says that the pool is too small, and does nothing",
    () =>
      Effect.gen(function* () {
        const { place } = yield* Databases.leasedDatabase(server)
        const host = yield* appOn(Databases.client(place, { maxConnections: 1 }))
        const error = yield* Effect.flip(host.sql.withTransaction(host.store.put(body, { pin: "1 hour" })))
        assert.include(error.message, "no second connection")
        assert.include(error.message, "at least two connections")
        assert.strictEqual(yield* host.objects, 0)
        const { blobs, intents } = yield* host.tables.rows
        assert.deepStrictEqual([blobs, intents], [[], []])
      }),
    30_000
  )

  it.live("a verb that joins it needs no other connection", () =>
    Effect.gen(function* () {
      const { place } = yield* Databases.leasedDatabase(server)
      const host = yield* appOn(Databases.client(place, { maxConnections: 1 }))
      const digest = yield* orphan(host)
      yield* host.sql.withTransaction(host.store.reference([{ _tag: "LocalFile", path: "a", digest }]))
      assert.strictEqual((yield* host.tables.rows).references.length, 1)
    })
  )
}

/** Notes what `synchronous_commit` is whenever a row of these tables is written. */
const witness = `
  CREATE TABLE public.commits (verb text, setting text);
  CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.commits VALUES (TG_OP || ' ' || TG_TABLE_NAME, current_setting('synchronous_commit'));
    RETURN NULL; END $$;
  CREATE TRIGGER note AFTER INSERT OR DELETE ON public.blobs FOR EACH ROW EXECUTE FUNCTION public.note();
  CREATE TRIGGER note AFTER INSERT ON artifact_gc.journal FOR EACH ROW EXECUTE FUNCTION public.note()`

const durability = (server: Databases.Server): void => {
  /** The app's own client, as an app makes it. */
  const asynchronous = (place: Databases.Place) =>
    PgClient.layer({
      ...("url" in place
        ? { url: place.url }
        : {
            host: place.socketDirectory,
            port: place.port,
            username: place.user,
            database: place.database
          }),
      startupParameters: { synchronous_commit: "off" }
    }).pipe(Layer.orDie)

  it.live("waits for the disk before an object may be deleted, whatever the client's connections do", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(server)
      const host = yield* appOn(asynchronous(place))
      for (const statement of witness.split(/;\n {2}(?=CREATE)/)) yield* host.sql.unsafe(statement)
      yield* orphan(host)
      yield* host.sweeps
      // An upload that is never finished is reaped.
      yield* host.sql`INSERT INTO artifact_gc.intents (object_key, expires_at) VALUES ('blobs/dead', to_timestamp(0))`
      yield* host.sweeps
      const commits = yield* host.sql<{ verb: string; setting: string }>`
        SELECT verb, setting FROM public.commits ORDER BY verb`
      assert.deepStrictEqual(
        commits.map(({ setting, verb }) => `${verb}: ${setting}`),
        ["DELETE blobs: on", "INSERT blobs: on", "INSERT journal: on", "INSERT journal: on"]
      )
      const left = yield* host.sql<{ value: string }>`SELECT current_setting('synchronous_commit') AS value`
      assert.deepStrictEqual(left, [{ value: "off" }], "the app's own statements keep the app's setting")
    })
  )
}

export const hostTransactions = (server: Databases.Server): void => {
  describe("inside an open transaction of the app", () => transactions(server))
  describe("inside the transaction of an app with one connection", () => onePool(server))
  describe("on a client that does not wait for the disk", () => durability(server))
}
