/**
 * The sweep's settings: names, forms, bounds, defaults and their reasons, each once.
 *
 * `SweepSettings` and `defaultSettings` (src/sweep/Settings.ts), the environment variables and flags (src/config/) and
 * the tables of README.md and docs/configuration.md are derived from this table.
 */
import { Duration } from "effect"
import {
  duration,
  durationOrNone,
  followingDuration,
  integer,
  optionalInteger,
  optionalText,
  optionalWord,
  text,
  word
} from "../domain/Setting.ts"

const grace = duration("GC_GRACE", "1 hour", "0 seconds", {
  about:
    "Time that an orphan waits from its last use, and from the first sweep that found it unreferenced. An hour outlasts the time between a client's upload and the reference to it.",
  tooLow:
    "Blobs are deleted between upload and reference, and writers upload them again. Referenced blobs are never deleted.",
  tooHigh: "Garbage uses space for longer."
})

/** Settings that decide what is garbage. */
export const waits = {
  grace,
  quarantine: followingDuration("GC_QUARANTINE", "GC_GRACE", grace.fallback, {
    about:
      "Time that a condemned blob waits before it is purged. An orphan is condemned after GC_GRACE, and one reference saves it until the purge.",
    tooLow: "Operators have no time to notice a mistake. With zero, the sweep that condemns also purges.",
    tooHigh: "Garbage uses space for longer. To outlast database backups, set it to their age."
  }),
  untaggedGrace: durationOrNone("GC_UNTAGGED_GRACE", "24 hours", "0 seconds", {
    about:
      "Time after which an unused untagged manifest of the registry is deleted. Unused means: for this long it had no tag, no index that lists it, no existing subject, and no client asked for it. A day lets an operator notice a tag that was moved or deleted by mistake, and tag the digest again. `none` keeps untagged manifests until a client deletes them.",
    tooLow: "An image that is deployed by digest is deleted after its tag moved, and its next pull fails.",
    tooHigh: "Layers of images that every build replaces use space for longer."
  }),
  referrers: word("GC_REFERRERS", ["keep", "with-subject"], "keep", {
    about:
      "What happens to tags that are about a manifest when the manifest is deleted: tags of its referrers (manifests whose `subject` it is), and cosign's tags `sha256-….sig`, `.att` and `.sbom`. `keep` leaves them until a client deletes them. `with-subject` removes them with the manifest, and what they named is deleted after GC_UNTAGGED_GRACE. Referrers without a tag are deleted with their subject in either case."
  }),
  uploadPrefix: text("GC_UPLOAD_PREFIX", "uploads/", {
    about:
      "Prefix of staged uploads, which the sweep deletes after GC_UPLOAD_GRACE. Each upload has a folder of its own below it. Beside a catalogue that existed before `migrate`, only names that an upload session can have are deleted: a UUID, or a folder of that name."
  }),
  uploadGrace: duration("GC_UPLOAD_GRACE", "24 hours", "1 second", {
    about:
      "Time without progress after which an unfinished upload is deleted. For an upload session of the registry it counts from the last byte. For a staged upload of another program it counts from the last object, and for an upload in parts from the last part. A day outlasts slow pushes and retries.",
    tooLow: "Pushes that pause are cut off.",
    tooHigh: "Chunks of failed pushes use space for longer."
  }),
  leftoverEvery: duration("GC_LEFTOVER_EVERY", "24 hours", "1 second", {
    about:
      "Time from the beginning of one search for leftovers to the beginning of the next. A search lists all objects below GC_BLOB_PREFIX and journals those that nothing owns. A day, because a search costs one request per 1000 objects and only rare faults leave leftovers.",
    tooLow: "The store is listed without pause: 10,000 requests for every ten million objects.",
    tooHigh: "Leftovers of a fault use space for longer."
  }),
  leftoverGrace: duration("GC_LEFTOVER_GRACE", "24 hours", "0 seconds", {
    about:
      "Age below which an object that nothing owns is not deleted. Announced uploads do not need this wait. A day outlasts uploads of programs that write the row after the bytes.",
    tooLow: "An unannounced writer loses its object between the upload and the row.",
    tooHigh: "Leftovers use space for longer."
  }),
  writerPatience: durationOrNone("GC_WRITER_PATIENCE", "1 hour", "1 second", {
    about:
      "Time that an unannounced writer may take from its look for a row, or its upload, to its insert of the row. It applies where the triggers against such writers are installed. Content that was collected longer ago is inserted again without a check. Transactions that are open longer are waited for. `none` checks such content for ever.",
    tooLow: "A writer that takes longer refers to a blob whose object is deleted.",
    tooHigh: "Content that returns within this time is refused until a collector has looked at its object."
  }),
  deleteDelay: duration("GC_DELETE_DELAY", "0 seconds", "0 seconds", {
    about: "Time from the purge of a row to the deletion of its object.",
    tooLow:
      "Readers with presigned URLs lose the object. After a fail-over to an asynchronous standby, a row may return whose object is deleted.",
    tooHigh: "The journal grows, and space is freed later."
  })
}

