/**
 * Every setting of the program. The sweep's own are listed in src/sweep/settingsTable.ts.
 *
 * The tables in README.md and docs/configuration.md are generated from these (`npm run docs`), and a test keeps them
 * equal.
 */
import type { Config } from "effect"
import {
  duration,
  integer,
  optionalChoice,
  optionalText,
  optionalWord,
  type Setting,
  secret,
  text
} from "../domain/Setting.ts"
import { interval, window } from "../sweep/schedule.ts"
import { guards, sizes, waits } from "../sweep/settingsTable.ts"
import { ops } from "./opsSettings.ts"
import { serve } from "./serveSettings.ts"

/** Where the catalogue is, and the names that it uses. */
const database = {
  databaseUrl: secret("DATABASE_URL", "postgres://user:password@host:port/database", {
    about: "URL of the catalogue's database. Without it, an embedded PostgreSQL runs below DATA_DIRECTORY."
  }),
  databaseTlsCa: optionalText("DATABASE_TLS_CA", "path of a file", {
    about:
      "Certificates, in PEM, of the authorities that may sign the certificate of PostgreSQL, instead of those that Node knows. With it the certificate is verified, whether DATABASE_URL has a `sslmode` or not (docs/tls.md). A change of the file takes effect with the next connection."
  }),
  databaseTlsCert: optionalText("DATABASE_TLS_CERT", "path of a file", {
    about: "Certificate of this program for PostgreSQL, in PEM, together with DATABASE_TLS_KEY."
  }),
  databaseTlsKey: optionalText("DATABASE_TLS_KEY", "path of a file", {
    about: "Private key of DATABASE_TLS_CERT, in PEM, without a passphrase."
  }),
  databaseMaxConnections: integer("DATABASE_MAX_CONNECTIONS", 10, 2, 1000, {
    about:
      "Maximum database connections of this process. Each delete batch in flight takes one, and two more are needed.",
    tooLow: "Delete batches wait for a connection to settle their rows.",
    tooHigh: "The server has no connections left for the registry."
  }),
  databaseStatementTimeout: duration("DATABASE_STATEMENT_TIMEOUT", "30 seconds", "1 second", {
    about: "Maximum time that a statement may run. A slice of 10,000 blobs takes tens of milliseconds.",
    tooLow: "On a cold or busy server slices never finish, and the sweep reports TimedOut.",
    tooHigh: "A stuck statement holds its locks for this long."
  }),
  databaseLockTimeout: duration("DATABASE_LOCK_TIMEOUT", "2 seconds", "10 millis", {
    about:
      "Maximum time that a statement waits for a lock. It is short, because foreground transactions have priority.",
    tooLow: "The collector gives up before short transactions have ended.",
    tooHigh: "Other transactions queue behind the waiting collector, as behind any lock request."
  }),
  catalogSchema: text("CATALOG_SCHEMA", "public", { about: "Schema of the catalogue." }),
  catalogBlobsTable: text("CATALOG_BLOBS_TABLE", "blobs", {
    about:
      "Table with one row per blob. The references to it are read from its foreign keys and never configured."
  }),
  catalogDigestColumn: text("CATALOG_DIGEST_COLUMN", "digest", {
    about: "Column that identifies a blob: unique, not null."
  }),
  catalogKeyColumn: text("CATALOG_KEY_COLUMN", "object_key", {
    about: "Column with the name of the blob's object in the store: text, unique, not null."
  }),
  catalogSizeColumn: text("CATALOG_SIZE_COLUMN", "size_bytes", { about: "Column with the size in bytes." }),
  catalogCreatedAtColumn: text("CATALOG_CREATED_AT_COLUMN", "created_at", {
    about: "Column with the time at which the blob was created: timestamp, not null."
  }),
  catalogLastUsedAtColumn: text("CATALOG_LAST_USED_AT_COLUMN", "last_used_at", {
    about:
      "Column with the time at which a writer last uploaded or found the blob: timestamp; `none` if the catalogue has no such column."
  }),
  catalogNotReferences: optionalText("CATALOG_NOT_REFERENCES", "table.column, …", {
    about:
      "Columns that look like references to blobs and are none, separated by commas: `table.column` or `schema.table.column`. The collector refuses a catalogue with a column that looks like a reference, has no foreign key and is not named here (docs/operations.md, undeclared references)."
  }),
  catalogTimeZone: optionalText("CATALOG_TIME_ZONE", "IANA time zone", {
    about:
      "Zone in which the catalogue's columns of type `timestamp without time zone` are written, e.g. `America/St_Johns`, or `UTC`. Without it such columns are refused, because a use seconds ago could look hours old. Columns with a time zone do not need it."
  }),
  collectorSchema: text("COLLECTOR_SCHEMA", "artifact_gc", {
    about: "Schema of the collector's own tables, which `artifact-gc migrate` creates."
  }),
  registrySchema: text("REGISTRY_SCHEMA", "artifact_registry", {
    about:
      "Schema of the OCI registry's manifests and tags, which `artifact-gc migrate --registry` creates. If it is missing, there is no registry and nothing of one to collect."
  })
}

