import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Digest } from "../../../src/domain/Digest.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { fails, hangsBefore, lands } from "../../../src/testing/Faults.ts"
import {
  aboutOf,
  bytesOf,
  collector,
  deleteManifest,
  descriptorOf,
  digestOf,
  imageOf,
  impatient,
  indexOf,
  layerType,
  longAfter,
  ociImage,
  ociIndex,
  pull,
  pushBlob,
  pushImage,
  putManifest,
  registry,
  stored
} from "../../fixtures/oci/Repositories.ts"
import { clean, sound, World } from "../../fixtures/World.ts"

const repository = "library/one"

const find = (reference: string) =>
  Effect.flatMap(Repositories, (repositories) => repositories.manifest(repository, reference))
const found = (reference: string) =>
  Effect.map(find(reference), ({ digest, mediaType, sizeBytes }) => ({ digest, mediaType, sizeBytes }))
const tags = (after?: string, limit = 100) =>
  Effect.flatMap(Repositories, (repositories) => repositories.tags(repository, { after, limit }))

/** Returns repositories with tags, and pins that are not holds. */
const left = Effect.gen(function* () {
  const { rows, state } = yield* World
  const found = yield* rows.manifests.repositories(null, 100)
  const names = yield* Effect.forEach(found, (name) =>
    Effect.map(rows.manifests.tags(name, null, 100), (tags) => [name, ...Option.getOrThrow(tags)].join(" "))
  )
  return [...names, ...[...state.pins.keys()].filter((id) => !id.startsWith("oci:"))]
})

