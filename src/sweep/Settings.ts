/**
 * The settings that a sweep runs with, and their defaults.
 *
 * The defaults, with reasons and bounds, are in src/sweep/settingsTable.ts alone. A test keeps the members of this
 * interface and the rows of that table equal. The members are written out here, because editors show no
 * docstrings of members that a mapped type derives.
 */
import { Array as Arr, type Duration, Effect, Result } from "effect"
import { closestTo } from "../domain/closest.ts"
import { fallbacksOf, type Setting, sentence } from "../domain/Setting.ts"
import { SettingsInvalid } from "../domain/SettingsInvalid.ts"
import { unfitting } from "./fitting.ts"
import { sweepSettings } from "./settingsTable.ts"

/** How the sweep behaves. docs/configuration.md explains the harm of values that are too low or too high. */
export interface SweepSettings {
  /**
   * How long an orphan waits from its last use and from its first sighting. Default 1 hour (GC_GRACE), which
   * outlasts the time between an upload and the reference to it.
   */
  readonly grace: Duration.Duration
  /**
   * How long a condemned blob waits before its purge. Default GC_GRACE (GC_QUARANTINE): until then one
   * reference saves the blob.
   */
  readonly quarantine: Duration.Duration
  /**
   * Age at which an unused untagged manifest is deleted; null keeps it. Default 24 hours (GC_UNTAGGED_GRACE),
   * in which an operator can notice a mistake.
   */
  readonly untaggedGrace: Duration.Duration | null
  /**
   * Whether tags that are about a manifest are removed when it is deleted: those of its referrers and of cosign. Default `keep`
   * (GC_REFERRERS), because a signature may be wanted without its image.
   */
  readonly referrers: "keep" | "with-subject"
  /** Prefix of staged uploads: `<prefix><upload>/…`. Default `uploads/` (GC_UPLOAD_PREFIX). */
  readonly uploadPrefix: string
  /**
   * How long an unfinished upload may make no progress. Default 24 hours (GC_UPLOAD_GRACE), which outlasts
   * slow pushes and retries.
   */
  readonly uploadGrace: Duration.Duration
  /**
   * Time between the beginnings of two searches for leftovers. Default 24 hours (GC_LEFTOVER_EVERY), because
   * a search lists the store.
   */
  readonly leftoverEvery: Duration.Duration
  /**
   * Age below which an object that nothing owns is not deleted. Default 24 hours (GC_LEFTOVER_GRACE), which
   * outlasts the uploads of unannounced writers.
   */
  readonly leftoverGrace: Duration.Duration
  /**
   * How long an unannounced writer may take from its look or upload to its insert; null is for ever. Default
   * 1 hour (GC_WRITER_PATIENCE), which outlasts a slow upload.
   */
  readonly writerPatience: Duration.Duration | null
  /** Time from the purge of a row to the deletion of its object. Default 0 seconds (GC_DELETE_DELAY). */
  readonly deleteDelay: Duration.Duration
  /**
   * Time between two scans of the catalogue where references are watched. Default 7 days (GC_SCAN_EVERY),
   * because changes that no trigger recorded are rare.
   */
  readonly scanEvery: Duration.Duration
  /** Blobs that one scan statement reads. Default 10000 (GC_SCAN_PAGE), which takes tens of milliseconds. */
  readonly scanPage: number
  /**
   * Rows per transaction and keys per delete request. Default 1000 (GC_BATCH): S3's limit, and the maximum.
   */
  readonly batchMax: number
  /**
   * Maximum delete requests in flight; fewer while the store asks to slow down. Default 8
   * (GC_DELETE_CONCURRENCY), which hides 200 ms of latency.
   */
  readonly deleteConcurrency: number
  /**
   * Maximum keys per second to delete; null is no ceiling. Default none (GC_KEYS_PER_SECOND), because the
   * store says when to slow down.
   */
  readonly keysPerSecondMax: number | null
  /** Maximum requests per second to the store; null is no ceiling. Default none (GC_REQUESTS_PER_SECOND). */
  readonly requestsPerSecondMax: number | null
  /** Maximum objects that one sweep deletes. Default 1000000 (GC_SWEEP_MAX_DELETES). */
  readonly maxDeletes: number
  /** Time after which a sweep begins no new batch. Default 1 hour (GC_SWEEP_MAX_DURATION). */
  readonly maxDuration: Duration.Duration
  /** How long the reports of sweeps are kept. Default 90 days (GC_HISTORY), which show a quarter. */
  readonly history: Duration.Duration
  /**
   * Failed attempts after which a key becomes a dead letter. Default 12 (GC_ATTEMPTS_MAX): about a day of
   * back-off.
   */
  readonly attemptsMax: number
  /** Wait after a key's first failed deletion; it doubles with each. Default 1 minute (GC_BACKOFF_BASE). */
  readonly backoffBase: Duration.Duration
  /** Maximum wait between two attempts to delete a key. Default 6 hours (GC_BACKOFF_CAP). */
  readonly backoffCap: Duration.Duration
  /**
   * How long a leased key belongs to one collector. Default 5 minutes (GC_LEASE), which is longer than a
   * request with all its retries.
   */
  readonly lease: Duration.Duration
  /** Prefix of blobs; objects below it that nothing owns are leftovers. Default `blobs/` (GC_BLOB_PREFIX). */
  readonly blobPrefix: string
  /**
   * Which writers share the catalogue; null is not said. Default none (GC_UNANNOUNCED_WRITERS): a sweep then
   * refuses beside a catalogue that existed before `migrate`, unless the triggers are installed.
   */
  readonly unannouncedWriters: "none" | "guarded" | null
  /**
   * Condemned blobs above which the breaker may trip. Default 100 (GC_BREAKER_BLOBS), because fewer are not
   * worth an operator's question.
   */
  readonly breakerBlobs: number
  /**
   * Percentage of blobs or bytes above which the breaker may trip. Default 20 (GC_BREAKER_PERCENT), which
   * lets ordinary clean-ups pass.
   */
  readonly breakerPercent: number
  /**
   * Maximum difference between the clocks of host, database and store. Default 1 minute (GC_CLOCK_TOLERANCE),
   * which is far more than NTP leaves.
   */
  readonly clockTolerance: Duration.Duration
  /**
   * What to do about a collector with other settings. Default `refuse` (GC_MIXED_SETTINGS), because the
   * shortest of all waits would apply.
   */
  readonly mixedSettings: "refuse" | "allow"
  /**
   * Name of this collector in its catalogue; null takes host name and process. Default none
   * (GC_COLLECTOR_ID).
   */
  readonly collectorId: string | null
  /**
   * How long after the beginning of a sweep its collector counts as at work. Default 181 minutes
   * (GC_PRESENCE), and with a `Collector` what its schedule needs. It must be longer than the time from one sweep
   * to the next.
   */
  readonly presence: Duration.Duration
  /**
   * Expected number of objects from which collectors share a search for leftovers, and each lists several
   * ranges at once. Default 100,000: a hundred requests, and a shorter search is not worth sharing. It has no
   * environment variable.
   */
  readonly leftoverCutFrom: number
}

