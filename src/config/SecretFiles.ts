/**
 * Secrets that are read from files, as Docker, Kubernetes and systemd provide them: for each secret setting X, `X_FILE` names
 * the file.
 */
import { readFile } from "node:fs/promises"
import { Config, Effect, Redacted } from "effect"
import type { Setting } from "../domain/Setting.ts"

/** Returns the variable that names the file of a secret. */
export const fileVariableOf = (env: string): string => `${env}_FILE`

/** Paths by the setting of the secret. */
export type SecretFiles = Readonly<Record<string, string>>

/** A secret is a line. A larger file is another one by mistake. */
const bytesMax = 65_536

/**
 * Reads a secret from its file, without the line ends behind it. Fails with a line that begins with the variable's name, and
 * never holds what the file says.
 */
export const readSecretFile = (env: string, path: string): Effect.Effect<Redacted.Redacted, string> =>
  Effect.gen(function* () {
    const variable = fileVariableOf(env)
    const content = yield* Effect.tryPromise({
      try: () => readFile(path),
      catch: (cause) =>
        `${variable}: ${path} cannot be read (${codeOf(cause)}); correct the path, or let this user read the file`
    })
    if (content.length > bytesMax)
      return yield* Effect.fail(
        `${variable}: ${path} has ${content.length} bytes, too many for a secret; correct the path`
      )
    const value = content.toString("utf8").replace(/[\r\n]+$/, "")
    return value === ""
      ? yield* Effect.fail(`${variable}: ${path} is empty; write the value of ${env} into it`)
      : Redacted.make(value)
  })

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)

/** A secret, and the file that it was read from; null where it was not. */
interface Read {
  readonly value: Redacted.Redacted | null
  readonly path: string | null
}

/** Reads a secret setting from its variable or its file. Fails with what is wrong, in a line. */
export const readSecret = (
  { env }: Pick<Setting<unknown>, "env">,
  value: Redacted.Redacted | null
): Effect.Effect<Read, string> =>
  Effect.gen(function* () {
    const variable = fileVariableOf(env)
    const path = yield* Effect.orDie(Config.withDefault(Config.NonEmptyString(variable), null))
    if (path === null) return { value, path }
    if (value !== null) return yield* Effect.fail(`${variable}: set either ${env} or ${variable}, not both`)
    return { value: yield* readSecretFile(env, path), path }
  })

/** Stands in for a secret that could not be read, so that no check complains about its absence. */
export const unread: Redacted.Redacted = Redacted.make("postgres://unread/unread")
