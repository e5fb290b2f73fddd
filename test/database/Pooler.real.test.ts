/**
 * Collectors and writers behind PgBouncer in transaction mode, whose other settings are those of a fresh installation:
 * each transaction may be on another connection of the server, and no session of a client lasts longer.
 */

import { type AddressInfo, createServer, connect as open, type Socket } from "node:net"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Redacted, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Artifacts } from "../../src/artifacts/Artifacts.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Databases from "../fixtures/Databases.ts"
import { BlobStore } from "../fixtures/Referring.ts"

const poolerUrl = process.env.REAL_POOLER_URL ?? ""
const zero = Duration.zero
const rows = 2000

/** A migrated database, by its own address and by the pooler's. */
const pooledDatabase = Effect.gen(function* () {
  const place = yield* Databases.migratedDatabase(Databases.real)
  const direct = "url" in place ? place.url : Redacted.make("")
  const url = new URL(poolerUrl)
  url.pathname = new URL(Redacted.value(direct)).pathname
  return { direct, pooled: Redacted.make(url.href) }
})

/** What a process has between itself and the pooler, so that it can be killed as far as the pooler sees it. */
const wire = (url: Redacted.Redacted) =>
  Effect.gen(function* () {
    const to = new URL(Redacted.value(url))
    const sockets = new Set<Socket>()
    const server = createServer((client) => {
      const there = open(Number(to.port), to.hostname)
      for (const socket of [client, there]) {
        sockets.add(socket)
        socket.on("error", () => socket.destroy())
        socket.on("close", () => {
          sockets.delete(socket)
          client.destroy()
          there.destroy()
        })
      }
      client.pipe(there).pipe(client)
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
      () =>
        Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
          server.close()
        })
    )
    const own = new URL(to.href)
    own.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
    return {
      url: Redacted.make(own.href),
      cut: Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
      })
    }
  })

const settings = {
  grace: zero,
  quarantine: zero,
  leftoverEvery: Duration.days(1),
  breakerPercent: 100,
  pageMax: 100
}

/** A collector and a writer on a client, with a store that several may share. */
const processOn = Effect.fnUntraced(function* (
  client: Layer.Layer<SqlClient.SqlClient>,
  storage: Layer.Layer<Storage>
) {
  const connected = yield* Layer.build(client)
  const all = yield* Layer.build(
    Layer.mergeAll(Sweep.layerUnchecked(settings), BlobStore.layer()).pipe(
      Layer.provideMerge(storage),
      Layer.provideMerge(
        Layer.provide(
          Layer.provideMerge(Artifacts.layer(), Postgres.layer()),
          Layer.succeedContext(connected)
        )
      )
    )
  )
  const sweep = Context.get(all, Sweep)
  return {
    sql: Context.get(connected, SqlClient.SqlClient),
    store: Context.get(all, BlobStore),
    /** Sweeps so often, and returns what failed. */
    sweeps: (times: number) =>
      Effect.map(
        Effect.forEach(Array.from({ length: times }), () =>
          Effect.tap(
            Effect.map(sweep.once(), ({ phases }) =>
              Object.values(phases).flatMap(({ error }) => (error === null ? [] : [error.message]))
            ),
            () => Effect.sleep("2 millis")
          )
        ),
        (failed) => failed.flat()
      )
  }
})

const hostsClient = (url: Redacted.Redacted) => Layer.orDie(PgClient.layer({ url, maxConnections: 4 }))
const ownClient = (url: Redacted.Redacted) => Postgres.layerClient({ url, maxConnections: 4 })

const store = Effect.map(Layer.build(MemoryStorage.layer), Layer.succeedContext)

/** Blobs that nothing refers to, with their objects. */
const orphans = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, storage: Layer.Layer<Storage>) {
  const { put } = yield* Effect.provide(Storage, storage)
  for (let n = 1; n <= rows; n++) yield* put(ObjectKey.make(`blobs/${n}`), Stream.make(new Uint8Array(1)), 1)
  yield* sql`
    INSERT INTO public.blobs (digest, object_key, size_bytes, created_at, last_used_at)
    SELECT 'd' || n, 'blobs/' || n, 1, 'epoch', 'epoch' FROM generate_series(1, ${rows}::int) n`
})

const leftIn = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ blobs: number; journal: number }>`
      SELECT (SELECT count(*) FROM public.blobs)::int AS blobs, (SELECT count(*) FROM artifact_gc.journal)::int AS journal`,
    ([left]) => left
  )

