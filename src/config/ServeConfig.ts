/** The registry's part of the configuration: what `serve` and its services are given, and what no setting can judge alone. */
import type { Config } from "effect"
import { Duration, type Redacted } from "effect"
import { activityMillis } from "../oci/uploads/UploadContext.ts"
import type { registry } from "./serveSettings.ts"

type Values = { readonly [K in keyof typeof registry]: Config.Success<(typeof registry)[K]["config"]> }

export interface RegistryConfiguration {
  readonly host: string
  /** 0 is any that is free. */
  readonly port: number
  readonly bodiesMax: number
  readonly idleTimeout: Duration.Duration
  readonly manifestMaxBytes: number
  readonly credentials: { readonly username: string; readonly password: Redacted.Redacted } | undefined
  readonly token: Redacted.Redacted | undefined
  readonly anonymousPull: boolean
  readonly hold: Duration.Duration
  readonly uploadLease: Duration.Duration
}

/** Adds to `problems` what does not fit together. */
export const registryOf = (values: Values, problems: Array<string>): RegistryConfiguration => {
  const { registryUsername: username, registryPassword: password, registryToken: token } = values
  if (username !== null && password === null) {
    problems.push("REGISTRY_PASSWORD: missing, although REGISTRY_USERNAME is set; they go together")
  }
  if (username === null && password !== null) {
    problems.push("REGISTRY_USERNAME: missing, although REGISTRY_PASSWORD is set; they go together")
  }
  if (username?.includes(":")) {
    problems.push("REGISTRY_USERNAME: must not contain a colon, which ends the name in basic authentication")
  }
  if (values.registryAnonymousPull && username === null && token === null) {
    problems.push(
      "REGISTRY_ANONYMOUS_PULL: without REGISTRY_USERNAME or REGISTRY_TOKEN everybody may push as well; set one of them"
    )
  }
  if (Duration.isLessThanOrEqualTo(values.registryUploadLease, values.serveIdleTimeout)) {
    problems.push(
      "REGISTRY_UPLOAD_LEASE: must be longer than SERVE_IDLE_TIMEOUT, or a body that may stand still is taken for dead"
    )
  }
  return {
    host: values.serveHost,
    port: values.servePort,
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

/**
 * What a registry that serves cannot do without, and other commands do not mind: a collector must not take a body that
 * stands still for as long as it may, or comes slowly, for an upload that was given up.
 */
export const serveProblems = (
  { idleTimeout, uploadLease }: RegistryConfiguration,
  uploadGrace: Duration.Duration
): ReadonlyArray<string> => {
  const noted = Duration.millis(activityMillis({ leaseMillis: Duration.toMillis(uploadLease) }))
  const least = Duration.sum(idleTimeout, Duration.times(noted, 2))
  return Duration.isLessThan(uploadGrace, least)
    ? [
        `GC_UPLOAD_GRACE: must be at least ${Duration.format(least)} with SERVE_IDLE_TIMEOUT and REGISTRY_UPLOAD_LEASE as they are, or pushes that are slow would be taken for given up`
      ]
    : []
}

/** Whether whoever reaches the server may do everything. */
export const isOpen = ({ credentials, token }: RegistryConfiguration): boolean =>
  credentials === undefined && token === undefined

/** Whether only this host reaches it. */
export const isLoopback = ({ host }: RegistryConfiguration): boolean =>
  host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host)

/** What is allowed, and yet somebody should know. */
export const registryWarnings = (registry: RegistryConfiguration): ReadonlyArray<string> =>
  isOpen(registry) && !isLoopback(registry)
    ? [
        `Whoever reaches ${registry.host} may push, pull and delete without a password. Set REGISTRY_USERNAME and REGISTRY_PASSWORD, or REGISTRY_TOKEN; or SERVE_HOST=127.0.0.1 behind a proxy that asks.`
      ]
    : []
