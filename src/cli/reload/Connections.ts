/** How the program connects to its database and its store: encrypted as it is told, with certificates and secrets from files. */
import { type ConnectionOptions, checkServerIdentity } from "node:tls"
import { Effect, Redacted, type Scope } from "effect"
import { type DatabaseTls, databaseTlsWarning } from "../../config/DatabaseTls.ts"
import type { Place, Store } from "../../config/Place.ts"
import type { SecretFiles } from "../../config/SecretFiles.ts"
import type { PostgresOptions } from "../../database/Postgres.ts"
import type { TlsRefused } from "../../domain/TlsRefused.ts"
import type { S3Options } from "../../storage/S3.ts"
import { databaseContext, storeAuthorities } from "./Certificates.ts"
import { databaseLogin, type SecretRefused, storeKey } from "./Secrets.ts"

/** Why a connection cannot be prepared: a file of a certificate or of a secret cannot be used. */
export type Refusal = TlsRefused | SecretRefused

/** Returns how to connect to the database. Warns of a connection that others can read. */
export const database = Effect.fnUntraced(function* (
  { databaseUrl, tls }: Extract<Place, { _tag: "External" }>,
  files: SecretFiles
): Effect.fn.Return<PostgresOptions, Refusal, Scope.Scope> {
  const warning = databaseTlsWarning(tls, databaseUrl)
  if (warning !== null) yield* Effect.logWarning(warning)
  const path = files.DATABASE_URL
  return {
    url: withoutMode(databaseUrl),
    tls: yield* tlsOptions(tls),
    ...(path === undefined ? {} : { login: yield* databaseLogin(path, databaseUrl) })
  }
})

/** The driver knows other words, and `tls` says all. */
const withoutMode = (redacted: Redacted.Redacted): Redacted.Redacted => {
  const url = new URL(Redacted.value(redacted))
  url.searchParams.delete("sslmode")
  return Redacted.make(url.href)
}

const tlsOptions = Effect.fnUntraced(function* (tls: DatabaseTls) {
  if (tls.verify === "off") return false
  const isNamed = tls.ca !== null || tls.cert !== null
  const followed = isNamed ? yield* databaseContext(tls) : null
  const options: ConnectionOptions = {
    minVersion: "TLSv1.2",
    rejectUnauthorized: tls.verify !== "nothing",
    checkServerIdentity: tls.verify === "full" ? checkServerIdentity : () => undefined
  }
  if (followed === null) return options
  // The driver copies the options for each connection, and so takes the certificates as they are then.
  return Object.defineProperty(options, "secureContext", { get: followed.current, enumerable: true })
})

/** Returns how to connect to the store. */
export const store = Effect.fnUntraced(function* (
  { tlsCa, ...options }: Extract<Store, { _tag: "S3" }>,
  files: SecretFiles
): Effect.fn.Return<S3Options, Refusal, Scope.Scope> {
  const key = yield* storeKey(files, options.credentials)
  const authorities = tlsCa === undefined ? null : yield* storeAuthorities(tlsCa)
  return {
    ...options,
    ...(key === null ? {} : { credentials: key }),
    ...(authorities === null ? {} : { tlsCa: authorities.current })
  }
})