describe("pushing a manifest", () => {
  it.effect("by tag stores it under the tag and the digest, byte for byte", () =>
    Effect.gen(function* () {
      const manifest = `${imageOf(["layer"])}\n \t`
      yield* pushBlob(repository, "config")
      yield* pushBlob(repository, "layer")
      const stat = { digest: digestOf(manifest), mediaType: ociImage, sizeBytes: manifest.length }
      assert.deepStrictEqual(yield* putManifest(repository, "v1", manifest), { ...stat, subject: null })
      assert.deepStrictEqual(yield* found("v1"), stat)
      assert.deepStrictEqual(yield* found(digestOf(manifest)), stat)
      assert.deepStrictEqual(yield* pull(repository, "v1"), ["config", "layer", manifest])
      assert.deepStrictEqual(yield* left, [`${repository} v1`])
      yield* clean
    }).pipe(Effect.provide(registry()))
  )

  it.effect("by digest sets only the tags that were asked for", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage(repository, null, ["layer"])
      assert.deepStrictEqual(yield* tags(), { items: [], hasMore: false })
      yield* putManifest(repository, digestOf(manifest), manifest, { tags: ["v1", "latest", "v1"] })
      assert.deepStrictEqual(yield* tags(), { items: ["latest", "v1"], hasMore: false })
      yield* putManifest(repository, "v2", manifest, { tags: ["v3"] })
      assert.deepStrictEqual((yield* tags()).items, ["latest", "v1", "v2", "v3"])
    }).pipe(Effect.provide(registry()))
  )

  it.effect("by a sha512 stores it under that digest, and its parts may be named by either", () =>
    Effect.gen(function* () {
      const repositories = yield* Repositories
      yield* pushBlob(repository, "config")
      yield* pushBlob(repository, "layer")
      const manifest = imageOf(["layer"])
      const sha512 = Digest.make(`sha512:${createHash("sha512").update(manifest).digest("hex")}`)
      const { digest } = yield* putManifest(repository, sha512, manifest)
      assert.strictEqual(digest, sha512)
      assert.lengthOf(yield* pull(repository, sha512), 3)
      assert.strictEqual((yield* Effect.flip(find(digestOf(manifest))))._tag, "ManifestUnknown")
      const index = JSON.stringify({
        schemaVersion: 2,
        manifests: [{ mediaType: ociImage, digest: sha512, size: manifest.length }]
      })
      yield* repositories.putManifest(repository, bytesOf(index), { reference: "all", mediaType: ociIndex })
      assert.lengthOf(yield* pull(repository, "all"), 4)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("again changes nothing, and sends nothing", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      const manifest = yield* pushImage(repository, "v1", ["layer"])
      const sent = storage.count("put")
      yield* putManifest(repository, "v1", manifest)
      yield* putManifest(repository, digestOf(manifest), manifest)
      assert.strictEqual(storage.count("put"), sent)
      assert.deepStrictEqual(yield* left, [`${repository} v1`])
    }).pipe(Effect.provide(registry()))
  )

  it.effect(
    "is tried three times if the database is contended or does not answer, and once if it refuses",
    () =>
      Effect.gen(function* () {
        const { database } = yield* World
        yield* pushBlob(repository, "config")
        yield* pushBlob(repository, "layer")
        database.next("manifests.put", fails("Contended"))
        database.next("manifests.put", lands("Unavailable"))
        yield* putManifest(repository, "v1", imageOf(["layer"]))
        assert.strictEqual(database.count("manifests.put"), 3)
        assert.lengthOf(yield* pull(repository, "v1"), 3)
        for (const [reason, tries] of [
          ["Contended", 3],
          ["Denied", 1]
        ] as const) {
          database.calls.length = 0
          database.next("manifests.put", fails(reason), tries)
          const error = yield* Effect.flip(putManifest(repository, "v2", imageOf(["layer"])))
          assert.deepInclude(error, { _tag: "DatabaseError", reason })
          assert.strictEqual(database.count("manifests.put"), tries)
        }
      }).pipe(Effect.provide(registry()))
  )

  it.effect("moves a tag from the manifest that had it", () =>
    Effect.gen(function* () {
      const before = yield* pushImage(repository, "latest", ["old"])
      const after = yield* pushImage(repository, "latest", ["new"])
      assert.strictEqual((yield* found("latest")).digest, digestOf(after))
      assert.lengthOf(yield* pull(repository, digestOf(before)), 3)
      assert.deepStrictEqual((yield* tags()).items, ["latest"])
    }).pipe(Effect.provide(registry()))
  )

  it.effect("with a subject returns it, whether or not the subject exists", () =>
    Effect.gen(function* () {
      const image = imageOf(["layer"])
      yield* pushImage(repository, null, ["signature"], aboutOf(image, ["signature"]))
      const { subject } = yield* putManifest(repository, "signed", aboutOf(image, ["signature"]))
      assert.strictEqual(subject, digestOf(image))
    }).pipe(Effect.provide(registry()))
  )

  it.effect("stores an index, and an index of indexes", () =>
    Effect.gen(function* () {
      const amd = yield* pushImage(repository, null, ["base", "amd"])
      const arm = yield* pushImage(repository, null, ["base", "arm"])
      const index = indexOf([amd, arm])
      yield* putManifest(repository, digestOf(index), index)
      const whole = indexOf([index, arm])
      yield* putManifest(repository, "all", whole)
      assert.sameMembers(
        [...(yield* pull(repository, "all"))],
        [whole, index, amd, arm, "config", "base", "amd", "arm"]
      )
      yield* putManifest(repository, "none", indexOf([]))
    }).pipe(Effect.provide(registry()))
  )

  it.effect("succeeds without layers that clients find elsewhere, and keeps those that exist here", () =>
    Effect.gen(function* () {
      const urls = ["https://example.com/layer"]
      const layers = ["here", "there"].map((content) => descriptorOf(content, layerType, { urls }))
      const manifest = imageOf([], { layers: [descriptorOf("layer"), ...layers] })
      for (const content of ["config", "layer", "here"]) yield* pushBlob(repository, content)
      yield* putManifest(repository, "v1", manifest)
      yield* longAfter
      assert.deepStrictEqual(yield* stored, ["config", "here", "layer", manifest].sort())
      yield* pushBlob(repository, "there")
      yield* putManifest(repository, "v1", manifest)
      yield* longAfter
      assert.lengthOf(yield* pull(repository, "v1"), 5)
    }).pipe(Effect.provide(registry()))
  )
})

