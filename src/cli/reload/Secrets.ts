/** Secrets from files, as the services want them: a login, a key of the store, a password. */
import { Effect, Redacted, Schema } from "effect"
import { secretProblem } from "../../config/AccessConfig.ts"
import type { Credentials } from "../../config/Place.ts"
import { namesDatabase } from "../../config/Place.ts"
import { fileVariableOf, readSecretFile, type SecretFiles } from "../../config/SecretFiles.ts"
import type { Login } from "../../database/Postgres.ts"
import { follow } from "./FollowedFiles.ts"

/** Says that the file of a secret cannot be used. Its message never holds the secret. */
export class SecretRefused extends Schema.TaggedError<SecretRefused>()("SecretRefused", {
  /** The variable, the file, what is wrong and what to do. */
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.problem}.`
  }
}

const read = (env: string, path: string): Effect.Effect<Redacted.Redacted, SecretRefused> =>
  Effect.mapError(readSecretFile(env, path), (problem) => new SecretRefused({ problem }))

/** Follows the file of DATABASE_URL, and returns its user and password. Another server or database needs a restart. */
export const databaseLogin = Effect.fnUntraced(function* (path: string, given: Redacted.Redacted) {
  const place = placeIn(new URL(Redacted.value(given)))
  const followed = yield* follow({
    name: "DATABASE_URL_FILE",
    of: "database",
    paths: [path],
    read: Effect.gen(function* () {
      const text = Redacted.value(yield* read("DATABASE_URL", path))
      const refusal = (problem: string) =>
        new SecretRefused({ problem: `DATABASE_URL_FILE: ${path} ${problem}` })
      if (!namesDatabase(text)) return yield* refusal("holds no postgres URL with a host; write it again")
      const url = new URL(text)
      return placeIn(url) === place
        ? loginIn(url)
        : yield* refusal(
            "names another server, database or option; restart the program to use it, or write the old one"
          )
    })
  })
  return {
    user: () => followed.current().user,
    password: Effect.map(followed.fresh, ({ password }) => password)
  } satisfies Login
})

/** Parameters have priority over what precedes the host. */
const loginIn = ({ password, searchParams, username }: URL) => ({
  user: searchParams.get("user") ?? (username === "" ? undefined : decodeURIComponent(username)),
  password: Redacted.make(searchParams.get("password") ?? decodeURIComponent(password))
})

/** Returns what a login does not change. */
const placeIn = (url: URL): string => {
  const place = new URL(url)
  place.username = ""
  place.password = ""
  place.searchParams.delete("user")
  place.searchParams.delete("password")
  return place.href
}

const storeVariables = {
  accessKeyId: "S3_ACCESS_KEY_ID",
  secretAccessKey: "S3_SECRET_ACCESS_KEY",
  sessionToken: "S3_SESSION_TOKEN"
} as const

/** Follows the files of the store's key, all together, so that its parts belong to each other. Null without files. */
export const storeKey = Effect.fnUntraced(function* (files: SecretFiles, given: Credentials | undefined) {
  const named = Object.entries(storeVariables).flatMap(([part, env]) =>
    files[env] === undefined ? [] : [{ part, env, path: files[env] }]
  )
  if (given === undefined || named.length === 0) return null
  const followed = yield* follow({
    name: named.map(({ env }) => fileVariableOf(env)).join(" and "),
    of: "store",
    paths: named.map(({ path }) => path),
    read: Effect.map(
      Effect.forEach(named, ({ env, part, path }) =>
        Effect.map(read(env, path), (value) => [part, value] as const)
      ),
      (parts): Credentials => ({ ...given, ...Object.fromEntries(parts) })
    )
  })
  return (isRefused: boolean): Effect.Effect<Credentials> =>
    isRefused ? followed.fresh : Effect.sync(followed.current)
})

/** Follows the file of a secret of the registry, and returns how to have it. Returns the secret that was given where no file holds it. */
export const secretOf = Effect.fnUntraced(function* <A extends Redacted.Redacted | undefined>(
  files: SecretFiles,
  env: string,
  given: A
) {
  const path = files[env]
  if (given === undefined || path === undefined) return given
  const followed = yield* follow({
    name: fileVariableOf(env),
    of: "registry",
    paths: [path],
    read: Effect.flatMap(read(env, path), (value) => {
      const problem = secretProblem(env, value)
      return problem === null ? Effect.succeed(value) : Effect.fail(new SecretRefused({ problem }))
    })
  })
  return followed.current
})
