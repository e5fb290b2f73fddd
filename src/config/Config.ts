/**
 * The program's settings: read from flags and environment, checked all at once, and turned into what each part needs.
 *
 * config/settings.ts and sweep/settingsTable.ts say what each setting means. Values never appear in an error.
 */
import {
  type Config,
  ConfigProvider,
  DateTime,
  Duration,
  Effect,
  Option,
  type Redacted,
  Result,
  Schema
} from "effect"
import { type CatalogNames, columnNameOf } from "../domain/CatalogNames.ts"
import * as Setting from "../domain/Setting.ts"
import { unfitting } from "../sweep/fitting.ts"
import { defaultSettings, type SweepSettings } from "../sweep/Settings.ts"
import { sweepSettings } from "../sweep/settingsTable.ts"
import type { When } from "../sweep/When.ts"
import type { Window } from "../sweep/Window.ts"
import { nameProblems } from "./Names.ts"
import { type OpsConfiguration, opsOf } from "./OpsConfig.ts"
import { type Place, placeOf } from "./Place.ts"
import { readSecret, type SecretFiles, unread } from "./SecretFiles.ts"
import { type ServeConfiguration, serveOf } from "./ServeConfig.ts"
import { settings, type Values } from "./settings.ts"
import { presenceOf, timetableOf } from "./Timetable.ts"

export type { Place, Store } from "./Place.ts"

/** Says that the settings cannot be used. Each line of `problems` begins with the variable's name. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  override get message(): string {
    return `Invalid configuration; nothing was done:\n${this.problems.map((problem) => `  ${problem}`).join("\n")}\nEvery setting is explained in docs/configuration.md.`
  }
}

/** The settings of the whole program, checked. */
export interface Configuration {
  /** Catalogue and store. */
  readonly place: Place
  /** Files that secrets were read from, by the setting. */
  readonly secretFiles: SecretFiles
  /** Limits of the connection pool and of statements. */
  readonly database: {
    readonly maxConnections: number
    readonly statementTimeout: Duration.Duration
    readonly lockTimeout: Duration.Duration
  }
  /** Names of schemas, tables and columns. */
  readonly names: CatalogNames
  /** Path of the file of retention rules; null without. */
  readonly retentionFile: string | null
  /** What the sweep runs with. */
  readonly sweep: SweepSettings
  /** Schedule of `run` and `serve`. */
  readonly when: When
  /** Maximum random time added to each wait of the schedule. */
  readonly jitter: Duration.Duration
  /** Hours in which sweeps may run; undefined is always. */
  readonly window: Window | undefined
  /** Zone of a window that operators set in the database. */
  readonly zone: string
  /** Whether GC_PRESENCE was given. Otherwise it follows the schedule. */
  readonly givesPresence: boolean
  /** Maximum time that the current batch may take to finish after SIGTERM. */
  readonly shutdownDeadline: Duration.Duration
  /** Prefix under which the blob store writes objects. */
  readonly blobPrefix: string
  /** What `serve` runs with. */
  readonly serve: ServeConfiguration
  /** Port for operators; null without one. */
  readonly ops: OpsConfiguration | null
  /** Form of the log; null lets the terminal decide. */
  readonly logFormat: "json" | "text" | null
}

/** Settings that were read. */
export interface Read {
  /** The settings, with defaults in place of wrong values; null if no place or schedule follows from them. */
  readonly configuration: Configuration | null
  /** The problems, each beginning with the variable's name. */
  readonly problems: ReadonlyArray<string>
}

/** Reads all settings from the current `ConfigProvider`. Fails with every problem at once. */
export const load: Effect.Effect<Configuration, ConfigInvalid> = Effect.suspend(() =>
  Effect.flatMap(read, ({ configuration, problems }) =>
    configuration !== null && problems.length === 0
      ? Effect.succeed(configuration)
      : Effect.fail(new ConfigInvalid({ problems: problems as [string, ...Array<string>] }))
  )
)

/** Does the same, and returns what could be read beside the problems. Never use it to sweep. */
export const read: Effect.Effect<Read> = Effect.gen(function* () {
  const values: Record<string, unknown> = {}
  const problems: Array<string> = []
  for (const [name, setting] of Object.entries(settings)) {
    const result = yield* Effect.result(setting.config as Config.Config<unknown>)
    if (Result.isFailure(result))
      problems.push(`${setting.env}: ${Setting.sentence(reasonOf(result.failure), setting.form)}`)
    // A wrong value is replaced by the default, so that the checks across settings still run.
    values[name] = Result.isSuccess(result)
      ? result.success
      : yield* Effect.orDie((setting.config as Config.Config<unknown>).parse(nothing))
  }
  const secretFiles = yield* readSecrets(values, problems)
  problems.push(...(yield* nameProblems))
  return { configuration: assemble(values as Values, secretFiles, problems), problems }
})

