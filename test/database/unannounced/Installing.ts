/** The triggers are installed and removed on request, and the collector notices both. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import { fails } from "../../../src/testing/Faults.ts"
import * as Databases from "../../fixtures/Databases.ts"
import {
  inserts,
  installs,
  refers,
  refused,
  removes,
  type Stage,
  stage,
  unannouncedKey,
  unverified
} from "../../fixtures/database/WriterStage.ts"
import { digest } from "../../fixtures/samples.ts"

const tables = [
  "public.blobs",
  "artifact_registry.manifest_references",
  "artifact_registry.manifests",
  "public.artifacts",
  "public.local_files"
]
const unchanged = { created: [], dropped: [] }

/** The registry has a trigger of its own on tags. */
const triggers = (s: Stage) =>
  Effect.map(
    s.session(
      "SELECT tgrelid::regclass::text AS at FROM pg_trigger WHERE NOT tgisinternal AND tgname <> 'forget_push' ORDER BY 1"
    ),
    (rows) => rows.map((row) => row.at)
  )

const lifecycle = (server: Databases.Server): void => {
  it.live("are installed once, removed once, and leave nothing in the catalogue", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      assert.deepStrictEqual(yield* removes(s.place), unchanged)
      assert.deepStrictEqual(yield* installs(s.place), { created: tables, dropped: [] })
      const guarded = tables.map((table) => table.replace("public.", ""))
      assert.deepStrictEqual(yield* triggers(s), guarded.sort())
      assert.deepStrictEqual(yield* installs(s.place), unchanged)
      yield* s.database.inspect
      assert.deepStrictEqual(yield* removes(s.place), { created: [], dropped: tables })
      assert.deepStrictEqual(yield* triggers(s), [])
      assert.deepStrictEqual(yield* removes(s.place), unchanged)
      const functions = "SELECT FROM pg_proc WHERE pronamespace = 'artifact_gc'::regnamespace"
      assert.lengthOf(yield* s.session(functions), 0)
    })
  )

  it.live("a catalogue that migrate made is known as such, and one that existed before is not", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const known = { catalogueExisted: false, unannouncedWritersGuarded: true }
      assert.deepStrictEqual(yield* s.database.installation, known)
      yield* s.session("DROP SCHEMA artifact_gc CASCADE")
      yield* Effect.provide(
        Postgres.migrate(defaultNames, { createCatalog: "artifacts" }),
        Databases.client(s.place, { maxConnections: 1 })
      )
      yield* s.database.inspect
      const existed = { catalogueExisted: true, unannouncedWritersGuarded: false }
      assert.deepStrictEqual(yield* s.database.installation, existed)
      yield* Effect.provide(
        Postgres.migrate(defaultNames, { createCatalog: "artifacts", isOwn: true }),
        Databases.client(s.place, { maxConnections: 1 })
      )
      yield* s.database.inspect
      assert.isFalse((yield* s.database.installation).catalogueExisted, "an embedded database is ours alone")
    })
  )

  it.live("are removed with the collector's schema", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.session("DROP SCHEMA artifact_gc CASCADE")
      assert.deepStrictEqual(yield* triggers(s), [])
      yield* inserts(s.session, 1)
      yield* refers(s.session, "tag", 1)
    })
  )

  it.live("remember what was collected while they were installed", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.stores(1, "first")
      yield* s.purges
      yield* removes(s.place)
      yield* installs(s.place)
      yield* inserts(s.session, 1)
      yield* refused(unverified, refers(s.session, "tag", 1))
    })
  )

  it.live("know what was in the journal when they were installed", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      yield* s.puts(1)
      yield* inserts(s.session, 1)
      s.faults.next("delete", fails("TimedOut"), 2)
      yield* s.purges
      yield* s.puts(2)
      const leftover = { key: unannouncedKey(2), sizeBytes: 1 }
      yield* s.database.leftovers.journal(Date.now(), [leftover], Date.now() + 60_000)
      yield* installs(s.place)
      for (const n of [1, 2]) {
        yield* inserts(s.session, n)
        yield* refused(unverified, refers(s.session, "tag", n))
      }
    })
  )

  it.live("control: without that, a DELETE that is still on its way deletes a reference's bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      yield* s.puts(1)
      yield* inserts(s.session, 1)
      s.faults.next("delete", fails("TimedOut"), 2)
      yield* s.purges
      yield* installs(s.place)
      yield* s.session("DELETE FROM artifact_gc.tombstones")
      yield* s.session("DELETE FROM artifact_gc.buried_keys")
      yield* s.puts(1)
      yield* inserts(s.session, 1)
      yield* refers(s.session, "tag", 1)
      s.objects.delete(unannouncedKey(1))
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )

  it.live("wait for a writer half a second at most, and are installed completely or not at all", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      const writer = yield* s.another
      yield* writer("BEGIN")
      yield* refers(writer, "none", 1).pipe(Effect.ignore)
      yield* writer("ROLLBACK")
      yield* writer("BEGIN")
      yield* inserts(writer, 1)
      const failed = yield* Effect.flip(installs(s.place))
      assert.deepInclude(failed, { _tag: "DatabaseError", reason: "Contended" })
      assert.deepStrictEqual(yield* triggers(s), [])
      const installing = yield* Effect.forkChild(installs(s.place))
      yield* s.waiting()
      yield* writer("COMMIT")
      assert.deepStrictEqual(yield* Fiber.join(installing), { created: tables, dropped: [] })
    })
  )
}

