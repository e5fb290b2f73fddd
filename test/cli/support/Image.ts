/** A tiny image, and a client that pushes and pulls it by nothing but `fetch`. */
import { createHash } from "node:crypto"
import { assert } from "vitest"

export const digestOf = (bytes: string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`

export interface Image {
  readonly blobs: ReadonlyArray<string>
  readonly manifest: string
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

/** An image of two layers, whose bytes say `text`. */
export const image = (text: string): Image => {
  const config = JSON.stringify({ architecture: "amd64", os: "linux", about: text })
  const layers = [`first layer of ${text}`, `second layer of ${text}`.repeat(1000)]
  const descriptor = (mediaType: string, bytes: string) => ({
    mediaType,
    digest: digestOf(bytes),
    size: Buffer.byteLength(bytes)
  })
  return {
    blobs: [config, ...layers],
    manifest: JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: layers.map((layer) => descriptor("application/vnd.oci.image.layer.v1.tar", layer))
    })
  }
}

/** A repository of a registry, and what is said in every request. */
export const client = (url: string, repository: string, headers: Readonly<Record<string, string>> = {}) => {
  const ask = (method: string, path: string, init: RequestInit = {}) =>
    fetch(new URL(path, url), { method, ...init, headers: { ...headers, ...init.headers } })
  const answered = async (status: number, request: Promise<Response>) => {
    const response = await request
    const text = await response.text()
    assert.strictEqual(response.status, status, text)
    return { text, location: response.headers.get("location") ?? "" }
  }
  const base = `/v2/${repository}`

  /** The first half by PATCH, the rest with the closing PUT. */
  const pushBlob = async (bytes: string) => {
    const half = Math.floor(bytes.length / 2)
    const begun = await answered(202, ask("POST", `${base}/blobs/uploads/`))
    const patched = await answered(202, ask("PATCH", begun.location, { body: bytes.slice(0, half) }))
    const end = new URL(patched.location, url)
    end.searchParams.set("digest", digestOf(bytes))
    await answered(201, ask("PUT", end.href, { body: bytes.slice(half) }))
  }

  return {
    ask,
    begin: () => answered(202, ask("POST", `${base}/blobs/uploads/`)),
    push: async ({ blobs, manifest }: Image, tag: string) => {
      for (const blob of blobs) await pushBlob(blob)
      const put = ask("PUT", `${base}/manifests/${tag}`, {
        body: manifest,
        headers: { "content-type": manifestType }
      })
      await answered(201, put)
    },
    /** By its tag, each blob by the digest that the manifest names. */
    pull: async (tag: string): Promise<Image> => {
      const { text: manifest } = await answered(
        200,
        ask("GET", `${base}/manifests/${tag}`, { headers: { accept: manifestType } })
      )
      const { config, layers } = JSON.parse(manifest)
      const blobs: Array<string> = []
      for (const { digest } of [config, ...layers])
        blobs.push((await answered(200, ask("GET", `${base}/blobs/${digest}`))).text)
      return { blobs, manifest }
    },
    deleteTag: (tag: string) => answered(202, ask("DELETE", `${base}/manifests/${tag}`)),
    status: async (path: string) => (await ask("GET", `${base}/${path}`)).status
  }
}
