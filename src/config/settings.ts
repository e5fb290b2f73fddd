/**
 * Every setting there is. The table in docs/configuration.md is generated from this file (`npm run docs`), and a test
 * keeps them equal.
 */

import {
  duration,
  durationOrNone,
  integer,
  optionalChoice,
  optionalDuration,
  optionalInteger,
  optionalText,
  optionalWord,
  secret,
  text,
  word
} from "./Setting.ts"
import { registry } from "./serveSettings.ts"

/** Where the catalogue is and what it calls things. */
const database = {
  databaseUrl: secret("DATABASE_URL", "postgres://user:password@host:port/database", {
    about: "The catalogue. Without it, an embedded PostgreSQL below DATA_DIRECTORY."
  }),
  databaseMaxConnections: integer("DATABASE_MAX_CONNECTIONS", 10, 2, 1000, {
    about: "Connections of this process: one for each delete batch in flight, and two more.",
    tooLow: "Delete batches wait for a connection to settle their rows.",
    tooHigh: "The server runs out of connections for the registry."
  }),
  databaseStatementTimeout: duration("DATABASE_STATEMENT_TIMEOUT", "30 seconds", "1 second", {
    about: "Longest a statement may run. A slice of 10,000 blobs takes tens of milliseconds.",
    tooLow: "Slices on a cold or busy server never finish; the sweep reports Contended.",
    tooHigh: "A stuck statement holds its locks for as long."
  }),
  databaseLockTimeout: duration("DATABASE_LOCK_TIMEOUT", "2 seconds", "10 millis", {
    about: "Longest a statement waits for a lock. Short, because the foreground shall win.",
    tooLow: "The collector gives up before short transactions have ended.",
    tooHigh: "Others queue behind the waiting collector, as behind any lock request."
  }),
  catalogSchema: text("CATALOG_SCHEMA", "public", { about: "Schema of the catalogue." }),
  catalogBlobsTable: text("CATALOG_BLOBS_TABLE", "blobs", {
    about: "Table with one row a blob. What refers to it is read from its foreign keys, never configured."
  }),
  catalogDigestColumn: text("CATALOG_DIGEST_COLUMN", "digest", {
    about: "Identity of a blob: unique, not null."
  }),
  catalogKeyColumn: text("CATALOG_KEY_COLUMN", "object_key", {
    about: "Name of the blob's object in the store: text, unique, not null."
  }),
  catalogSizeColumn: text("CATALOG_SIZE_COLUMN", "size_bytes", { about: "Size in bytes." }),
  catalogCreatedAtColumn: text("CATALOG_CREATED_AT_COLUMN", "created_at", {
    about: "When the blob was created: timestamp, not null."
  }),
  catalogLastUsedAtColumn: text("CATALOG_LAST_USED_AT_COLUMN", "last_used_at", {
    about:
      "When a writer last uploaded or found the blob: timestamp; `none` where the catalogue keeps no such time."
  }),
  collectorSchema: text("COLLECTOR_SCHEMA", "artifact_gc", {
    about: "Schema of the collector's own tables, created by `artifact-gc migrate`."
  }),
  registrySchema: text("REGISTRY_SCHEMA", "artifact_registry", {
    about:
      "Schema of the OCI registry's manifests and tags, created by `artifact-gc migrate --registry`. Where it is missing there is no registry, and nothing to collect from one."
  })
}

/** Where the bytes are. */
const storage = {
  s3Bucket: optionalText("S3_BUCKET", "bucket name", {
    about: "The bucket with the objects. Without it and FILES_DIRECTORY, files below DATA_DIRECTORY."
  }),
  s3Endpoint: optionalText("S3_ENDPOINT", "URL", {
    about: "Address of an S3 server other than AWS."
  }),
  s3ForcePathStyle: optionalChoice("S3_FORCE_PATH_STYLE", "true with S3_ENDPOINT", {
    about: "Whether the bucket goes into the path and not into the host name."
  }),
  s3Region: text("S3_REGION", "us-east-1", { about: "Region of the bucket; most other servers accept any." }),
  s3AccessKeyId: secret("S3_ACCESS_KEY_ID", "text", {
    about: "Access key. Without it, the AWS SDK's own chain: environment, profile, container, instance."
  }),
  s3SecretAccessKey: secret("S3_SECRET_ACCESS_KEY", "text", { about: "Its secret." }),
  s3SessionToken: secret("S3_SESSION_TOKEN", "text", {
    about: "Its session token, for temporary credentials."
  }),
  s3RequestTimeout: duration("S3_REQUEST_TIMEOUT", "30 seconds", "1 second", {
    about:
      "Longest a request may stay without an answer. A delete of 1000 keys takes seconds on slow stores.",
    tooLow: "Deletes that are under way are reported as failed and sent again.",
    tooHigh: "A hanging connection holds up its batch for as long."
  }),
  s3VersionedDelete: optionalWord("S3_VERSIONED_DELETE", ["markers", "versions"], {
    about:
      "What a delete does in a bucket with versions. `versions` deletes all versions of a key, which frees the bytes, cannot be undone and takes a listing a key. `markers` hides the object and leaves its bytes to the bucket's lifecycle rules. No default: only the owner of the bucket knows what the versions are for."
  }),
  filesDirectory: optionalText("FILES_DIRECTORY", "path", {
    about: "A directory used as the store instead of S3."
  }),
  dataDirectory: text("DATA_DIRECTORY", ".artifact-gc", {
    about: "Where the embedded PostgreSQL and files store keep their data, below the working directory."
  })
}