const noticing = (server: Databases.Server): void => {
  for (const [what, before, change] of [
    ["are installed", false, installs],
    ["are removed", true, removes]
  ] as const) {
    it.live(`a purge that began before they ${what} purges nothing`, () =>
      Effect.gen(function* () {
        const s = yield* stage(server, before)
        yield* s.stores(1, "first")
        const request = {
          ...{ now: Date.now(), condemnedCutoff: 2, seenCutoff: 2, usedCutoff: Date.now() + 1000 },
          ...{ limit: 10, after: null, deleteNotBefore: 3, leaseUntil: null }
        }
        const slice = yield* s.database.orphans.readSlice(null, 100)
        const seen = [digest(1)]
        yield* s.database.orphans.record(slice, { now: 1, seen, condemned: seen, sweep: "s" })
        yield* change(s.place)
        const failed = yield* Effect.flip(s.database.orphans.purge(request))
        assert.strictEqual(failed.reason, "SchemaChanged")
        assert.lengthOf((yield* s.tables.rows).blobs, 1)
        yield* s.database.inspect
        assert.lengthOf((yield* s.database.orphans.purge(request)).purged, 1)
        const tombstones = yield* s.session("SELECT FROM artifact_gc.tombstones")
        assert.lengthOf(tombstones, before ? 0 : 1)
      })
    )
  }

  const problems = (s: Stage) =>
    s.database.inspect.pipe(
      Effect.as([]),
      Effect.catchTag("SchemaRefused", (refusal) => Effect.succeed(refusal.problems)),
      Effect.map((found) => found.map(({ kind, table, fix }) => [kind, table, fix.split(" (")[0]]))
    )
  const says = (table: string) => [
    "UnannouncedWritersUnguarded",
    table,
    "Run: artifact-gc migrate --guard-unannounced-writers"
  ]

  it.live("a table that gained a foreign key to blobs is reported, and the next installation covers it", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.session(
        'CREATE TABLE layers (blob text COLLATE "C" REFERENCES blobs, n int) PARTITION BY RANGE (n)'
      )
      yield* s.session("CREATE INDEX ON layers (blob)")
      yield* s.session("CREATE TABLE low PARTITION OF layers FOR VALUES FROM (0) TO (10)")
      assert.deepStrictEqual(yield* problems(s), [says("public.layers")])
      assert.deepStrictEqual(yield* installs(s.place), { created: ["public.layers"], dropped: [] })
      assert.deepStrictEqual(yield* problems(s), [])
      yield* refused("there is no blob", s.session("INSERT INTO low VALUES ($1, 1)", [digest(1)]))
      yield* s.session("INSERT INTO layers VALUES (NULL, 1)")
      yield* s.session("ALTER TABLE low DISABLE TRIGGER USER")
      assert.deepStrictEqual(yield* problems(s), [says("public.low")])
      yield* s.session("ALTER TABLE low ENABLE TRIGGER USER")
      yield* s.session("ALTER TABLE layers DROP CONSTRAINT layers_blob_fkey")
      assert.deepStrictEqual(yield* installs(s.place), { created: [], dropped: ["public.layers"] })
    })
  )

  it.live("a trigger that was dropped or disabled is reported, and the next installation restores it", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const [found] = yield* s.session(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'blobs'::regclass AND NOT tgisinternal"
      )
      yield* s.session(`DROP TRIGGER "${found?.tgname}" ON blobs`)
      assert.deepStrictEqual(yield* problems(s), [says("public.blobs")])
      yield* installs(s.place)
      yield* s.session("ALTER TABLE artifacts DISABLE TRIGGER USER")
      assert.deepStrictEqual(yield* problems(s), [says("public.artifacts")])
      yield* installs(s.place)
      assert.deepStrictEqual(yield* problems(s), [])
    })
  )
}