const directly = (url: Redacted.Redacted) =>
  Effect.map(Layer.build(Postgres.layerClient({ url, maxConnections: 1 })), Context.get(SqlClient.SqlClient))

describe.skipIf(poolerUrl === "")("Behind PgBouncer in transaction mode", { timeout: 120_000 }, () => {
  it.live("two clients with prepared statements fail each other (control)", () =>
    Effect.gen(function* () {
      const { pooled } = yield* pooledDatabase
      const clients = yield* Effect.forEach([1, 2, 3], () => Layer.build(hostsClient(pooled)))
      const work = ({ sql }: { sql: SqlClient.SqlClient }) =>
        Effect.forEach(
          Array.from({ length: 100 }),
          () => sql.withTransaction(Effect.andThen(sql`SELECT 1 AS one`, sql`SELECT pg_sleep(0.001)`)),
          { concurrency: 4 }
        )
      const failed = yield* Effect.all(
        clients.map((context) => Effect.exit(work({ sql: Context.get(context, SqlClient.SqlClient) }))),
        { concurrency: "unbounded" }
      )
      assert.include(JSON.stringify(failed), "26000", "prepared statement does not exist")
    })
  )

  for (const [whose, client] of [
    ["their own clients", ownClient],
    ["hosts' clients", hostsClient]
  ] as const) {
    it.live(`two collectors on ${whose} sweep at once, and delete everything`, () =>
      Effect.gen(function* () {
        const { direct, pooled } = yield* pooledDatabase
        const storage = yield* store
        const sql = yield* directly(direct)
        const [one, two] = yield* Effect.all([
          processOn(client(pooled), storage),
          processOn(client(pooled), storage)
        ])
        for (let round = 0; round < 3; round++) {
          yield* orphans(sql, storage)
          const failed = yield* Effect.all([one.sweeps(4), two.sweeps(4)], { concurrency: 2 })
          assert.deepStrictEqual(failed.flat(), [])
          assert.deepStrictEqual(yield* leftIn(sql), { blobs: 0, journal: 0 })
        }
      })
    )
  }

  it.live("a collector that is killed in its sweeps hinders neither the others nor its next start", () =>
    Effect.gen(function* () {
      const { direct, pooled } = yield* pooledDatabase
      const storage = yield* store
      const sql = yield* directly(direct)
      const line = yield* wire(pooled)
      const killed = yield* processOn(ownClient(line.url), storage)
      const other = yield* processOn(ownClient(pooled), storage)
      for (let round = 0; round < 5; round++) {
        yield* orphans(sql, storage)
        const kills = Effect.forEach(Array.from({ length: 5 }), () =>
          Effect.andThen(Effect.sleep(`${20 + 17 * round} millis`), line.cut)
        )
        const [failed] = yield* Effect.all([other.sweeps(4), killed.sweeps(2), kills], { concurrency: 3 })
        assert.deepStrictEqual(failed, [])
        assert.deepStrictEqual(yield* killed.sweeps(3), [], "and the one that was killed works again")
        assert.strictEqual((yield* leftIn(sql))?.blobs, 0)
      }
      const stuck = yield* sql`
        SELECT state FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
      assert.lengthOf(stuck, 0)
      const locks = yield* sql`SELECT FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
      assert.lengthOf(locks, 0)
    })
  )

  it.live("writers put, read and refer, also in a transaction of the app", () =>
    Effect.gen(function* () {
      const { pooled } = yield* pooledDatabase
      const storage = yield* store
      // The app's own statements have no names either, as such a pooler wants.
      const { sql, store: blobs } = yield* processOn(
        Layer.orDie(PgClient.layer({ url: pooled, maxConnections: 4, prepare: false })),
        storage
      )
      const puts = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, n) => n),
        (n) => blobs.put(Stream.make(new TextEncoder().encode(`bytes ${n % 20}`)), { pin: "1 hour" }),
        { concurrency: 8 }
      )
      for (const [n, { digest }] of puts.entries()) {
        yield* sql.withTransaction(blobs.reference([{ _tag: "LocalFile", path: String(n), digest }]))
        assert.isTrue(Option.isSome(yield* blobs.stat(digest)))
        yield* Stream.runDrain(blobs.open(digest))
      }
      const [left] = yield* sql<{ blobs: number; files: number }>`
        SELECT (SELECT count(*) FROM public.blobs)::int AS blobs, (SELECT count(*) FROM public.local_files)::int AS files`
      assert.deepStrictEqual(left, { blobs: 20, files: 40 })
    })
  )
})
