/** The registry's tables under the schema guard, and the verbs of manifests in a database without them. */

import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { Digest } from "../../../src/domain/Digest.ts"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import type { Database } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { bench, plain, problemsOf, refuses, repair } from "../../fixtures/database/CatalogueBench.ts"
import { asNobody, grants } from "./Access.ts"

const now = 1_000_000
const ofNo = { repository: "app", mediaType: "m", sizeBytes: 1, artifactType: "t", annotations: null }
const digestOf = (text: string) => Digest.make(text)

/** Puts an index of one child with a layer, and then expires all of them. */
const useAndExpire = Effect.fnUntraced(function* (
  { manifests }: Database["Service"],
  [index, child, layer, elsewhere]: readonly [Digest, Digest, Digest, Digest]
) {
  const manifest = (digest: Digest, subject: Digest | null = null) => ({ ...ofNo, digest, subject })
  const stored = { _tag: "stored" } as const
  assert.deepStrictEqual(
    yield* manifests.put(now, manifest(child), [{ digest: layer, kind: "layer" }]),
    stored
  )
  const list = [{ digest: child, kind: "manifest" } as const]
  const given = manifest(index, elsewhere)
  assert.deepStrictEqual(yield* manifests.put(now, given, list, { tags: ["a"] }), stored)
  const missing = { _tag: "missing", digests: [elsewhere] } as const
  assert.deepStrictEqual(yield* manifests.put(now, given, [{ digest: elsewhere, kind: "layer" }]), missing)
  const found = yield* manifests.find("app", { _tag: "Tag", tag: "a" })
  assert.strictEqual(Option.getOrThrow(found).subject, elsewhere)
  assert.deepStrictEqual(yield* manifests.referrers("app", elsewhere, "t", null, 9), [given])
  assert.deepStrictEqual(yield* manifests.referrers("app", elsewhere, null, index, 9), [])
  assert.isTrue(Option.getOrThrow(yield* manifests.blob("app", layer)).isReferenced)
  assert.strictEqual(yield* manifests.delete(now, "app", child), "listed")
  assert.isTrue(yield* manifests.touch(now, "app", child))
  assert.isTrue(yield* manifests.untag(now, "app", "a"))
  assert.strictEqual(yield* manifests.expire(now + 1, now, 10), 1)
  assert.strictEqual(yield* manifests.expire(now + 2, now + 1, 10), 1)
  assert.deepStrictEqual(yield* manifests.repositories(null, 9), [])
})

const accepted = (): void => {
  it.effect("refer to blobs by manifests and what these refer to, and not by tags", () =>
    Effect.gen(function* () {
      const b = yield* bench({ registry: true })
      const references = yield* b.database.inspect
      assert.deepStrictEqual(
        references.map(({ table, column }) => [
          table.replace(b.names.registrySchema, "r").replace(b.names.schema, "s"),
          column
        ]),
        [
          ["s.layers", "digest"],
          ["r.manifest_references", "digest"],
          ["r.manifests", "digest"]
        ]
      )
    })
  )

  it.effect("work where digests are bytes and every table and column has another name", () =>
    Effect.gen(function* () {
      const b = yield* bench({
        registry: true,
        names: {
          blobsTable: "Blobs",
          digestColumn: "Sha",
          keyColumn: "path",
          sizeColumn: "n",
          createdAtColumn: "at",
          lastUsedAtColumn: null,
          timeZone: "UTC"
        },
        catalogue: [
          `CREATE TABLE $s."Blobs" ("Sha" bytea PRIMARY KEY, path varchar(99) NOT NULL UNIQUE, n int,
             at timestamp NOT NULL)`,
          `INSERT INTO $s."Blobs" SELECT decode('0' || n, 'hex'), n::text, n, 'epoch' FROM generate_series(1, 3) n`
        ]
      })
      assert.lengthOf(yield* b.database.inspect, 2)
      const digests = ["\\x01", "\\x02", "\\x03", "\\xff"].map(digestOf)
      yield* useAndExpire(b.database, digests as unknown as Parameters<typeof useAndExpire>[1])
    })
  )

  it.effect("work under the triggers against unannounced writers, once those cover the tables", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      yield* b.run(
        "INSERT INTO $s.blobs SELECT n::text, 'key ' || n, n, timestamptz 'epoch' FROM generate_series(1, 3) n"
      )
      const client = Effect.provide(Databases.client(b.place))
      yield* Postgres.guardUnannouncedWriters(b.names).pipe(client)
      assert.deepStrictEqual(yield* b.problems, [])
      yield* RegistryPostgres.migrate(b.names, { registry: true }).pipe(client)
      assert.deepStrictEqual(
        (yield* b.problems).map((problem) => [problem.kind, plain(b, problem).table]),
        [
          ["UnannouncedWritersUnguarded", "r.manifest_references"],
          ["UnannouncedWritersUnguarded", "r.manifests"]
        ]
      )
      yield* Postgres.guardUnannouncedWriters(b.names).pipe(client)
      assert.deepStrictEqual(yield* b.problems, [])
      yield* useAndExpire(b.database, [digestOf("1"), digestOf("2"), digestOf("3"), digestOf("4")])
    })
  )
}