const nothing = ConfigProvider.fromUnknown({})

/** Adds the secrets that files hold to `values`. Returns the files. Adds a line to `problems` for each mistake. */
const readSecrets = Effect.fnUntraced(function* (values: Record<string, unknown>, problems: Array<string>) {
  const files: Record<string, string> = {}
  for (const [name, setting] of Object.entries(settings)) {
    if (!setting.secret) continue
    const read = yield* Effect.result(readSecret(setting, values[name] as Redacted.Redacted | null))
    if (Result.isFailure(read)) problems.push(read.failure)
    values[name] = Result.isSuccess(read) ? read.success.value : unread
    if (Result.isSuccess(read) && read.success.path !== null) files[setting.env] = read.success.path
  }
  return files
})

const reasonOf = ({ cause }: Config.ConfigError): string =>
  cause._tag === "SchemaError" ? Setting.reasonOf(cause) : cause.message

/** Checks what no setting can check alone. Adds a line to `problems` for each mistake. */
const assemble = (
  values: Values,
  secretFiles: SecretFiles,
  problems: Array<string>
): Configuration | null => {
  const place = placeOf(values, problems)
  const { when, window } = timetableOf(values, problems)
  problems.push(...unfitting(values, (property) => sweepSettings[property].env))
  requireFittingLease(values, problems)
  requireFittingNames(values, problems)
  const presence = when === null ? defaultSettings.presence : presenceOf(values, when, window, problems)
  const serve = serveOf(values, problems)
  const ops = opsOf(values, problems)
  if (place === null || when === null) return null
  return {
    place,
    secretFiles,
    retentionFile: values.retentionFile,
    when,
    sweep: sweepOf(values, presence),
    names: {
      schema: values.catalogSchema,
      blobsTable: values.catalogBlobsTable,
      digestColumn: values.catalogDigestColumn,
      keyColumn: values.catalogKeyColumn,
      sizeColumn: values.catalogSizeColumn,
      createdAtColumn: values.catalogCreatedAtColumn,
      lastUsedAtColumn: values.catalogLastUsedAtColumn === "none" ? null : values.catalogLastUsedAtColumn,
      timeZone: values.catalogTimeZone,
      collectorSchema: values.collectorSchema,
      registrySchema: values.registrySchema,
      notReferences: notReferencesOf(values, problems)
    },
    database: {
      maxConnections: values.databaseMaxConnections,
      statementTimeout: values.databaseStatementTimeout,
      lockTimeout: values.databaseLockTimeout
    },
    jitter: values.jitter,
    window,
    zone: values.timeZone,
    givesPresence: values.presence !== null,
    shutdownDeadline: values.shutdownDeadline,
    blobPrefix: values.blobPrefix,
    serve,
    ops,
    logFormat: values.logFormat
  }
}

const notReferencesOf = (
  { catalogNotReferences, catalogSchema }: Values,
  problems: Array<string>
): ReadonlyArray<string> => {
  const entries = (catalogNotReferences ?? "")
    .split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/)
    .map((entry) => entry.trim())
  const named = entries.filter((entry) => entry !== "")
  for (const entry of named) {
    if (columnNameOf(entry, catalogSchema) === null) {
      problems.push(
        `CATALOG_NOT_REFERENCES: ${entry} names no column; write table.column or schema.table.column`
      )
    }
  }
  return named
}

const requireFittingLease = (values: Values, problems: Array<string>): void => {
  if (Duration.isLessThan(values.lease, Duration.times(values.s3RequestTimeout, 2))) {
    problems.push(
      "GC_LEASE: must be at least twice S3_REQUEST_TIMEOUT, or leases end while requests are under way"
    )
  }
}

const requireFittingNames = (values: Values, problems: Array<string>): void => {
  const column = values.catalogLastUsedAtColumn
  if (column !== "none" && column.toLowerCase() === "none") {
    problems.push("CATALOG_LAST_USED_AT_COLUMN: write none in lower case if the catalogue has no such column")
  }
  if (values.collectorSchema === values.catalogSchema) {
    problems.push(
      "COLLECTOR_SCHEMA: must not be CATALOG_SCHEMA: the collector's tables have common names such as pins and journal"
    )
  }
  const zone = values.catalogTimeZone
  if (zone !== null && Option.isNone(DateTime.zoneMakeNamed(zone))) {
    problems.push("CATALOG_TIME_ZONE: is no IANA time zone; write a name such as UTC or America/St_Johns")
  }
}

const sweepOf = (values: Values, presence: Duration.Duration): SweepSettings => {
  const names = Object.keys(sweepSettings) as ReadonlyArray<keyof typeof sweepSettings>
  const given = Object.fromEntries(names.map((name) => [name, values[name]])) as Pick<
    Values,
    (typeof names)[number]
  >
  return { ...defaultSettings, ...given, quarantine: given.quarantine ?? given.grace, presence }
}
