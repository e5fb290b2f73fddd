/**
 * The program's settings: read from flags and environment, judged all at once, and turned into what each part needs.
 *
 * What every setting means stands in config/settings.ts. Values never appear in an error.
 */

import type { Config } from "effect"
import {
  ConfigProvider,
  Cron,
  DateTime,
  Duration,
  Effect,
  Option,
  Redacted,
  Result,
  Schema,
  SchemaIssue
} from "effect"
import type { CatalogNames } from "../domain/CatalogNames.ts"
import type { When } from "../sweep/Collector.ts"
import { defaultSettings, type SweepSettings } from "../sweep/Settings.ts"
import type { Window } from "../sweep/Window.ts"
import { type RegistryConfiguration, registryOf } from "./ServeConfig.ts"
import { settings } from "./settings.ts"

/** The settings cannot be used; `problems` has one line for each, beginning with the variable's name. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  override get message(): string {
    return `Invalid configuration:\n${this.problems.map((problem) => `  ${problem}`).join("\n")}\nEvery setting is explained in docs/configuration.md.`
  }
}

type Values = { readonly [K in keyof typeof settings]: Config.Success<(typeof settings)[K]["config"]> }

/** Where the collector works. */
export type Place =
  | {
      readonly _tag: "Embedded"
      readonly directory: string
      /** Whether what was acknowledged survives a power cut. Only the demonstration does without. */
      readonly durable: boolean
    }
  | { readonly _tag: "External"; readonly databaseUrl: Redacted.Redacted; readonly store: Store }

export type Store =
  | { readonly _tag: "Files"; readonly directory: string }
  | {
      readonly _tag: "S3"
      readonly bucket: string
      readonly region: string
      readonly endpoint: string | undefined
      readonly forcePathStyle: boolean | undefined
      readonly credentials: Credentials | undefined
      readonly requestTimeout: Duration.Duration
      readonly versionedDelete: "markers" | "versions" | undefined
    }

interface Credentials {
  readonly accessKeyId: Redacted.Redacted
  readonly secretAccessKey: Redacted.Redacted
  readonly sessionToken?: Redacted.Redacted
}

export interface Configuration {
  readonly place: Place
  readonly database: {
    readonly maxConnections: number
    readonly statementTimeout: Duration.Duration
    readonly lockTimeout: Duration.Duration
  }
  readonly names: CatalogNames
  readonly sweep: SweepSettings
  readonly when: When
  readonly jitter: Duration.Duration
  /** Undefined: always. */
  readonly window: Window | undefined
  readonly shutdownDeadline: Duration.Duration
  readonly blobPrefix: string
  readonly registry: RegistryConfiguration
}

/** Reads all settings from the present `ConfigProvider`. Fails with every problem at once. */
export const load: Effect.Effect<Configuration, ConfigInvalid> = Effect.gen(function* () {
  const values: Record<string, unknown> = {}
  const problems: Array<string> = []
  for (const [name, setting] of Object.entries(settings)) {
    const result = yield* Effect.result(setting.config as Config.Config<unknown>)
    if (Result.isFailure(result))
      problems.push(`${setting.env}: ${reasonOf(result.failure)}; write ${setting.form}`)
    // A default stands in for what is wrong, so that what no setting can judge alone is judged all the same.
    values[name] = Result.isSuccess(result)
      ? result.success
      : yield* Effect.orDie((setting.config as Config.Config<unknown>).parse(nothing))
  }
  const configuration = assemble(values as Values, problems)
  if (configuration !== null && problems.length === 0) return configuration
  return yield* new ConfigInvalid({ problems: problems as [string, ...Array<string>] })
})

const nothing = ConfigProvider.fromUnknown({})

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const reasonOf = (error: Config.ConfigError): string =>
  error.cause._tag === "SchemaError"
    ? format(error.cause.issue)
        .issues.map((issue) => issue.message)
        .join("; ")
    : error.cause.message

