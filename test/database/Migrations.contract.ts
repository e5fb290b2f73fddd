/**
 * What `migrate` promises: it installs its own tables, completely or not at all, once, and changes no other
 * table.
 */

import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { assert, describe, expect, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Result } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import * as Postgres from "../../src/database/Postgres.ts"
import { make } from "../../src/database/postgres/Sql.ts"
import { collectorMigrations, createSchema } from "../../src/database/postgres/schema/MigrationList.ts"
import { type CatalogNames, defaultNames } from "../../src/domain/CatalogNames.ts"
import * as RegistryPostgres from "../../src/oci/database/Postgres.ts"
import { before, later } from "../fixtures/Arena.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { Database } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { schemaText } from "../fixtures/Schema.ts"
import { untilTrue } from "../fixtures/Until.ts"

const snapshot = join(import.meta.dirname, "__snapshots__", "schema.txt")

const run = (...statements: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      Effect.forEach(statements, (statement) => sql.unsafe<Record<string, unknown>>(statement)),
      (all) => all.flat()
    )
  ).pipe(Effect.orDie)

/** Describes every table of the database. */
const everything = Effect.flatMap(
  run("SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$' ORDER BY 1"),
  (schemas) => schemaText(...schemas.map((schema) => String(schema.name)))
)

const migrate = (creates = false, names: CatalogNames = defaultNames, registry = false) =>
  RegistryPostgres.migrate(names, { ...(creates ? { createCatalog: "artifacts" } : {}), registry })

/** Installs an empty catalogue and the collector's tables as a program of this version did. */
const migrateTo = (version: number) =>
  Effect.gen(function* () {
    const db = yield* make(defaultNames)
    const older = Object.entries(collectorMigrations(db)).filter(
      ([name]) => Number.parseInt(name, 10) <= version
    )
    yield* createSchema(db, defaultNames.collectorSchema)
    yield* db.sql.withTransaction(
      Effect.andThen(
        db.sql`SELECT set_config('search_path', ${defaultNames.collectorSchema}, true)`,
        Migrator.make({})({
          loader: Migrator.fromRecord(Object.fromEntries(older)),
          table: "migrations"
        }).pipe(Effect.provideService(SqlClient.SqlClient, db.sql))
      )
    )
  }).pipe(Effect.orDie)

/** A catalogue as another registry may have it, with rows. */
const existing = run(
  "CREATE SCHEMA registry",
  `CREATE TABLE registry."Layers" (id bigserial PRIMARY KEY, sha bytea NOT NULL UNIQUE, path varchar(300) NOT NULL UNIQUE,
     bytes int CHECK (bytes > 0), pushed timestamp NOT NULL DEFAULT now())`,
  `CREATE TABLE registry.manifests (layer bytea REFERENCES registry."Layers" (sha))`,
  "CREATE INDEX ON registry.manifests (layer)",
  `INSERT INTO registry."Layers" (sha, path, bytes, pushed)
     SELECT sha256(n::text::bytea), 'p' || n, n, 'epoch' FROM generate_series(1, 5) n`,
  `INSERT INTO registry.manifests SELECT sha FROM registry."Layers" WHERE id < 3`
)
const existingNames: CatalogNames = {
  ...defaultNames,
  schema: "registry",
  blobsTable: "Layers",
  digestColumn: "sha",
  keyColumn: "path",
  sizeColumn: "bytes",
  createdAtColumn: "pushed",
  lastUsedAtColumn: null,
  timeZone: "UTC"
}
const existingRows = run(
  `SELECT 'layer' AS kind, l.*::text AS row FROM registry."Layers" l
   UNION ALL SELECT 'manifest', m.*::text FROM registry.manifests m ORDER BY 1, 2`
)

