/** Migrate, sweeps and a registry under exactly the grants of deploy/grants. */
import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import * as RegistryPostgres from "../../src/oci/database/Postgres.ts"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import { Repositories } from "../../src/oci/Repositories.ts"
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
  const owner = yield* Databases.emptyDatabase(Databases.embedded)
  const suffix = Math.random().toString(36).slice(2)
  const names = ["registry", "collector", "migrate"].map((name) => `gc_${name}_${suffix}`)
  yield* Effect.addFinalizer(() =>
    run(
      owner,
      names.flatMap((name) => [`DROP OWNED BY ${name} CASCADE`, `DROP ROLE ${name}`])
    )
  )
  const grant = (file: string) => run(owner, statementsOf(file, suffix))
  const as = (name: string) => Databases.as(owner, `gc_${name}_${suffix}`)
  yield* grant("migrate")
  yield* RegistryPostgres.migrate(defaultNames, { createCatalog: "blobs", registry: true }).pipe(
    Effect.provide(Databases.client(as("migrate"), { maxConnections: 1 })),
    onProcessClock
  )
  yield* grant("collector")
  yield* grant("registry")
  return { as, owner }
})

/** The services of the program on a database of this role. */
const services = (place: Databases.Place) =>
  Layer.mergeAll(
    Sweep.layer({
      phases: registryPhases,
      grace: Duration.zero,
      quarantine: Duration.zero,
      untaggedGrace: Duration.zero,
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

const sweep = Effect.gen(function* () {
  const report = yield* (yield* Sweep).once()
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
        yield* sweep
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
