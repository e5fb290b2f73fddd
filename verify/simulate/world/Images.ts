/** Images that clients of a simulated registry push: manifests over the contents, and indexes over manifests. */
import { createHash } from "node:crypto"
import { fromSha256Hex } from "../../../src/domain/Digest.ts"
import { type Content, contents, know } from "./Contents.ts"

/** A manifest, or an index. */
export interface Image extends Content {
  readonly mediaType: string
  /** The blobs that it needs, without manifests. */
  readonly blobs: ReadonlyArray<Content>
  /** The manifests that an index lists. */
  readonly manifests: ReadonlyArray<Image>
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"
const indexType = "application/vnd.oci.image.index.v1+json"

const descriptor = (mediaType: string, { bytes, digest }: Content) => ({
  mediaType,
  digest,
  size: bytes.length
})

const imageOf = (
  name: string,
  document: { readonly mediaType: string },
  rest: Pick<Image, "blobs" | "manifests">
): Image => {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...document }))
  const digest = fromSha256Hex(createHash("sha256").update(bytes).digest("hex"))
  const image = { name, digest, bytes, mediaType: document.mediaType, ...rest }
  know(image)
  return image
}

const manifestOf = (config: Content, layer: Content): Image =>
  imageOf(
    `m${config.name}${layer.name}`,
    {
      mediaType: manifestType,
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)]
    } as { mediaType: string },
    { blobs: config === layer ? [config] : [config, layer], manifests: [] }
  )

const indexOf = (manifests: ReadonlyArray<Image>): Image =>
  imageOf(
    `i(${manifests.map(({ name }) => name).join(",")})`,
    {
      mediaType: indexType,
      manifests: manifests.map((image) => descriptor(manifestType, image))
    } as { mediaType: string },
    { blobs: [], manifests }
  )

/** By number of contents: the manifests over the first contents, and an index over the first two of these. */
const byContents = contents.map((_, last) => {
  const used = contents.slice(0, last + 1)
  const manifests = used.flatMap((config, n) => {
    const layer = used[(n + 1) % used.length] ?? config
    return [manifestOf(config, layer)]
  })
  return { manifests, indexes: [indexOf(manifests.slice(0, 1)), indexOf(manifests.slice(0, 2))] }
})

/** Returns the images of a world with this many contents. */
export const imagesOf = (
  count: number
): { readonly manifests: ReadonlyArray<Image>; readonly indexes: ReadonlyArray<Image> } => {
  const images = byContents[count - 1]
  if (images === undefined) throw new Error(`there are no ${count} contents`)
  return images
}
