/**
 * A team's day, in miniature: builds, one after the other, in its repositories. Each pushes an image under a tag of its own
 * and under `latest`, deletes the tag of the sixth oldest build, and now and then pulls an image that must be whole.
 */
import { createHash, randomBytes } from "node:crypto"

/** What a team measured. */
export interface Measured {
  /** Duration of each request, in milliseconds. */
  readonly millis: Array<number>
  /** What went wrong, in words. */
  readonly errors: Array<string>
  builds: number
  pulls: number
}

/** Returns empty measurements. */
export const measured = (): Measured => ({ millis: [], errors: [], builds: 0, pulls: 0 })

/** An image that has a tag. */
export interface Image {
  readonly repository: string
  readonly tag: string
  readonly manifest: string
  /** Its config and layers. */
  readonly blobs: ReadonlyArray<string>
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
}

/** Builds whose tags a repository keeps. */
const kept = 5

const layerBytes = 50_000
const pauseMillis = 150
const manifestType = "application/vnd.oci.image.manifest.v1+json"

/** Returns the digest of bytes. */
export const digestOf = (bytes: Buffer | string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** A client of one registry that measures its requests. */
export class Client {
  readonly #url: string
  readonly measured: Measured

  constructor(url: string, into: Measured) {
    this.#url = url
    this.measured = into
  }

  async ask(
    method: string,
    path: string,
    init: RequestInit,
    ...expected: ReadonlyArray<number>
  ): Promise<Answer> {
    const at = performance.now()
    const answer = await fetch(new URL(path, this.#url), { ...init, method })
    const body = Buffer.from(await answer.arrayBuffer())
    this.measured.millis.push(performance.now() - at)
    if (!expected.includes(answer.status)) throw new Error(`${method} ${path}: ${answer.status} ${body}`)
    return { status: answer.status, headers: answer.headers, body }
  }

  /** Pushes a blob as docker does: HEAD, POST, PATCH, PUT. */
  async pushBlob(repository: string, bytes: Buffer): Promise<string> {
    const digest = digestOf(bytes)
    const found = await this.ask("HEAD", `/v2/${repository}/blobs/${digest}`, {}, 200, 404)
    if (found.status === 200) return digest
    const opened = await this.ask("POST", `/v2/${repository}/blobs/uploads/`, {}, 202)
    const body = new Uint8Array(bytes)
    const sent = await this.ask("PATCH", opened.headers.get("location") ?? "", { body }, 202)
    const closing = new URL(sent.headers.get("location") ?? "", this.#url)
    closing.searchParams.set("digest", digest)
    await this.ask("PUT", closing.href, {}, 201)
    return digest
  }

  /** Pushes an image of a config, a layer of its own and a shared one, under its tag and under `latest`. */
  async pushImage(repository: string, tag: string, shared: Buffer): Promise<Image> {
    const config = Buffer.from(JSON.stringify({ repository, tag, nonce: randomBytes(8).toString("hex") }))
    const layers = [randomBytes(layerBytes), shared]
    const descriptor = (mediaType: string, bytes: Buffer) => ({
      mediaType,
      digest: digestOf(bytes),
      size: bytes.length
    })
    const blobs: Array<string> = []
    for (const bytes of [config, ...layers]) blobs.push(await this.pushBlob(repository, bytes))
    const body = JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: layers.map((layer) => descriptor("application/vnd.oci.image.layer.v1.tar", layer))
    })
    const headers = { "content-type": manifestType }
    for (const name of [tag, "latest"])
      await this.ask("PUT", `/v2/${repository}/manifests/${name}`, { body, headers }, 201)
    return { repository, tag, manifest: digestOf(body), blobs }
  }

  /** Pulls an image by its tag and compares every digest. */
  async pull({ blobs, manifest, repository, tag }: Image): Promise<void> {
    const headers = { accept: manifestType }
    const found = await this.ask("GET", `/v2/${repository}/manifests/${tag}`, { headers }, 200)
    if (digestOf(found.body) !== manifest) throw new Error(`${repository}:${tag} is another manifest`)
    for (const digest of blobs) {
      const { body } = await this.ask("GET", `/v2/${repository}/blobs/${digest}`, {}, 200)
      if (digestOf(body) !== digest) throw new Error(`${repository}@${digest} has other bytes`)
    }
  }
}

/** Builds in turn in `repositories` until `until`. Returns the images that have a tag then. */
export const work = async (
  client: Client,
  repositories: ReadonlyArray<string>,
  shared: ReadonlyArray<Buffer>,
  until: number
): Promise<ReadonlyArray<Image>> => {
  const live = new Map<string, Array<Image>>(repositories.map((name) => [name, []]))
  const { measured: counts } = client
  for (let n = 0; Date.now() < until; n++) {
    const repository = repositories[n % repositories.length] ?? ""
    const images = live.get(repository) ?? []
    try {
      const layer = shared[Math.floor(Math.random() * shared.length)] ?? Buffer.alloc(0)
      images.push(await client.pushImage(repository, `b${n}`, layer))
      counts.builds += 1
      const old = images.length > kept ? images.shift() : undefined
      if (old !== undefined) await client.ask("DELETE", `/v2/${repository}/manifests/${old.tag}`, {}, 202)
      const any = images[Math.floor(Math.random() * images.length)]
      if (n % 4 === 3 && any !== undefined) {
        await client.pull(any)
        counts.pulls += 1
      }
    } catch (error) {
      counts.errors.push(error instanceof Error ? error.message : String(error))
    }
    await sleep(pauseMillis)
  }
  return [...live.values()].flat()
}
