/** A registry in memory behind the servers of a test: its services, and what they left in catalogue and store. */
import { createHash } from "node:crypto"
import { Context, Effect, Layer } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import * as MemoryDatabase from "../../../src/database/Memory.ts"
import { type Algorithm, type Digest, fromHex } from "../../../src/domain/Digest.ts"
import type { RegistryOptions } from "../../../src/http/Registry.ts"
import { Repositories } from "../../../src/registry/Repositories.ts"
import { Uploads, type UploadsOptions } from "../../../src/registry/Uploads.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { ask, site } from "./Site.ts"

export class Stored extends Context.Service<
  Stored,
  { readonly state: MemoryDatabase.State; readonly bucket: MemoryStorage.State }
>()("test/Stored") {}

/** Uploads and repositories over a catalogue and a store of their own. */
export const services = (options: UploadsOptions = {}) =>
  Layer.unwrap(
    Effect.sync(() => {
      const state = MemoryDatabase.emptyState()
      const bucket = MemoryStorage.emptyState()
      return Layer.mergeAll(Uploads.layer(options), Repositories.layer()).pipe(
        Layer.provide(BlobStore.layer()),
        Layer.provideMerge(Layer.mergeAll(MemoryDatabase.layer(state), MemoryStorage.layerOf(bucket))),
        Layer.provideMerge(Layer.succeed(Stored, { state, bucket }))
      )
    })
  )

/** Replicas of a registry over them. */
export const registry = (options: RegistryOptions = {}, replicas = 1) =>
  site(options, replicas).pipe(Layer.provideMerge(services()))

export const digestOf = (bytes: string | Uint8Array, algorithm: Algorithm = "sha256"): Digest =>
  fromHex(algorithm, createHash(algorithm).update(bytes).digest("hex"))

/** The body of an answer, which must be JSON. */
export const jsonOf = ({ body }: { readonly body: Buffer }): unknown => JSON.parse(body.toString())

/** The path of an upload that has begun; as it was given out, with its offset. */
export const begin = (name: string, replica = 0) =>
  Effect.map(
    ask(`/v2/${name}/blobs/uploads/`, { method: "POST" }, replica),
    ({ headers }) => headers.get("location") ?? ""
  )

/** Adds to an address that has a query already. */
export const withDigest = (location: string, digest: string) =>
  `${location}&digest=${encodeURIComponent(digest)}`

/** Pushes a blob whole. */
export const pushBlob = (name: string, bytes: string | Uint8Array, replica = 0) => {
  const digest = digestOf(bytes)
  const path = `/v2/${name}/blobs/uploads/?digest=${digest}`
  return Effect.as(ask(path, { method: "POST", body: Buffer.from(bytes) }, replica), digest)
}

export const imageType = "application/vnd.oci.image.manifest.v1+json"
export const indexType = "application/vnd.oci.image.index.v1+json"

/** A manifest of an image with one layer, which is pushed with its config; the manifest itself is not. */
export const image = (name: string, layer: string, more: Readonly<Record<string, unknown>> = {}) =>
  Effect.gen(function* () {
    const config = yield* pushBlob(name, "{}")
    const digest = yield* pushBlob(name, layer)
    return JSON.stringify({
      schemaVersion: 2,
      mediaType: imageType,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: config, size: 2 },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: layer.length }],
      ...more
    })
  })

export const putManifest = (name: string, reference: string, manifest: string, mediaType = imageType) =>
  ask(`/v2/${name}/manifests/${reference}`, {
    method: "PUT",
    body: manifest,
    headers: { "content-type": mediaType }
  })
