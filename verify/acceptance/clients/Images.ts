/**
 * Images made from nothing: the same seed gives the same bytes, so that whatever comes back can be compared with what was
 * pushed. Layers hold bytes that do not compress, hence are in the registry about as large as they say.
 */
import { createCipheriv, createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { tar } from "./tar.mjs"

const types = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip"
}

export const digestOf = (bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

export const hexOf = (digest) => digest.slice("sha256:".length)

const noise = (seed, size) => {
  const key = createHash("sha256").update(seed).digest().subarray(0, 16)
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size))
}

const blob = (mediaType, bytes) => ({ mediaType, bytes, digest: digestOf(bytes), size: bytes.length })

const json = (mediaType, value) => blob(mediaType, Buffer.from(JSON.stringify(value)))

const descriptor = ({ mediaType, digest, size }) => ({ mediaType, digest, size })

/** A layer with one file of `size` bytes, as the tar it is and gzipped as it travels. */
export const makeLayer = (seed, size) => {
  const folder = `${seed.replaceAll(/[^a-z0-9]/g, "-")}/`
  const archive = tar([[folder], [`${folder}data`, noise(seed, size)]])
  return { ...blob(types.layer, gzipSync(archive, { level: 1 })), tar: archive, diffId: digestOf(archive) }
}

/** The architecture of this machine, as images name it: clients unpack no other. */
export const architecture = { x64: "amd64", arm64: "arm64" }[process.arch] ?? process.arch

/** An image of `layers`; `seed` makes its configuration, and so its digest, its own. */
export const makeImage = (seed, layers, { arch = architecture } = {}) => {
  const config = json(types.config, {
    created: "2020-01-01T00:00:00Z",
    architecture: arch,
    os: "linux",
    config: { Labels: { seed } },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map((_, index) => ({ created: "2020-01-01T00:00:00Z", created_by: `layer ${index}` }))
  })
  const manifest = json(types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: descriptor(config),
    layers: layers.map(descriptor)
  })
  return { seed, arch, layers, config, manifest, blobs: [...layers, config, manifest] }
}

/** One index over images of several architectures. It looks like an image to whoever only compares blobs. */
export const makeIndex = (seed, images) => {
  const manifest = json(types.index, {
    schemaVersion: 2,
    mediaType: types.index,
    manifests: images.map(({ manifest, arch }) => ({
      ...descriptor(manifest),
      platform: { architecture: arch, os: "linux" }
    })),
    annotations: { seed }
  })
  return { seed, images, manifest, blobs: [...images.flatMap(({ blobs }) => blobs), manifest] }
}

const layoutEntries = (image, annotations) => {
  const index = { schemaVersion: 2, manifests: [{ ...descriptor(image.manifest), annotations }] }
  return [
    ["oci-layout", Buffer.from(JSON.stringify({ imageLayoutVersion: "1.0.0" }))],
    ["index.json", Buffer.from(JSON.stringify(index))],
    ...new Map(image.blobs.map(({ digest, bytes }) => [`blobs/sha256/${hexOf(digest)}`, bytes]))
  ]
}

/** Writes an image as an OCI layout, under the reference name `image`. */
export const writeLayout = (folder, image) => {
  mkdirSync(join(folder, "blobs/sha256"), { recursive: true })
  for (const [name, bytes] of layoutEntries(image, { "org.opencontainers.image.ref.name": "image" })) {
    writeFileSync(join(folder, name), bytes)
  }
  return folder
}

/** Writes an OCI layout in a tar, as `ctr images import` reads it, under the full name `name`. */
export const writeLayoutArchive = (file, image, name) => {
  writeFileSync(file, tar(layoutEntries(image, { "io.containerd.image.name": name })))
  return file
}

/** Writes what `docker save` writes: layers as plain tars, and no manifest of a registry's kind. */
export const writeDockerArchive = (file, image, name) => {
  const layer = ({ diffId }) => `${hexOf(diffId)}/layer.tar`
  const config = `${hexOf(image.config.digest)}.json`
  const manifest = [{ Config: config, RepoTags: [name], Layers: image.layers.map(layer) }]
  const entries = [
    [config, image.config.bytes],
    ...image.layers.map((each) => [layer(each), each.tar]),
    ["manifest.json", Buffer.from(JSON.stringify(manifest))]
  ]
  writeFileSync(file, tar(entries))
  return file
}
