/** Reads the files that say who may do what, and follows them while `serve` runs. */
import { randomBytes } from "node:crypto"
import { Clock, Effect } from "effect"
import type { AccessConfiguration } from "../../config/AccessConfig.ts"
import type { SecretFiles } from "../../config/SecretFiles.ts"
import * as Passwords from "../../oci/access/Passwords.ts"
import * as Rules from "../../oci/access/Rules.ts"
import * as TokenService from "../../oci/access/TokenService.ts"
import { type FileOptions, watched } from "../../oci/access/WatchedFile.ts"
import { RegistryDatabase } from "../../oci/database/RegistryDatabase.ts"
import { Reloadables, registered } from "../reload/FollowedFiles.ts"
import { secretOf } from "../reload/Secrets.ts"

/**
 * Returns the options of the routes. Fails with `AccessFileRefused` if a file cannot be used, and with `DatabaseError` if the key
 * of tokens is needed and cannot be read. Follows the files until the scope is closed.
 */
export const accessOptions = Effect.fnUntraced(function* (access: AccessConfiguration, files: SecretFiles) {
  const { keys } = yield* RegistryDatabase
  const known = yield* Reloadables
  const { tokenService } = access
  const watching = <A>(path: string | null, options: Omit<FileOptions<A>, "path">) =>
    path === null
      ? Effect.succeed(undefined)
      : Effect.gen(function* () {
          const { look, value } = yield* watched({ ...options, path })
          const reload = Effect.map(look, (found) => looks[found])
          yield* registered(known, { name: options.setting, reload })
          return value
        })
  const keyFile = tokenService === null || isUrl(tokenService.keys) ? null : tokenService.keys
  const signingKey = Effect.flatMap(Clock.currentTimeMillis, (now) => keys.tokens(now, randomBytes(32)))
  // Asked now, so that a role without the privilege is told when it starts and not when a client logs in.
  if (access.url !== undefined) yield* signingKey
  const tokenKeys = yield* watching(keyFile, {
    setting: "REGISTRY_TOKEN_KEYS",
    parse: TokenService.parseKeys
  })
  const password = yield* secretOf(files, "REGISTRY_PASSWORD", access.credentials?.password)
  const credentials =
    access.credentials === undefined || password === undefined
      ? undefined
      : { ...access.credentials, password }
  return {
    credentials,
    token: yield* secretOf(files, "REGISTRY_TOKEN", access.token),
    anonymousPull: access.anonymousPull,
    url: access.url,
    passwords: yield* watching(access.htpasswd, { setting: "REGISTRY_HTPASSWD", parse: Passwords.parse }),
    rules: yield* watching(access.rules, { setting: "REGISTRY_ACCESS", parse: Rules.parse }),
    tokenService:
      tokenService === null ? undefined : { ...tokenService, keys: tokenKeys ?? new URL(tokenService.keys) },
    signingKey
  }
})

const looks = {
  changed: { _tag: "Changed" },
  unchanged: { _tag: "Unchanged" },
  refused: { _tag: "Refused" }
} as const

const isUrl = (text: string): boolean => text.startsWith("https:")
