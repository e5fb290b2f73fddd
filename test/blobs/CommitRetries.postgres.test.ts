/** Transactions of `put` with `commit` that PostgreSQL ends, or whose COMMIT gets no answer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import { commitServices, ownTable, postgresAttachments } from "../fixtures/Attachments.ts"
import { digestOf } from "../fixtures/BlobStores.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { losingAnswers } from "../fixtures/database/LostAnswers.ts"
import { inPostgres, Tables } from "../fixtures/Tables.ts"
import { attach, attachments, store, storeFor } from "./Commit.contract.ts"

const servicesOn = (place: Databases.Place) =>
  commitServices(
    Layer.mergeAll(AllDatabases.onClient(), inPostgres, postgresAttachments).pipe(
      Layer.provideMerge(ownTable),
      Layer.provideMerge(Databases.client(place, { maxConnections: 3 }))
    )
  )

const services = Layer.unwrap(Effect.map(Databases.migratedDatabase(Databases.embedded), servicesOn))

/** Fails the first so many runs of a `commit` with this SQLSTATE, and counts the runs. */
const failingFirst = (code: string, times: number) => {
  const runs = { count: 0 }
  const commit = (ticket: string) =>
    Effect.fnUntraced(function* ({ digest }: { readonly digest: ReturnType<typeof digestOf> }) {
      const sql = yield* SqlClient.SqlClient
      yield* attach(ticket, digest)
      if (++runs.count <= times)
        yield* onProcessClock(
          sql.unsafe(`DO $$ BEGIN RAISE EXCEPTION 'given way' USING ERRCODE = '${code}'; END $$`)
        )
    })
  return { runs, commit }
}

/** Stores "one" with a ticket: by sending bytes, or by adopting a blob that is live. */
const paths = [
  ["bytes that are sent", {}],
  ["a blob that is live", { digest: digestOf("one") }]
] as const

describe("put with commit in PostgreSQL", () => {
  for (const [path, options] of paths) {
    for (const [what, code] of [
      ["a serialization failure", "40001"],
      ["a deadlock", "40P01"]
    ] as const)
      it.live(`runs the statements again after ${what}, and commits one run: ${path}`, () =>
        Effect.gen(function* () {
          if ("digest" in options) yield* storeFor("first", "one")
          const { commit, runs } = failingFirst(code, 2)
          yield* store("one", { ...options, commit: commit("t1") })
          assert.strictEqual(runs.count, 3)
          assert.lengthOf(
            (yield* attachments).filter(({ ticket }) => ticket === "t1"),
            1
          )
        }).pipe(Effect.provide(services))
      )

    it.live(`runs the statements again if their connection is lost: ${path}`, () =>
      Effect.gen(function* () {
        if ("digest" in options) yield* storeFor("first", "one")
        let runs = 0
        yield* store("one", {
          ...options,
          commit: Effect.fnUntraced(function* ({ digest }) {
            const sql = yield* SqlClient.SqlClient
            yield* attach("t1", digest)
            if (++runs === 1) yield* onProcessClock(sql`SELECT pg_terminate_backend(pg_backend_pid())`)
          })
        })
        assert.strictEqual(runs, 2)
        assert.lengthOf(
          (yield* attachments).filter(({ ticket }) => ticket === "t1"),
          1
        )
      }).pipe(Effect.provide(services))
    )

    it.live(`commits the statements once if the answer to COMMIT is lost: ${path}`, () =>
      Effect.gen(function* () {
        const direct = yield* Databases.migratedDatabase(Databases.embedded)
        if ("url" in direct) return yield* Effect.die("a socket is expected")
        const { isLost, lose, place } = yield* losingAnswers(direct)
        yield* Effect.gen(function* () {
          if ("digest" in options) yield* storeFor("first", "one")
          let runs = 0
          const stored = yield* store("one", {
            ...options,
            commit: ({ digest }) => {
              runs += 1
              return Effect.andThen(attach("t1", digest), lose)
            }
          })
          assert.isTrue(yield* isLost)
          assert.strictEqual(runs, 1, "the server was asked, and nothing was repeated")
          assert.strictEqual(stored.outcome, "digest" in options ? "deduplicated" : "uploaded")
          assert.lengthOf(
            (yield* attachments).filter(({ ticket }) => ticket === "t1"),
            1
          )
          assert.lengthOf((yield* (yield* Tables).rows).blobs, 1)
        }).pipe(Effect.provide(servicesOn(place)))
      }).pipe(Effect.scoped)
    )
  }

  it.live("fails with the statement's own error, which is not tried again", () =>
    Effect.gen(function* () {
      const { commit, runs } = failingFirst("23514", 1)
      const failure = yield* Effect.flip(store("one", { commit: commit("t1") }))
      assert.include(String(failure), "SqlError")
      assert.strictEqual(runs.count, 1)
      assert.deepStrictEqual((yield* (yield* Tables).rows).blobs, [])
    }).pipe(Effect.provide(services))
  )

  it.live("looks names up on the host's search path, also in a table of another schema", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe("CREATE SCHEMA app")
      yield* sql.unsafe("ALTER TABLE attachments SET SCHEMA app")
      const [{ name } = { name: "" }] = yield* sql<{ name: string }>`SELECT current_database() AS name`
      yield* sql.unsafe(`ALTER DATABASE ${name} SET search_path = app, public`)
      const place = yield* Databases.embedded.place(name)
      yield* storeFor("t1", "one").pipe(
        Effect.provide(
          commitServices(
            Layer.mergeAll(AllDatabases.onClient(), Layer.fresh(postgresAttachments)).pipe(
              Layer.provideMerge(Databases.client(place, { maxConnections: 2 }))
            )
          )
        )
      )
      const rows = yield* sql`SELECT ticket FROM app.attachments`
      assert.deepStrictEqual(rows, [{ ticket: "t1" }])
    }).pipe(Effect.provide(services))
  )

  it.live("runs callbacks of afterCommit after its own commit", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const blobs = yield* BlobStore
      let seen = -1
      const rows = yield* Effect.succeed(attachments)
      yield* store("one", {
        commit: ({ digest }) =>
          Effect.andThen(
            attach("t1", digest),
            sql.afterCommit(
              Effect.orDie(
                Effect.map(rows, (found) => {
                  seen = found.length
                })
              )
            )
          )
      })
      assert.strictEqual(seen, 1)
      assert.strictEqual((yield* blobs.stat(digestOf("one")))._tag, "Some")
    }).pipe(Effect.provide(services))
  )
})
