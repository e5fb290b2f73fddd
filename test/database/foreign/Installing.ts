/** The guard comes and goes on request, on anybody's catalogue, and the collector notices. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import { fails } from "../../../src/testing/Faults.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { digest } from "../../fixtures/samples.ts"
import {
  foreignKey,
  guard,
  inserts,
  refers,
  refused,
  type Stage,
  stage,
  unguard,
  unverified
} from "./stage.ts"

const tables = [
  "public.blobs",
  "artifact_registry.manifest_references",
  "artifact_registry.manifests",
  "public.artifacts",
  "public.local_files"
]
const unchanged = { created: [], dropped: [] }

const triggers = (s: Stage) =>
  Effect.map(
    s.session("SELECT tgrelid::regclass::text AS at FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"),
    (rows) => rows.map((row) => row.at)
  )

const comingAndGoing = (server: Databases.Server): void => {
  it.live("is installed once, removed once, and leaves nothing of it in the catalogue", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      assert.deepStrictEqual(yield* unguard(s.place), unchanged)
      assert.deepStrictEqual(yield* guard(s.place), { created: tables, dropped: [] })
      const guarded = tables.map((table) => table.replace("public.", ""))
      assert.deepStrictEqual(yield* triggers(s), guarded.sort())
      assert.deepStrictEqual(yield* guard(s.place), unchanged)
      yield* s.database.inspect
      assert.deepStrictEqual(yield* unguard(s.place), { created: [], dropped: tables })
      assert.deepStrictEqual(yield* triggers(s), [])
      assert.deepStrictEqual(yield* unguard(s.place), unchanged)
      const functions = "SELECT FROM pg_proc WHERE pronamespace = 'artifact_gc'::regnamespace"
      assert.lengthOf(yield* s.session(functions), 0)
    })
  )

  it.live("goes with the collector's schema", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.session("DROP SCHEMA artifact_gc CASCADE")
      assert.deepStrictEqual(yield* triggers(s), [])
      yield* inserts(s.session, 1)
      yield* refers(s.session, "tag", 1)
    })
  )

  it.live("remembers what was collected while it was there", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.stores(1, "first")
      yield* s.purges
      yield* unguard(s.place)
      yield* guard(s.place)
      yield* inserts(s.session, 1)
      yield* refused(unverified, refers(s.session, "tag", 1))
    })
  )

  it.live("knows of what was in the journal when it came", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      yield* s.puts(1)
      yield* inserts(s.session, 1)
      s.faults.next("delete", fails("TimedOut"), 2)
      yield* s.purges
      yield* s.puts(2)
      const leftover = { key: foreignKey(2), sizeBytes: 1 }
      yield* s.database.leftovers.journal(Date.now(), [leftover], Date.now() + 60_000)
      yield* guard(s.place)
      for (const n of [1, 2]) {
        yield* inserts(s.session, n)
        yield* refused(unverified, refers(s.session, "tag", n))
      }
    })
  )

  it.live("control: without that, the DELETE that is still on its way takes a reference's bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      yield* s.puts(1)
      yield* inserts(s.session, 1)
      s.faults.next("delete", fails("TimedOut"), 2)
      yield* s.purges
      yield* guard(s.place)
      yield* s.session("DELETE FROM artifact_gc.tombstones")
      yield* s.puts(1)
      yield* inserts(s.session, 1)
      yield* refers(s.session, "tag", 1)
      s.objects.delete(foreignKey(1))
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )

  it.live("waits for no writer longer than half a second at a time, and changes nothing in vain", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      const writer = yield* s.another
      yield* writer("BEGIN")
      yield* refers(writer, "none", 1).pipe(Effect.ignore)
      yield* writer("ROLLBACK")
      yield* writer("BEGIN")
      yield* inserts(writer, 1)
      const failed = yield* Effect.flip(guard(s.place))
      assert.deepInclude(failed, { _tag: "DatabaseError", reason: "Contended" })
      assert.deepStrictEqual(yield* triggers(s), [])
      const installing = yield* Effect.forkChild(guard(s.place))
      yield* s.waiting()
      yield* writer("COMMIT")
      assert.deepStrictEqual(yield* Fiber.join(installing), { created: tables, dropped: [] })
    })
  )
}

const noticing = (server: Databases.Server): void => {
  for (const [what, before, change] of [
    ["comes", false, guard],
    ["goes", true, unguard]
  ] as const) {
    it.live(`a purge that began before it ${what} purges nothing`, () =>
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

  it.live("a table that refers to blobs since must be guarded too, and then is", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.session(
        'CREATE TABLE layers (blob text COLLATE "C" REFERENCES blobs, n int) PARTITION BY RANGE (n)'
      )
      yield* s.session("CREATE INDEX ON layers (blob)")
      yield* s.session("CREATE TABLE low PARTITION OF layers FOR VALUES FROM (0) TO (10)")
      assert.deepStrictEqual(yield* problems(s), [says("public.layers")])
      assert.deepStrictEqual(yield* guard(s.place), { created: ["public.layers"], dropped: [] })
      assert.deepStrictEqual(yield* problems(s), [])
      yield* refused("there is no blob", s.session("INSERT INTO low VALUES ($1, 1)", [digest(1)]))
      yield* s.session("INSERT INTO layers VALUES (NULL, 1)")
      yield* s.session("ALTER TABLE low DISABLE TRIGGER USER")
      assert.deepStrictEqual(yield* problems(s), [says("public.low")])
      yield* s.session("ALTER TABLE low ENABLE TRIGGER USER")
      yield* s.session("ALTER TABLE layers DROP CONSTRAINT layers_blob_fkey")
      assert.deepStrictEqual(yield* guard(s.place), { created: [], dropped: ["public.layers"] })
    })
  )

  it.live("a guard of which a part was dropped or switched off is refused, and put right", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      const [found] = yield* s.session(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'blobs'::regclass AND NOT tgisinternal"
      )
      yield* s.session(`DROP TRIGGER "${found?.tgname}" ON blobs`)
      assert.deepStrictEqual(yield* problems(s), [says("public.blobs")])
      yield* guard(s.place)
      yield* s.session("ALTER TABLE artifacts DISABLE TRIGGER USER")
      assert.deepStrictEqual(yield* problems(s), [says("public.artifacts")])
      yield* guard(s.place)
      assert.deepStrictEqual(yield* problems(s), [])
    })
  )
}

/** Rights that are not needed are not asked for. */
const roles = (server: Databases.Server): void => {
  it.live("asks little of whoever installs it, and nothing of writers", () =>
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
      assert.deepStrictEqual(yield* guard(there), { created: tables, dropped: [] })
      yield* s.stores(1, "first")
      yield* s.database.inspect
      yield* s.purges
      yield* s.session(`SET ROLE ${writer}`)
      yield* inserts(s.session, 1)
      yield* refused(unverified, refers(s.session, "tag", 1))
      yield* s.session("RESET ROLE")
      s.objects.set(foreignKey(1), { bytes: new Uint8Array(1), modifiedAt: 0 })
      yield* s.sweeps
      yield* s.session(`SET ROLE ${writer}`)
      yield* refers(s.session, "tag", 1)
      yield* s.session("RESET ROLE")
      assert.deepStrictEqual(yield* unguard(there), { created: [], dropped: tables })
    }).pipe(Effect.scoped)
  )

  it.live("says which right is missing", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      const role = `nobody_${randomUUID().slice(0, 8)}`
      yield* Effect.acquireRelease(
        s.session(`CREATE ROLE ${role} LOGIN${Databases.samePassword(s.place)}`),
        () =>
          Effect.orDie(
            Effect.andThen(s.session(`DROP OWNED BY ${role} CASCADE`), s.session(`DROP ROLE ${role}`))
          )
      )
      yield* s.session(`GRANT USAGE, CREATE ON SCHEMA artifact_gc TO ${role}`)
      const failed = yield* Effect.flip(guard(Databases.as(s.place, role)))
      assert.deepInclude(failed, { _tag: "DatabaseError", reason: "Denied" })
      assert.include(failed.message, "permission denied for table blobs")
    }).pipe(Effect.scoped)
  )

  it.live("is refused where there is no catalogue", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      const failed = yield* Effect.flip(guard(s.place, { ...defaultNames, blobsTable: "bolbs" }))
      assert.strictEqual(failed._tag, "SchemaRefused")
    })
  )
}

export const installing = (server: Databases.Server): void => {
  describe("the guard", () => {
    comingAndGoing(server)
    noticing(server)
    roles(server)
  })
}