/** Where the bytes are. */
const storage = {
  s3Bucket: optionalText("S3_BUCKET", "bucket name", {
    about: "Bucket with the objects. Without it and FILES_DIRECTORY, objects are files below DATA_DIRECTORY."
  }),
  s3Endpoint: optionalText("S3_ENDPOINT", "URL", {
    about: "Address of an S3 server other than AWS."
  }),
  s3ForcePathStyle: optionalChoice("S3_FORCE_PATH_STYLE", "true with S3_ENDPOINT", {
    about: "Whether requests name the bucket in the path instead of the host name."
  }),
  s3Region: text("S3_REGION", "us-east-1", {
    about: "Region of the bucket. Most servers other than AWS accept any."
  }),
  s3AccessKeyId: secret("S3_ACCESS_KEY_ID", "text", {
    about:
      "Access key. Without it, the AWS SDK's own chain applies: environment, profile, container, instance."
  }),
  s3SecretAccessKey: secret("S3_SECRET_ACCESS_KEY", "text", { about: "Secret of the access key." }),
  s3SessionToken: secret("S3_SESSION_TOKEN", "text", {
    about: "Session token of the access key, for temporary credentials."
  }),
  s3TlsCa: optionalText("S3_TLS_CA", "path of a file", {
    about:
      "Certificates, in PEM, of the authorities that may sign the certificate of the store, instead of those that Node knows. NODE_EXTRA_CA_CERTS adds authorities to Node's own, for every connection of the program. A change of the file takes effect with the next connection."
  }),
  s3RequestTimeout: duration("S3_REQUEST_TIMEOUT", "30 seconds", "1 second", {
    about:
      "Maximum time that a request may stay without an answer. Slow stores need seconds to delete 1000 keys.",
    tooLow: "Deletes that are under way are reported as failed and sent again.",
    tooHigh: "A hanging connection blocks its batch for this long."
  }),
  s3VersionedDelete: optionalWord("S3_VERSIONED_DELETE", ["markers", "versions"], {
    about:
      "What a delete does in a bucket with versions. `versions` deletes every version of a key: it frees the bytes, cannot be undone, and costs one listing per key. `markers` hides the object and leaves its bytes to the bucket's lifecycle rules. There is no default, because only the owner of the bucket knows the purpose of the versions."
  }),
  filesDirectory: optionalText("FILES_DIRECTORY", "path", {
    about: "Directory that is used as the store instead of S3."
  }),
  dataDirectory: text("DATA_DIRECTORY", ".artifact-gc", {
    about:
      "Directory in which the embedded PostgreSQL and the files store keep their data, below the working directory."
  })
}

/** Which tags the registry keeps. */
const tags = {
  retentionFile: optionalText("REGISTRY_RETENTION_FILE", "path of a file", {
    about:
      "File of retention rules, in JSON: which tags of which repositories sweeps keep, for example the newest ten. docs/retention.md explains it, and `artifact-gc retention` shows what the rules keep and remove. A change of the file takes effect with the next sweep. New rules, and rules that keep less, wait for `artifact-gc breaker --confirm`. Every collector of a catalogue needs the same file."
  })
}

/** When to sweep. */
const schedule = {
  interval,
  cron: optionalText("GC_CRON", "cron expression", {
    about:
      "Times of the sweeps, instead of GC_INTERVAL, e.g. `30 2 * * *`. Times that fall inside a running sweep are skipped."
  }),
  window,
  timeZone: text("GC_TIME_ZONE", "UTC", {
    about: "IANA time zone of GC_CRON and GC_WINDOW."
  }),
  jitter: duration("GC_JITTER", "1 minute", "0 seconds", {
    about: "Maximum random time that is added to each wait, so that replicas started together drift apart.",
    tooLow: "Replicas scan at the same moments.",
    tooHigh: "Sweeps begin at unexpected times."
  }),
  shutdownDeadline: duration("GC_SHUTDOWN_DEADLINE", "25 seconds", "1 second", {
    about:
      "Maximum time that the current batch may take to finish after SIGTERM. Kubernetes kills a process after 30 seconds.",
    tooLow: "Batches are cut off, and their keys wait until their lease ends.",
    tooHigh: "The platform kills the process before it has stopped by itself."
  })
}

/** Every setting, by the name that the program uses. */
export const settings = {
  ...database,
  ...storage,
  ...schedule,
  ...waits,
  ...tags,
  ...sizes,
  ...guards,
  ...serve,
  ...ops
}

/** The settings under headings, for documentation and flags. */
export const sections = {
  Catalogue: database,
  Store: storage,
  Schedule: schedule,
  "What is garbage": { ...waits, ...tags },
  "How much at a time": sizes,
  Guards: guards,
  Registry: serve,
  Operations: ops
} satisfies Readonly<Record<string, Readonly<Record<string, Setting<unknown>>>>>

/** The values of all settings as they were given; null where nothing was. */
export type Values = {
  readonly [Name in keyof typeof settings]: Config.Success<(typeof settings)[Name]["config"]>
}
