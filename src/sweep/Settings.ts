/** How the sweep behaves. What each number means, and what goes wrong when it is too low or too high: src/Config.ts. */
import { Duration } from "effect"

export interface SweepSettings {
  /** Objects below it are staged uploads: `<prefix><session>/…`. */
  readonly uploadPrefix: string
  readonly uploadGrace: Duration.Duration
  readonly grace: Duration.Duration
  readonly quarantine: Duration.Duration
  /** From purge to delete. */
  readonly deleteDelay: Duration.Duration
  /** Blobs a scan statement looks at. */
  readonly scanPage: number
  /** Rows a transaction, keys a request. At most 1000, S3's limit. */
  readonly batchMax: number
  readonly deleteConcurrency: number
  /** Objects one sweep may delete. */
  readonly maxDeletes: number
  readonly maxDuration: Duration.Duration
  /** Failed attempts after which a key becomes a dead letter. */
  readonly attemptsMax: number
  readonly backoffBase: Duration.Duration
  readonly backoffCap: Duration.Duration
  /** How long a leased key is left to the collector that leased it. */
  readonly lease: Duration.Duration
}

export const defaultSettings: SweepSettings = {
  uploadPrefix: "uploads/",
  uploadGrace: Duration.hours(24),
  grace: Duration.hours(1),
  quarantine: Duration.hours(1),
  deleteDelay: Duration.zero,
  scanPage: 10_000,
  batchMax: 1000,
  deleteConcurrency: 8,
  maxDeletes: 1_000_000,
  maxDuration: Duration.hours(1),
  attemptsMax: 12,
  backoffBase: Duration.minutes(1),
  backoffCap: Duration.hours(6),
  lease: Duration.minutes(5)
}
