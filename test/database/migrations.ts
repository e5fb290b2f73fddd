/** What `migrate` promises: its own tables, all or nothing, once, and nobody else's touched. */
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { assert, describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Result } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../../src/database/Database.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { type CatalogNames, defaultNames } from "../../src/domain/CatalogNames.ts"
import * as Databases from "../support/Databases.ts"
import { schemaText } from "../support/Schema.ts"
import { before, later } from "./locks/arena.ts"

const snapshot = join(import.meta.dirname, "__snapshots__", "schema.txt")

const run = (...statements: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      Effect.forEach(statements, (statement) => sql.unsafe<Record<string, unknown>>(statement)),
      (all) => all.flat()
    )
  ).pipe(Effect.orDie)

/** Every table there is, ours or not. */
const everything = Effect.flatMap(
  run("SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$' ORDER BY 1"),
  (schemas) => schemaText(...schemas.map((schema) => String(schema.name)))
)

const migrate = (createCatalog = false, names: CatalogNames = defaultNames) =>
  Postgres.migrate(names, { createCatalog })

/** As somebody's registry may have it, with rows. */
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
  lastUsedAtColumn: null
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
    Effect.flatMap(Database, (database) => database.inspect).pipe(Effect.provide(Postgres.layer(names)))

  describe(`Migrations on ${server.name}`, () => {
    on("make the schema that is written down", () =>
      Effect.gen(function* () {
        const applied = yield* migrate(true)
        assert.deepStrictEqual(
          applied.map(([id]) => id),
          Array.from({ length: Postgres.latestMigration }, (_, n) => n + 1)
        )
        const text = yield* everything
        yield* Effect.promise(() => expect(text).toMatchFileSnapshot(snapshot))
        assert.lengthOf(yield* inspect(), 2)
      })
    )

    on("change nothing when there is nothing to do", () =>
      Effect.gen(function* () {
        yield* migrate(true)
        yield* run("INSERT INTO artifact_gc.orphans VALUES ('d', now(), now())")
        const before = yield* everything
        assert.deepStrictEqual(yield* migrate(true), [])
        assert.deepStrictEqual(yield* migrate(false), [])
        assert.strictEqual(yield* everything, before)
        assert.lengthOf(yield* run("SELECT FROM artifact_gc.orphans"), 1)
      })
    )

    on("leave an existing catalogue as it is, to its columns, constraints, indexes and rows", () =>
      Effect.gen(function* () {
        yield* existing
        const [schema, rows] = [yield* everything, yield* existingRows]
        yield* migrate(true, existingNames)
        assert.strictEqual(yield* schemaText("registry", "public"), schema)
        assert.deepStrictEqual(yield* existingRows, rows)
        assert.lengthOf(yield* inspect(existingNames), 1)
        yield* run("DROP SCHEMA artifact_gc CASCADE")
        assert.strictEqual(yield* everything, schema, "and go without a trace")
      })
    )

    on("remember digests in the catalogue's own type and order", () =>
      Effect.gen(function* () {
        yield* existing
        yield* migrate(false, existingNames)
        assert.include(yield* schemaText("artifact_gc"), "digest bytea NOT NULL")
        yield* run('CREATE TABLE blobs (digest varchar(80) COLLATE "POSIX" PRIMARY KEY)')
        yield* migrate(false, { ...defaultNames, collectorSchema: "second" })
        assert.include(yield* schemaText("second"), 'digest character varying(80) COLLATE "POSIX" NOT NULL')
      })
    )

    on("refuse a catalogue that is not there, and create nothing, unless asked to", () =>
      Effect.gen(function* () {
        yield* existing
        const before = yield* everything
        const refused = yield* Effect.flip(migrate(false, { ...existingNames, blobsTable: "layers" }))
        assert.strictEqual(refused._tag, "SchemaRefused")
        assert.include(refused.message, "registry.layers: there is no such table to collect from")
        assert.include(refused.message, "CATALOG_BLOBS_TABLE")
        assert.strictEqual(yield* everything, before)
      })
    )

    on("make all or nothing", () =>
      Effect.gen(function* () {
        yield* run("CREATE TABLE artifacts (mine int)")
        const before = yield* everything
        const failed = yield* Effect.flip(migrate(true))
        assert.strictEqual(failed._tag, "DatabaseError")
        assert.strictEqual(yield* everything, before)
      })
    )

    on("are made once by ten replicas that start together", (place) =>
      Effect.gen(function* () {
        const replica = Effect.provide(migrate(true), Databases.client(place, { maxConnections: 1 }))
        const applied = yield* Effect.all(
          Array.from({ length: 10 }, () => replica),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(
          applied.filter((one) => one.length > 0),
          1
        )
        assert.lengthOf(yield* inspect(), 2)
      })
    )

    on("are waited for by a replica for longer than it would wait for any other lock", (place) =>
      Effect.gen(function* () {
        const hasty = Databases.client(place, { maxConnections: 1, lockTimeout: Duration.millis(30) })
        const replica = later(Effect.result(Effect.provide(migrate(true), hasty)))
        const waiting = run("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").pipe(
          Effect.delay("5 millis"),
          Effect.repeat({ until: (found) => found.length > 0 }),
          Effect.provide(Databases.client(place, { maxConnections: 1 }))
        )
        const hook = Effect.andThen(replica.start, waiting).pipe(Effect.andThen(Effect.sleep("100 millis")))
        yield* migrate(true).pipe(before(/CREATE TABLE "public"."blobs"/, hook))
        assert.isTrue(Result.isSuccess(yield* replica.outcome))
      })
    )

    on("need no right to make schemas where theirs is there", (place) =>
      Effect.gen(function* () {
        yield* existing
        const role = `limited_${randomUUID().slice(0, 8)}`
        yield* Effect.acquireRelease(run(`CREATE ROLE ${role} LOGIN${Databases.samePassword(place)}`), () =>
          run(`DROP OWNED BY ${role} CASCADE`, `DROP ROLE ${role}`)
        )
        yield* run(
          `CREATE SCHEMA artifact_gc AUTHORIZATION ${role}`,
          `GRANT USAGE ON SCHEMA registry TO ${role}`,
          `GRANT SELECT ON registry."Layers" TO ${role}`
        )
        const client = Databases.client(Databases.as(place, role), { maxConnections: 1 })
        assert.lengthOf(
          yield* Effect.provide(migrate(false, existingNames), client),
          Postgres.latestMigration
        )
      }).pipe(Effect.scoped)
    )
  })
}