/** When to sweep. */
const schedule = {
  interval: duration("GC_INTERVAL", "1 hour", "1 second", {
    about: "From the end of one sweep to the beginning of the next. An hour, as the waits are hours.",
    tooLow: "The catalogue is scanned again and again to find that nothing changed.",
    tooHigh: "Garbage stays for up to this long beyond its waits, and sweeps are large."
  }),
  cron: optionalText("GC_CRON", "cron expression", {
    about: "Sweep at these times instead, e.g. `30 2 * * *`. What falls into a running sweep is passed over."
  }),
  window: optionalText("GC_WINDOW", "HH:MM-HH:MM", {
    about:
      "Hours of the day in which sweeps of `run` and `serve` may run, e.g. `22:00-06:00`: one that is due waits for them, one that is under way ends with them and is continued by the next. Without it, always.",
    tooLow: "Garbage grows faster than it is collected in so short a time."
  }),
  timeZone: text("GC_TIME_ZONE", "UTC", {
    about: "IANA time zone in which GC_CRON and GC_WINDOW are read."
  }),
  jitter: duration("GC_JITTER", "1 minute", "0 seconds", {
    about: "Up to this long is added to each wait, at random, so that replicas started together drift apart.",
    tooLow: "Replicas scan at the same moments.",
    tooHigh: "Sweeps begin at times nobody expects."
  }),
  shutdownDeadline: duration("GC_SHUTDOWN_DEADLINE", "25 seconds", "1 second", {
    about: "Longest the batch in hand may take to finish after SIGTERM. Kubernetes kills after 30 seconds.",
    tooLow: "Batches are cut off; their keys wait for their lease to end.",
    tooHigh: "The platform kills the process before it has ended by itself."
  })
}

/** What is garbage. */
const waits = {
  grace: duration("GC_GRACE", "1 hour", "0 seconds", {
    about:
      "An orphan waits this long from its last use, and from when a sweep first saw it unreferenced. An hour outlasts the time between a client's upload and the reference to it.",
    tooLow:
      "Blobs go between upload and reference; writers upload again (nothing that is referenced is lost).",
    tooHigh: "Garbage takes up space for longer."
  }),
  quarantine: optionalDuration("GC_QUARANTINE", "GC_GRACE", {
    about:
      "After the grace period the orphan is condemned, and waits this long before it is purged. Until then one reference saves it.",
    tooLow: "No time to notice a mistake; zero purges in the sweep that condemns.",
    tooHigh: "Garbage takes up space for longer. To outlast database backups, set it to their age."
  }),
  untaggedGrace: durationOrNone("GC_UNTAGGED_GRACE", "24 hours", "0 seconds", {
    about:
      "A manifest of the registry goes when for this long it had no tag, no index that lists it, no subject that exists, and nobody asked for it. A day: time to notice a tag that was moved or deleted by mistake, and to tag by digest. `none` keeps untagged manifests until somebody deletes them.",
    tooLow: "What is deployed by digest, after its tag moved on, is gone when it is pulled again.",
    tooHigh: "The layers of images that every build replaces take up space for longer."
  }),
  uploadPrefix: text("GC_UPLOAD_PREFIX", "uploads/", {
    about: "Objects below it are staged uploads, one session a folder."
  }),
  uploadGrace: duration("GC_UPLOAD_GRACE", "24 hours", "1 second", {
    about:
      "An upload session of the registry goes when for this long no byte of it came, a staged upload of another program when none of its objects was written, and an upload in parts when none of its parts was. A day outlasts slow pushes and retries.",
    tooLow: "Pushes that pause are cut off.",
    tooHigh: "Chunks of failed pushes take up space for longer."
  }),
  leftoverEvery: duration("GC_LEFTOVER_EVERY", "24 hours", "1 second", {
    about:
      "From the beginning of one search for leftovers to the next: all objects below GC_BLOB_PREFIX are listed, and those that nothing owns are journaled. A day, because a listing costs a request for every 1000 objects, and only rare faults leave anything to find.",
    tooLow: "The store is listed without end: 10,000 requests for each ten million objects.",
    tooHigh: "What a fault left behind takes up space for longer."
  }),
  leftoverGrace: duration("GC_LEFTOVER_GRACE", "24 hours", "0 seconds", {
    about:
      "An object that nothing owns is left alone until it is this old. Uploads that announce themselves need no such wait; a day outlasts uploads of programs that write the row after the bytes.",
    tooLow: "A program that knows nothing of intents loses the object between its upload and its row.",
    tooHigh: "Leftovers take up space for longer."
  }),
  deleteDelay: duration("GC_DELETE_DELAY", "0 seconds", "0 seconds", {
    about: "From the purge of a row to the deletion of its object.",
    tooLow:
      "Readers with presigned URLs lose the object; a fail-over to an asynchronous standby may bring back a row whose object is gone.",
    tooHigh: "The journal grows, and space comes back later."
  })
}

