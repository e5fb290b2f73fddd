/** The registry under test: two replicas and the balancer, and what the checks ask of its API themselves. */
import { join } from "node:path"
import { migrate, startReplica } from "../registry/replicas.mjs"
import { startBalancer } from "../servers/balancer.mjs"

/**
 * Waits so short that all of a run's garbage goes while it runs, and sweeps without a pause. A push has hold, grace and
 * quarantine together from its first layer to its manifest; those here take a second, and more on a busy machine.
 */
const settings = {
  GC_INTERVAL: "1 second",
  GC_JITTER: "0 seconds",
  GC_GRACE: "2 seconds",
  GC_QUARANTINE: "2 seconds",
  GC_UNTAGGED_GRACE: "8 seconds",
  GC_UPLOAD_GRACE: "25 seconds",
  GC_LEFTOVER_EVERY: "5 seconds",
  GC_LEFTOVER_GRACE: "5 seconds",
  GC_BREAKER_PERCENT: "100",
  REGISTRY_HOLD: "6 seconds",
  REGISTRY_UPLOAD_LEASE: "15 seconds",
  SERVE_IDLE_TIMEOUT: "10 seconds"
}

/** Starts both replicas and the balancer; `log` is what the replicas said. */
export const startRegistry = async (group, servers) => {
  await migrate(group, servers)
  const replicas = await Promise.all(
    ["first", "second"].map((name) => startReplica(group, servers, name, { settings }))
  )
  const balancer = await startBalancer({ targets: replicas.map(({ url }) => url) })
  return {
    balancer,
    /** Every way to the registry, by name. */
    ways: { balancer: balancer.url, "first replica": replicas[0].url, "second replica": replicas[1].url },
    log: () => replicas.map((replica) => replica.log()).join("\n"),
    alive: () => replicas.every((replica) => !replica.ended),
    logFiles: ["first", "second"].map((name) => join(group.folder, `${name}.log`)),
    stop: async () => {
      await balancer.close()
      await Promise.all(replicas.map((replica) => replica.stop()))
    }
  }
}

/** `host:port/repository:tag`, as clients name an image. */
export const named = (url, repository, tag) => `${new URL(url).host}/${repository}:${tag}`

/** One request that must be answered with `expected`; the answer's body is the caller's to read. */
export const ask = async (url, { method = "GET", expected = 200, ...options } = {}) => {
  const answer = await fetch(url, { method, ...options })
  if (answer.status === expected) return answer
  throw new Error(
    `${method} ${url}: ${answer.status}, not ${expected}: ${(await answer.text()).slice(0, 500)}`
  )
}

export const tagsOf = async (url, repository) =>
  (await (await ask(`${url}/v2/${repository}/tags/list`)).json()).tags

export const deleteManifest = async (url, repository, reference) => {
  await (
    await ask(`${url}/v2/${repository}/manifests/${reference}`, { method: "DELETE", expected: 202 })
  ).text()
}

export const bytesOf = async (url) => Buffer.from(await (await ask(url)).arrayBuffer())

/** A repository's manifest by tag, and what it refers to, as a client left it. */
export const manifestOf = async (url, repository, tag) => {
  const accept = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json"
  ].join(", ")
  const answer = await ask(`${url}/v2/${repository}/manifests/${tag}`, { headers: { accept } })
  return await answer.json()
}
