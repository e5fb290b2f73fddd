/** What `serve` runs with, and which of its settings fit together. */
import { hostname } from "node:os"
import { Duration } from "effect"
import { activityMillis } from "../oci/uploads/UploadContext.ts"
import { type AccessConfiguration, accessOf, isOpen } from "./AccessConfig.ts"
import { hasLogin } from "./Place.ts"
import type { Values } from "./settings.ts"

/** The files of a server's certificate, and the setting of each. */
export interface TlsFiles {
  /** How the names of the settings begin. */
  readonly settings: "SERVE" | "OPS"
  /** Path of the certificate and those of its authorities. */
  readonly cert: string
  /** Path of the private key. */
  readonly key: string
}

/** The settings of the registry that `serve` serves. */
export interface ServeConfiguration {
  /** Address on which it listens. */
  readonly host: string
  /** Port on which it listens; 0 is any free port. */
  readonly port: number
  /** Files of the certificate; null without TLS. */
  readonly tls: TlsFiles | null
  /** Names that a request may name as its host; undefined with credentials, which need no such rule. */
  readonly hosts: ReadonlyArray<string> | undefined
  /** Maximum number of blob bodies that are received at once. */
  readonly bodiesMax: number
  /** Maximum time that a body may pause. */
  readonly idleTimeout: Duration.Duration
  /** Least average rate of a body or a download. */
  readonly minimumRate: { readonly bytesPerSecond: number; readonly window: Duration.Duration }
  /** Maximum number of downloads that are read from the store at once. */
  readonly readersMax: number
  /** Maximum number of connections of clients. */
  readonly connectionsMax: number
  /** Origins of web pages that may use the registry. */
  readonly origins: ReadonlyArray<string>
  /** Maximum size of a manifest in bytes. */
  readonly manifestMaxBytes: number
  /** Who may do what. */
  readonly access: AccessConfiguration
  /** How long a repository holds a blob that no manifest of it refers to yet. */
  readonly hold: Duration.Duration
  /** How long the intent of an object that is being written is valid without renewal. */
  readonly uploadLease: Duration.Duration
  /** How clients are sent to the store for blobs; null if they are not. */
  readonly redirect: RedirectConfiguration | null
}

/** How clients are sent to the store for blobs. */
export interface RedirectConfiguration {
  /** How long an address works. */
  readonly life: Duration.Duration
  /** How the `User-Agent` of these clients begins; undefined is every client. */
  readonly agents: ReadonlyArray<string> | undefined
}

/** Returns the settings of `serve`. Adds a line to `problems` for each mistake. */
export const serveOf = (values: Values, problems: Array<string>): ServeConfiguration => {
  const access = accessOf(values, problems)
  const tls = tlsFilesOf("SERVE", values.serveTlsCert, values.serveTlsKey, problems)
  if (tls !== null && values.registryUrl?.startsWith("http:") === true) {
    problems.push(
      "REGISTRY_URL: must begin with https, because SERVE_TLS_CERT is set; clients would send their passwords without encryption"
    )
  }
  if (Duration.isLessThanOrEqualTo(values.registryUploadLease, values.serveIdleTimeout)) {
    problems.push(
      "REGISTRY_UPLOAD_LEASE: must be longer than SERVE_IDLE_TIMEOUT, or a paused body counts as abandoned"
    )
  }
  return {
    host: values.serveHost,
    port: values.servePort,
    tls,
    hosts: isOpen(access)
      ? ["localhost", hostname(), values.serveHost, ...namesIn(values.serveNames)]
      : undefined,
    bodiesMax: values.serveBodiesMax,
    idleTimeout: values.serveIdleTimeout,
    minimumRate: { bytesPerSecond: values.serveMinimumRate, window: values.serveMinimumRateWindow },
    readersMax: values.serveReadersMax,
    connectionsMax: values.serveConnectionsMax,
    origins: originsIn(values.serveOrigins, problems),
    manifestMaxBytes: values.serveManifestMax,
    access,
    hold: values.registryHold,
    uploadLease: values.registryUploadLease,
    redirect: redirectOf(values, problems)
  }
}

/** Returns the files of a certificate; null without. Adds a line to `problems` if one of the two is missing. */
export const tlsFilesOf = (
  settings: TlsFiles["settings"],
  cert: string | null,
  key: string | null,
  problems: Array<string>
): TlsFiles | null => {
  if (cert !== null && key !== null) return { settings, cert, key }
  if (cert !== null || key !== null) {
    const [missing, given] = cert === null ? ["CERT", "KEY"] : ["KEY", "CERT"]
    problems.push(
      `${settings}_TLS_${missing}: missing, although ${settings}_TLS_${given} is set; set both or neither`
    )
  }
  return null
}

