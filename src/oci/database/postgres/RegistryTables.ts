/**
 * The tables of the OCI registry, in a schema of their own: manifests, their references, and tags.
 *
 * Every reference of a manifest has a foreign key to the catalogue's blobs and an index on it, so that the
 * schema guard finds and accepts it like that of any other table. Dropping the schema leaves no trace. The
 * keys are NO ACTION: no row here is deleted because another is.
 *
 * The rules of MigrationList.ts hold for adding a migration.
 */
import { Effect } from "effect"
import { qualified, quote, type Sql } from "../../../database/postgres/Sql.ts"
import type { DigestType } from "../../../database/postgres/schema/DigestType.ts"
import type { FurtherMigrations } from "../../../database/postgres/schema/Migrations.ts"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import { DatabaseError } from "../../../domain/DatabaseError.ts"

/** The version this program works with. */
export const latestRegistryMigration = 6

/** Not `migrations`, so that the tables may be in any schema, the collector's included. */
export const registryMigrations = "registry_migrations"

/** Names the registry's migrations among those that were applied. */
export const registrySet = "registry"

const installIt = "run: artifact-gc migrate --registry"

/**
 * Creates the tables. Repositories and tags, and so pages of them, sort by bytes. `subject` has no foreign
 * key, because a subject need not exist. `untagged_at` is null while a tag names the manifest, or after
 * `expire` found it needed otherwise. `annotations` are kept as they were sent: jsonb cannot hold
 * everything that JSON can say.
 */
const createManifests = (db: Sql, { type, collate }: DigestType) => {
  const { names } = db
  const own = (table: string) => qualified(names.registrySchema, table)
  const digest = `${type}${collate}`
  const blobs = `${qualified(names.schema, names.blobsTable)} (${quote(names.digestColumn)})`
  return Effect.forEach(
    [
      `CREATE TABLE ${own("manifests")} (
         repository text COLLATE "C" NOT NULL,
         digest ${digest} NOT NULL REFERENCES ${blobs},
         media_type text NOT NULL,
         size_bytes bigint NOT NULL,
         artifact_type text,
         annotations json,
         subject ${digest},
         untagged_at timestamptz,
         PRIMARY KEY (repository, digest))`,
      `CREATE INDEX manifests_digest ON ${own("manifests")} (digest)`,
      `CREATE INDEX manifests_subject ON ${own("manifests")} (repository, subject, digest) WHERE subject IS NOT NULL`,
      `CREATE INDEX manifests_untagged ON ${own("manifests")} (untagged_at, repository, digest)
         WHERE untagged_at IS NOT NULL`,
      `CREATE TABLE ${own("manifest_references")} (
         repository text COLLATE "C" NOT NULL,
         manifest ${digest} NOT NULL,
         digest ${digest} NOT NULL REFERENCES ${blobs},
         kind text NOT NULL CHECK (kind IN ('config', 'layer', 'manifest')),
         PRIMARY KEY (repository, manifest, digest, kind),
         FOREIGN KEY (repository, manifest) REFERENCES ${own("manifests")})`,
      `CREATE INDEX manifest_references_digest ON ${own("manifest_references")} (digest, repository)`,
      `CREATE TABLE ${own("tags")} (
         repository text COLLATE "C" NOT NULL,
         name text COLLATE "C" NOT NULL,
         digest ${digest} NOT NULL,
         PRIMARY KEY (repository, name),
         FOREIGN KEY (repository, digest) REFERENCES ${own("manifests")})`,
      `CREATE INDEX tags_digest ON ${own("tags")} (repository, digest)`
    ],
    (statement) => db.sql.unsafe(statement),
    { discard: true }
  )
}

/**
 * Adds how a manifest lost its last name, and when it was pushed. `untagged_by` is null for a manifest with a tag, and
 * for those that lost theirs before this migration.
 */
const addLossOfNames = ({ sql, names }: Sql) => {
  const manifests = qualified(names.registrySchema, "manifests")
  return Effect.asVoid(
    sql.unsafe(`ALTER TABLE ${manifests} ADD COLUMN pushed_at timestamptz, ADD COLUMN untagged_by text
      CHECK (untagged_by IN ('moved', 'deleted', 'cascade', 'never'))`)
  )
}

/** Adds secrets that replicas share. Only a `serve` that issues tokens reads them, and only it needs a privilege. */
const createKeys = ({ sql, names }: Sql) =>
  Effect.asVoid(
    sql.unsafe(`CREATE TABLE ${qualified(names.registrySchema, "keys")} (
      name text COLLATE "C" PRIMARY KEY,
      secret bytea NOT NULL,
      created_at timestamptz NOT NULL)`)
  )

/**
 * Adds the hash that a later request of an upload session may continue. The table is the collector's, but only the registry
 * knows the columns. A replica without this migration adds chunks and leaves the hash as it is, which then is of fewer bytes
 * than the session has.
 */
const addSavedHashes = ({ sql, names }: Sql) =>
  Effect.asVoid(
    sql.unsafe(`ALTER TABLE ${qualified(names.collectorSchema, "upload_sessions")}
      ADD COLUMN IF NOT EXISTS hash_written_by text,
      ADD COLUMN IF NOT EXISTS hash_bytes bigint,
      ADD COLUMN IF NOT EXISTS hash_state bytea`)
  )