/** Settings that bound how much is done at a time. */
export const sizes = {
  scanEvery: duration("GC_SCAN_EVERY", "7 days", "1 minute", {
    about:
      "Time from one scan of the whole catalogue to the next, if references are watched (`migrate --watch-references`). A scan finds changes that no trigger recorded, such as a table that was emptied while its triggers were off. A week, because such changes are rare. If references are not watched, every sweep scans the catalogue.",
    tooLow: "Sweeps scan the catalogue again and again and find nothing.",
    tooHigh: "Unrecorded changes stay unnoticed for this long."
  }),
  scanPage: integer("GC_SCAN_PAGE", 10_000, 1, 1_000_000, {
    about: "Blobs that one scan statement reads. 10,000 take tens of milliseconds.",
    tooLow: "Round trips dominate the scan.",
    tooHigh: "Statements take seconds, and the orphans of a page need more memory."
  }),
  batchMax: integer("GC_BATCH", 1000, 1, 1000, {
    about: "Rows that one transaction purges, and keys that one request deletes. 1000 is S3's limit.",
    tooLow: "Requests and transactions carry few keys: with 100, half the speed is lost.",
    tooHigh: "Not possible: the store refuses more."
  }),
  deleteConcurrency: integer("GC_DELETE_CONCURRENCY", 8, 1, 256, {
    about:
      "Maximum number of delete requests in flight. Eight hide 200 ms of latency at 36,000 keys per second. A sweep begins with two, raises the number while the store answers, and halves it when the store asks to slow down.",
    tooLow: "The sweep waits for the store.",
    tooHigh: "The store answers SlowDown, and the registry's own requests are delayed."
  }),
  keysPerSecondMax: optionalInteger("GC_KEYS_PER_SECOND", 1, 1_000_000, {
    about:
      "Maximum number of keys per second that this collector asks the store to delete. By default there is no ceiling: the collector slows down when the store asks for it. AWS allows 3,500 writes per second per prefix, and counts each key of a batch. With a ceiling, a batch holds at most the keys of a tenth of a second, which spares the database too.",
    tooLow: "Garbage grows faster than it is collected.",
    tooHigh: "The store asks to slow down before the ceiling is reached."
  }),
  requestsPerSecondMax: optionalInteger("GC_REQUESTS_PER_SECOND", 1, 100_000, {
    about:
      "Maximum number of requests per second that this collector sends to the store: batches of deletes, pages of listings, aborts. A store without batches receives one request per key, and GC_KEYS_PER_SECOND is its ceiling.",
    tooLow: "Listing takes hours: a page has 1000 keys.",
    tooHigh: "The store's own limits apply first."
  }),
  maxDeletes: integer("GC_SWEEP_MAX_DELETES", 1_000_000, 1, 1_000_000_000, {
    about: "Maximum number of objects that one sweep deletes. The next sweep continues.",
    tooLow: "Garbage grows faster than it is collected.",
    tooHigh: "A mistake in the references deletes more before an operator sees it."
  }),
  maxDuration: duration("GC_SWEEP_MAX_DURATION", "1 hour", "1 second", {
    about: "Time after which a sweep begins no new batch. The next sweep continues.",
    tooLow: "A scan needs many sweeps to reach its end.",
    tooHigh: "Sweeps run into busy hours."
  }),
  history: duration("GC_HISTORY", "90 days", "1 hour", {
    about:
      "Time for which the reports of sweeps are kept in the database, for `artifact-gc history` and the status. A report takes about 1 KB (measured 2026-11-30), and no more than 20,000 are kept. Ninety days show a quarter.",
    tooLow: "When something went wrong can no longer be seen.",
    tooHigh: "Not harmful: the number of reports is bounded."
  }),
  attemptsMax: integer("GC_ATTEMPTS_MAX", 12, 1, 1000, {
    about:
      "Failed deletions of one key before it becomes a dead letter. With the default back-off, twelve take about a day. Failures of whole requests do not count.",
    tooLow: "Passing faults leave dead letters that an operator must retry.",
    tooHigh: "A key that cannot be deleted is retried for days before it is reported."
  }),
  backoffBase: duration("GC_BACKOFF_BASE", "1 minute", "1 second", {
    about: "Wait after a key's first failed deletion. It doubles with each further failure, ±20 %.",
    tooLow: "All attempts are used up during one fault of the store.",
    tooHigh: "Keys that failed once are deleted much later."
  }),
  backoffCap: duration("GC_BACKOFF_CAP", "6 hours", "1 second", {
    about: "Maximum wait between two attempts to delete a key.",
    tooLow: "A key that cannot be deleted is retried often.",
    tooHigh: "Retries stay rare after the fault is fixed."
  }),
  lease: duration("GC_LEASE", "5 minutes", "30 seconds", {
    about:
      "Time for which keys that are being deleted belong to one collector. It must be longer than a request with all its retries.",
    tooLow: "Two collectors delete the same keys, which is harmless but wasteful.",
    tooHigh: "Keys of a collector that was killed wait for this long."
  }),
  blobPrefix: text("GC_BLOB_PREFIX", "blobs/", {
    about:
      "Prefix under which the blob store writes objects, and the sweep deletes objects that nothing in this catalogue owns. Two catalogues must not share it."
  })
}

