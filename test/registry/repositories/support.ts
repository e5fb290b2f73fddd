/** Repositories over a catalogue and a store in memory, images to push to them, and what a client pulls. */
import { createHash } from "node:crypto"
import { assert } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Result, Stream } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { Database } from "../../../src/database/Database.ts"
import { algorithmOf, Digest } from "../../../src/domain/Digest.ts"
import { holdOf } from "../../../src/domain/Repository.ts"
import { type PutManifestOptions, Repositories } from "../../../src/registry/Repositories.ts"
import { parseManifest } from "../../../src/registry/repositories/ManifestFormat.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { registry as blobs, bytesOf, digestOf } from "../../fixtures/BlobStores.ts"
import { day, hour, sweepAfter, World } from "../../sweep/support/World.ts"

export { bytesOf, digestOf } from "../../fixtures/BlobStores.ts"

export const ociImage = "application/vnd.oci.image.manifest.v1+json"
export const ociIndex = "application/vnd.oci.image.index.v1+json"
export const configType = "application/vnd.oci.image.config.v1+json"
export const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"

/** Repositories that hold for a day, in a world of their own. */
export const registry = (settings: Partial<SweepSettings> = {}) =>
  Repositories.layer().pipe(Layer.provideMerge(blobs({}, settings)))

/** A sweep without patience: what nothing holds now is gone after it. */
export const impatient: Partial<SweepSettings> = {
  grace: Duration.zero,
  quarantine: Duration.zero
}

// -- manifests: blobs are called by their contents

export const descriptorOf = (content: string, mediaType = layerType, rest: object = {}) => ({
  mediaType,
  digest: digestOf(content),
  size: bytesOf(content).length,
  ...rest
})
export const imageOf = (layers: ReadonlyArray<string>, rest: object = {}): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: ociImage,
    config: descriptorOf("config", configType),
    layers: layers.map((layer) => descriptorOf(layer)),
    ...rest
  })
export const indexOf = (children: ReadonlyArray<string>, rest: object = {}): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: children.map((child) => descriptorOf(child, typeOf(child))),
    ...rest
  })
/** A signature, an attestation: an image that is about another. */
export const aboutOf = (subject: string, layers: ReadonlyArray<string>, rest: object = {}): string =>
  imageOf(layers, {
    subject: descriptorOf(subject, typeOf(subject)),
    artifactType: "application/example",
    ...rest
  })

const typeOf = (manifest: string): string =>
  (JSON.parse(manifest) as { readonly mediaType: string }).mediaType

// -- what clients do

/** As a finished upload does: the blob, and the repository's hold. */
export const pushBlob = (repository: string, content: string) =>
  Effect.gen(function* () {
    const hold = { pin: day, pinId: holdOf(repository, digestOf(content)) }
    const { digest } = yield* (yield* BlobStore).put(Stream.make(bytesOf(content)), hold)
    return digest
  })

export const putManifest = (
  repository: string,
  reference: string,
  manifest: string,
  options: Partial<PutManifestOptions> = {}
) =>
  Effect.flatMap(Repositories, (repositories) =>
    repositories.putManifest(repository, bytesOf(manifest), {
      reference,
      mediaType: typeOf(manifest),
      ...options
    })
  )

/** Pushes an image whose layers are not here yet, by tag, or by digest if it has none; what it was. */
export const pushImage = Effect.fnUntraced(function* (
  repository: string,
  tag: string | null,
  layers: ReadonlyArray<string>,
  manifest = imageOf(layers)
) {
  for (const content of ["config", ...layers]) yield* pushBlob(repository, content)
  yield* putManifest(repository, tag ?? digestOf(manifest), manifest)
  return manifest
})

/** Everything below a manifest, as a client downloads and checks it, sorted: contents of blobs, and of manifests. */
export const pull = (
  repository: string,
  reference: string
): Effect.Effect<ReadonlyArray<string>, unknown, Repositories> =>
  Effect.gen(function* () {
    const repositories = yield* Repositories
    const { bytes, digest, mediaType, sizeBytes } = yield* repositories.manifest(repository, reference)
    const manifest = yield* collected(bytes, digest, sizeBytes)
    const { references } = Result.getOrThrow(parseManifest(bytesOf(manifest), mediaType))
    const found = [manifest]
    for (const { digest, kind } of references) {
      if (kind === "manifest") found.push(...(yield* pull(repository, digest)))
      else found.push(yield* pullBlob(repository, digest))
    }
    return [...new Set(found)].sort()
  })

export const pullBlob = Effect.fnUntraced(function* (repository: string, digest: Digest) {
  const repositories = yield* Repositories
  const blob = yield* repositories.peek(repository, digest)
  if (Option.isNone(blob)) return yield* Effect.fail(`${repository} does not have ${digest}`)
  return yield* collected(blob.value.read(), digest, blob.value.sizeBytes)
})

const collected = Effect.fnUntraced(function* <E>(
  bytes: Stream.Stream<Uint8Array, E>,
  digest: Digest,
  sizeBytes: number
) {
  const found = Buffer.concat(yield* Stream.runCollect(bytes))
  assert.strictEqual(found.length, sizeBytes)
  const algorithm = algorithmOf(digest) ?? "sha256"
  assert.strictEqual(Digest.make(`${algorithm}:${createHash(algorithm).update(found).digest("hex")}`), digest)
  return found.toString("utf8")
})

export const deleteManifest = (repository: string, reference: string) =>
  Effect.flatMap(Repositories, (repositories) => repositories.deleteManifest(repository, reference))

// -- what time does

/** A collector on another host, which takes at once what nothing holds; its calls are in no script. */
export const collector = Effect.gen(function* () {
  const { rows, store } = yield* World
  const context = yield* Layer.build(
    Layer.provide(Sweep.layer(impatient), [Layer.succeed(Database, rows), Layer.succeed(Storage, store)])
  )
  const sweeping = Context.get(context, Sweep)
  const once = Effect.map(sweeping.once(), ({ phases }) => assert.isNull(phases.orphans.error))
  return Effect.forEach([1, 2, 3], () => once, { discard: true })
})

/** Lets so many hours pass, with a sweep after each. */
export const hours = Effect.fnUntraced(function* (count: number) {
  for (let n = 0; n < count; n++) yield* sweepAfter(hour)
})

/** Ends all waits: what nothing refers to is gone afterwards. */
export const longAfter = Effect.gen(function* () {
  for (let n = 0; n < 15; n++) yield* sweepAfter(10 * hour)
})

/** What the store holds, by content, sorted. */
export const stored = Effect.map(
  World,
  ({ bucket }): ReadonlyArray<string> =>
    [...bucket.objects.values()].map(({ bytes }) => Buffer.from(bytes).toString("utf8")).sort()
)

export const holds = Effect.map(World, ({ state }) => [...state.pins.values()])
