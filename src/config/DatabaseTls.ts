/**
 * How connections to PostgreSQL are encrypted: `sslmode` in DATABASE_URL, and the files of DATABASE_TLS_*.
 *
 * libpq's `require` does not verify the server, and its `prefer` may not even encrypt. Here a word that asks for encryption
 * verifies, and what does not verify has a word that says so.
 */
import { Redacted } from "effect"
import type { Values } from "./settings.ts"

/** How connections to PostgreSQL are encrypted. */
export interface DatabaseTls {
  /**
   * What is verified.
   *
   * - `full`: authority and host name of the server's certificate
   * - `authority`: the authority alone
   * - `nothing`: the connection is encrypted, and any server may answer
   * - `off`: the connection is not encrypted
   */
  readonly verify: "full" | "authority" | "nothing" | "off"
  /** Whether the operator chose `verify`, and it is not the default. */
  readonly isChosen: boolean
  /** Path of the authorities' certificates; null is those that Node knows. */
  readonly ca: string | null
  /** Path of this program's certificate; null without. */
  readonly cert: string | null
  /** Path of its private key; null without. */
  readonly key: string | null
}

const modes: Readonly<Record<string, DatabaseTls["verify"]>> = {
  disable: "off",
  "no-verify": "nothing",
  require: "full",
  "verify-ca": "authority",
  "verify-full": "full"
}

const words = "write verify-full, or disable for no encryption, or no-verify to trust any server"

/** Parameters of libpq that name files. The driver ignores them, so their owner would believe in a check that is not made. */
const fileParameters: Readonly<Record<string, string>> = {
  sslrootcert: "DATABASE_TLS_CA",
  sslcert: "DATABASE_TLS_CERT",
  sslkey: "DATABASE_TLS_KEY"
}

/** Parameters of other clients that the driver ignores. Each asks for a check, or for encryption. */
const ignored = ["ssl", "sslpassword", "sslcrl", "sslcrldir", "ssl_min_protocol_version", "requirepeer"]

/** Returns how connections are encrypted. Adds a line to `problems` for each mistake. */
export const databaseTlsOf = (
  { databaseTlsCa: ca, databaseTlsCert: cert, databaseTlsKey: key }: Values,
  databaseUrl: Redacted.Redacted,
  problems: Array<string>
): DatabaseTls => {
  const text = Redacted.value(databaseUrl)
  const parameters = URL.canParse(text) ? new URL(text).searchParams : new URLSearchParams()
  const given = parameters.get("sslmode")
  const known = given !== null && Object.hasOwn(modes, given) ? modes[given] : undefined
  const verify = known ?? (ca !== null || cert !== null ? "full" : "off")
  problems.push(...parameterProblems(parameters))
  if (given !== null && known === undefined) problems.push(`DATABASE_URL: ${reasonAgainst(given)}; ${words}`)
  if ((cert === null) !== (key === null)) {
    const [missing, other] = cert === null ? ["CERT", "KEY"] : ["KEY", "CERT"]
    problems.push(
      `DATABASE_TLS_${missing}: missing, although DATABASE_TLS_${other} is set; set both or neither`
    )
  }
  if (verify === "off" && (ca !== null || cert !== null)) {
    problems.push(
      `${ca === null ? "DATABASE_TLS_CERT" : "DATABASE_TLS_CA"}: not used, because DATABASE_URL has sslmode=disable; write sslmode=verify-full, or unset it`
    )
  }
  if (verify === "nothing" && ca !== null) {
    problems.push(
      "DATABASE_TLS_CA: not used, because DATABASE_URL has sslmode=no-verify; write sslmode=verify-full, or unset it"
    )
  }
  if (verify === "authority" && ca === null) {
    problems.push(
      "DATABASE_TLS_CA: missing, although DATABASE_URL has sslmode=verify-ca; without it every certificate of a public authority would do. Set it, or write sslmode=verify-full"
    )
  }
  if (verify !== "off" && parameters.get("host")?.startsWith("/") === true) {
    problems.push(
      "DATABASE_URL: a socket on this host is not encrypted; remove sslmode and DATABASE_TLS_*, or name a host"
    )
  }
  return { verify, isChosen: given !== null || verify !== "off", ca, cert, key }
}

const reasonAgainst = (mode: string): string =>
  mode === "prefer" || mode === "allow"
    ? `sslmode=${mode} falls back to a connection without encryption`
    : "its sslmode is unknown"

const parameterProblems = (parameters: URLSearchParams): ReadonlyArray<string> =>
  [...new Set(parameters.keys())].flatMap((name) => {
    const setting = fileParameters[name]
    if (setting !== undefined)
      return [`DATABASE_URL: ${name} is not read; remove it from the URL, and set ${setting}`]
    return ignored.includes(name)
      ? [`DATABASE_URL: ${name} is not supported; remove it. docs/tls.md says what is verified`]
      : []
  })

/** Returns a warning about a connection that others can read or answer; null without one. */
export const databaseTlsWarning = (
  { isChosen, verify }: DatabaseTls,
  databaseUrl: Redacted.Redacted
): string | null => {
  const url = new URL(Redacted.value(databaseUrl))
  const host = url.searchParams.get("host") ?? url.hostname
  if (verify === "nothing")
    return `The connection to PostgreSQL at ${host} is encrypted, but any server may answer: sslmode=no-verify. Write sslmode=verify-full, with DATABASE_TLS_CA if an authority of your own signed its certificate.`
  const isHere = host.startsWith("/") || /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/.test(host)
  return isChosen || isHere
    ? null
    : `The connection to PostgreSQL at ${host} is not encrypted. Append ?sslmode=verify-full to DATABASE_URL, or ?sslmode=disable if the network is trusted (docs/tls.md).`
}
