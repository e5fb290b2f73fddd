/**
 * The registry under test: two replicas and the balancer, and the requests that the checks make themselves.
 */
import { type Balancer, startBalancer } from "../../../tools/servers/Balancer.ts"
import type { Group } from "../../../tools/servers/Processes.ts"
import type { Found } from "../../../tools/servers/Servers.ts"
import { migrate, type Settings, startPair } from "../Replicas.ts"
import type { Manifest } from "./Images.ts"

/**
 * Sweeps without a pause, and waits so short that all of a run's garbage is deleted while it runs. Hold,
 * grace and quarantine together limit the time between a push's first layer and its manifest. A push here
 * takes a second, and more on a busy machine.
 */
export const settings: Settings = {
  GC_INTERVAL: "1 second",
  GC_JITTER: "0 seconds",
  GC_GRACE: "2 seconds",
  GC_QUARANTINE: "2 seconds",
  GC_UNTAGGED_GRACE: "8 seconds",
  GC_UPLOAD_GRACE: "25 seconds",
  GC_LEFTOVER_EVERY: "5 seconds",
  GC_LEFTOVER_GRACE: "5 seconds",
  GC_BREAKER_PERCENT: "100",
  // Two of the clients read blobs from the store, the third one through the replicas.
  GC_DELETE_DELAY: "6 seconds",
  SERVE_REDIRECT: "presigned",
  SERVE_REDIRECT_LIFE: "5 seconds",
  SERVE_REDIRECT_AGENTS: "docker/, containerd/",
  REGISTRY_HOLD: "6 seconds",
  REGISTRY_UPLOAD_LEASE: "15 seconds",
  SERVE_IDLE_TIMEOUT: "10 seconds"
}

/** A URL by which the registry is reached. */
export interface Way {
  readonly name: string
  readonly url: string
}

export interface Registry {
  readonly balancer: Balancer
  /** The balancer's URL. */
  readonly url: string
  readonly replicas: readonly [Way, Way]
  /** Every way to the registry: the balancer and the replicas. */
  readonly ways: ReadonlyArray<Way>
  /** Returns the end of what the replicas have logged. */
  readonly log: () => string
  readonly alive: () => boolean
  readonly logFiles: ReadonlyArray<string>
  readonly stop: () => Promise<void>
}

/** Starts both replicas and the balancer. */
export const startRegistry = async (group: Group, servers: Found): Promise<Registry> => {
  await migrate(group, servers)
  const pair = await startPair(group, servers, { settings })
  const balancer = await startBalancer({ targets: pair.map(({ url }) => url) })
  const replicas = [
    { name: "first replica", url: pair[0].url },
    { name: "second replica", url: pair[1].url }
  ] as const
  return {
    balancer,
    url: balancer.url,
    replicas,
    ways: [{ name: "balancer", url: balancer.url }, ...replicas],
    log: () => pair.map(({ daemon }) => daemon.log()).join("\n"),
    alive: () => pair.every(({ daemon }) => !daemon.ended),
    logFiles: pair.map(({ logFile }) => logFile),
    stop: async () => {
      await balancer.close()
      await Promise.all(pair.map(({ daemon }) => daemon.stop()))
    }
  }
}

/** Returns `host:port/repository:tag`, as clients name an image. */
export const named = (url: string, repository: string, tag: string): string =>
  `${new URL(url).host}/${repository}:${tag}`

export interface Request extends RequestInit {
  /** The status that the answer must have. Default: 200. */
  readonly expected?: number
}

/**
 * Sends one request. Fails if the answer has another status than expected. The caller reads the answer's
 * body.
 */
export const ask = async (
  url: string | URL,
  { method = "GET", expected = 200, ...options }: Request = {}
): Promise<Response> => {
  const answer = await fetch(url, { method, ...options })
  if (answer.status === expected) return answer
  throw new Error(
    `${method} ${url}: ${answer.status}, not ${expected}: ${(await answer.text()).slice(0, 500)}`
  )
}

/** Returns a repository's tags; null where the registry answers so. */
export const tagsOf = async (url: string, repository: string): Promise<ReadonlyArray<string> | null> => {
  const answer = await ask(`${url}/v2/${repository}/tags/list`)
  const { tags } = (await answer.json()) as { readonly tags: ReadonlyArray<string> | null }
  return tags
}

/** Deletes a manifest by digest, or a tag. */
export const deleteManifest = async (url: string, repository: string, reference: string): Promise<void> => {
  const answer = await ask(`${url}/v2/${repository}/manifests/${reference}`, {
    method: "DELETE",
    expected: 202
  })
  await answer.text()
}

export const bytesOf = async (url: string): Promise<Buffer> =>
  Buffer.from(await (await ask(url)).arrayBuffer())

/** Returns the manifest of a tag, as a client pushed it. */
export const manifestOf = async (url: string, repository: string, tag: string): Promise<Manifest> => {
  const accept = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json"
  ].join(", ")
  const answer = await ask(`${url}/v2/${repository}/manifests/${tag}`, { headers: { accept } })
  return (await answer.json()) as Manifest
}
