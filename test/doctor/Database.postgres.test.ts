/** What the doctor finds in a PostgreSQL: on a healthy one, on one database with many illnesses, and on none. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { CollectorDatabase } from "../../src/database/Database.ts"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import { severities } from "../../src/doctor/Finding.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import * as Databases from "../fixtures/Databases.ts"
import { databaseOf, findings, fixes, of } from "../fixtures/Doctor.ts"

/** Runs statements one after the other, as the owner. */
const run = (place: Databases.Place, ...statements: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.forEach(statements, (statement) => sql.unsafe(statement))
  ).pipe(Effect.provide(Databases.client(place, { maxConnections: 1 })), Effect.orDie, onProcessClock)

const examined = (place: Databases.Place) => findings(databaseOf(place), MemoryStorage.layer)

describe("doctor on a database", () => {
  it.live("finds nothing worse than notes on a healthy one, and changes nothing", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      const before = yield* run(place, "SELECT * FROM artifact_gc.collectors, artifact_gc.binding")
      const all = yield* examined(place)
      assert.deepStrictEqual(
        // The run's server is made for tests, and does not wait for its disk.
        all
          .filter(({ severity }) => severity === "problem" || severity === "warning")
          .map(({ title }) => title),
        ["fsync is off", "full_page_writes is off", "synchronous_commit is off for this role"]
      )
      assert.deepStrictEqual([...of(all, "schema")], ["ok: The catalogue is safe to collect"])
      assert.deepStrictEqual(of(all, "keys"), ["ok: Sampled rows have their objects"])
      assert.deepStrictEqual(
        yield* run(place, "SELECT * FROM artifact_gc.collectors, artifact_gc.binding"),
        before
      )
    }).pipe(Effect.scoped)
  )

  it.live("names each illness with a statement that heals it, the worst first", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      const role = `doctor_${Math.random().toString(36).slice(2)}`
      yield* Effect.acquireRelease(
        run(
          place,
          `CREATE ROLE ${role} LOGIN${Databases.samePassword(place)} CONNECTION LIMIT 5`,
          `ALTER ROLE ${role} SET synchronous_commit = local`,
          `ALTER ROLE ${role} SET transaction_timeout = '3s'`,
          `GRANT USAGE ON SCHEMA public, artifact_gc, artifact_registry TO ${role}`,
          `GRANT SELECT ON ALL TABLES IN SCHEMA public, artifact_gc, artifact_registry TO ${role}`,
          "ALTER TABLE blobs SET (autovacuum_enabled = false)",
          "ALTER TABLE local_files DROP CONSTRAINT local_files_digest_fkey",
          "ALTER TABLE local_files ADD FOREIGN KEY (digest) REFERENCES blobs (digest) NOT VALID",
          'CREATE TABLE attachments (digest text COLLATE "C" NOT NULL REFERENCES blobs)',
          "CREATE INDEX ON attachments USING hash (digest)",
          'CREATE TABLE logos (digest text COLLATE "C" NOT NULL REFERENCES blobs ON DELETE CASCADE)'
        ),
        () => run(place, `DROP OWNED BY ${role}`, `DROP ROLE ${role}`)
      )
      const all = yield* examined(Databases.as(place, role))
      const ranks = all.map(({ severity }) => severities.indexOf(severity))
      assert.deepStrictEqual(ranks, [...ranks].sort())
      assert.includeMembers(
        [...of(all, "schema")],
        [
          "problem: public.blobs: this role lacks UPDATE, DELETE",
          "problem: public.logos: column digest has no index, so each purge would scan the table"
        ]
      )
      assert.includeMembers(
        [...fixes(all, "schema")],
        [
          `GRANT UPDATE, DELETE ON "public"."blobs" TO ${role};`,
          'CREATE INDEX CONCURRENTLY ON "public"."logos" ("digest");'
        ]
      )
      assert.isTrue(of(all, "schema").some((title) => title.includes("ON DELETE CASCADE")))
      assert.deepStrictEqual(of(all, "connections"), [
        "problem: DATABASE_MAX_CONNECTIONS is more than the server allows"
      ])
      assert.include(of(all, "durability"), "warning: synchronous_commit is local for this role")
      assert.include(of(all, "role"), "warning: transaction_timeout is 3000 ms")
      assert.deepStrictEqual(of(all, "vacuum"), ["warning: public.blobs: autovacuum is off for this table"])
      assert.deepStrictEqual(of(all, "indexes"), [
        "warning: public.attachments: column digest has only a hash index",
        "note: public.local_files: the foreign key local_files_digest_fkey was never validated"
      ])
      assert.include(fixes(all, "rights"), `GRANT INSERT ON "public"."blobs" TO ${role};`)
      // The catalogue's problem comes first.
      assert.deepStrictEqual(of(all, "references"), [])
      assert.match(of(all, "catalogue").join(), /^note: 5 checks of the catalogue were not asked$/)
      // Each statement is one that the server accepts.
      const statements = [...fixes(all, "vacuum"), ...fixes(all, "indexes"), ...fixes(all, "schema")]
      yield* run(place, ...statements.flatMap((fix) => fix.replace(/ -- [^:]*:/, "").split(/(?<=;) /)))
      const healed = yield* examined(Databases.as(place, role))
      assert.deepStrictEqual(of(healed, "indexes"), ["ok: Indexes are whole"])
      assert.isFalse(of(healed, "schema").some((title) => /CASCADE|no index|UPDATE, DELETE$/.test(title)))
    }).pipe(Effect.scoped)
  )

  it.live("finds an empty database, and one that does not answer, and goes on", () =>
    Effect.gen(function* () {
      const place = yield* Databases.emptyDatabase(Databases.embedded)
      const empty = yield* examined(place)
      assert.deepStrictEqual(of(empty, "schema"), [
        "problem: public.blobs: the table of blobs does not exist"
      ])
      assert.deepStrictEqual(of(empty, "store"), ["ok: The store answers and can be listed"])
      const nowhere = "socketDirectory" in place ? { ...place, port: 1 } : place
      const all = yield* examined(nowhere)
      assert.deepStrictEqual(of(all, "connection"), ["problem: The database does not answer as expected"])
      assert.deepStrictEqual(of(all, "store"), ["ok: The store answers and can be listed"])
      assert.lengthOf(
        all.filter(({ severity }) => severity === "problem"),
        1
      )
    }).pipe(Effect.scoped)
  )

  it.live("cannot write, whatever a check tries", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      const error = yield* Effect.flatMap(CollectorDatabase, ({ breakers }) =>
        breakers
          .confirm(0, ["orphans"])
          .pipe(
            Effect.andThen(breakers.trip("orphans", 0, { blobs: 1, bytes: 1, totalBlobs: 1, totalBytes: 1 }))
          )
      ).pipe(Effect.provide(databaseOf(place)), Effect.flip)
      assert.strictEqual(error.sqlState, "25006")
    }).pipe(Effect.scoped)
  )
})