/** How much at a time. */
const sizes = {
  scanEvery: duration("GC_SCAN_EVERY", "7 days", "1 minute", {
    about:
      "Where references are watched (`migrate --watch-references`): from one scan of the whole catalogue to the next, for what no trigger noticed, such as a table that was emptied with its triggers off. A week, as such things are rare. Where they are not watched, every sweep scans it.",
    tooLow: "The catalogue is scanned again and again to find nothing.",
    tooHigh: "What went unnoticed stays for as long."
  }),
  scanPage: integer("GC_SCAN_PAGE", 10_000, 1, 1_000_000, {
    about: "Blobs a scan statement looks at: tens of milliseconds a statement.",
    tooLow: "Round trips dominate the scan.",
    tooHigh: "Statements of seconds, and memory for the orphans of a page."
  }),
  batch: integer("GC_BATCH", 1000, 1, 1000, {
    about: "Rows a transaction purges and keys a request deletes. 1000 is S3's limit.",
    tooLow: "Requests and transactions for few keys: 100 lose half the speed.",
    tooHigh: "Not possible: the store refuses more."
  }),
  deleteConcurrency: integer("GC_DELETE_CONCURRENCY", 8, 1, 256, {
    about:
      "Delete requests in flight at most. Eight hide 200 ms of latency at 36,000 keys a second. A sweep begins with two, comes up to it as the store answers, and halves them when the store asks to slow down.",
    tooLow: "The sweep waits for the store.",
    tooHigh: "The store answers SlowDown, and the registry's own requests suffer."
  }),
  keysPerSecond: optionalInteger("GC_KEYS_PER_SECOND", 1, 1_000_000, {
    about:
      "Keys a second that this collector asks the store to delete at most. No ceiling by default: the collector slows down when the store says so. AWS allows 3,500 writes a second for each prefix, and counts each key of a batch. With a ceiling, a batch is a tenth of a second's keys at most, which spares the database too.",
    tooLow: "Garbage grows faster than it is collected.",
    tooHigh: "The store asks to slow down before the ceiling is reached."
  }),
  requestsPerSecond: optionalInteger("GC_REQUESTS_PER_SECOND", 1, 100_000, {
    about:
      "Requests a second that this collector sends to the store at most: batches of deletes, pages of listings, aborts. A store without batches gets a request a key; there GC_KEYS_PER_SECOND is the ceiling.",
    tooLow: "Listing takes hours: a page has 1000 keys.",
    tooHigh: "The store's own limits come first."
  }),
  sweepMaxDeletes: integer("GC_SWEEP_MAX_DELETES", 1_000_000, 1, 1_000_000_000, {
    about: "Objects one sweep may delete; the next goes on where it ended.",
    tooLow: "Garbage grows faster than it is collected.",
    tooHigh: "A mistake in the references deletes more before somebody sees it."
  }),
  sweepMaxDuration: duration("GC_SWEEP_MAX_DURATION", "1 hour", "1 second", {
    about: "Longest a sweep goes on beginning new batches; the next goes on where it ended.",
    tooLow: "A scan takes many sweeps to come round.",
    tooHigh: "Sweeps run into busy hours."
  }),
  attemptsMax: integer("GC_ATTEMPTS_MAX", 12, 1, 1000, {
    about:
      "Failed deletions of one key before it becomes a dead letter: about a day with the default back-off. Failures of whole requests do not count.",
    tooLow: "Passing faults leave dead letters for a person to retry.",
    tooHigh: "A key that can never be deleted is tried for days before anybody is told."
  }),
  backoffBase: duration("GC_BACKOFF_BASE", "1 minute", "1 second", {
    about: "Wait after a key's first failed deletion; it doubles with each, ±20 %.",
    tooLow: "Attempts are used up within one fault of the store.",
    tooHigh: "Keys that failed once stay for long."
  }),
  backoffCap: duration("GC_BACKOFF_CAP", "6 hours", "1 second", {
    about: "Longest such wait.",
    tooLow: "A key that cannot be deleted is tried often.",
    tooHigh: "It is tried rarely after the fault is gone."
  }),
  lease: duration("GC_LEASE", "5 minutes", "30 seconds", {
    about:
      "How long keys being deleted are left to one collector. Longer than a request with all its retries.",
    tooLow: "Two collectors delete the same keys: harmless, and wasted.",
    tooHigh: "Keys of a collector that was killed wait for as long."
  }),
  blobPrefix: text("GC_BLOB_PREFIX", "blobs/", {
    about:
      "Where the blob store of this program puts new objects, and where leftovers are looked for: what lies below it and belongs to nothing in this catalogue goes. Two catalogues must not share it."
  })
}

