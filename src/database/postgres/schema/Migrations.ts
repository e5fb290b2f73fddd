/**
 * Creates the collector's own tables, and a catalogue where there is none and one is wanted.
 *
 * All pending migrations run in one transaction behind an advisory lock, so replicas that start together wait for
 * one another. Nothing here touches a row, a column or a constraint of an existing catalogue: what the collector
 * remembers of a blob stands in its own schema, which can be dropped without a trace.
 *
 * Rules for adding one: append, never edit; never reuse or skip a number (the migrator passes over numbers at or
 * below the newest one applied); one statement a call.
 */
import { Effect } from "effect"
import { Migrator, SqlClient, SqlError } from "effect/sql"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import { DatabaseError } from "../../../domain/DatabaseError.ts"
import { type SchemaProblem, SchemaRefused } from "../../../domain/SchemaRefused.ts"
import { make, onProcessClock, qualified, quote, type Sql, translate } from "../Sql.ts"
import { type DigestType, readDigestType } from "./DigestType.ts"

/** The version this program works with. */
export const latestMigration = 7

/** One lock for all installations in a database: migrations are rare. The number has no meaning. */
const lockId = 5_821_309_417

/** A migration that was applied just now. */
export interface Applied {
  /** The number within its set. */
  readonly id: number
  readonly name: string
  /** Whose tables: `collector`, or a {@link FurtherMigrations}'s. */
  readonly set: string
}

/** What `migrate` may create beside the collector's tables. */
export interface MigrateOptions {
  /** Whether to create an empty catalogue where there is none. */
  readonly createCatalog: boolean
}

/** Migrations of another part of the program, which run in the same transaction behind the collector's. */
export interface FurtherMigrations {
  /** Names them in {@link Applied}. */
  readonly set: string
  /** The schema of their tables, created where it is missing. */
  readonly schema: string
  /** The table that remembers which were applied. */
  readonly table: string
  /** Answers whether they run. */
  readonly isWanted: (db: Sql) => Effect.Effect<boolean, SqlError.SqlError>
  /** By number and name, as in `0001_manifests`. `type` is that of the catalogue's digests. */
  readonly migrations: (
    db: Sql,
    type: DigestType
  ) => Readonly<Record<string, Effect.Effect<void, SqlError.SqlError>>>
}

/**
 * Brings the collector's tables to {@link latestMigration}, then runs `further`. Repeating it changes nothing.
 *
 * Fails with `SchemaRefused` when the catalogue's table does not exist and `createCatalog` is false: creating an
 * empty catalogue under a mistyped name would make every object in the store look like garbage.
 */