/** Settings that make a sweep refuse, or stop before it deletes. */
export const guards = {
  unannouncedWriters: optionalWord("GC_UNANNOUNCED_WRITERS", ["none", "guarded"], {
    about:
      "Which writers share the catalogue. `none`: every writer uses this package, or no other writer uses an object key twice. `guarded`: other writers do, and `migrate --guard-unannounced-writers` has installed the triggers that make this safe. Beside a catalogue that existed before `migrate` there is no default: sweeps refuse until one is given, because no row shows which writer inserted it. A catalogue that this program created defaults to `none`."
  }),
  breakerBlobs: integer("GC_BREAKER_BLOBS", 100, 0, 1_000_000_000, {
    about:
      "The breaker trips when more blobs than this are about to be lost, they are also more of the catalogue than GC_BREAKER_PERCENT, and that is not usual for it. A hundred is small enough to guard a catalogue of five hundred, and fewer blobs are not worth an operator's question. Manifests that lost their tags, and objects in a search for leftovers, are judged by the same two numbers.",
    tooLow: "Ordinary clean-ups of small catalogues wait for `artifact-gc breaker --confirm`.",
    tooHigh:
      "A mistake in the references deletes up to this many blobs, even if they are the whole catalogue."
  }),
  breakerPercent: integer("GC_BREAKER_PERCENT", 20, 0, 100, {
    about:
      "Percentage of all blobs, or of all bytes, that may be lost at once before the breaker trips. A fifth lets ordinary clean-ups pass, but not a reference table that was emptied or forgotten. Blobs that are purged within a day count, and what counts apart does not (docs/operations.md). 100 switches the breaker off.",
    tooLow: "Ordinary clean-ups wait for `artifact-gc breaker --confirm`.",
    tooHigh: "A mistake in the references deletes up to this part of the catalogue."
  }),
  clockTolerance: duration("GC_CLOCK_TOLERANCE", "1 minute", "2 seconds", {
    about:
      "Maximum difference between the clocks of this host, the database and the store. A minute is far more than NTP leaves, and short beside the waits.",
    tooLow: "Sweeps refuse over differences that the network and the store's whole seconds add.",
    tooHigh: "Waits end up to this much too early or too late."
  }),
  mixedSettings: word("GC_MIXED_SETTINGS", ["refuse", "allow"], "refuse", {
    about:
      "What to do when another collector of this catalogue has other waits, other prefixes or another store. `refuse`, because the shortest of all waits would be in force, and another store lacks the objects."
  }),
  collectorId: optionalText("GC_COLLECTOR_ID", "text", {
    about: "Name of this collector, unique in its catalogue. Without it, the name is host name and process."
  }),
  presence: followingDuration(
    "GC_PRESENCE",
    "GC_INTERVAL + GC_JITTER + 2 × GC_SWEEP_MAX_DURATION, at least 10 minutes",
    // An interval of an hour with its jitter of a minute, and twice the longest sweep.
    Duration.minutes(181),
    {
      about:
        "Time after the beginning of a sweep for which its collector counts as at work, unless it reports that it has stopped. It must be longer than the time from one sweep to the next.",
      tooLow: "Not possible: collectors would forget each other between sweeps.",
      tooHigh: "A collector that was killed blocks collectors with other settings for this long."
    }
  )
}

/** All settings of the sweep, by the names of `SweepSettings`. */
export const sweepSettings = { ...waits, ...sizes, ...guards }