export const migrationContract = (server: Databases.Server): void => {
  /** A test on an empty database. */
  const on = (
    sentence: string,
    steps: (place: Databases.Place) => Effect.Effect<void, unknown, Databases.Client>
  ) =>
    it.live(sentence, () =>
      Effect.flatMap(Databases.emptyDatabase(server), (place) =>
        Effect.provide(steps(place), Databases.client(place))
      )
    )
  const inspect = (names: CatalogNames = defaultNames) =>
    Effect.flatMap(Database, (database) => database.inspect).pipe(
      Effect.provide(AllDatabases.onClient(names))
    )

  describe(`Migrations on ${server.name}`, () => {
    on("create the schema of the snapshot", () =>
      Effect.gen(function* () {
        const applied = yield* migrate(true, defaultNames, true)
        const upTo = (latest: number, set: string) => Array.from({ length: latest }, (_, n) => [n + 1, set])
        assert.deepStrictEqual(
          applied.map(({ id, set }) => [id, set]),
          [
            ...upTo(Postgres.latestMigration, "collector"),
            ...upTo(RegistryPostgres.latestRegistryMigration, "registry")
          ]
        )
        const text = yield* everything
        yield* Effect.promise(() => expect(text).toMatchFileSnapshot(snapshot))
        assert.lengthOf(yield* inspect(), 4)
      })
    )

    on("change nothing if there is nothing to do", () =>
      Effect.gen(function* () {
        yield* migrate(true, defaultNames, true)
        yield* run(
          "INSERT INTO artifact_gc.orphans VALUES ('d', now(), now())",
          "INSERT INTO blobs VALUES ('d', 'k', 1, now(), now())",
          "INSERT INTO artifact_registry.manifests (repository, digest, media_type, size_bytes) VALUES ('r', 'd', 'm', 1)"
        )
        const before = yield* everything
        for (const registry of [true, false]) {
          assert.deepStrictEqual(yield* migrate(true, defaultNames, registry), [])
          assert.deepStrictEqual(yield* migrate(false, defaultNames, registry), [])
        }
        assert.strictEqual(yield* everything, before)
        assert.lengthOf(yield* run("SELECT FROM artifact_gc.orphans"), 1)
        assert.lengthOf(yield* run("SELECT FROM artifact_registry.manifests"), 1)
      })
    )

    on("leave an existing catalogue's columns, constraints, indexes and rows as they are", () =>
      Effect.gen(function* () {
        yield* existing
        const [schema, rows] = [yield* everything, yield* existingRows]
        yield* migrate(true, existingNames)
        assert.strictEqual(yield* schemaText("registry", "public"), schema)
        assert.deepStrictEqual(yield* existingRows, rows)
        assert.lengthOf(yield* inspect(existingNames), 1)
        yield* run("DROP SCHEMA artifact_gc CASCADE")
        assert.strictEqual(yield* everything, schema, "and can be removed without a trace")
      })
    )

    on("store digests in the catalogue's own type and order", () =>
      Effect.gen(function* () {
        yield* existing
        yield* migrate(false, existingNames)
        assert.include(yield* schemaText("artifact_gc"), "digest bytea NOT NULL")
        yield* run(
          `CREATE TABLE blobs (digest varchar(80) COLLATE "POSIX" PRIMARY KEY, object_key text, size_bytes bigint,
             created_at timestamptz, last_used_at timestamptz)`
        )
        yield* migrate(false, { ...defaultNames, collectorSchema: "second" })
        assert.include(yield* schemaText("second"), 'digest character varying(80) COLLATE "POSIX" NOT NULL')
      })
    )

    on(
      "create a registry's tables beside an existing catalogue, in its type of digests, and update them without the flag",
      () =>
        Effect.gen(function* () {
          yield* existing
          yield* migrate(false, existingNames)
          const [schema, rows] = [yield* everything, yield* existingRows]
          assert.deepStrictEqual(
            (yield* migrate(false, existingNames, true)).map(({ name, set }) => [name, set]),
            [
              ["manifests", "registry"],
              ["loss_of_names", "registry"],
              ["keys", "registry"],
              ["saved_hashes", "registry"],
              ["retention", "registry"],
              ["judgements", "registry"]
            ]
          )
          const withHashes = yield* schemaText("registry", "public", "artifact_gc")
          const hashColumns = withHashes.split("\n").filter((line) => !schema.split("\n").includes(line))
          assert.deepStrictEqual(
            hashColumns.map((line) => line.trim()),
            ["hash_written_by text", "hash_bytes bigint", "hash_state bytea"],
            "changes nothing else"
          )
          assert.strictEqual(
            withHashes
              .split("\n")
              .filter((line) => !hashColumns.includes(line))
              .join("\n"),
            schema
          )
          assert.deepStrictEqual(yield* existingRows, rows)
          const text = yield* schemaText("artifact_registry")
          for (const column of ["digest bytea NOT NULL", "manifest bytea NOT NULL", "subject bytea\n"]) {
            assert.include(text, column)
          }
          assert.include(text, 'FOREIGN KEY (digest) REFERENCES registry."Layers"(sha)\n')
          assert.lengthOf(yield* inspect(existingNames), 3)
          // As a program that knows one migration more would find them.
          yield* run(
            "DROP TABLE artifact_registry.tags, artifact_registry.manifest_references, artifact_registry.manifests, artifact_registry.keys, artifact_registry.retention, artifact_registry.retention_repositories"
          )
          yield* run("DELETE FROM artifact_registry.registry_migrations")
          assert.lengthOf(yield* migrate(false, existingNames), RegistryPostgres.latestRegistryMigration)
          yield* run("DROP SCHEMA artifact_registry CASCADE")
          assert.strictEqual(
            yield* everything,
            withHashes,
            "and leaves those columns alone when it is removed"
          )
          assert.lengthOf(yield* migrate(false, existingNames), 0)
          assert.lengthOf(yield* inspect(existingNames), 1)
        })
    )

    on("create a registry's tables in the collector's schema, if the names are equal", () =>
      Effect.gen(function* () {
        const names = { ...defaultNames, registrySchema: defaultNames.collectorSchema }
        assert.lengthOf(
          yield* migrate(true, names, true),
          Postgres.latestMigration + RegistryPostgres.latestRegistryMigration
        )
        assert.deepStrictEqual(yield* migrate(true, names, true), [])
        assert.lengthOf(yield* inspect(names), 4)
      })
    )

    on("continue a search for leftovers that a program without ranges began", () =>
      Effect.gen(function* () {
        yield* migrateTo(6)
        yield* run(
          `INSERT INTO artifact_gc.listings (name, pass, token, started_at, listed, unowned, position, claimed_until)
           VALUES ('leftovers', 4, 9, to_timestamp(1000), 70, 2, 'blobs/k', to_timestamp(2000))`
        )
        assert.strictEqual((yield* migrate(false))[0]?.name, "listing_ranges")
        const { leftovers } = Context.get(
          yield* Effect.scoped(Layer.build(AllDatabases.onClient())),
          Database
        )
        const scan = Option.getOrThrow(yield* leftovers.claim(3_000_000, 4_000_000, null))
        const { token: _, ...rest } = scan
        const standing = { pass: 4, startedAt: 1_000_000, from: null, upTo: null, after: "blobs/k" }
        assert.deepStrictEqual(rest, standing as typeof rest)
        const counts = yield* leftovers.advance(scan, { after: null, listed: 1, unowned: 1 }, 0, 0)
        assert.deepStrictEqual(counts, Option.some({ listed: 71, unowned: 3 }))
        assert.lengthOf(yield* run("SELECT FROM artifact_gc.listings WHERE ended_at IS NOT NULL"), 1)
      })
    )

    on("give way to writers of blobs, and then have created nothing", (place) =>
      Effect.gen(function* () {
        yield* migrate(true)
        const before = yield* everything
        const hasty = Databases.client(place, { maxConnections: 1, lockTimeout: Duration.millis(30) })
        const writer = run("INSERT INTO blobs VALUES ('d', 'k', 1, now(), now())")
        const sql = yield* SqlClient.SqlClient
        const failed = yield* sql.withTransaction(
          Effect.andThen(writer, Effect.flip(Effect.provide(migrate(false, defaultNames, true), hasty)))
        )
        assert.deepInclude(failed, { _tag: "DatabaseError", reason: "Contended" })
        assert.strictEqual(yield* everything, before)
        assert.lengthOf(yield* migrate(false, defaultNames, true), RegistryPostgres.latestRegistryMigration)
      })
    )

    on("refuse a catalogue that does not exist, and create nothing, without the flag", () =>
      Effect.gen(function* () {
        yield* existing
        const before = yield* everything
        const refused = yield* Effect.flip(migrate(false, { ...existingNames, blobsTable: "layers" }))
        assert.strictEqual(refused._tag, "SchemaRefused")
        assert.include(refused.message, "registry.layers: the table of blobs does not exist")
        assert.include(refused.message, "CATALOG_BLOBS_TABLE")
        assert.strictEqual(yield* everything, before)
      })
    )

    on("refuse a catalogue that lacks a column by name, and create nothing, with or without the flag", () =>
      Effect.gen(function* () {
        yield* existing
        const before = yield* everything
        const names = { ...existingNames, digestColumn: "digest", lastUsedAtColumn: "last_used_at" }
        for (const createCatalog of [false, true]) {
          const refused = yield* Effect.flip(migrate(createCatalog, names))
          assert.strictEqual(refused._tag, "SchemaRefused")
          assert.include(refused.message, "registry.Layers: column digest does not exist")
          assert.include(refused.message, "CATALOG_DIGEST_COLUMN")
          assert.include(refused.message, "column last_used_at does not exist")
          assert.notInclude(refused.message, "not unique")
          assert.strictEqual(yield* everything, before)
        }
        assert.lengthOf(yield* migrate(false, existingNames), Postgres.latestMigration)
      })
    )

    on("refuse a view in the place of the catalogue", () =>
      Effect.gen(function* () {
        yield* run("CREATE VIEW blobs AS SELECT 'd' AS digest")
        const refused = yield* Effect.flip(migrate(true))
        assert.include(refused.message, "public.blobs: the table of blobs does not exist")
      })
    )

    on("refuse to put the collector's tables among the catalogue's", () =>
      Effect.gen(function* () {
        yield* existing
        const before = yield* everything
        const refused = yield* Effect.flip(migrate(false, { ...existingNames, collectorSchema: "registry" }))
        assert.strictEqual(refused._tag, "SchemaRefused")
        assert.include(refused.message, "Set COLLECTOR_SCHEMA to a schema of the collector's own")
        assert.strictEqual(yield* everything, before)
      })
    )

    on("create all tables or none", () =>
      Effect.gen(function* () {
        yield* run("CREATE TABLE artifacts (mine int)")
        const before = yield* everything
        const failed = yield* Effect.flip(migrate(true))
        assert.strictEqual(failed._tag, "DatabaseError")
        assert.strictEqual(yield* everything, before)
      })
    )

    on("run once if ten replicas start together", (place) =>
      Effect.gen(function* () {
        const replica = Effect.provide(
          migrate(true, defaultNames, true),
          Databases.client(place, { maxConnections: 1 })
        )
        const applied = yield* Effect.all(
          Array.from({ length: 10 }, () => replica),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(
          applied.filter((one) => one.length > 0),
          1
        )
        assert.lengthOf(yield* inspect(), 4)
      })
    )

    on("are waited for by a replica longer than its lock timeout", (place) =>
      Effect.gen(function* () {
        const hasty = Databases.client(place, { maxConnections: 1, lockTimeout: Duration.millis(30) })
        const replica = later(Effect.result(Effect.provide(migrate(true), hasty)))
        const waiting = untilTrue(
          "the replica waits for the advisory lock",
          Effect.map(
            run("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
            (found) => found.length > 0
          )
        ).pipe(Effect.provide(Databases.client(place, { maxConnections: 1 })))
        const hook = Effect.andThen(replica.start, waiting).pipe(Effect.andThen(Effect.sleep("100 millis")))
        yield* migrate(true).pipe(before(/CREATE TABLE "public"."blobs"/, hook))
        assert.isTrue(Result.isSuccess(yield* replica.outcome))
      })
    )

    on("need no right to create schemas where theirs exists", (place) =>
      Effect.gen(function* () {
        yield* existing
        const role = `limited_${randomUUID().slice(0, 8)}`
        yield* Effect.acquireRelease(run(`CREATE ROLE ${role} LOGIN${Databases.samePassword(place)}`), () =>
          run(`DROP OWNED BY ${role} CASCADE`, `DROP ROLE ${role}`)
        )
        const [named] = yield* run("SELECT current_database() AS name")
        yield* run(
          `GRANT USAGE ON SCHEMA registry TO ${role}`,
          `GRANT SELECT ON registry."Layers" TO ${role}`
        )
        const lacking = Effect.provide(
          migrate(false, existingNames),
          Databases.client(Databases.as(place, role), { maxConnections: 1 })
        )
        assert.include(
          (yield* Effect.flip(lacking)).message,
          `Nothing was changed. Run as the database's owner: GRANT CREATE ON DATABASE ${named?.name} TO ${role};`
        )
        yield* run(
          `CREATE SCHEMA artifact_gc AUTHORIZATION ${role}`,
          `CREATE SCHEMA artifact_registry AUTHORIZATION ${role}`
        )
        const client = Databases.client(Databases.as(place, role), { maxConnections: 1 })
        assert.lengthOf(
          yield* Effect.provide(migrate(false, existingNames), client),
          Postgres.latestMigration
        )
        const withRegistry = Effect.provide(migrate(false, existingNames, true), client)
        const denied = yield* Effect.flip(withRegistry)
        assert.deepInclude(denied, { _tag: "DatabaseError", reason: "Denied" })
        assert.include(denied.message, `GRANT SELECT, REFERENCES ON "registry"."Layers" TO ${role};`)
        yield* run(`GRANT REFERENCES ON registry."Layers" TO ${role}`)
        assert.lengthOf(yield* withRegistry, RegistryPostgres.latestRegistryMigration)
      }).pipe(Effect.scoped)
    )
  })
}
