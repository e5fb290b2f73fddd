/** Reads a configuration from a given environment. */
import { ConfigProvider, Effect } from "effect"
import { load } from "../../src/config/Config.ts"

export type Environment = Readonly<Record<string, string | undefined>>

/** An external catalogue and store. */
export const own = { DATABASE_URL: "postgres://u:p@h/db", S3_BUCKET: "b" }

export const read = (environment: Environment) =>
  Effect.provide(load, ConfigProvider.layer(ConfigProvider.fromEnvRecord(environment)))

/** Returns the problems of an environment, one line each. */
export const problems = (environment: Environment) =>
  Effect.match(read(environment), {
    onFailure: (error): ReadonlyArray<string> => error.problems,
    onSuccess: () => []
  })
