/** What a person reads when the database cannot, and what a caller may try again. */

import { randomUUID } from "node:crypto"
import { type AddressInfo, createServer, type Server } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import type { DatabaseError } from "../../src/domain/DatabaseError.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { Database } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { artifact, blobs, digest, intent, now, rows, write } from "../fixtures/samples.ts"

const on = (place: Databases.Place) =>
  Effect.map(
    Layer.build(Layer.provide(AllDatabases.onClient(), Databases.client(place, { maxConnections: 2 }))),
    (context) => Context.get(context, Database)
  )

const portOf = (server: Server): number => (server.address() as AddressInfo).port

const failure = (database: Database["Service"]): Effect.Effect<DatabaseError> =>
  Effect.orDie(Effect.flip(database.blobs.locate(digest(1))))

describe("The database in PostgreSQL", () => {
  it.effect("says that a server is away, and not with which password it was asked", () =>
    Effect.gen(function* () {
      const url = Redacted.make("postgres://somebody:secret-word@127.0.0.1:1/registry")
      const error = yield* failure(yield* on({ url }))
      assert.deepInclude(error, { operation: "blobs.locate", reason: "Unavailable" })
      assert.isTrue(error.isRetryable)
      assert.include(error.message, "Check DATABASE_URL and that PostgreSQL accepts connections")
      assert.notInclude(error.message, "secret-word")
      assert.notInclude(JSON.stringify(error), "secret-word")
    })
  )

  it.effect("tries again when a connection breaks, but never to insert an intent", () =>
    Effect.gen(function* () {
      let connections = 0
      const server = createServer((socket) => {
        connections += 1
        socket.destroy()
      })
      const port = yield* Effect.acquireRelease(
        Effect.promise(
          () => new Promise<number>((resolve) => server.listen(0, "127.0.0.1", () => resolve(portOf(server))))
        ),
        () => Effect.sync(() => server.close())
      )
      const database = yield* on({ url: Redacted.make(`postgres://somebody@127.0.0.1:${port}/registry`) })
      yield* failure(database)
      const tries = connections
      assert.isAbove(tries, 1)
      yield* Effect.flip(database.blobs.intend([intent(1)]))
      assert.strictEqual(connections, tries + 1)
    })
  )

  it.effect("says that a database does not exist", () =>
    Effect.gen(function* () {
      const error = yield* failure(yield* on(yield* Databases.embedded.place("no_such_database")))
      assert.include(error.message, 'database "no_such_database" does not exist (SQLSTATE 3D000)')
      assert.include(error.message, "The transaction deleted nothing. Correct DATABASE_URL.")
      assert.deepInclude(error, { reason: "Misdirected" })
      assert.isFalse(error.isRetryable)
    })
  )

  it.effect("says that a privilege is missing, by SQLSTATE and in the server's words", () =>
    Effect.gen(function* () {
      const { place, client } = yield* Databases.leasedDatabase(Databases.embedded)
      const role = `nobody_${randomUUID().slice(0, 8)}`
      const run = (statement: string) =>
        Effect.orDie(Context.get(client, SqlClient.SqlClient).unsafe(statement))
      yield* Effect.acquireRelease(run(`CREATE ROLE ${role} LOGIN`), () => run(`DROP ROLE ${role}`))
      const error = yield* failure(yield* on(Databases.as(place, role)))
      assert.deepInclude(error, { reason: "Denied" })
      assert.isFalse(error.isRetryable)
      assert.include(error.message, "permission denied for table blobs (SQLSTATE 42501)")
      assert.include(error.message, "Grant the role the privileges")
    })
  )

  it.effect("says that a database accepts no writes, and where to point", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      const client = yield* Layer.build(Databases.client(place, { maxConnections: 1 }))
      const sql = Context.get(client, SqlClient.SqlClient)
      const [found] = yield* Effect.orDie(sql<{ name: string }>`SELECT current_database() AS name`)
      yield* Effect.orDie(sql.unsafe(`ALTER DATABASE ${found?.name} SET default_transaction_read_only = on`))
      const database = yield* on(place)
      const error = yield* Effect.flip(database.peers.register(1, 2, { id: "c", settings: {} }))
      assert.deepInclude(error, { reason: "Misdirected", sqlState: "25006" })
      assert.include(error.message, "The transaction deleted nothing. Point DATABASE_URL at the primary")
    })
  )

  it.effect("says that the catalogue is missing", () =>
    Effect.gen(function* () {
      const error = yield* failure(yield* on(yield* Databases.emptyDatabase(Databases.embedded)))
      assert.deepInclude(error, { reason: "Unknown" })
      assert.include(error.message, 'relation "public.blobs" does not exist (SQLSTATE 42P01)')
    })
  )

  it.effect("says that the collector's own tables were never installed", () =>
    Effect.gen(function* () {
      const database = yield* on(yield* Databases.emptyDatabase(Databases.embedded))
      const error = yield* Effect.flip(database.control.orders(1))
      assert.deepInclude(error, { reason: "NotInstalled" })
      assert.match(
        error.message,
        /are not in this database \(.*\); run artifact-gc migrate\. The transaction deleted nothing/
      )
    })
  )

  it.effect("works on its own clock when a test's clock jumps", () =>
    Effect.gen(function* () {
      const { blobs: writers } = yield* Database
      yield* write({ blobs: blobs(1) })
      yield* TestClock.adjust("1000 days")
      yield* writers.adopt(now, [artifact("a", 1)])
      yield* TestClock.adjust("1000 days")
      assert.lengthOf((yield* rows).references, 1)
    }).pipe(Effect.provide(Databases.postgres(Databases.embedded)))
  )
})
