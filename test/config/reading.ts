/** Reads a configuration from an environment of the test's own. */
import { ConfigProvider, Effect } from "effect"
import { load } from "../../src/config/Config.ts"

export type Environment = Readonly<Record<string, string>>

/** Catalogue and store of somebody's own. */
export const own = { DATABASE_URL: "postgres://u:p@h/db", S3_BUCKET: "b" }

export const read = (environment: Environment) =>
  Effect.provide(load, ConfigProvider.layer(ConfigProvider.fromEnvRecord(environment)))

/** What is wrong with an environment, a line each. */
export const problems = (environment: Environment) =>
  Effect.match(read(environment), {
    onFailure: (error): ReadonlyArray<string> => error.problems,
    onSuccess: () => []
  })