describe("a manifest that cannot be pushed", () => {
  it.effect("because blobs are missing names them, and leaves nothing", () =>
    Effect.gen(function* () {
      yield* pushBlob(repository, "config")
      yield* pushBlob(repository, "layer")
      const foreign = descriptorOf("foreign", layerType, { urls: ["https://example.com/layer"] })
      const layers = [descriptorOf("a"), descriptorOf("layer"), descriptorOf("b"), foreign]
      const manifest = imageOf([], { layers })
      const error = yield* Effect.flip(putManifest(repository, "v1", manifest))
      assert.strictEqual(error._tag, "ManifestMissingBlobs")
      if (error._tag !== "ManifestMissingBlobs") return
      assert.sameMembers([...error.digests], [digestOf("a"), digestOf("b")])
      assert.include(error.message, "push them first")
      assert.deepStrictEqual(yield* left, [])
      assert.strictEqual((yield* Effect.flip(find("v1")))._tag, "ManifestUnknown")
      assert.strictEqual((yield* Effect.flip(tags()))._tag, "RepositoryUnknown")
      yield* longAfter
      assert.deepStrictEqual(yield* stored, [])
    }).pipe(Effect.provide(registry()))
  )

  it.effect("because very many blobs are missing does not name all of them in its message", () =>
    Effect.gen(function* () {
      const layers = Array.from({ length: 2000 }, (_, n) => `layer ${n}`)
      const error = yield* Effect.flip(putManifest(repository, "v1", imageOf(layers)))
      assert.strictEqual(error._tag, "ManifestMissingBlobs")
      assert.lengthOf("digests" in error ? error.digests : [], 2001)
      assert.isBelow(error.message.length, 1000)
      assert.include(error.message, "and 1991 more")
    }).pipe(Effect.provide(registry()))
  )

  it.effect("because an index lists a manifest of another repository only, or a blob", () =>
    Effect.gen(function* () {
      const elsewhere = yield* pushImage("library/two", "v1", ["layer"])
      const blob = imageOf(["blob"])
      yield* pushBlob(repository, blob)
      for (const child of [elsewhere, blob]) {
        const error = yield* Effect.flip(putManifest(repository, "all", indexOf([child])))
        assert.deepInclude(error, { _tag: "ManifestMissingBlobs", digests: [digestOf(child)] })
      }
      assert.deepStrictEqual(yield* left, ["library/two v1"])
    }).pipe(Effect.provide(registry()))
  )

  const manifest = imageOf(["layer"])
  const refused: ReadonlyArray<
    readonly [why: string, bytes: string, reference: string, tags: ReadonlyArray<string>, error: object]
  > = [
    ["its bytes are no manifest", "{}", "v1", [], { _tag: "ManifestInvalid" }],
    ["its bytes are cut off", manifest.slice(0, 50), "v1", [], { _tag: "ManifestInvalid" }],
    [
      "its bytes have another digest",
      manifest,
      digestOf("other"),
      [],
      { _tag: "DigestMismatch", declared: digestOf("other"), actual: digestOf(manifest) }
    ],
    [
      "its digest cannot be computed",
      manifest,
      "sha256:bad",
      [],
      { _tag: "DigestUnsupported", digest: "sha256:bad" }
    ],
    ["its digest is empty", manifest, ":", [], { _tag: "DigestUnsupported", digest: ":" }],
    ["its digest is endless", manifest, `sha256:${"a".repeat(600)}`, [], { _tag: "ManifestInvalid" }],
    ["its tag is none", manifest, "-v1", [], { _tag: "ManifestInvalid" }],
    ["its tag is empty", manifest, "", [], { _tag: "ManifestInvalid" }],
    ["one of more tags is none", manifest, "v1", ["v2", "a/b"], { _tag: "ManifestInvalid" }],
    ["one of more tags is a digest", manifest, "v1", [digestOf(manifest)], { _tag: "ManifestInvalid" }]
  ]
  for (const [why, bytes, reference, more, expected] of refused) {
    it.effect(`because ${why} is refused before any call to database or store`, () =>
      Effect.gen(function* () {
        const { database, storage } = yield* World
        yield* pushBlob(repository, "config")
        yield* pushBlob(repository, "layer")
        database.calls.length = 0
        storage.calls.length = 0
        const repositories = yield* Repositories
        const options = { reference, tags: more, mediaType: ociImage }
        const error = yield* Effect.flip(repositories.putManifest(repository, bytesOf(bytes), options))
        assert.deepInclude(error, expected)
        assert.isAbove(error.message.length, 20)
        assert.deepStrictEqual([...database.calls, ...storage.calls], [])
      }).pipe(Effect.provide(registry()))
    )
  }

  it.effect("because its own bytes were deleted just before its row was inserted is stored again", () =>
    Effect.gen(function* () {
      const { database, state, storage } = yield* World
      const collected = yield* collector
      yield* pushBlob(repository, "config")
      yield* pushBlob(repository, "layer")
      const early = Effect.suspend(() => {
        for (const [id, pin] of state.pins) if (pin.digest === digestOf(manifest)) state.pins.delete(id)
        return collected
      })
      const sent = storage.count("put")
      database.next("manifests.put", hangsBefore(early), 2)
      yield* putManifest(repository, "v1", manifest)
      assert.strictEqual(storage.count("put"), sent + 3)
      assert.lengthOf(yield* pull(repository, "v1"), 3)

      yield* deleteManifest(repository, digestOf(manifest))
      yield* collected
      database.next("manifests.put", hangsBefore(early), 3)
      const error = yield* Effect.flip(putManifest(repository, "v1", manifest))
      assert.deepInclude(error, { _tag: "UploadExpired", digest: digestOf(manifest), attempts: 3 })
    }).pipe(Effect.scoped, Effect.provide(registry(impatient)))
  )
})

