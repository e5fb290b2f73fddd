/** The problems of the collector's role and of its own tables, and the report of all problems at once. */

import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { tableProblems } from "../../../src/database/postgres/schema/BlobsTable.ts"
import { latestMigration } from "../../../src/database/postgres/schema/MigrationList.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"
import {
  type Bench,
  bench,
  plain,
  problemsOf,
  refuses,
  repair
} from "../../fixtures/database/CatalogueBench.ts"

/** The database service as a role without any privilege, dropped with the scope. */
export const asNobody = Effect.fnUntraced(function* (b: Bench) {
  const role = `nobody_${randomUUID().slice(0, 8)}`
  yield* Effect.acquireRelease(b.run(`CREATE ROLE ${role} LOGIN`), () =>
    b.run(`DROP OWNED BY ${role}`, `DROP ROLE ${role}`)
  )
  const client = Databases.client(Databases.as(b.place, role), { maxConnections: 2 })
  const layer = Layer.provide(AllDatabases.onClient(b.names), client)
  return { role, database: Context.get(yield* Layer.build(layer), Database) }
})

export const grants = (role: string) => ({
  kind: "MissingPrivilege" as const,
  to: (privileges: string, on: string) => ({
    kind: "MissingPrivilege" as const,
    fix: `GRANT ${privileges} ON ${on} TO ${role};`
  })
})

const privileges = (): void => {
  it.effect("names every privilege the role lacks at once, and the grants are enough to sweep", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      yield* b.run(
        "INSERT INTO $s.blobs SELECT n::text, 'key ' || n, n, timestamptz 'epoch' FROM generate_series(1, 3) n",
        "INSERT INTO $s.layers (digest) VALUES ('1')",
        "INSERT INTO $c.upload_sessions VALUES ('s', 'library/app', 'sha256', 'open', 1, NULL, NULL, NULL, 'epoch')",
        "INSERT INTO $c.upload_chunks VALUES ('uploads/s/1', 's', 0, 1, '4')"
      )
      const { role, database } = yield* asNobody(b)
      const problems = yield* problemsOf(database)
      const { to } = grants(role)
      const all = "SELECT, INSERT, UPDATE, DELETE"
      const found = problems.map((problem) => plain(b, problem)).map(({ kind, fix }) => ({ kind, fix }))
      for (const expected of [
        to("USAGE", `SCHEMA "s"`),
        to("USAGE", `SCHEMA "c"`),
        to("SELECT, UPDATE, DELETE", `"s"."blobs"`),
        to("SELECT", `"s"."layers"`),
        to("SELECT", `"c"."migrations"`),
        to(all, `"c"."orphans"`),
        to(all, `"c"."journal"`),
        to(all, `"c"."intents"`),
        to("SELECT, UPDATE", `"c"."scans"`),
        to("SELECT, UPDATE, DELETE", `"c"."upload_sessions"`),
        to("SELECT, DELETE", `"c"."upload_chunks"`)
      ]) {
        assert.deepInclude(found, expected)
      }
      assert.isTrue(problems.every((problem) => problem.kind === "MissingPrivilege"))
      yield* repair(b, problems)
      assert.deepStrictEqual(yield* problemsOf(database), [])

      const orphans = yield* sweep(database)
      assert.deepStrictEqual(orphans, ["2", "3"])
      assert.lengthOf((yield* database.journal.claim(10, 20, 10)).entries, 2)
      yield* database.journal.confirm([])
      yield* database.journal.reapIntents(10, 10, 10)
      assert.strictEqual((yield* database.backlog(10)).journaled, 2)
      const idle = { now: 10, idleSince: 10, limit: 10, deleteNotBefore: 10, leaseUntil: null }
      assert.lengthOf((yield* database.sessions.expire(idle)).journaled, 1)
    })
  )

  it.effect("names a single privilege that is missing", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      const { role, database } = yield* asNobody(b)
      yield* repair(b, yield* problemsOf(database))
      yield* b.run(`REVOKE UPDATE ON $s.blobs FROM ${role}`)
      const [problem, ...others] = yield* problemsOf(database)
      assert.deepInclude(problem, {
        kind: "MissingPrivilege",
        table: `${b.names.schema}.blobs`,
        problem: "this role lacks UPDATE",
        fix: `GRANT UPDATE ON "${b.names.schema}"."blobs" TO ${role};`
      })
      assert.lengthOf(others, 0)
    })
  )

  for (const [what, table, constraint, problem] of [
    ["references", "layers", "layers_digest_fkey", "row-level security hides references from this role"],
    [
      "blobs",
      "blobs",
      undefined,
      "row-level security hides blobs from this role, so their objects would look like leftovers"
    ]
  ] as const) {
    it.effect(`refuses row-level security that hides ${what}`, () =>
      Effect.gen(function* () {
        const b = yield* bench()
        const { role, database } = yield* asNobody(b)
        yield* repair(b, yield* problemsOf(database))
        yield* b.run(`ALTER TABLE $s.${table} ENABLE ROW LEVEL SECURITY`)
        assert.deepStrictEqual(yield* b.problems, [], "a superuser sees all rows")
        const problems = yield* problemsOf(database)
        assert.deepStrictEqual(
          problems.map((one) => plain(b, one)),
          [
            {
              kind: "HiddenRows",
              table: `s.${table}`,
              ...(constraint === undefined ? {} : { constraint }),
              problem,
              fix: `ALTER ROLE ${role} BYPASSRLS;`
            }
          ]
        )
        yield* repair(b, problems)
        assert.deepStrictEqual(yield* problemsOf(database), [])
      })
    )
  }
}

