/**
 * Images made from nothing. The same seed gives the same bytes, so that what comes back can be compared with
 * what was pushed. Layers hold bytes that do not compress, so they are about as large in the registry as
 * their `size` says.
 */
import { createCipheriv, createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { type Entry, tar } from "./Tar.ts"

const types = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip"
}

/** What a manifest says of a blob. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

export interface Blob extends Descriptor {
  readonly bytes: Buffer
}

export interface Layer extends Blob {
  /** The layer before gzip. */
  readonly tar: Buffer
  /** The digest of {@link tar}. */
  readonly diffId: string
}

/** An image, or an index over images, as a client that compares blobs sees it. */
export interface Pushable {
  readonly manifest: Blob
  /** Every blob, with the manifest last. */
  readonly blobs: ReadonlyArray<Blob>
}

export interface Image extends Pushable {
  readonly arch: string
  readonly layers: ReadonlyArray<Layer>
  readonly config: Blob
}

/** The parts of an image's manifest that are read back. */
export interface Manifest {
  readonly config: Descriptor
  readonly layers: ReadonlyArray<Descriptor>
}

export const digestOf = (bytes: string | Buffer): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`

export const hexOf = (digest: string): string => digest.slice("sha256:".length)

const noise = (seed: string, size: number): Buffer => {
  const key = createHash("sha256").update(seed).digest().subarray(0, 16)
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(size))
}

const blob = (mediaType: string, bytes: Buffer): Blob => ({
  mediaType,
  bytes,
  digest: digestOf(bytes),
  size: bytes.length
})

const json = (mediaType: string, value: unknown): Blob => blob(mediaType, Buffer.from(JSON.stringify(value)))

const descriptor = ({ mediaType, digest, size }: Blob): Descriptor => ({ mediaType, digest, size })

/** Returns a layer with one file of `sizeBytes`. */
export const makeLayer = (seed: string, sizeBytes: number): Layer => {
  const folder = `${seed.replaceAll(/[^a-z0-9]/g, "-")}/`
  const archive = tar([{ name: folder }, { name: `${folder}data`, bytes: noise(seed, sizeBytes) }])
  return { ...blob(types.layer, gzipSync(archive, { level: 1 })), tar: archive, diffId: digestOf(archive) }
}

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" }

/** The architecture of this machine, as images name it: clients unpack no other. */
export const architecture: string = architectures[process.arch] ?? process.arch

/** Returns an image of `layers`. The seed makes its configuration, and so its digest, unique. */
export const makeImage = (seed: string, layers: ReadonlyArray<Layer>, arch: string = architecture): Image => {
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
  return { arch, layers, config, manifest, blobs: [...layers, config, manifest] }
}

/** Returns an index over images of several architectures. */
export const makeIndex = (seed: string, images: ReadonlyArray<Image>): Pushable => {
  const manifest = json(types.index, {
    schemaVersion: 2,
    mediaType: types.index,
    manifests: images.map(({ manifest, arch }) => ({
      ...descriptor(manifest),
      platform: { architecture: arch, os: "linux" }
    })),
    annotations: { seed }
  })
  return { manifest, blobs: [...images.flatMap(({ blobs }) => blobs), manifest] }
}

const layoutEntries = (
  image: Pushable,
  annotations: Readonly<Record<string, string>>
): ReadonlyArray<Required<Entry>> => {
  const index = { schemaVersion: 2, manifests: [{ ...descriptor(image.manifest), annotations }] }
  const blobs = new Map(image.blobs.map(({ digest, bytes }) => [`blobs/sha256/${hexOf(digest)}`, bytes]))
  return [
    { name: "oci-layout", bytes: Buffer.from(JSON.stringify({ imageLayoutVersion: "1.0.0" })) },
    { name: "index.json", bytes: Buffer.from(JSON.stringify(index)) },
    ...Array.from(blobs, ([name, bytes]) => ({ name, bytes }))
  ]
}

/** Writes an image as an OCI layout, under the reference name `image`. Returns the folder. */
export const writeLayout = (folder: string, image: Pushable): string => {
  mkdirSync(join(folder, "blobs/sha256"), { recursive: true })
  for (const { name, bytes } of layoutEntries(image, { "org.opencontainers.image.ref.name": "image" })) {
    writeFileSync(join(folder, name), bytes)
  }
  return folder
}

/**
 * Writes an OCI layout in a tar, as `ctr images import` reads it, under the full name `name`. Returns the
 * file.
 */
export const writeLayoutArchive = (file: string, image: Pushable, name: string): string => {
  writeFileSync(file, tar(layoutEntries(image, { "io.containerd.image.name": name })))
  return file
}

/**
 * Writes an archive as `docker save` does: layers as plain tars, and no manifest of a registry's kind.
 * Returns the file.
 */
export const writeDockerArchive = (file: string, image: Image, name: string): string => {
  const nameOf = ({ diffId }: Layer) => `${hexOf(diffId)}/layer.tar`
  const config = `${hexOf(image.config.digest)}.json`
  const manifest = [{ Config: config, RepoTags: [name], Layers: image.layers.map(nameOf) }]
  const entries = [
    { name: config, bytes: image.config.bytes },
    ...image.layers.map((layer) => ({ name: nameOf(layer), bytes: layer.tar })),
    { name: "manifest.json", bytes: Buffer.from(JSON.stringify(manifest)) }
  ]
  writeFileSync(file, tar(entries))
  return file
}