describe("deleting a manifest", () => {
  it.effect("by tag deletes the tag and keeps the manifest", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage(repository, "v1", ["layer"])
      yield* putManifest(repository, "v2", manifest)
      yield* deleteManifest(repository, "v1")
      assert.strictEqual((yield* Effect.flip(find("v1")))._tag, "ManifestUnknown")
      assert.strictEqual((yield* Effect.flip(deleteManifest(repository, "v1")))._tag, "ManifestUnknown")
      assert.lengthOf(yield* pull(repository, "v2"), 3)
      yield* deleteManifest(repository, "v2")
      assert.lengthOf(yield* pull(repository, digestOf(manifest)), 3)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("by digest deletes all its tags too", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage(repository, "v1", ["layer"])
      yield* putManifest(repository, "v2", manifest)
      yield* deleteManifest(repository, digestOf(manifest))
      for (const reference of ["v1", "v2", digestOf(manifest)]) {
        assert.strictEqual((yield* Effect.flip(find(reference)))._tag, "ManifestUnknown")
      }
      assert.strictEqual((yield* Effect.flip(tags()))._tag, "RepositoryUnknown")
      yield* sound
    }).pipe(Effect.provide(registry()))
  )

  it.effect(
    "that an index lists is refused and says what to do, and succeeds after the index is deleted",
    () =>
      Effect.gen(function* () {
        const child = yield* pushImage(repository, "v1", ["layer"])
        const index = indexOf([child])
        yield* putManifest(repository, "all", index)
        const error = yield* Effect.flip(deleteManifest(repository, digestOf(child)))
        assert.deepInclude(error, { _tag: "ManifestNeeded", repository, digest: digestOf(child) })
        assert.include(error.message, "delete the index first")
        assert.lengthOf(yield* pull(repository, "all"), 4)
        assert.lengthOf(yield* pull(repository, "v1"), 3)
        yield* deleteManifest(repository, digestOf(index))
        yield* deleteManifest(repository, digestOf(child))
        assert.deepStrictEqual(yield* left, [])
      }).pipe(Effect.provide(registry()))
  )
})