/** Judges what no setting can judge alone. Adds to `problems` what is wrong. */
const assemble = (values: Values, problems: Array<string>): Configuration | null => {
  const place = placeOf(values, problems)
  const when = whenOf(values, problems)
  const window = windowOf(values, problems)
  const sweep = sweepOf(values, when)
  if (Duration.isLessThan(values.backoffCap, values.backoffBase)) {
    problems.push("GC_BACKOFF_CAP: must not be less than GC_BACKOFF_BASE")
  }
  if (Duration.isLessThan(values.lease, Duration.times(values.s3RequestTimeout, 2))) {
    problems.push(
      "GC_LEASE: must be at least twice S3_REQUEST_TIMEOUT, or leases end while requests are under way"
    )
  }
  for (const [env, prefix] of [
    ["GC_UPLOAD_PREFIX", values.uploadPrefix],
    ["GC_BLOB_PREFIX", values.blobPrefix]
  ] as const) {
    if (!prefix.endsWith("/")) problems.push(`${env}: must end in "/", or it would take in its neighbours`)
  }
  if (
    values.blobPrefix.startsWith(values.uploadPrefix) ||
    values.uploadPrefix.startsWith(values.blobPrefix)
  ) {
    problems.push(
      "GC_BLOB_PREFIX: must not overlap GC_UPLOAD_PREFIX, or blobs would look like staged uploads"
    )
  }
  if (when !== null && values.presence !== null) {
    const least = Duration.sum(longestWait(values, when), values.sweepMaxDuration)
    if (Duration.isLessThan(values.presence, least)) {
      problems.push(
        "GC_PRESENCE: must not be less than from one sweep to the next (GC_INTERVAL or GC_CRON, GC_JITTER, GC_SWEEP_MAX_DURATION), or collectors would forget one another"
      )
    }
  }
  const registry = registryOf(values, problems)
  if (place === null || when === null) return null
  return {
    place,
    when,
    sweep,
    names: {
      schema: values.catalogSchema,
      blobsTable: values.catalogBlobsTable,
      digestColumn: values.catalogDigestColumn,
      keyColumn: values.catalogKeyColumn,
      sizeColumn: values.catalogSizeColumn,
      createdAtColumn: values.catalogCreatedAtColumn,
      lastUsedAtColumn: values.catalogLastUsedAtColumn === "none" ? null : values.catalogLastUsedAtColumn,
      collectorSchema: values.collectorSchema,
      registrySchema: values.registrySchema
    },
    database: {
      maxConnections: values.databaseMaxConnections,
      statementTimeout: values.databaseStatementTimeout,
      lockTimeout: values.databaseLockTimeout
    },
    jitter: values.jitter,
    window,
    shutdownDeadline: values.shutdownDeadline,
    blobPrefix: values.blobPrefix,
    registry
  }
}

/**
 * A catalogue and a store belong together. An embedded, empty catalogue over somebody's real bucket would take
 * everything in it for garbage, so half a configuration is refused.
 */
const placeOf = (values: Values, problems: Array<string>): Place | null => {
  const { databaseUrl, s3Bucket, filesDirectory } = values
  if (s3Bucket !== null && filesDirectory !== null) {
    problems.push("S3_BUCKET: set either S3_BUCKET or FILES_DIRECTORY, not both")
  }
  if (databaseUrl !== null && !isUrl(Redacted.value(databaseUrl), ["postgres:", "postgresql:"])) {
    problems.push(
      `DATABASE_URL: not a postgres URL; write ${settings.databaseUrl.form}, special characters percent-encoded`
    )
  }
  const store = storeOf(values, problems)
  if (databaseUrl === null && store === null)
    return { _tag: "Embedded", directory: values.dataDirectory, durable: true }
  if (databaseUrl === null) {
    problems.push(
      "DATABASE_URL: missing, although a store is configured; an empty catalogue would make all of it look like garbage"
    )
    return null
  }
  if (store === null) {
    problems.push(
      "S3_BUCKET: missing, although DATABASE_URL is set; name the store with S3_BUCKET or FILES_DIRECTORY"
    )
    return null
  }
  return { _tag: "External", databaseUrl, store }
}

/** Known at once, and not only when somebody connects. */
const isUrl = (text: string, protocols: ReadonlyArray<string>): boolean =>
  URL.canParse(text) && protocols.includes(new URL(text).protocol)

const storeOf = (values: Values, problems: Array<string>): Store | null => {
  const {
    s3AccessKeyId: accessKeyId,
    s3SecretAccessKey: secretAccessKey,
    s3SessionToken: sessionToken
  } = values
  if ((accessKeyId === null) !== (secretAccessKey === null)) {
    problems.push("S3_SECRET_ACCESS_KEY: S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY go together")
  }
  if (values.s3Endpoint !== null && !isUrl(values.s3Endpoint, ["http:", "https:"])) {
    problems.push("S3_ENDPOINT: not an http or https URL; write https://host:port")
  }
  if (values.filesDirectory !== null) return { _tag: "Files", directory: values.filesDirectory }
  if (values.s3Bucket === null) {
    // Somebody who names an endpoint or keys means S3, and must not find himself on the embedded defaults.
    if (values.s3Endpoint !== null || accessKeyId !== null || sessionToken !== null) {
      problems.push("S3_BUCKET: missing, although S3_ENDPOINT or S3 keys are set")
    }
    return null
  }
  if (sessionToken !== null && accessKeyId === null) {
    problems.push("S3_SESSION_TOKEN: goes with S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY")
  }
  return {
    _tag: "S3",
    bucket: values.s3Bucket,
    region: values.s3Region,
    endpoint: values.s3Endpoint ?? undefined,
    forcePathStyle: values.s3ForcePathStyle ?? undefined,
    credentials:
      accessKeyId === null || secretAccessKey === null
        ? undefined
        : { accessKeyId, secretAccessKey, ...(sessionToken === null ? {} : { sessionToken }) },
    requestTimeout: values.s3RequestTimeout,
    versionedDelete: values.s3VersionedDelete ?? undefined
  }
}

