/** Settings as flags: all but the secrets. A flag has priority over the environment. */
import { ConfigProvider, Effect, Layer, Option } from "effect"
import { Flag } from "effect/cli"
import { type ConfigInvalid, type Configuration, load, type Read, read } from "../config/Config.ts"
import { sections, settings } from "../config/settings.ts"
import { variables } from "./Environment.ts"
import { firstSentence, flagNameOf, formOf } from "./help/Forms.ts"
import { ChosenLogFormat, logFormatIn } from "./LogFormat.ts"
import * as Services from "./Services.ts"

type Section = Readonly<Record<string, (typeof settings)[keyof typeof settings]>>

const flagsOf = (section: Section): Record<string, Flag.Flag<Option.Option<string>>> =>
  Object.fromEntries(
    Object.values(section)
      .filter((setting) => !setting.secret)
      .map((setting) => [
        setting.env,
        Flag.String(flagNameOf(setting.env)).pipe(
          Flag.withMetavar(formOf(setting).metavar),
          Flag.withDescription(
            `${firstSentence(setting.about)} (${setting.env}${setting.default === null ? "" : `, default ${setting.default}`})`
          ),
          Flag.optional
        )
      ])
  )

/** Flags of commands that need database and store, but no settings of the sweep. */
export const placeFlags = { settings: { ...flagsOf(sections.Catalogue), ...flagsOf(sections.Store) } }

/** Flags of `retention`: those of database and store, and the file of rules. */
export const retentionFlags = {
  settings: { ...placeFlags.settings, ...flagsOf({ retentionFile: settings.retentionFile }) }
}

const { Operations, Registry: _, ...ofSweeps } = sections

/** Flags of commands that sweep. */
export const sweepFlags = { settings: flagsOf(Object.assign({}, ...Object.values(ofSweeps))) }

/** Flags of `run`, which sweeps and has a port for operators. */
export const runFlags = { settings: { ...sweepFlags.settings, ...flagsOf(Operations) } }

/** Flags of `serve`, which needs all settings. */
export const allFlags = { settings: flagsOf(settings) }

type Given = { readonly settings: Readonly<Record<string, Option.Option<string>>> }

/** Reads each setting from the flags, else the environment, else `otherwise`, else its default. */
export const configuration = (
  given: Given,
  otherwise: Readonly<Record<string, string>> = {}
): Effect.Effect<Configuration, ConfigInvalid> => Effect.provide(load, providerOf(given, otherwise))

/** Reads the same, and returns the problems beside the settings that could be read. */
export const examined = (given: Given): Effect.Effect<Read> => Effect.provide(read, providerOf(given, {}))

const providerOf = ({ settings }: Given, otherwise: Readonly<Record<string, string>>) => {
  const flags = Object.fromEntries(
    Object.entries(settings).flatMap(([env, value]) => (Option.isSome(value) ? [[env, value.value]] : []))
  )
  // One source, so that the names of all variables can be read from it.
  const given = layered(otherwise, variables(), flags)
  return Layer.unwrap(
    Effect.map(ChosenLogFormat, (format) => {
      format.chosen = logFormatIn(given)
      return ConfigProvider.layer(ConfigProvider.fromEnvRecord(given))
    })
  )
}

/** Returns the variables of all sources. A later source wins, unless its value is empty and thereby absent. */
const layered = (
  ...sources: ReadonlyArray<Readonly<Record<string, string | undefined>>>
): Record<string, string> => {
  const variables: Record<string, string> = {}
  for (const [name, value] of sources.flatMap((source) => Object.entries(source))) {
    if (value === undefined || (value === "" && name in variables)) continue
    variables[name] = value
  }
  return variables
}

/** Logs that the embedded database is used, for an operator who forgot to name a catalogue. */
export const noticeOf = ({ place }: Configuration): Effect.Effect<void> =>
  place._tag === "Embedded"
    ? Effect.logInfo(
        `Neither DATABASE_URL nor a store is configured. An embedded PostgreSQL and files below ${place.directory} are used. To use your own, set DATABASE_URL and S3_BUCKET.`
      )
    : Effect.void

/** Runs a command's work with the real services. Fails if the embedded PostgreSQL ends meanwhile. */
export const withServices = <A, E>(
  config: Configuration,
  work: Effect.Effect<A, E, Services.Services>,
  use: Services.EmbeddedUse = {}
): Effect.Effect<A, E | Services.ServicesError> => {
  const vital = Effect.flatMap(Services.Vital, ({ lost }) => lost)
  return Effect.andThen(
    noticeOf(config),
    Effect.provide(Effect.raceFirst(work, vital), Services.layer(config, use))
  )
}