const privileges = (): void => {
  it.effect("names what the role lacks, and the grants are enough to expire manifests, not to put one", () =>
    Effect.gen(function* () {
      const b = yield* bench({ registry: true })
      yield* b.run(
        "INSERT INTO $s.blobs VALUES ('1', 'key 1', 1, timestamptz 'epoch')",
        "INSERT INTO $r.manifests VALUES ('app', '1', 'm', 1, NULL, NULL, NULL, timestamptz 'epoch')"
      )
      const { role, database } = yield* asNobody(b)
      assert.strictEqual((yield* Effect.flip(database.manifests.probe)).reason, "Denied")
      const problems = yield* problemsOf(database)
      const found = problems.map((problem) => plain(b, problem)).map(({ kind, fix }) => ({ kind, fix }))
      const { to } = grants(role)
      for (const expected of [
        to("USAGE", `SCHEMA "r"`),
        to("SELECT", `"r"."registry_migrations"`),
        to("SELECT, UPDATE, DELETE", `"r"."manifests"`),
        to("SELECT, DELETE", `"r"."manifest_references"`),
        to("SELECT, DELETE", `"r"."tags"`)
      ]) {
        assert.deepInclude(found, expected)
      }
      yield* repair(b, problems)
      assert.deepStrictEqual(yield* problemsOf(database), [])
      assert.strictEqual(yield* database.manifests.expire(now, now, 10), 1)
      const denied = yield* Effect.flip(database.manifests.probe)
      assert.strictEqual(denied.reason, "Denied")
      assert.include(
        plain(b, { kind: "MissingPrivilege", table: "", problem: "", fix: denied.detail }).fix,
        `this role lacks INSERT, UPDATE on "r"."manifest_references"; INSERT on "r"."manifests"; INSERT, UPDATE on "r"."tags"`
      )
      yield* b.run(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA $r TO ${role}`)
      yield* database.manifests.probe
    })
  )
}

const versions = (): void => {
  const table = "r.registry_migrations"
  const latest = RegistryPostgres.latestRegistryMigration
  const options = { registry: true }
  refuses("tables of an older version", {
    options,
    given: ["UPDATE $r.registry_migrations SET migration_id = migration_id - 1"],
    expected: [
      {
        table,
        kind: "MissingCollectorTables",
        problem: `the registry's tables are at version ${latest - 1}, this program needs ${latest}`,
        fix: "Run: artifact-gc migrate --registry"
      }
    ],
    fixable: false
  })
  refuses("tables of a newer version", {
    options,
    given: ["INSERT INTO $r.registry_migrations (migration_id, name) VALUES (1000, 'from the future')"],
    expected: [{ table, fix: "Run the newer artifact-gc." }],
    fixable: false
  })
  refuses("tables of which one is missing, because the blobs it kept would be orphans", {
    options,
    given: ["DROP TABLE $r.manifest_references"],
    expected: [
      {
        table: "r.manifest_references",
        kind: "MissingCollectorTables",
        problem: "the table does not exist any more"
      }
    ],
    fixable: false
  })

  it.effect("are required by a registry before it starts", () =>
    Effect.gen(function* () {
      const b = yield* bench(options)
      yield* b.database.manifests.probe
      yield* b.run("INSERT INTO $r.registry_migrations (migration_id, name) VALUES (1000, 'from the future')")
      const { reason, detail } = yield* Effect.flip(b.database.manifests.probe)
      assert.strictEqual(reason, "NotInstalled")
      assert.include(
        detail,
        `at version 1000, newer than this program's ${latest}; run the newer artifact-gc`
      )
    })
  )
}

const absent = (): void => {
  it.effect("are not required by a collector, which then expires no manifest", () =>
    Effect.gen(function* () {
      const { database, problems } = yield* bench()
      assert.deepStrictEqual(yield* problems, [])
      assert.strictEqual(yield* database.manifests.expire(now, now, 10), 0)
      assert.strictEqual(yield* database.manifests.untagged(now), 0)
      const none = { untagged: 0, total: 0, bytes: 0, totalBytes: 0 }
      assert.deepStrictEqual(yield* database.manifests.exposure(null, 0, 0), none)
    })
  )

  it.effect("are named by every other verb, with the command that installs them", () =>
    Effect.gen(function* () {
      const { database, run } = yield* bench()
      yield* run("INSERT INTO $s.blobs VALUES ('1', 'key 1', 1, timestamptz 'epoch')")
      const { manifests } = database
      const one = digestOf("1")
      const failures = yield* Effect.forEach(
        [
          manifests.probe,
          manifests.put(now, { ...ofNo, digest: one, subject: null }, []),
          manifests.find("app", { _tag: "Digest", digest: one }),
          manifests.touch(now, "app", one),
          manifests.untag(now, "app", "a"),
          manifests.delete(now, "app", one),
          manifests.tags("app", null, 1),
          manifests.repositories(null, 1),
          manifests.referrers("app", one, null, null, 1),
          manifests.blob("app", one)
        ],
        (verb) => Effect.flip(Effect.asVoid(verb))
      )
      for (const { reason, message } of failures) {
        assert.strictEqual(reason, "NotInstalled")
        assert.include(message, "run: artifact-gc migrate --registry")
      }
    })
  )
}

export const registry = (): void => {
  describe("a registry's tables", () => accepted())
  describe("the collector's role in a registry", () => privileges())
  describe("the guard of the registry's tables", () => versions())
  describe("a registry's tables that are not installed", () => absent())
}