const whenOf = (values: Values, problems: Array<string>): When | null => {
  const zone = DateTime.zoneMakeNamed(values.timeZone)
  if (Option.isNone(zone)) problems.push("GC_TIME_ZONE: not an IANA time zone (such as Europe/Berlin)")
  if (values.cron === null) return { _tag: "interval", interval: values.interval }
  const cron = Cron.parse(values.cron, Option.getOrUndefined(zone))
  if (Result.isFailure(cron)) {
    problems.push(`GC_CRON: ${cron.failure.message} (expected a cron expression such as "30 2 * * *")`)
    return null
  }
  if (!comes(cron.success)) problems.push("GC_CRON: no day matches it (the 31st of February, say)")
  return { _tag: "cron", cron: cron.success }
}

/** Two daily times. Equal ones would be never or always, and nobody could tell which. */
const windowOf = (values: Values, problems: Array<string>): Window | undefined => {
  if (values.window === null) return undefined
  const zone = Option.getOrUndefined(DateTime.zoneMakeNamed(values.timeZone))
  const times = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(values.window)
  const [, fromHour, fromMinute, toHour, toMinute] = times ?? []
  if (times === null || (fromHour === toHour && fromMinute === toMinute)) {
    problems.push("GC_WINDOW: write two different times of the day, such as 22:00-06:00")
    return undefined
  }
  return {
    opens: Cron.parseUnsafe(`${fromMinute} ${fromHour} * * *`, zone),
    closes: Cron.parseUnsafe(`${toMinute} ${toHour} * * *`, zone)
  }
}

const comes = (cron: Cron.Cron): boolean => {
  try {
    Cron.next(cron, new Date(0))
    return true
  } catch {
    return false
  }
}

/** How many times of a cron expression are looked at for its longest wait: enough for every hour of four days. */
const cronTimes = 100

/** From the end of one sweep to the beginning of the next, at the longest. */
const longestWait = ({ jitter, window }: Values, when: When): Duration.Duration => {
  // Whatever is due waits for the window, less than a day.
  const later = Duration.sum(jitter, window === null ? Duration.zero : Duration.days(1))
  if (when._tag === "interval") return Duration.sum(when.interval, later)
  let longest = 0
  if (comes(when.cron)) {
    let at = Cron.next(when.cron, new Date(0))
    for (let n = 0; n < cronTimes; n++) {
      const next = Cron.next(when.cron, at)
      longest = Math.max(longest, next.getTime() - at.getTime())
      at = next
    }
  }
  return Duration.sum(Duration.millis(longest), later)
}

const presenceMin = Duration.minutes(10)

/** Twice the longest sweep, because the bound ends none in the middle of a batch. */
const presenceOf = (values: Values, when: When): Duration.Duration =>
  Duration.max(
    Duration.sum(longestWait(values, when), Duration.times(values.sweepMaxDuration, 2)),
    presenceMin
  )

const sweepOf = (values: Values, when: When | null): SweepSettings => ({
  ...defaultSettings,
  untaggedGrace: values.untaggedGrace,
  uploadPrefix: values.uploadPrefix,
  uploadGrace: values.uploadGrace,
  blobPrefix: values.blobPrefix,
  leftoverEvery: values.leftoverEvery,
  leftoverGrace: values.leftoverGrace,
  grace: values.grace,
  quarantine: values.quarantine ?? values.grace,
  deleteDelay: values.deleteDelay,
  scanEvery: values.scanEvery,
  scanPage: values.scanPage,
  batchMax: values.batch,
  deleteConcurrency: values.deleteConcurrency,
  keysPerSecondMax: values.keysPerSecond,
  requestsPerSecondMax: values.requestsPerSecond,
  maxDeletes: values.sweepMaxDeletes,
  maxDuration: values.sweepMaxDuration,
  attemptsMax: values.attemptsMax,
  backoffBase: values.backoffBase,
  backoffCap: values.backoffCap,
  lease: values.lease,
  breakerBlobs: values.breakerBlobs,
  breakerPercent: values.breakerPercent,
  clockTolerance: values.clockTolerance,
  mixedSettings: values.mixedSettings,
  collectorId: values.collectorId,
  presence: values.presence ?? (when === null ? defaultSettings.presence : presenceOf(values, when))
})
