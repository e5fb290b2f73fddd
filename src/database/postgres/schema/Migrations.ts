/**
 * Installs and updates the collector's own tables and, on request, an empty catalogue.
 *
 * All pending migrations run in one transaction behind an advisory lock, so replicas that start together wait
 * for each other. No migration changes a row, a column or a constraint of an existing catalogue. What the
 * collector remembers about a blob is in its own schema, which can be dropped without a trace.
 */
import { Array as Arr, Effect } from "effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import * as SqlError from "effect/sql/SqlError"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import { DatabaseError } from "../../../domain/DatabaseError.ts"
import { SchemaRefused } from "../../../domain/SchemaRefused.ts"
import { translate } from "../Errors.ts"
import { recordOwnCatalogue } from "../Installation.ts"
import { make, onProcessClock, qualified, quote, type Sql } from "../Sql.ts"
import {
  catalogMissing,
  columnProblems,
  oidOf,
  readBlobsTable,
  readColumns,
  sharedSchema
} from "./BlobsTable.ts"
import { adaptDigestType } from "./ChangedDigestType.ts"
import { type DigestType, readDigestType } from "./DigestType.ts"
import { type CatalogPreset, collectorMigrations, createSchema, tableExists } from "./MigrationList.ts"
import { MigrationProgress } from "./MigrationProgress.ts"

/** One lock serves all installations in a database: migrations are rare. The number has no meaning. */
const lockId = 5_821_309_417

/** A migration that was applied just now. */
export interface Applied {
  /** Its number within its set. */
  readonly id: number
  /** Its name, without the number. */
  readonly name: string
  /** Names its set: `collector`, or that of a {@link FurtherMigrations}. */
  readonly set: string
}

/** What `migrate` installs beside the collector's own tables. */
export interface MigrateOptions {
  /**
   * The empty catalogue to create where there is none: `blobs` alone, for a host with reference tables of its
   * own, or the `artifacts` of a proxy. Default: none, and a missing catalogue is refused.
   */
  readonly createCatalog?: CatalogPreset | undefined
  /** The database belongs to this program alone, so no other writer shares its catalogue. Default false. */
  readonly isOwn?: boolean
}

/** Migrations of another part of the program. They run after the collector's, in the same transaction. */
export interface FurtherMigrations {
  /** Names them in {@link Applied}. */
  readonly set: string
  /** The schema of their tables. Created if it is missing. */
  readonly schema: string
  /** The table that records which were applied. */
  readonly table: string
  /** Returns whether they run. */
  readonly isWanted: (db: Sql) => Effect.Effect<boolean, SqlError.SqlError>
  /** Returns them by number and name, as in `0001_manifests`. `type` is that of the catalogue's digests. */
  readonly migrations: (
    db: Sql,
    type: DigestType
  ) => Readonly<Record<string, Effect.Effect<void, SqlError.SqlError>>>
}

/**
 * Updates the collector's tables to `latestMigration`, then runs `further`. Idempotent.
 *
 * Fails with `SchemaRefused`, having changed nothing, if the catalogue's table does not exist and `createCatalog` is
 * absent. Beside an empty catalogue under a mistyped name, every object in the store would look like a leftover. Fails
 * likewise if the table lacks a column that the names tell, because the tables take their type of digests from it.
 */
