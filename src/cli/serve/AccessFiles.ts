/** Reads the files that say who may do what, and follows them while `serve` runs. */
import { randomBytes } from "node:crypto"
import { Clock, Effect } from "effect"
import type { AccessConfiguration } from "../../config/AccessConfig.ts"
import * as Passwords from "../../oci/access/Passwords.ts"
import * as Rules from "../../oci/access/Rules.ts"
import * as TokenService from "../../oci/access/TokenService.ts"
import { type FileOptions, watch } from "../../oci/access/WatchedFile.ts"
import { RegistryDatabase } from "../../oci/database/RegistryDatabase.ts"

/**
 * Returns the options of the routes. Fails with `AccessFileRefused` if a file cannot be used, and with `DatabaseError` if the key
 * of tokens is needed and cannot be read.
 */
export const accessOptions = Effect.fnUntraced(function* (access: AccessConfiguration) {
  const { keys } = yield* RegistryDatabase
  const { tokenService } = access
  const watching = <A>(path: string | null, options: Omit<FileOptions<A>, "path">) =>
    path === null ? Effect.succeed(undefined) : watch({ ...options, path })
  const keyFile = tokenService === null || isUrl(tokenService.keys) ? null : tokenService.keys
  const signingKey = Effect.flatMap(Clock.currentTimeMillis, (now) => keys.tokens(now, randomBytes(32)))
  // Asked now, so that a role without the privilege is told when it starts and not when a client logs in.
  if (access.url !== undefined) yield* signingKey
  const known = yield* watching(keyFile, { setting: "REGISTRY_TOKEN_KEYS", parse: TokenService.parseKeys })
  return {
    credentials: access.credentials,
    token: access.token,
    anonymousPull: access.anonymousPull,
    url: access.url,
    passwords: yield* watching(access.htpasswd, { setting: "REGISTRY_HTPASSWD", parse: Passwords.parse }),
    rules: yield* watching(access.rules, { setting: "REGISTRY_ACCESS", parse: Rules.parse }),
    tokenService:
      tokenService === null ? undefined : { ...tokenService, keys: known ?? new URL(tokenService.keys) },
    signingKey
  }
})

const isUrl = (text: string): boolean => text.startsWith("https:")