/**
 * Adds when a tag was pushed and pulled, and what retention rules remember. `pushed_at` is null for a tag from before this
 * migration. A replica of an older version moves a tag without a date; the trigger takes the old date away, which would be that
 * of another push. Such a replica records no pulls, and nothing shows that one is at work until it moves a tag.
 */
const addRetention = ({ sql, names }: Sql) => {
  const own = (table: string) => qualified(names.registrySchema, table)
  return Effect.forEach(
    [
      `ALTER TABLE ${own("tags")} ADD COLUMN pushed_at timestamptz, ADD COLUMN pulled_at timestamptz`,
      `CREATE OR REPLACE FUNCTION ${own("forget_push")}() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN NEW.pushed_at := NULL; RETURN NEW; END'`,
      `CREATE TRIGGER forget_push BEFORE UPDATE OF digest ON ${own("tags")} FOR EACH ROW
         WHEN (NEW.digest IS DISTINCT FROM OLD.digest AND NEW.pushed_at IS NOT DISTINCT FROM OLD.pushed_at)
         EXECUTE FUNCTION ${own("forget_push")}()`,
      `CREATE TABLE ${own("retention")} (
         id int PRIMARY KEY CHECK (id = 1),
         accepted text,
         proposed text,
         proposed_at timestamptz,
         judged_at timestamptz,
         pulls_since timestamptz)`
    ],
    (statement) => sql.unsafe(statement),
    { discard: true }
  )
}

/**
 * Adds what retention rules made of each repository, and finds tags by their last push. The index makes each push to a tag that
 * names the manifest already write its other indexes, too. A record of a pull changes no index.
 */
const addJudgements = ({ sql, names }: Sql) => {
  const own = (table: string) => qualified(names.registrySchema, table)
  return Effect.forEach(
    [
      `CREATE INDEX tags_pushed ON ${own("tags")} (pushed_at)`,
      `CREATE TABLE ${own("retention_repositories")} (
         repository text COLLATE "C" PRIMARY KEY,
         judged_at timestamptz NOT NULL,
         due_at timestamptz NOT NULL,
         tags bigint NOT NULL,
         removable bigint NOT NULL,
         stricter bigint NOT NULL,
         confirmed bigint NOT NULL)`,
      `CREATE INDEX retention_repositories_due ON ${own("retention_repositories")} (due_at, repository)`,
      `CREATE INDEX retention_repositories_removable ON ${own("retention_repositories")} (repository) WHERE removable > 0`,
      `ALTER TABLE ${own("retention")} ADD COLUMN judging text, ADD COLUMN listed_to text COLLATE "C",
         ADD COLUMN looked_at timestamptz`
    ],
    (statement) => sql.unsafe(statement),
    { discard: true }
  )
}

/** Returns whether the tables were ever created. Needs no privilege. */
export const isInstalled = ({ sql, names }: Sql) =>
  Effect.map(
    sql`
      SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = ${names.registrySchema} AND c.relname = ${registryMigrations}`,
    (rows) => rows.length > 0
  )

/** Returns the privileges that a registry needs on its tables and this role lacks. Skips missing tables. */
export const readLackingPrivileges = ({ sql, names }: Sql) =>
  sql<{ table: string; missing: string }>`
    SELECT c.relname AS table, string_agg(p, ', ' ORDER BY n) AS missing
    FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace,
      unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS w (p, n)
    WHERE s.nspname = ${names.registrySchema} AND c.relname IN ('manifests', 'manifest_references', 'tags')
      AND NOT has_table_privilege(c.oid, p)
    GROUP BY c.relname ORDER BY c.relname`

/** Returns the number of the newest migration applied. */
export const readRegistryVersion = ({ sql, names, raw }: Sql) =>
  Effect.map(
    sql<{ id: number }>`SELECT coalesce(max(migration_id), 0)::int AS id
      FROM ${raw(qualified(names.registrySchema, registryMigrations))}`,
    (rows) => rows[0]?.id ?? 0
  )

/** Returns what is wrong with the tables' version, and the fix; null if it is this program's. */
export const versionProblem = (
  version: number
): { readonly problem: string; readonly fix: string } | null => {
  if (version === latestRegistryMigration) return null
  return version < latestRegistryMigration
    ? {
        problem: `the registry's tables are at version ${version}, this program needs ${latestRegistryMigration}`,
        fix: "Run: artifact-gc migrate --registry"
      }
    : {
        problem: `the registry's tables are at version ${version}, newer than this program's ${latestRegistryMigration}`,
        fix: "Run the newer artifact-gc."
      }
}

/** Returns the error for a table that does not exist, in the server's words. */
export const notInstalled = (operation: string, words: string, cause?: unknown): DatabaseError =>
  new DatabaseError({ operation, reason: "NotInstalled", detail: `${words}; ${installIt}`, cause })

/** Returns the registry's migrations. They run if they are wanted, and otherwise update tables that exist. */
export const furtherMigrations = (names: CatalogNames, isWanted: boolean): FurtherMigrations => ({
  set: registrySet,
  schema: names.registrySchema,
  table: registryMigrations,
  isWanted: (db) => (isWanted ? Effect.succeed(true) : isInstalled(db)),
  migrations: (db, type) => ({
    "0001_manifests": createManifests(db, type),
    "0002_loss_of_names": addLossOfNames(db),
    "0003_keys": createKeys(db),
    "0004_saved_hashes": addSavedHashes(db),
    "0005_retention": addRetention(db),
    "0006_judgements": addJudgements(db)
  })
})
