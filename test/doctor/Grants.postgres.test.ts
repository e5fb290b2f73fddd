/** Migrate, sweeps and a registry under exactly the grants of deploy/grants. */
import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Result, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import * as RegistryPostgres from "../../src/oci/database/Postgres.ts"
import { RegistryDatabase } from "../../src/oci/database/RegistryDatabase.ts"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import { Repositories } from "../../src/oci/Repositories.ts"
import { parse, Retention } from "../../src/oci/retention/RetentionRules.ts"
import { Uploads } from "../../src/oci/Uploads.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { bytesOf } from "../fixtures/BlobStores.ts"
import * as Databases from "../fixtures/Databases.ts"
import { databaseOf, findings, of } from "../fixtures/Doctor.ts"
import { digestOf, imageOf, ociImage } from "../fixtures/oci/Repositories.ts"

const folder = new URL("../../deploy/", import.meta.url)

/** The file without comments, for roles of this test alone. */
const statementsOf = (file: string, suffix: string): ReadonlyArray<string> =>
  readFileSync(new URL(`grants/${file}.sql`, folder), "utf8")
    .replace(/^--.*$/gm, "")
    .replace(/gc_(migrate|collector|registry)/g, (name) => `${name}_${suffix}`)
    .split(/;\s*\n(?!END)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "")

const run = (place: Databases.Place, statements: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
  ).pipe(Effect.provide(Databases.client(place, { maxConnections: 1 })), Effect.orDie, onProcessClock)

const roles = Effect.gen(function* () {
  const { as, grant, owner } = yield* rolesOf
  yield* grant("migrate")
  yield* RegistryPostgres.migrate(defaultNames, { createCatalog: "blobs", registry: true }).pipe(
    Effect.provide(Databases.client(as("migrate"), { maxConnections: 1 })),
    onProcessClock
  )
  yield* grant("collector")
  yield* grant("registry")
  return { as, owner }
})

/** An empty database, and roles that end with the test. */
const rolesOf = Effect.gen(function* () {
  const owner = yield* Databases.emptyDatabase(Databases.embedded)
  const suffix = Math.random().toString(36).slice(2)
  const grant = (file: string) => {
    const role = `gc_${file}_${suffix}`
    return Effect.andThen(
      run(owner, statementsOf(file, suffix)),
      Effect.addFinalizer(() => run(owner, [`DROP OWNED BY ${role} CASCADE`, `DROP ROLE ${role}`]))
    )
  }
  const as = (name: string) => Databases.as(owner, `gc_${name}_${suffix}`)
  return { as, grant, owner, suffix }
})

/** The services of the program on a database of this role. */
const services = (place: Databases.Place) =>
  Layer.mergeAll(
    Sweep.layer({
      phases: registryPhases,
      grace: Duration.zero,
      quarantine: Duration.zero,
      untaggedGrace: Duration.zero,
      referrers: "with-subject",
      breakerPercent: 100
    }),
    Uploads.layer({}),
    Repositories.layer()
  ).pipe(
    Layer.provideMerge(BlobStore.layer()),
    Layer.provideMerge(
      Layer.mergeAll(
        Postgres.layer(defaultNames, { extensions: [RegistryPostgres.registrySchema] }),
        RegistryPostgres.layer(defaultNames)
      ).pipe(Layer.provide(Databases.client(place)))
    )
  )

const newest = Result.getOrThrow(
  parse(JSON.stringify({ policies: [{ repositories: ["**"], keep: [{ newest: 1 }] }] }))
)

const sweep = Effect.gen(function* () {
  const once = (yield* Sweep).once()
  const report = yield* Effect.provideService(once, Retention, Effect.succeed(newest))
  assert.deepStrictEqual(
    report.guards.filter(({ decision }) => decision === "refused"),
    []
  )
  for (const [name, phase] of Object.entries(report.phases)) {
    assert.deepStrictEqual(
      { name, error: phase.error, failed: phase.failed },
      { name, error: null, failed: {} }
    )
  }
  return report
})