/** The rights that installing and writing need. */
const roles = (server: Databases.Server): void => {
  it.live("need few rights of the role that installs them, and none of writers", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      const [installer, writer] = ["installer", "writer"].map((name) => `${name}_${randomUUID().slice(0, 8)}`)
      for (const role of [installer, writer]) {
        yield* Effect.acquireRelease(
          s.session(`CREATE ROLE ${role} LOGIN${Databases.samePassword(s.place)}`),
          () =>
            Effect.orDie(
              Effect.andThen(s.session(`DROP OWNED BY ${role} CASCADE`), s.session(`DROP ROLE ${role}`))
            )
        )
      }
      yield* s.session(`GRANT USAGE, CREATE ON SCHEMA artifact_gc TO ${installer}`)
      yield* s.session(
        `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA artifact_gc TO ${installer}`
      )
      yield* s.session(`GRANT SELECT, UPDATE ON blobs TO ${installer}`)
      yield* s.session(`GRANT USAGE ON SCHEMA artifact_registry TO ${installer}`)
      yield* s.session(`GRANT TRIGGER ON ${tables.join(", ")} TO ${installer}`)
      yield* s.session(`GRANT SELECT, INSERT ON blobs, artifacts TO ${writer}`)
      const there = Databases.as(s.place, String(installer))
      assert.deepStrictEqual(yield* installs(there), { created: tables, dropped: [] })
      yield* s.stores(1, "first")
      yield* s.database.inspect
      yield* s.purges
      yield* s.session(`SET ROLE ${writer}`)
      yield* inserts(s.session, 1)
      yield* refused(unverified, refers(s.session, "tag", 1))
      yield* s.session("RESET ROLE")
      s.objects.set(unannouncedKey(1), { bytes: new Uint8Array(1), modifiedAt: 0 })
      yield* s.sweeps
      yield* s.session(`SET ROLE ${writer}`)
      yield* refers(s.session, "tag", 1)
      yield* s.session("RESET ROLE")
      assert.deepStrictEqual(yield* removes(there), { created: [], dropped: tables })
    }).pipe(Effect.scoped)
  )

  it.live("name the right that is missing", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      const role = `plain_${randomUUID().slice(0, 8)}`
      yield* Effect.acquireRelease(
        s.session(`CREATE ROLE ${role} LOGIN${Databases.samePassword(s.place)}`),
        () =>
          Effect.orDie(
            Effect.andThen(s.session(`DROP OWNED BY ${role} CASCADE`), s.session(`DROP ROLE ${role}`))
          )
      )
      yield* s.session(`GRANT USAGE, CREATE ON SCHEMA artifact_gc TO ${role}`)
      const refused = yield* Effect.flip(installs(Databases.as(s.place, role)))
      assert.strictEqual(refused._tag, "SchemaRefused")
      assert.include(refused.message, "public.blobs: this role lacks SELECT, UPDATE")
      assert.include(refused.message, "artifact_gc.suspects: this role lacks SELECT, INSERT")
      yield* s.session(`GRANT SELECT, UPDATE ON public.blobs TO ${role}`)
      yield* s.session(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA artifact_gc TO ${role}`)
      const denied = yield* Effect.flip(installs(Databases.as(s.place, role)))
      assert.strictEqual(denied._tag, "SchemaRefused")
      assert.include(denied.message, "public.blobs: this role lacks TRIGGER")
      assert.include(denied.message, `GRANT TRIGGER ON "public"."blobs" TO ${role};`)
      assert.include(denied.message, "artifact_registry.manifests: this role lacks USAGE on its schema")
      assert.include(denied.message, "Nothing was deleted")
    }).pipe(Effect.scoped)
  )

  it.live("are refused where there is no catalogue", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      const failed = yield* Effect.flip(installs(s.place, { ...defaultNames, blobsTable: "bolbs" }))
      assert.strictEqual(failed._tag, "SchemaRefused")
    })
  )
}

export const installing = (server: Databases.Server): void => {
  describe("the triggers against unannounced writers", () => {
    lifecycle(server)
    noticing(server)
    roles(server)
  })
}
