/**
 * Installs and updates the collector's own tables and, on request, an empty catalogue and the registry's
 * tables (RegistryTables.ts).
 *
 * All pending migrations run in one transaction behind an advisory lock, so replicas that start together wait
 * for each other. No migration changes a row, a column or a constraint of an existing catalogue. What the
 * collector remembers about a blob is in its own schema, which can be dropped without a trace.
 */
import { Effect } from "effect"
import { Migrator, SqlClient, SqlError } from "effect/sql"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import { DatabaseError } from "../../../domain/DatabaseError.ts"
import { SchemaRefused } from "../../../domain/SchemaRefused.ts"
import {
  createManifests,
  isInstalled,
  registryMigrations
} from "../../../oci/database/postgres/RegistryTables.ts"
import { make, onProcessClock, quote, type Sql, translate } from "../Sql.ts"
import { catalogMissing } from "./BlobsTable.ts"
import { readDigestType } from "./DigestType.ts"
import { collectorMigrations, createSchema, tableExists } from "./MigrationList.ts"

/** One lock serves all installations in a database: migrations are rare. The number has no meaning. */
const lockId = 5_821_309_417

/** A migration that was applied just now. */
export interface Applied {
  /** Its number. The registry's migrations have numbers of their own. */
  readonly id: number
  /** Its name, without the number. */
  readonly name: string
  /** Whether it is one of the registry's. */
  readonly ofRegistry: boolean
}

/** What `migrate` installs beside the collector's own tables. */
export interface MigrateOptions {
  /** Whether to create an empty catalogue where there is none. */
  readonly createCatalog: boolean
  /**
   * Whether to install the registry's tables where there are none. Default false. Installed ones are always
   * updated.
   */
  readonly registry?: boolean
}

/**
 * Updates the collector's tables to `latestMigration` and the registry's to theirs. Idempotent.
 *
 * Fails with `SchemaRefused` if the catalogue's table does not exist and `createCatalog` is false. Beside an
 * empty catalogue under a mistyped name, every object in the store would look like a leftover.
 */
export const migrate = Effect.fn("Migrations.migrate")(function* (
  names: CatalogNames,
  options: MigrateOptions
) {
  const db = yield* make(names)
  const { sql } = db
  const run = Effect.gen(function* () {
    // Waits for another migration as long as a statement may take.
    const lockTimeout = yield* sql<{ before: string }>`SELECT current_setting('lock_timeout') AS before`
    yield* sql`SELECT set_config('lock_timeout', '0', true)`
    yield* sql`SELECT pg_advisory_xact_lock(${lockId}::bigint)`
    if (!options.createCatalog && !(yield* tableExists(db, names.schema, names.blobsTable))) {
      return yield* new SchemaRefused({ problems: [catalogMissing(names)] })
    }
    const collector = yield* apply(db, names.collectorSchema, "migrations", collectorMigrations(db))
    if (options.registry !== true && !(yield* isInstalled(db))) return collector
    // Creating a foreign key locks the table of blobs, and its writers must not wait long for that.
    yield* sql`SELECT set_config('lock_timeout', ${lockTimeout[0]?.before ?? "2s"}, true)`
    const type = (yield* readDigestType(db)) ?? { type: "text", collate: "" }
    const registry = yield* apply(db, names.registrySchema, registryMigrations, {
      "0001_manifests": createManifests(db, type)
    })
    return [...collector, ...registry]
  })
  return yield* db.transaction(Effect.provideService(run, SqlClient.SqlClient, sql)).pipe(
    Effect.catchTags({
      SqlError: (error) => Effect.fail(translate("migrate", error)),
      MigrationError: (error) =>
        Effect.fail(
          SqlError.isSqlError(error.cause)
            ? translate("migrate", error.cause)
            : new DatabaseError({
                operation: "migrate",
                reason: "Unknown",
                detail: error.message,
                cause: error
              })
        )
    }),
    onProcessClock
  )
})

/** Runs the migrations that are not yet recorded in this table of this schema. */
const apply = Effect.fnUntraced(function* (
  db: Sql,
  schema: string,
  table: string,
  migrations: Record<string, Effect.Effect<void, SqlError.SqlError>>
) {
  yield* createSchema(db, schema)
  // The migrator cannot be given the schema, because it takes a dot in a name for a separator.
  yield* db.sql`SELECT set_config('search_path', ${quote(schema)}, true)`
  const applied = yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
  return applied.map(([id, name]): Applied => ({ id, name, ofRegistry: table === registryMigrations }))
})
