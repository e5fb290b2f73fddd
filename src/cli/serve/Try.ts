/**
 * `serve --try`: waits so short that a collection can be watched, and the commands to type.
 *
 * The waits fit together. A push may take REGISTRY_HOLD, GC_GRACE and GC_QUARANTINE together from its first
 * layer to its manifest. An image that is deleted right after its push is collected a little after that. An
 * index must follow its first child within GC_UNTAGGED_GRACE.
 */
import { join } from "node:path"
import { Duration } from "effect"
import type { Configuration } from "../../config/Config.ts"
import * as Text from "../Text.ts"

/** The short waits. Flags and environment have priority over them. */
export const shortWaits: Readonly<Record<string, string>> = {
  GC_INTERVAL: "2 seconds",
  GC_JITTER: "0 seconds",
  GC_GRACE: "10 seconds",
  GC_QUARANTINE: "5 seconds",
  GC_UNTAGGED_GRACE: "30 seconds",
  GC_UPLOAD_GRACE: "3 minutes",
  GC_LEFTOVER_EVERY: "1 minute",
  GC_LEFTOVER_GRACE: "2 minutes",
  REGISTRY_HOLD: "1 minute",
  REGISTRY_UPLOAD_LEASE: "2 minutes"
}

/** Returns the commands of the first minute, for a server at `url`. */
export const commands = (config: Configuration, url: string, isCollecting: boolean): string => {
  const { place, serve } = config
  const base = reachable(url)
  const address = new URL(base).host
  const image = `${address}/hello:1`
  const { login, who } = authenticated(serve, address)
  const back = isCollecting ? `   # its space is free ${within(config)}` : ""
  const look = place._tag === "Embedded" ? [`du -sh ${join(place.directory, "objects")}`] : []
  return [
    `Serving a registry at ${address}. To try it, in another terminal:`,
    "",
    ...indented([
      ...login,
      "docker pull hello-world",
      `docker tag hello-world ${image}`,
      `docker push ${image}`,
      `docker pull ${image}`,
      `curl${who} -X DELETE ${base}/v2/hello/manifests/1${back}`,
      ...look
    ]),
    "",
    "Or without docker's daemon:",
    "",
    ...indented([
      `skopeo copy --dest-tls-verify=false docker://hello-world docker://${image}`,
      `crane copy --insecure hello-world ${image}`
    ]),
    ""
  ].join("\n")
}

/** Returns how docker and curl authenticate. */
const authenticated = ({ access }: Configuration["serve"], address: string) => {
  const { credentials, token } = access
  if (credentials !== undefined) {
    return { login: [`docker login ${address}`], who: ` -u '${credentials.username}'` }
  }
  if (token === undefined) return { login: [], who: "" }
  return {
    login: [`docker login ${address}   # any name; the token is the password`],
    who: ' -H "Authorization: Bearer $REGISTRY_TOKEN"'
  }
}

const indented = (lines: ReadonlyArray<string>) => lines.map((line) => `  ${line}`)

/** Returns an address that a client can use: 0.0.0.0 and :: are none. */
const reachable = (url: string): string => {
  const at = new URL(url)
  if (at.hostname === "0.0.0.0" || at.hostname === "[::]") at.hostname = "127.0.0.1"
  return at.origin
}

/** Returns the maximum time until the space is free. Each step waits for the sweep that notices it. */
const within = ({ serve, sweep, when }: Configuration): string => {
  if (sweep.untaggedGrace === null) return "when the manifest is deleted too, by its digest"
  if (when._tag === "cron") return "after sweeps at the times of GC_CRON"
  const held = Duration.max(sweep.untaggedGrace, serve.hold)
  const waits = [held, sweep.grace, sweep.quarantine, sweep.deleteDelay, Duration.times(when.interval, 4)]
  return `within ${Text.span(Duration.toMillis(waits.reduce(Duration.sum)))}`
}