describe("deploy/grants", () => {
  it.live("suffice for migrate, a registry and sweeps, and the doctor misses nothing", () =>
    Effect.gen(function* () {
      const { as, owner } = yield* roles
      const store = yield* Layer.build(MemoryStorage.layer)
      const repository = "team/app"
      yield* Effect.gen(function* () {
        const { append, finish, start } = yield* Uploads
        const { deleteManifest, putManifest } = yield* Repositories
        for (const content of ["config", "layer"]) {
          const { id } = yield* start(repository)
          const bytes = bytesOf(content)
          yield* append(repository, id, Stream.make(bytes.subarray(0, 2)), { startByte: 0, sizeBytes: 2 })
          yield* finish(repository, id, { digest: digestOf(content), body: Stream.make(bytes.subarray(2)) })
        }
        const image = imageOf(["layer"])
        yield* putManifest(repository, bytesOf(image), { reference: "v1", mediaType: ociImage, tags: ["v2"] })
        const { retention } = yield* RegistryDatabase
        yield* retention.record(
          Date.now(),
          [{ repository, name: { _tag: "Tag", tag: "v1" }, at: Date.now() }],
          { everyMillis: 1, isComplete: true }
        )
        // Tags of one instant are kept together.
        yield* Effect.sleep("5 millis")
        yield* putManifest(repository, bytesOf(image), { reference: "v1", mediaType: ociImage, tags: [] })
        const { phases } = yield* sweep
        assert.deepInclude(phases.retention?.kept, { rule: 1, untagged: 1 })
        yield* deleteManifest(repository, "v1")
        yield* deleteManifest(repository, digestOf(image))
        yield* sweep
        // Nothing refers to it, and no repository holds it.
        yield* (yield* BlobStore).put(Stream.make(bytesOf("orphan")))
      }).pipe(Effect.provide(services(as("registry"))), Effect.provideContext(store))
      // Holds and pins end later than a test waits.
      yield* run(owner, ["DELETE FROM artifact_gc.pins"])
      const reports = yield* Effect.forEach([1, 2], () => sweep).pipe(
        Effect.provide(services(as("collector"))),
        Effect.provideContext(store)
      )
      assert.isAbove(
        reports.flatMap(({ phases }) => Object.values(phases)).reduce((sum, { deleted }) => sum + deleted, 0),
        0
      )
      for (const name of ["collector", "registry"]) {
        const all = yield* findings(databaseOf(as(name)), Layer.succeedContext(store))
        assert.deepStrictEqual(of(all, "schema"), ["ok: The catalogue is safe to collect"], name)
        const lacks = of(all, "rights").some((title) => /INSERT|UPDATE/.test(title))
        assert.strictEqual(lacks, name === "collector", name)
      }
    }).pipe(Effect.scoped)
  )

  it.live("triggers that would run without their rights are refused, and writers go on", () =>
    Effect.gen(function* () {
      const { as, grant, owner, suffix } = yield* rolesOf
      const tables = "public.blobs, public.files"
      yield* run(owner, [
        "CREATE TABLE blobs (digest text PRIMARY KEY, object_key text NOT NULL, size_bytes bigint NOT NULL, created_at timestamptz NOT NULL, last_used_at timestamptz)",
        "CREATE TABLE files (name text, digest text REFERENCES blobs)",
        "INSERT INTO blobs VALUES ('sha256:a', 'blobs/a', 1, 'epoch')"
      ])
      yield* grant("migrate")
      yield* run(owner, [
        `GRANT SELECT, REFERENCES, TRIGGER ON ${tables} TO gc_migrate_${suffix}`,
        `REVOKE CREATE ON SCHEMA public FROM gc_migrate_${suffix}`
      ])
      const migrate = Databases.client(as("migrate"), { maxConnections: 1 })
      yield* onProcessClock(
        Effect.provide(RegistryPostgres.migrate(defaultNames, { registry: false }), migrate)
      )
      const guard = onProcessClock(
        Effect.provide(Postgres.guardUnannouncedWriters(defaultNames), Layer.fresh(migrate))
      )
      const refused = yield* Effect.flip(guard)
      assert.strictEqual(refused._tag, "SchemaRefused")
      assert.include(refused.message, "this role lacks UPDATE")
      yield* run(owner, ["INSERT INTO files VALUES ('one', 'sha256:a')"])
      yield* run(owner, [`GRANT UPDATE ON public.blobs TO gc_migrate_${suffix}`])
      assert.lengthOf((yield* guard).created, 2)
      yield* run(owner, ["INSERT INTO files VALUES ('two', 'sha256:a')"])
      // The control: what the missing right did.
      yield* run(owner, [`REVOKE UPDATE ON public.blobs FROM gc_migrate_${suffix}`])
      const broken = yield* Effect.exit(run(owner, ["INSERT INTO files VALUES ('three', 'sha256:a')"]))
      assert.include(String(broken), "permission denied")
    }).pipe(Effect.scoped)
  )

  it("policies of buckets are JSON, and allow nothing but the actions that the documentation names", () => {
    const documented = readFileSync(new URL("../docs/operations.md", folder), "utf8")
    for (const file of readdirSync(new URL("iam/", folder))) {
      const { Statement } = JSON.parse(readFileSync(new URL(`iam/${file}`, folder), "utf8")) as {
        readonly Statement: ReadonlyArray<{ readonly Action: ReadonlyArray<string> }>
      }
      for (const action of Statement.flatMap(({ Action }) => Action)) assert.include(documented, action, file)
    }
  })
})