/** What makes a sweep refuse, or stop before it deletes. */
const guards = {
  breakerBlobs: integer("GC_BREAKER_BLOBS", 100, 0, 1_000_000_000, {
    about:
      "The breaker opens when more blobs than this stand condemned, and with them more of the catalogue than GC_BREAKER_PERCENT. A hundred: small enough to guard a catalogue of five hundred, and below it a person would not be asked for anything worth the question. The search for leftovers goes by the same two numbers, of what it listed.",
    tooLow: "Ordinary clean-ups of small catalogues wait for `artifact-gc breaker --confirm`.",
    tooHigh: "A mistake in the references takes as many blobs, be they the whole catalogue."
  }),
  breakerPercent: integer("GC_BREAKER_PERCENT", 20, 0, 100, {
    about:
      "Percentage of all blobs, or of all bytes, that may stand condemned before the breaker opens. A fifth: clean-ups stay below it, a reference table that was emptied or forgotten does not. What a long quarantine holds counts too. 100 switches the breaker off.",
    tooLow: "Ordinary clean-ups wait for `artifact-gc breaker --confirm`.",
    tooHigh: "A mistake in the references takes as large a part of the catalogue."
  }),
  clockTolerance: duration("GC_CLOCK_TOLERANCE", "1 minute", "2 seconds", {
    about:
      "How far the clocks of this host, the database and the store may be apart. A minute is far beyond what NTP leaves, and short beside the waits.",
    tooLow: "Sweeps refuse over what the network and the store's whole seconds add.",
    tooHigh: "Waits end by as much too early or too late."
  }),
  mixedSettings: word("GC_MIXED_SETTINGS", ["refuse", "allow"], "refuse", {
    about:
      "What to do when another collector of this catalogue has other waits, prefixes or another store. `refuse`, because the shortest wait of all would be in force, and another store lacks the objects."
  }),
  collectorId: optionalText("GC_COLLECTOR_ID", "text", {
    about:
      "Name of this collector among those of the catalogue, each of which needs its own. Without it, host name and process."
  }),
  presence: optionalDuration(
    "GC_PRESENCE",
    "GC_INTERVAL + GC_JITTER + 2 × GC_SWEEP_MAX_DURATION, at least 10 minutes",
    {
      about:
        "How long after a sweep began a collector counts as at work, unless it says that it has stopped. Longer than from one sweep to the next.",
      tooLow: "Not possible: collectors would forget one another between sweeps.",
      tooHigh: "A collector that was killed holds up those with other settings for as long."
    }
  )
}

export const settings = { ...database, ...storage, ...schedule, ...waits, ...sizes, ...guards, ...registry }

/** The same, under headings, for documentation. */
export const sections = {
  Catalogue: database,
  Store: storage,
  Schedule: schedule,
  "What is garbage": waits,
  "How much at a time": sizes,
  Guards: guards,
  Registry: registry
}