/** The settings of a sweep for which nothing is given. */
export const defaultSettings: SweepSettings = { ...fallbacksOf(sweepSettings), leftoverCutFrom: 100_000 }

/** The form in which a program gives a setting: durations in every form that effect reads, such as `"2 hours"`. */
type Given<Value> = Value extends Duration.Duration ? Duration.Input : Value

/** Settings as a program gives them. All may be absent, and undefined is absent. */
export type SettingsInput = {
  readonly [Name in keyof SweepSettings]?: Given<SweepSettings[Name]> | undefined
}

/** Settings that were checked, and which of those that follow others were given. */
export interface Checked {
  /** All settings, with defaults for those that were not given. */
  readonly settings: SweepSettings
  /** Whether `presence` was given. Otherwise it follows the schedule. */
  readonly givesPresence: boolean
}

/**
 * Returns the settings with all defaults filled in. Checks them by the same table as the program checks its environment.
 * Fails with `SettingsInvalid`, which lists every problem by the name of its property.
 *
 * ```ts
 * Settings.make({ grace: "2 hours", keysPerSecondMax: 500 })
 * ```
 */
export const make = (values: SettingsInput = {}): Effect.Effect<SweepSettings, SettingsInvalid> =>
  Effect.map(check(values), ({ settings }) => settings)

/** Does the same, and says what was given. */
export const check = (values: SettingsInput): Effect.Effect<Checked, SettingsInvalid> =>
  Effect.suspend(() => {
    const problems: Array<string> = []
    const settings = read(values, problems)
    problems.push(...unfitting(settings, (name) => name))
    return Arr.isArrayNonEmpty(problems)
      ? Effect.fail(new SettingsInvalid({ problems }))
      : Effect.succeed({ settings, givesPresence: values.presence !== undefined })
  })

const table: Readonly<Record<string, Setting<unknown>>> = sweepSettings

/** The setting without an environment variable. */
const leftoverCutFrom = "leftoverCutFrom"

const read = (values: SettingsInput, problems: Array<string>): SweepSettings => {
  const settings: Record<string, unknown> = { ...defaultSettings }
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue
    const setting = table[name]
    if (setting !== undefined) {
      const judged = setting.judge(value)
      if (Result.isSuccess(judged)) settings[name] = judged.success
      else problems.push(`${name}: ${sentence(judged.failure, setting.form)}`)
    } else if (name !== leftoverCutFrom) {
      const meant = closestTo(name, Object.keys(defaultSettings))
      problems.push(`${name}: not a setting${meant === null ? "" : `. Did you mean ${meant}?`}`)
    } else if (Number.isSafeInteger(value) && Number(value) >= 1) settings[name] = value
    else problems.push(`${name}: write a whole number of at least 1`)
  }
  if (values.quarantine === undefined) settings.quarantine = settings.grace
  return settings as unknown as SweepSettings
}