/** Condemns and purges every orphan, and returns the digests. */
const sweep = Effect.fnUntraced(function* ({ orphans }: Database["Service"]) {
  const slice = yield* orphans.readSlice(null, 100)
  const seen = (yield* orphans.find(slice)).map((orphan) => orphan.digest)
  yield* orphans.record(slice, { now: 10, seen, condemned: seen, sweep: "s" })
  const page = yield* orphans.purge({
    now: 10,
    condemnedCutoff: 10,
    seenCutoff: 4_000_000_000_000,
    usedCutoff: 10,
    limit: 100,
    after: null,
    deleteNotBefore: 10,
    leaseUntil: null
  })
  return page.purged.map((blob) => blob.digest).sort()
})

const collectorTables = (): void => {
  const migrations = { kind: "MissingCollectorTables", table: "c.migrations" } as const
  refuses("a database where the collector was never installed", {
    given: [],
    options: { migrated: false },
    expected: [
      {
        ...migrations,
        problem: "the collector's tables are not installed",
        fix: "Run: artifact-gc migrate"
      }
    ],
    fixable: false
  })
  refuses("tables of an older version", {
    given: [`UPDATE $c.migrations SET migration_id = -migration_id WHERE migration_id = ${latestMigration}`],
    expected: [
      {
        ...migrations,
        problem: `the collector's tables are at version ${latestMigration - 1}, this program needs ${latestMigration}`,
        fix: "Run: artifact-gc migrate"
      }
    ],
    fixable: false
  })
  refuses("tables of a newer version", {
    given: ["INSERT INTO $c.migrations (migration_id, name) VALUES (1000, 'from the future')"],
    expected: [
      {
        ...migrations,
        problem: `the collector's tables are at version 1000, newer than this program's ${latestMigration}`,
        fix: "Run the newer artifact-gc."
      }
    ],
    fixable: false
  })
  refuses("tables of which one is missing", {
    given: ["DROP TABLE $c.journal"],
    expected: [
      { kind: "MissingCollectorTables", table: "c.journal", problem: "the table does not exist any more" }
    ],
    fixable: false
  })
}

const together = (): void => {
  it.effect("reports every problem at once, in one message that names table, constraint and fix", () =>
    Effect.gen(function* () {
      const b = yield* bench({ migrated: false })
      yield* b.run(
        "ALTER TABLE $s.blobs RENAME size_bytes TO length",
        "ALTER TABLE $s.blobs DROP CONSTRAINT blobs_object_key_key",
        "DROP INDEX $s.layers_digest_idx",
        "CREATE TABLE $s.tags (digest text REFERENCES $s.blobs ON DELETE CASCADE)",
        "ALTER TABLE $s.tags DISABLE TRIGGER ALL"
      )
      const refused = yield* Effect.flip(b.database.inspect)
      const problems = (yield* b.problems).map((problem) => plain(b, problem))
      assert.deepStrictEqual(
        problems.map(({ kind, table, constraint }) => [kind, table, constraint]),
        [
          ["MissingCollectorTables", "c.migrations", undefined],
          ["MissingColumn", "s.blobs", undefined],
          ["KeyNotUnique", "s.blobs", undefined],
          ["MissingIndex", "s.layers", "layers_digest_fkey"],
          ["DestructiveForeignKey", "s.tags", "tags_digest_fkey"],
          ["UnenforcedForeignKey", "s.tags", "tags_digest_fkey"],
          ["UnsupportedForeignKey", "s.tags", "tags_digest_fkey"],
          ["MissingIndex", "s.tags", "tags_digest_fkey"]
        ]
      )
      for (const { table, problem, fix } of yield* b.problems) {
        assert.include(refused.message, table)
        assert.include(refused.message, problem)
        assert.include(refused.message, `fix: ${fix}`)
      }
      assert.include(refused.message, "(constraint tags_digest_fkey)")
    })
  )

  it("refuses a standby, which may lack the newest references", () => {
    const found = { oid: "1", role: "r", standby: true, rows_hidden: false, heirs: [] }
    assert.deepStrictEqual(tableProblems(defaultNames, found), [
      {
        kind: "ReadOnly",
        table: "public.blobs",
        problem: "the server is a standby, which may lack the newest references",
        fix: "Point DATABASE_URL at the primary."
      }
    ])
  })

  it.effect("finds a reference table that was created after the last inspection", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      yield* b.run(
        "INSERT INTO $s.blobs SELECT n::text, 'key ' || n, n, timestamptz 'epoch' FROM generate_series(1, 2) n"
      )
      yield* b.database.inspect
      yield* b.run(
        `CREATE TABLE $s.pins (digest text COLLATE "C" PRIMARY KEY REFERENCES $s.blobs)`,
        "INSERT INTO $s.pins VALUES ('1')"
      )
      const references = yield* b.database.inspect
      assert.deepStrictEqual(
        references.map((reference) => reference.table.replace(b.names.schema, "s")),
        ["s.layers", "s.pins"]
      )
      assert.deepStrictEqual(yield* sweep(b.database), ["2"])
    })
  )
}

export const access = (): void => {
  describe("the collector's role", () => privileges())
  describe("the collector's tables", () => collectorTables())
  describe("altogether", () => together())
}
