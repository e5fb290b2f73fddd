/** How the sweep behaves. What each number means, and what goes wrong when it is too low or too high: src/config/Config.ts. */
import { Duration } from "effect"

export interface SweepSettings {
  /** Objects below it are staged uploads: `<prefix><session>/…`. */
  readonly uploadPrefix: string
  readonly uploadGrace: Duration.Duration
  /** Objects below it are blobs; those that nothing owns are leftovers. */
  readonly blobPrefix: string
  /** A manifest that nothing needs goes after so long; null keeps it. */
  readonly untaggedGrace: Duration.Duration | null
  /** From the beginning of one search for leftovers to the next. */
  readonly leftoverEvery: Duration.Duration
  /** Where a search is expected to list so many objects, collectors share it, and each lists several ranges at once. */
  readonly leftoverCutFrom: number
  /** An object that nothing owns is left alone for so long after it was written. */
  readonly leftoverGrace: Duration.Duration
  readonly grace: Duration.Duration
  readonly quarantine: Duration.Duration
  /** From purge to delete. */
  readonly deleteDelay: Duration.Duration
  /** From one scan of the whole catalogue to the next, where references are watched. */
  readonly scanEvery: Duration.Duration
  /** Blobs a scan statement looks at. */
  readonly scanPage: number
  /** Rows a transaction, keys a request. At most 1000, S3's limit. */
  readonly batchMax: number
  /** Delete requests in flight at most; fewer while the store asks to slow down. */
  readonly deleteConcurrency: number
  /** Keys a second that this collector asks to be deleted at most, and requests a second it sends; null is no ceiling. */
  readonly keysPerSecondMax: number | null
  readonly requestsPerSecondMax: number | null
  /** Objects one sweep may delete. */
  readonly maxDeletes: number
  readonly maxDuration: Duration.Duration
  /** Failed attempts after which a key becomes a dead letter. */
  readonly attemptsMax: number
  readonly backoffBase: Duration.Duration
  readonly backoffCap: Duration.Duration
  /** How long a leased key is left to the collector that leased it. */
  readonly lease: Duration.Duration
  /** More condemned blobs than this, and more than this percentage of blobs or bytes, trip the breaker. */
  readonly breakerBlobs: number
  readonly breakerPercent: number
  /** How far the clocks of host, database and store may be apart. */
  readonly clockTolerance: Duration.Duration
  /** What to do about a collector with other settings. */
  readonly mixedSettings: "refuse" | "allow"
  /** This collector's name among others; null is host name and process. */
  readonly collectorId: string | null
  /** How long after a sweep began this collector counts as at work: longer than from one sweep to the next. */
  readonly presence: Duration.Duration
}

export const defaultSettings: SweepSettings = {
  uploadPrefix: "uploads/",
  uploadGrace: Duration.hours(24),
  blobPrefix: "blobs/",
  untaggedGrace: Duration.hours(24),
  leftoverEvery: Duration.hours(24),
  // A hundred requests: below that there is nothing to share.
  leftoverCutFrom: 100_000,
  leftoverGrace: Duration.hours(24),
  grace: Duration.hours(1),
  quarantine: Duration.hours(1),
  deleteDelay: Duration.zero,
  scanEvery: Duration.days(7),
  scanPage: 10_000,
  batchMax: 1000,
  deleteConcurrency: 8,
  keysPerSecondMax: null,
  requestsPerSecondMax: null,
  maxDeletes: 1_000_000,
  maxDuration: Duration.hours(1),
  attemptsMax: 12,
  backoffBase: Duration.minutes(1),
  backoffCap: Duration.hours(6),
  lease: Duration.minutes(5),
  breakerBlobs: 100,
  breakerPercent: 20,
  clockTolerance: Duration.minutes(1),
  mixedSettings: "refuse",
  collectorId: null,
  // An interval of an hour with its jitter of a minute, and twice the longest sweep.
  presence: Duration.minutes(181)
}
