/**
 * The migrations of the collector's own tables, in order. The first also creates an empty catalogue, if the
 * configured one does not exist.
 *
 * Rules for a new one: append it, never edit an old one, and use the next number. The migrator skips every
 * number at or below the newest one applied. Each statement is a call of its own.
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { qualified, quote, type Sql } from "../Sql.ts"
import { readDigestType } from "./DigestType.ts"
import { createBinding } from "./migrations/Binding.ts"
import { createBreakerHistory } from "./migrations/BreakerHistory.ts"
import { createControl } from "./migrations/Control.ts"
import { createHistory } from "./migrations/History.ts"
import { createLastAudit } from "./migrations/LastAudit.ts"
import { createOverrides } from "./migrations/Overrides.ts"
import { createReferenceSources } from "./migrations/ReferenceSources.ts"
import { createReferences } from "./migrations/References.ts"
import { statements } from "./migrations/Statements.ts"
import { createUnannouncedWriterLimits } from "./migrations/UnannouncedWriterLimits.ts"

/** Number of the newest migration. The program works with this version of the tables only. */
export const latestMigration = 16

/**
 * A catalogue that `migrate` can create. `blobs`: the table of blobs alone; the host's tables refer to it.
 * `artifacts`: that of an artifact proxy, with the tables `artifacts` and `local_files`.
 */
export type CatalogPreset = "blobs" | "artifacts"

/** Returns the migrations by number and name, as the migrator wants them. */
export const collectorMigrations = (
  db: Sql,
  catalog: CatalogPreset = "blobs"
): Record<string, Effect.Effect<void, SqlError.SqlError>> => ({
  "0001_catalogue": createCatalogue(db, catalog),
  "0002_collector": createCollector(db),
  "0003_writers_and_guards": createWritersAndGuards(db),
  "0004_foreign_writers": createUnannouncedWriters(db),
  "0005_upload_sessions": createUploadSessions(db),
  "0006_candidates": createCandidates(db),
  "0007_listing_ranges": createListingRanges(db),
  "0008_references": createReferences(db),
  "0009_binding": createBinding(db),
  "0010_breakers": createBreakerHistory(db),
  "0011_unannounced_writers": createUnannouncedWriterLimits(db),
  "0012_control": createControl(db),
  "0013_reference_sources": createReferenceSources(db),
  "0014_history": createHistory(db),
  "0015_overrides": createOverrides(db),
  "0016_last_audit": createLastAudit(db)
})

/** Returns whether the role can see such a table. */
export const tableExists = ({ sql }: Sql, schema: string, table: string) =>
  Effect.map(
    sql<{ present: boolean }>`SELECT to_regclass(${qualified(schema, table)}) IS NOT NULL AS present`,
    (rows) => rows[0]?.present === true
  )

/** Creates the schema if there is none. Looks first, because even IF NOT EXISTS needs the privilege CREATE. */
export const createSchema = Effect.fnUntraced(function* ({ sql, raw }: Sql, name: string) {
  const found = yield* sql`SELECT FROM pg_namespace WHERE nspname = ${name}`
  if (found.length === 0) yield* sql`CREATE SCHEMA IF NOT EXISTS ${raw(quote(name))}`
})

/**
 * Digests sort by bytes (`COLLATE "C"`), which costs half as much as comparing them under a language's rules.
 */
const createCatalogue = Effect.fnUntraced(function* (db: Sql, catalog: CatalogPreset) {
  const { names } = db
  if (yield* tableExists(db, names.schema, names.blobsTable)) return
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
       ${quote(names.createdAtColumn)} timestamptz NOT NULL)`
  )
  if (catalog === "blobs") return
  yield* statements(
    db,
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
  // The catalogue's own type and collation, so that joins and ranges over both tables use their indexes.
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

/** Adds pins, uploads in parts and leftovers for writers, and the tables of breakers and settings guard. */
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

/**
 * The tables of the triggers against unannounced writers. They stay empty where the triggers are not
 * installed.
 */
const createUnannouncedWriters = Effect.fnUntraced(function* (db: Sql) {
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
    // Not unique: a writer would have to wait for another that added the same row and has not committed it.
    `CREATE INDEX suspects_digest ON ${own("suspects")} (digest, object_key)`
  )
})

/**
 * The registry writes these tables. They are the collector's, because chunks are the fourth owner of keys beside
 * blobs, intents and the journal: whether a key is dead is asked in one snapshot over all owners.
 *
 * The foreign key keeps a session while chunks belong to it. Without it, chunks of a deleted session would
 * have no owner. It must not cascade, because the chunks' keys have to be journaled.
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
 * The queue of blobs that may have lost their last reference, filled by the triggers of `watchReferences`.
 * The digest is not unique, so two transactions that note the same blob do not wait for each other.
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

/** The progress of a listing, by ranges that collectors share. An unfinished pass continues as one range. */
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
