/** Settings as flags: every one that is not a secret, read before the environment. */
import { ConfigProvider, Effect, Option } from "effect"
import { Flag } from "effect/cli"
import { type ConfigInvalid, type Configuration, load } from "../config/Config.ts"
import { sections, settings } from "../config/settings.ts"
import * as Live from "./Services.ts"

const nameOf = (env: string): string => env.toLowerCase().replaceAll("_", "-")

/** Without its full stop; one within `e.g.` does not end it. */
const firstSentence = (text: string): string => text.split(/(?<!e\.g)\.(?:\s|$)/)[0] ?? text

type Section = Readonly<Record<string, (typeof settings)[keyof typeof settings]>>

const flagsOf = (section: Section): Record<string, Flag.Flag<Option.Option<string>>> =>
  Object.fromEntries(
    Object.values(section)
      .filter((setting) => !setting.secret)
      .map((setting) => [
        setting.env,
        Flag.String(nameOf(setting.env)).pipe(
          Flag.withDescription(
            `${firstSentence(setting.about)} (${setting.env}${setting.default === null ? "" : `, default ${setting.default}`})`
          ),
          Flag.optional
        )
      ])
  )

/** For commands that need database and store, but decide nothing. */
export const placeFlags = { settings: { ...flagsOf(sections.Catalogue), ...flagsOf(sections.Store) } }

const { Registry: _, ...withoutRegistry } = sections

/** For commands that sweep. */
export const sweepFlags = { settings: flagsOf(Object.assign({}, ...Object.values(withoutRegistry))) }

/** For `serve`, which needs all there is. */
export const allFlags = { settings: flagsOf(settings) }

type Given = { readonly settings: Readonly<Record<string, Option.Option<string>>> }

/** The configuration from the flags given, then the environment, then `otherwise`, then the defaults. */
export const configuration = (
  given: Given,
  otherwise: Readonly<Record<string, string>> = {}
): Effect.Effect<Configuration, ConfigInvalid> => {
  const flags = Object.fromEntries(
    Object.entries(given.settings).flatMap(([env, value]) =>
      Option.isSome(value) ? [[env, value.value]] : []
    )
  )
  const provider = ConfigProvider.fromEnvRecord(flags).pipe(
    ConfigProvider.orElse(ConfigProvider.fromEnv()),
    ConfigProvider.orElse(ConfigProvider.fromEnvRecord(otherwise))
  )
  return Effect.provide(load, ConfigProvider.layer(provider))
}

/** Whoever forgot to name a catalogue shall not take the embedded one for it. */
export const noticeOf = ({ place }: Configuration): Effect.Effect<void> =>
  place._tag === "Embedded"
    ? Effect.logInfo(
        `Neither DATABASE_URL nor a store is configured: working on an embedded PostgreSQL and files below ${place.directory}. Set DATABASE_URL and S3_BUCKET to work on your own.`
      )
    : Effect.void

/** Runs a command's work with the real services, and says where on. */
export const withServices = <A, E>(
  config: Configuration,
  work: Effect.Effect<A, E, Live.Services>
): Effect.Effect<A, E | Live.LiveError> => {
  const vital = Effect.flatMap(Live.Vital, ({ lost }) => lost)
  return Effect.andThen(noticeOf(config), Effect.provide(Effect.raceFirst(work, vital), Live.layer(config)))
}