export const migrate = Effect.fn("Migrations.migrate")(function* (
  names: CatalogNames,
  options: MigrateOptions,
  further: ReadonlyArray<FurtherMigrations> = []
) {
  const db = yield* make(names)
  const { sql } = db
  const run = Effect.gen(function* () {
    // Whoever migrates already is waited for, as long as a statement may take.
    const patience = yield* sql<{ before: string }>`SELECT current_setting('lock_timeout') AS before`
    yield* sql`SELECT set_config('lock_timeout', '0', true)`
    yield* sql`SELECT pg_advisory_xact_lock(${lockId}::bigint)`
    if (!options.createCatalog && !(yield* exists(db, names.schema, names.blobsTable))) {
      return yield* new SchemaRefused({ problems: [catalogMissing(names)] })
    }
    const applied = yield* apply(db, "collector", names.collectorSchema, "migrations", {
      "0001_catalogue": createCatalogue(db),
      "0002_collector": createCollector(db),
      "0003_writers_and_guards": createWritersAndGuards(db),
      "0004_foreign_writers": createForeignWriters(db),
      "0005_upload_sessions": createUploadSessions(db),
      "0006_candidates": createCandidates(db),
      "0007_listing_ranges": createListingRanges(db)
    })
    const all = [...applied]
    for (const { isWanted, migrations, schema, set, table } of further) {
      if (!(yield* isWanted(db))) continue
      // A foreign key locks the table it refers to. Writers to blobs do not wait for that longer than for a statement.
      yield* sql`SELECT set_config('lock_timeout', ${patience[0]?.before ?? "2s"}, true)`
      const type = (yield* readDigestType(db)) ?? { type: "text", collate: "" }
      all.push(...(yield* apply(db, set, schema, table, migrations(db, type))))
    }
    return all
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

/** Runs those of `migrations` that `table` in `schema` does not name yet. */
const apply = Effect.fnUntraced(function* (
  db: Sql,
  set: string,
  schema: string,
  table: string,
  migrations: Readonly<Record<string, Effect.Effect<void, SqlError.SqlError>>>
) {
  yield* createSchema(db, schema)
  // So that the migrator need not name the schema: it takes a dot in a name for a separator.
  yield* db.sql`SELECT set_config('search_path', ${quote(schema)}, true)`
  const applied = yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
  return applied.map(([id, name]): Applied => ({ id, name, set }))
})

/** The configured names lead nowhere. */
export const catalogMissing = (names: CatalogNames): SchemaProblem => ({
  kind: "MissingTable",
  table: `${names.schema}.${names.blobsTable}`,
  problem: "there is no such table to collect from",
  fix: "Name the catalogue with CATALOG_SCHEMA and CATALOG_BLOBS_TABLE; or, to create an empty one, run: artifact-gc migrate --create-catalog"
})

const exists = ({ sql }: Sql, schema: string, table: string) =>
  Effect.map(
    sql<{ present: boolean }>`SELECT to_regclass(${qualified(schema, table)}) IS NOT NULL AS present`,
    (rows) => rows[0]?.present === true
  )

/** Only if need be: even IF NOT EXISTS asks for the privilege to create one. */
const createSchema = Effect.fnUntraced(function* ({ sql, raw }: Sql, name: string) {
  const found = yield* sql`SELECT FROM pg_namespace WHERE nspname = ${name}`
  if (found.length === 0) yield* sql`CREATE SCHEMA IF NOT EXISTS ${raw(quote(name))}`
})

const statements = ({ sql }: Sql, ...list: ReadonlyArray<string>) =>
  Effect.forEach(list, (statement) => sql.unsafe(statement), { discard: true })

/** Digests sort by bytes (`COLLATE "C"`): half the cost of a comparison under a language's rules. */
const createCatalogue = Effect.fnUntraced(function* (db: Sql) {
  const { names } = db
  if (yield* exists(db, names.schema, names.blobsTable)) return
  const of = (table: string) => qualified(names.schema, table)
  const blobs = of(names.blobsTable)
  const digest = quote(names.digestColumn)
  const lastUsedAt = names.lastUsedAtColumn === null ? "" : `${quote(names.lastUsedAtColumn)} timestamptz,`
  yield* createSchema(db, names.schema)
  yield* statements(
    db,
    `CREATE TABLE ${blobs} (
       ${digest} text COLLATE "C" PRIMARY KEY,
       ${quote(names.keyColumn)} text COLLATE "C" NOT NULL UNIQUE,
       ${quote(names.sizeColumn)} bigint NOT NULL CHECK (${quote(names.sizeColumn)} >= 0),
       ${lastUsedAt}
       ${quote(names.createdAtColumn)} timestamptz NOT NULL)`,
    `CREATE TABLE ${of("artifacts")} (
       repository text NOT NULL,
       name text NOT NULL,
       digest text COLLATE "C" NOT NULL REFERENCES ${blobs} (${digest}),
       created_at timestamptz NOT NULL,
       PRIMARY KEY (repository, name))`,
    `CREATE INDEX artifacts_digest ON ${of("artifacts")} (digest)`,
    `CREATE TABLE ${of("local_files")} (
       path text PRIMARY KEY,
       digest text COLLATE "C" NOT NULL REFERENCES ${blobs} (${digest}),
       created_at timestamptz NOT NULL)`,
    `CREATE INDEX local_files_digest ON ${of("local_files")} (digest)`
  )
})

const createCollector = Effect.fnUntraced(function* (db: Sql) {
  const { names } = db
  const own = (table: string) => qualified(names.collectorSchema, table)
  const { type, collate } = (yield* readDigestType(db)) ?? { type: "text", collate: "" }
  // As in the catalogue, so that joining and ranging over both tables uses their indexes.
  const digest = `${type}${collate}`
  yield* statements(
    db,
    `CREATE TABLE ${own("orphans")} (
       digest ${digest} PRIMARY KEY,
       seen_at timestamptz NOT NULL,
       condemned_at timestamptz)`,
    `CREATE INDEX orphans_condemned ON ${own("orphans")} (condemned_at, digest) WHERE condemned_at IS NOT NULL`,
    `CREATE TABLE ${own("journal")} (
       object_key text COLLATE "C" PRIMARY KEY,
       digest text,
       size_bytes bigint NOT NULL,
       reason text NOT NULL CHECK (reason IN ('purged', 'duplicate', 'reaped')),
       journaled_at timestamptz NOT NULL,
       not_before timestamptz NOT NULL,
       claimed_until timestamptz,
       attempts int NOT NULL DEFAULT 0,
       last_error text,
       dead_at timestamptz)`,
    `CREATE INDEX journal_due ON ${own("journal")} (not_before, object_key) WHERE dead_at IS NULL`,
    `CREATE INDEX journal_dead ON ${own("journal")} (object_key) WHERE dead_at IS NOT NULL`,
    `CREATE TABLE ${own("intents")} (
       object_key text COLLATE "C" PRIMARY KEY,
       digest text NOT NULL,
       expires_at timestamptz NOT NULL)`,
    `CREATE INDEX intents_expiring ON ${own("intents")} (expires_at)`,
    `CREATE TABLE ${own("scans")} (
       name text PRIMARY KEY,
       pass bigint NOT NULL,
       position text)`,
    `INSERT INTO ${own("scans")} (name, pass, position) VALUES ('orphans', 1, NULL)`
  )
})

/** What the other half of the protocol needs: pins, uploads in parts, leftovers; and what the guards remember. */
const createWritersAndGuards = Effect.fnUntraced(function* (db: Sql) {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  const { type, collate } = (yield* readDigestType(db)) ?? { type: "text", collate: "" }
  yield* statements(
    db,
    `ALTER TABLE ${own("orphans")} ADD COLUMN sweep text`,
    `ALTER TABLE ${own("intents")} ALTER COLUMN digest DROP NOT NULL, ADD COLUMN upload_id text`,
    `ALTER TABLE ${own("journal")} ADD COLUMN upload_id text, DROP CONSTRAINT journal_reason_check,
       ADD CONSTRAINT journal_reason_check CHECK (reason IN ('purged', 'duplicate', 'reaped', 'leftover'))`,
    `CREATE TABLE ${own("pins")} (
       id text PRIMARY KEY,
       digest ${type}${collate} NOT NULL,
       expires_at timestamptz NOT NULL)`,
    `CREATE INDEX pins_digest ON ${own("pins")} (digest)`,
    `CREATE INDEX pins_expiring ON ${own("pins")} (expires_at)`,
    `CREATE TABLE ${own("listings")} (
       name text PRIMARY KEY,
       pass bigint NOT NULL,
       token bigint NOT NULL,
       started_at timestamptz NOT NULL,
       position text COLLATE "C",
       listed bigint NOT NULL,
       unowned bigint NOT NULL,
       ended_at timestamptz,
       claimed_until timestamptz)`,
    `CREATE TABLE ${own("breakers")} (
       name text PRIMARY KEY CHECK (name IN ('orphans', 'leftovers')),
       tripped_at timestamptz NOT NULL,
       blobs bigint NOT NULL,
       bytes bigint NOT NULL,
       total_blobs bigint NOT NULL,
       total_bytes bigint NOT NULL,
       confirmed_at timestamptz)`,
    `CREATE TABLE ${own("collectors")} (
       id text PRIMARY KEY,
       seen_at timestamptz NOT NULL,
       expires_at timestamptz NOT NULL,
       settings jsonb NOT NULL)`
  )
})

/** What the guard against foreign writers remembers. Without the guard nothing is written to them. */
const createForeignWriters = Effect.fnUntraced(function* (db: Sql) {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  const { type, collate } = (yield* readDigestType(db)) ?? { type: "text", collate: "" }
  yield* statements(
    db,
    `CREATE TABLE ${own("tombstones")} (
       digest ${type}${collate} PRIMARY KEY,
       since timestamptz NOT NULL)`,
    `CREATE TABLE ${own("buried_keys")} (
       object_key text COLLATE "C" PRIMARY KEY,
       since timestamptz NOT NULL)`,
    `CREATE TABLE ${own("suspects")} (
       digest ${type}${collate} NOT NULL,
       object_key text COLLATE "C" NOT NULL,
       since timestamptz NOT NULL)`,
    // Not unique: a writer that added what another has added and not committed would have to wait for it.
    `CREATE INDEX suspects_digest ON ${own("suspects")} (digest, object_key)`
  )
})

/**
 * Chunks of a session that is gone would be nobody's, hence the foreign key; it must not cascade, because their keys
 * have to be journaled.
 */
const createUploadSessions = Effect.fnUntraced(function* (db: Sql) {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  yield* statements(
    db,
    `ALTER TABLE ${own("journal")} DROP CONSTRAINT journal_reason_check,
       ADD CONSTRAINT journal_reason_check CHECK (reason IN ('purged', 'duplicate', 'reaped', 'leftover', 'upload'))`,
    `ALTER TABLE ${own("breakers")} DROP CONSTRAINT breakers_name_check,
       ADD CONSTRAINT breakers_name_check CHECK (name IN ('manifests', 'orphans', 'leftovers'))`,
    `CREATE TABLE ${own("upload_sessions")} (
       id text COLLATE "C" PRIMARY KEY,
       repository text NOT NULL,
       algorithm text NOT NULL,
       state text NOT NULL CHECK (state IN ('open', 'finalizing', 'done')),
       received_bytes bigint NOT NULL CHECK (received_bytes >= 0),
       digest text,
       token text,
       lease_until timestamptz,
       last_activity_at timestamptz NOT NULL,
       CHECK ((state = 'done') = (digest IS NOT NULL)),
       CHECK ((state = 'finalizing') = (lease_until IS NOT NULL)))`,
    `CREATE INDEX upload_sessions_idle ON ${own("upload_sessions")} (last_activity_at, id)`,
    `CREATE TABLE ${own("upload_chunks")} (
       object_key text COLLATE "C" PRIMARY KEY,
       session_id text COLLATE "C" NOT NULL REFERENCES ${own("upload_sessions")} (id),
       start_byte bigint NOT NULL CHECK (start_byte >= 0),
       size_bytes bigint NOT NULL CHECK (size_bytes > 0),
       digest text NOT NULL,
       UNIQUE (session_id, start_byte))`
  )
})

/**
 * What triggers note of blobs that may have lost what kept them, if `watchReferences` has installed any. Without a unique
 * digest, so that two transactions that note the same blob do not wait for each other.
 */
const createCandidates = Effect.fnUntraced(function* (db: Sql) {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  const { type, collate } = (yield* readDigestType(db)) ?? { type: "text", collate: "" }
  yield* statements(
    db,
    `CREATE TABLE ${own("candidates")} (
       id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
       digest ${type}${collate} NOT NULL)`,
    `ALTER TABLE ${own("scans")} ADD COLUMN started_at timestamptz,
       ADD COLUMN wanted bigint NOT NULL DEFAULT 1, ADD COLUMN done bigint NOT NULL DEFAULT 0`
  )
})

/** Where a listing stands, by ranges that collectors share. A pass that has not ended goes on as one range. */
const createListingRanges = Effect.fnUntraced(function* (db: Sql) {
  const own = (table: string) => qualified(db.names.collectorSchema, table)
  yield* statements(
    db,
    `CREATE TABLE ${own("listing_ranges")} (
       name text NOT NULL REFERENCES ${own("listings")} (name),
       number integer NOT NULL,
       range_from text COLLATE "C",
       up_to text COLLATE "C",
       position text COLLATE "C",
       token bigint NOT NULL,
       ended_at timestamptz,
       claimed_until timestamptz,
       PRIMARY KEY (name, number))`,
    `INSERT INTO ${own("listing_ranges")} (name, number, position, token)
       SELECT name, 1, position, token FROM ${own("listings")} WHERE ended_at IS NULL`,
    `ALTER TABLE ${own("listings")} DROP COLUMN position, DROP COLUMN claimed_until`
  )
})