/** Signature Version 4 allows a week. */
const lifeMax = Duration.days(7)

/** Returns how clients are sent to the store. Adds a line to `problems` for each mistake. */
const redirectOf = (values: Values, problems: Array<string>): RedirectConfiguration | null => {
  const { deleteDelay, serveRedirectAgents, serveRedirectEndpoint, serveRedirectLife: life } = values
  if (serveRedirectEndpoint !== null && !isHttpUrl(serveRedirectEndpoint)) {
    problems.push("SERVE_REDIRECT_ENDPOINT: not an http or https URL; write https://host:port")
  }
  if (serveRedirectEndpoint !== null && hasLogin(serveRedirectEndpoint)) {
    problems.push(
      "SERVE_REDIRECT_ENDPOINT: has a user or a password, which clients would see; leave them out"
    )
  }
  if (values.serveRedirect === "off") return null
  if (values.s3Bucket === null) {
    problems.push(
      "SERVE_REDIRECT: this store has no addresses for clients; set S3_BUCKET, or SERVE_REDIRECT=off"
    )
  }
  if (Duration.isGreaterThan(life, lifeMax)) {
    problems.push("SERVE_REDIRECT_LIFE: S3 allows at most 7 days; write less")
  }
  if (Duration.isGreaterThanOrEqualTo(life, deleteDelay)) {
    problems.push(
      `GC_DELETE_DELAY: must be longer than SERVE_REDIRECT_LIFE (${Duration.format(life)}) with SERVE_REDIRECT=presigned, or an object may be deleted while its address still works`
    )
  }
  const agents = namesIn(serveRedirectAgents)
  return { life, agents: agents.length === 0 ? undefined : agents }
}

const isHttpUrl = (text: string): boolean =>
  URL.canParse(text) && ["http:", "https:"].includes(new URL(text).protocol)

/** Returns the origins in a list that is separated by commas. Adds a line to `problems` for what no browser sends as one. */
const originsIn = (text: string | null, problems: Array<string>): ReadonlyArray<string> => {
  const origins = namesIn(text)
  for (const origin of origins) {
    if (!origin.includes("*") && URL.canParse(origin) && new URL(origin).origin === origin) continue
    problems.push(
      "SERVE_ORIGINS: must have scheme, host and nothing behind them, such as https://ui.example; * is not possible"
    )
  }
  return origins
}

/** Returns the names in a list that is separated by commas. */
export const namesIn = (text: string | null): ReadonlyArray<string> =>
  (text ?? "").split(",").flatMap((name) => (name.trim() === "" ? [] : [name.trim()]))

/**
 * Returns the problems that only `serve` has, one line each. A collector must not treat a slow body, or one that
 * pauses within SERVE_IDLE_TIMEOUT, as an abandoned upload.
 */
export const serveProblems = (
  { idleTimeout, uploadLease }: ServeConfiguration,
  uploadGrace: Duration.Duration
): ReadonlyArray<string> => {
  const noted = Duration.millis(activityMillis({ leaseMillis: Duration.toMillis(uploadLease) }))
  const least = Duration.sum(idleTimeout, Duration.times(noted, 2))
  return Duration.isLessThan(uploadGrace, least)
    ? [
        `GC_UPLOAD_GRACE: must be at least ${Duration.format(least)} with the present SERVE_IDLE_TIMEOUT and REGISTRY_UPLOAD_LEASE, or slow pushes would count as abandoned`
      ]
    : []
}

/** Returns whether only this host reaches the server. */
export const isLoopback = ({ host }: ServeConfiguration): boolean =>
  host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host)

/** Returns warnings about settings that are allowed but dangerous. */
export const serveWarnings = (serve: ServeConfiguration): ReadonlyArray<string> =>
  isOpen(serve.access) && !isLoopback(serve)
    ? [
        `Every client that reaches ${serve.host} may push, pull and delete without a password. Set REGISTRY_USERNAME and REGISTRY_PASSWORD, or REGISTRY_HTPASSWD, or REGISTRY_TOKEN; or SERVE_HOST=127.0.0.1 behind a proxy that authenticates.`
      ]
    : []
