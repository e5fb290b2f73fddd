/** What `serve` runs with, and which of its settings fit together. */
import { hostname } from "node:os"
import { Duration, Redacted } from "effect"
import { activityMillis } from "../oci/uploads/UploadContext.ts"
import type { Values } from "./settings.ts"

/** The settings of the registry that `serve` serves. */
export interface ServeConfiguration {
  /** Address on which it listens. */
  readonly host: string
  /** Port on which it listens; 0 is any free port. */
  readonly port: number
  /** Names that a request may name as its host; undefined with credentials, which need no such rule. */
  readonly hosts: ReadonlyArray<string> | undefined
  /** Maximum number of blob bodies that are received at once. */
  readonly bodiesMax: number
  /** Maximum time that a body may pause. */
  readonly idleTimeout: Duration.Duration
  /** Maximum size of a manifest in bytes. */
  readonly manifestMaxBytes: number
  /** Name and password for HTTP basic authentication; undefined without. */
  readonly credentials: { readonly username: string; readonly password: Redacted.Redacted } | undefined
  /** Token for bearer authentication; undefined without. */
  readonly token: Redacted.Redacted | undefined
  /** Whether clients without credentials may pull. */
  readonly anonymousPull: boolean
  /** How long a repository holds a blob that no manifest of it refers to yet. */
  readonly hold: Duration.Duration
  /** How long the intent of an object that is being written is valid without renewal. */
  readonly uploadLease: Duration.Duration
}

/** Returns the settings of `serve`. Adds a line to `problems` for each mistake. */
export const serveOf = (values: Values, problems: Array<string>): ServeConfiguration => {
  const { registryUsername: username, registryPassword: password, registryToken: token } = values
  if (username !== null && password === null) {
    problems.push("REGISTRY_PASSWORD: missing, although REGISTRY_USERNAME is set; set both or neither")
  }
  if (username === null && password !== null) {
    problems.push("REGISTRY_USERNAME: missing, although REGISTRY_PASSWORD is set; set both or neither")
  }
  if (username?.includes(":")) {
    problems.push("REGISTRY_USERNAME: must not contain a colon, which ends the name in basic authentication")
  }
  if (token !== null && /[\s\p{Cc}]/u.test(Redacted.value(token))) {
    problems.push("REGISTRY_TOKEN: must not contain blanks or line ends, because no header can carry them")
  }
  if (password !== null && /\p{Cc}/u.test(Redacted.value(password))) {
    problems.push("REGISTRY_PASSWORD: must not contain line ends or other control characters")
  }
  if (values.registryAnonymousPull && username === null && token === null) {
    problems.push(
      "REGISTRY_ANONYMOUS_PULL: without REGISTRY_USERNAME or REGISTRY_TOKEN every client may push as well; set one of them"
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
    hosts:
      username === null && token === null
        ? ["localhost", hostname(), values.serveHost, ...namesIn(values.serveNames)]
        : undefined,
    bodiesMax: values.serveBodiesMax,
    idleTimeout: values.serveIdleTimeout,
    manifestMaxBytes: values.serveManifestMax,
    credentials: username === null || password === null ? undefined : { username, password },
    token: token ?? undefined,
    anonymousPull: values.registryAnonymousPull,
    hold: values.registryHold,
    uploadLease: values.registryUploadLease
  }
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

/** Returns whether every client that reaches the server may pull, push and delete. */
export const isOpen = ({ credentials, token }: ServeConfiguration): boolean =>
  credentials === undefined && token === undefined

/** Returns whether only this host reaches the server. */
export const isLoopback = ({ host }: ServeConfiguration): boolean =>
  host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host)

/** Returns warnings about settings that are allowed but dangerous. */
export const serveWarnings = (serve: ServeConfiguration): ReadonlyArray<string> =>
  isOpen(serve) && !isLoopback(serve)
    ? [
        `Every client that reaches ${serve.host} may push, pull and delete without a password. Set REGISTRY_USERNAME and REGISTRY_PASSWORD, or REGISTRY_TOKEN; or SERVE_HOST=127.0.0.1 behind a proxy that authenticates.`
      ]
    : []