export const migrate = Effect.fn("Migrations.migrate")(function* (
  names: CatalogNames,
  options: MigrateOptions,
  further: ReadonlyArray<FurtherMigrations> = []
) {
  const db = yield* make(names)
  const { sql } = db
  const run = Effect.gen(function* () {
    // Waits for another migration as long as a statement may take.
    const lockTimeout = yield* sql<{ before: string }>`
      SELECT set_config('lock_timeout', '0', true) AS now, before FROM current_setting('lock_timeout') before`
    yield* sql`SELECT pg_advisory_xact_lock(${lockId}::bigint)`
    const existed = yield* tableExists(db, names.schema, names.blobsTable)
    yield* refuseWrongNames(db, options)
    const restoreLockTimeout = sql`SELECT set_config('lock_timeout', ${lockTimeout[0]?.before ?? "2s"}, true)`
    // Changing a type locks tables of running collectors, and these must not wait long for that.
    yield* restoreLockTimeout
    yield* adaptDigestType(db)
    yield* sql`SELECT set_config('lock_timeout', '0', true)`
    const applied = [
      ...(yield* apply(
        db,
        "collector",
        names.collectorSchema,
        "migrations",
        collectorMigrations(db, options.createCatalog)
      ))
    ]
    const isCreated = !existed && applied.some(({ id }) => id === 1)
    if (isCreated || options.isOwn === true) yield* recordOwnCatalogue(db)
    for (const { isWanted, migrations, schema, set, table } of further) {
      if (!(yield* isWanted(db))) continue
      // Creating a foreign key locks the table of blobs, and its writers must not wait long for that.
      yield* restoreLockTimeout
      const type = (yield* readDigestType(db)) ?? { type: "text", collate: "" }
      applied.push(...(yield* apply(db, set, schema, table, migrations(db, type))))
    }
    return applied
  })
  return yield* db.transaction(Effect.provideService(run, SqlClient.SqlClient, sql)).pipe(
    Effect.catchTags({
      SqlError: (error) => Effect.flatMap(withGrant(db, translate("migrate", error)), Effect.fail),
      MigrationError: (error) =>
        SqlError.isSqlError(error.cause)
          ? Effect.flatMap(withGrant(db, translate("migrate", error.cause)), Effect.fail)
          : Effect.fail(
              new DatabaseError({
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

/** Returns the error with the statement that grants what `migrate` lacks, if it lacks a privilege. */
const withGrant = (db: Sql, error: DatabaseError): Effect.Effect<DatabaseError> => {
  if (error.sqlState !== "42501") return Effect.succeed(error)
  const schema = /permission denied for schema (\S+)/.exec(error.detail)?.[1]
  const onBlobs = error.detail.includes(`permission denied for table ${db.names.blobsTable} `)
  const onDatabase = error.detail.includes("permission denied for database")
  return Effect.match(
    db.sql<{ database: string; role: string }>`
      SELECT quote_ident(current_database()) AS database, quote_ident(current_user) AS role`,
    {
      onFailure: () => error,
      onSuccess: ([row]) => {
        if (row === undefined) return error
        const { schema: ofCatalogue, blobsTable } = db.names
        const grant = onBlobs
          ? `Run as the table's owner: GRANT SELECT, REFERENCES ON ${qualified(ofCatalogue, blobsTable)} TO ${row.role};`
          : onDatabase
            ? `Run as the database's owner: GRANT CREATE ON DATABASE ${row.database} TO ${row.role};`
            : schema === undefined
              ? `Run artifact-gc migrate as the owner of the tables, or as a superuser. This role is ${row.role}.`
              : `Run as the schema's owner: GRANT USAGE, CREATE ON SCHEMA ${quote(schema)} TO ${row.role};`
        return new DatabaseError({
          operation: error.operation,
          reason: error.reason,
          detail: error.detail,
          sqlState: "42501",
          advice: `The role that migrates lacks a privilege. Nothing was changed. ${grant}`,
          cause: error.cause
        })
      }
    }
  )
}

/** Fails with `SchemaRefused` where the names cannot be those of the catalogue. */
const refuseWrongNames = Effect.fnUntraced(function* (db: Sql, options: MigrateOptions) {
  const { names } = db
  if (names.collectorSchema === names.schema) {
    return yield* new SchemaRefused({ problems: [sharedSchema(names)] })
  }
  const table = yield* readBlobsTable(db)
  if (table === null) {
    const isFree =
      options.createCatalog !== undefined && !(yield* tableExists(db, names.schema, names.blobsTable))
    return isFree ? undefined : yield* new SchemaRefused({ problems: [catalogMissing(names)] })
  }
  const problems = columnProblems(names, yield* readColumns(db, oidOf(db, table.oid))).filter(
    ({ kind }) => kind === "MissingColumn"
  )
  if (Arr.isReadonlyArrayNonEmpty(problems)) return yield* new SchemaRefused({ problems })
})

/** Runs the migrations that are not yet recorded in this table of this schema. */
const apply = Effect.fnUntraced(function* (
  db: Sql,
  set: string,
  schema: string,
  table: string,
  migrations: Readonly<Record<string, Effect.Effect<void, SqlError.SqlError>>>
) {
  yield* createSchema(db, schema)
  // The migrator cannot be given the schema, because it takes a dot in a name for a separator.
  const [{ path } = { path: "" }] = yield* db.sql<{ path: string }>`
    SELECT set_config('search_path', replace(before, '"pg_catalog"', ${quote(schema)}), true) AS now, before AS path
    FROM current_setting('search_path') before`
  const { report } = yield* MigrationProgress
  const names = Object.keys(migrations)
  const reported = Object.fromEntries(
    Object.entries(migrations).map(([name, run]) => {
      const event = { set, name, done: names.indexOf(name), expected: names.length }
      return [name, Effect.andThen(report(event), run)]
    })
  )
  const applied = yield* Migrator.make({})({ loader: Migrator.fromRecord(reported), table })
  yield* db.sql`SELECT set_config('search_path', ${path}, true)`
  return applied.map(([id, name]): Applied => ({ id, name, set }))
})
