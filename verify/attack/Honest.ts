/** An honest client, which pushes a small image and pulls it again, and the time of each of its requests. */
import { createHash, randomBytes } from "node:crypto"
import { Agent, type IncomingMessage, request } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"

/** What the honest client saw. */
export interface Seen {
  /** The durations of its requests, in milliseconds, sorted. */
  readonly millis: ReadonlyArray<number>
  /** Requests that were not answered as an honest client expects. */
  readonly failures: ReadonlyArray<string>
  /** The slowest request. */
  readonly slowest: string
}

/** A request of the honest client may take that long. A client gives up after a minute. */
const patienceMillis = 60_000

const layerBytes = 128 * 1024

const sha256 = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

interface Answer {
  readonly status: number
  readonly location: string
  readonly body: Buffer
}

/** Pushes and pulls at a registry, one request at a time. */
export class Honest {
  readonly #url: string
  readonly #agent = new Agent({ keepAlive: true })
  readonly #millis: Array<number> = []
  readonly #failures: Array<string> = []
  #slowest = { millis: 0, what: "" }

  constructor(url: string) {
    this.#url = url
  }

  /** Works for that long, at least two rounds. */
  async work(seconds: number): Promise<Seen> {
    const end = performance.now() + seconds * 1000
    for (let round = 0; round < 2 || performance.now() < end; round++) {
      await this.#round().catch((error) => this.#failures.push(String(error)))
      await sleep(5)
    }
    this.#agent.destroy()
    return {
      millis: this.#millis.toSorted((a, b) => a - b),
      failures: this.#failures,
      slowest: this.#slowest.what
    }
  }

  async #round(): Promise<void> {
    const layer = randomBytes(layerBytes)
    const digest = sha256(layer)
    const begun = await this.#ask("POST", "/v2/honest/app/blobs/uploads/", 202)
    const sent = await this.#ask("PATCH", begun.location, 202, layer)
    await this.#ask("PUT", `${sent.location}&digest=${digest}`, 201)
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: manifestType,
        config: { mediaType: "application/octet-stream", digest, size: layerBytes },
        layers: []
      })
    )
    await this.#ask("PUT", "/v2/honest/app/manifests/latest", 201, manifest)
    const pulled = await this.#ask("GET", "/v2/honest/app/manifests/latest", 200)
    if (!pulled.body.equals(manifest)) this.#failures.push("a manifest came back with other bytes")
    const bytes = await this.#ask("GET", `/v2/honest/app/blobs/${digest}`, 200)
    if (!bytes.body.equals(layer)) this.#failures.push("a layer came back with other bytes")
  }

  async #ask(method: string, path: string, expected: number, body?: Buffer): Promise<Answer> {
    const begun = performance.now()
    const answer = await this.#send(method, path, body)
    const millis = performance.now() - begun
    this.#millis.push(millis)
    const what = `${method} ${path.replace(/[^/]{30,}/, "…")} as number ${this.#millis.length}`
    if (millis > this.#slowest.millis) this.#slowest = { millis, what }
    if (answer.status !== expected)
      throw new Error(`${method} ${path}: ${answer.status} instead of ${expected}: ${answer.body}`)
    return answer
  }

  #send(method: string, path: string, body?: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const answered = (response: IncomingMessage) => {
        const chunks: Array<Buffer> = []
        response
          .on("data", (chunk: Buffer) => chunks.push(chunk))
          .once("error", reject)
          .once("end", () =>
            resolve({
              status: response.statusCode ?? 0,
              location: response.headers.location ?? "",
              body: Buffer.concat(chunks)
            })
          )
      }
      const headers = {
        "content-length": body?.length ?? 0,
        ...(method === "PUT" && body !== undefined ? { "content-type": manifestType } : {})
      }
      const sending = request(new URL(path, this.#url), { method, headers, agent: this.#agent }, answered)
      sending.setTimeout(patienceMillis, () => sending.destroy(new Error(`${method} ${path}: no answer`)))
      sending.once("error", reject).end(body)
    })
  }
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

/** Returns the value below which a share of sorted values is. */
export const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0
