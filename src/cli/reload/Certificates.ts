/** Certificates, keys and authorities from files: read, checked, and followed. */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFile } from "node:fs/promises"
import { createSecureContext, type SecureContext } from "node:tls"
import { Clock, Effect, Metric } from "effect"
import type { DatabaseTls } from "../../config/DatabaseTls.ts"
import type { TlsFiles } from "../../config/ServeConfig.ts"
import { TlsRefused } from "../../domain/TlsRefused.ts"
import { certificateExpiry } from "../../ops/Metrics.ts"
import { follow, type Owner } from "./FollowedFiles.ts"

/** Clients that know nothing newer have had no security fixes for years. */
const minVersion = "TLSv1.2"

/** Who presents a certificate: the store asks for none. */
type Presenter = Exclude<Owner, "store">

interface File {
  readonly setting: string
  readonly path: string
}

const refuse = ({ path, setting }: File, problem: string, next: string) =>
  new TlsRefused({ setting, path, problem, next })

const read = (file: File): Effect.Effect<string, TlsRefused> =>
  Effect.tryPromise({
    try: () => readFile(file.path, "utf8"),
    catch: (cause) =>
      refuse(
        file,
        `cannot be read (${codeOf(cause)})`,
        "Correct the path, or let the user of this process read the file."
      )
  })

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)

/** Returns each certificate in a text in PEM. */
const certificatesIn = (
  file: File,
  text: string
): Effect.Effect<ReadonlyArray<X509Certificate>, TlsRefused> =>
  Effect.try({
    try: () => {
      const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
      if (blocks.length === 0) throw new Error("none")
      return blocks.map((block) => new X509Certificate(block))
    },
    catch: () =>
      refuse(
        file,
        "holds no certificate in PEM, or a damaged one",
        "Write the certificate there, between BEGIN CERTIFICATE and END CERTIFICATE."
      )
  })

/** Fails if the first certificate is not valid now. Shows exporters until when it is. */
const requireValid = Effect.fnUntraced(function* (file: File, certificate: X509Certificate, of: Presenter) {
  const now = yield* Clock.currentTimeMillis
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]
  if (to < now) {
    return yield* refuse(
      file,
      `has expired on ${certificate.validTo}`,
      "Renew the certificate, or correct the clock of this machine."
    )
  }
  if (from > now) {
    return yield* refuse(
      file,
      `is not valid before ${certificate.validFrom}`,
      "Correct the clock of this machine, or wait."
    )
  }
  yield* Metric.update(certificateExpiry.of({ of }), to / 1000)
})

const requireKey = (file: File, text: string, certificate: X509Certificate, certificatePath: string) =>
  Effect.gen(function* () {
    const key = yield* Effect.try({
      try: () => createPrivateKey(text),
      catch: () =>
        /ENCRYPTED/.test(text)
          ? refuse(
              file,
              "is encrypted with a passphrase, which this program cannot ask for",
              "Write the key without one (openssl pkey -in FILE -out NEW), readable by this user alone."
            )
          : refuse(
              file,
              "holds no private key in PEM",
              "Write the key there that the certificate was made for."
            )
    })
    if (!certificate.checkPrivateKey(key)) {
      return yield* refuse(
        file,
        `does not belong to the certificate in ${certificatePath}`,
        "Write the certificate and its own key, both of the same renewal."
      )
    }
  })

/** Reads a certificate with its key, checks both, and returns them in PEM. */
const readPair = Effect.fnUntraced(function* (certFile: File, keyFile: File, of: Presenter) {
  const cert = yield* read(certFile)
  const key = yield* read(keyFile)
  const [own] = yield* certificatesIn(certFile, cert)
  if (own === undefined) return { cert, key }
  yield* requireKey(keyFile, key, own, certFile.path)
  yield* requireValid(certFile, own, of)
  return { cert, key }
})

const contextOf = (
  file: File,
  options: { readonly cert?: string; readonly key?: string; readonly ca?: string }
): Effect.Effect<SecureContext, TlsRefused> =>
  Effect.try({
    try: () => createSecureContext({ minVersion, ...options }),
    catch: (cause) =>
      refuse(
        file,
        `cannot be used (${codeOf(cause)}: ${cause instanceof Error ? cause.message : ""})`,
        "OpenSSL refuses it; make another key or certificate."
      )
  })

/** What a server speaks TLS with. */
export interface ServerCertificate {
  readonly cert: string
  readonly key: string
  readonly minVersion: typeof minVersion
}

/** Follows the certificate of a server. Fails with `TlsRefused` if it cannot be used now. */
export const serverCertificate = ({ cert, key, settings }: TlsFiles) => {
  const certFile = { setting: `${settings}_TLS_CERT`, path: cert }
  const keyFile = { setting: `${settings}_TLS_KEY`, path: key }
  const of = settings === "SERVE" ? "registry" : "operators"
  return follow({
    name: `${certFile.setting} and ${keyFile.setting}`,
    of,
    paths: [cert, key],
    read: Effect.gen(function* () {
      const pair = yield* readPair(certFile, keyFile, of)
      yield* contextOf(certFile, pair)
      return { ...pair, minVersion } satisfies ServerCertificate
    })
  })
}

const readAuthorities = (file: File): Effect.Effect<string, TlsRefused> =>
  Effect.tap(read(file), (text) => certificatesIn(file, text))

/** Follows the file of authorities of the store. */
export const storeAuthorities = (path: string) =>
  follow({
    name: "S3_TLS_CA",
    of: "store",
    paths: [path],
    read: readAuthorities({ setting: "S3_TLS_CA", path })
  })

/** Follows what connections to PostgreSQL are made with. */
export const databaseContext = ({ ca, cert, key }: DatabaseTls) => {
  const files = { DATABASE_TLS_CA: ca, DATABASE_TLS_CERT: cert, DATABASE_TLS_KEY: key }
  const named = Object.entries(files).flatMap(([setting, path]) => (path === null ? [] : [{ setting, path }]))
  return follow({
    name: named.map(({ setting }) => setting).join(" and "),
    of: "database",
    paths: named.map(({ path }) => path),
    read: Effect.gen(function* () {
      const authorities =
        ca === null ? {} : { ca: yield* readAuthorities({ setting: "DATABASE_TLS_CA", path: ca }) }
      const certFile = { setting: "DATABASE_TLS_CERT", path: cert ?? "" }
      const pair =
        cert === null || key === null
          ? {}
          : yield* readPair(certFile, { setting: "DATABASE_TLS_KEY", path: key }, "database")
      return yield* contextOf(cert === null ? { setting: "DATABASE_TLS_CA", path: ca ?? "" } : certFile, {
        ...authorities,
        ...pair
      })
    })
  })
}
