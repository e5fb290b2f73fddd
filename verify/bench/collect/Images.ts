/** Images of a few small layers, which any registry takes: pushed, deleted and read back. */
import { createHash } from "node:crypto"
import { ask, expected } from "../registry/Client.ts"

const repository = "bench/images"
const manifestType = "application/vnd.oci.image.manifest.v1+json"

/** An image: its manifest and the blobs that it lists, none of which another image has. */
export interface Image {
  readonly tag: string
  readonly digest: string
  readonly manifest: Buffer
  readonly blobs: ReadonlyArray<readonly [digest: string, bytes: Buffer]>
}

/** Blobs of an image: its configuration and its layers. */
export const blobsPerImage = 5

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** Returns the image of this name, always with the same bytes. */
export const imageOf = (tag: string): Image => {
  const config = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", author: tag }))
  const layers = Array.from({ length: blobsPerImage - 1 }, (_, layer) =>
    Buffer.alloc(8 * 1024, `${tag} layer ${layer} `)
  )
  const descriptor = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length
  })
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: layers.map((bytes) => descriptor("application/vnd.oci.image.layer.v1.tar", bytes))
    })
  )
  const blobs = [config, ...layers].map((bytes) => [digestOf(bytes), bytes] as const)
  return { tag, digest: digestOf(manifest), manifest, blobs }
}

const at = (base: string, path: string): URL => new URL(`/v2/${repository}/${path}`, base)

/** Pushes an image as clients do: a blob that the registry has is not sent again. Returns whether it was acknowledged. */
export const push = async (base: string, { blobs, manifest, tag }: Image): Promise<boolean> => {
  for (const [digest, bytes] of blobs) {
    if ((await ask(at(base, `blobs/${digest}`), "HEAD")).statusCode === 200) continue
    const begun = await ask(at(base, "blobs/uploads/"), "POST", { "content-length": "0" })
    const location = new URL(expected(begun, 202, "POST").headers.location ?? "", base)
    location.searchParams.set("digest", digest)
    const headers = {
      "content-type": "application/octet-stream",
      "content-length": String(bytes.length)
    }
    expected(await ask(location, "PUT", headers, [bytes]), 201, "PUT of a blob")
  }
  const headers = { "content-type": manifestType, "content-length": String(manifest.length) }
  const answer = await ask(at(base, `manifests/${tag}`), "PUT", headers, [manifest])
  return answer.statusCode === 201
}

/** Deletes the manifest of an image, as `crane delete` does. */
export const remove = async (base: string, { digest }: Image): Promise<void> => {
  expected(await ask(at(base, `manifests/${digest}`), "DELETE"), 202, "DELETE")
}

/** Returns whether the image can be pulled: its manifest by tag, and each blob with the digest of its bytes. */
export const isWhole = async (base: string, { blobs, digest, tag }: Image): Promise<boolean> => {
  const urls = [at(base, `manifests/${tag}`), ...blobs.map(([blob]) => at(base, `blobs/${blob}`))]
  for (const [index, url] of urls.entries()) {
    const answer = await fetch(url, { headers: { accept: manifestType } })
    const bytes = Buffer.from(await answer.arrayBuffer())
    if (!answer.ok || digestOf(bytes) !== (index === 0 ? digest : blobs[index - 1]?.[0])) return false
  }
  return true
}
