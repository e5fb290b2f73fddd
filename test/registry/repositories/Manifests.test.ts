import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Digest } from "../../../src/domain/Digest.ts"
import { Repositories } from "../../../src/registry/Repositories.ts"
import { fails, hangsBefore } from "../../../src/testing/Faults.ts"
import { clean, hour, sound, World } from "../../sweep/support/World.ts"
import {
  aboutOf,
  bytesOf,
  collector,
  configType,
  deleteManifest,
  descriptorOf,
  digestOf,
  expire,
  hours,
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
} from "./support.ts"

const repository = "library/one"

const find = (reference: string) =>
  Effect.flatMap(Repositories, (repositories) => repositories.manifest(repository, reference))
const found = (reference: string) =>
  Effect.map(find(reference), ({ digest, mediaType, sizeBytes }) => ({ digest, mediaType, sizeBytes }))
const tags = (after?: string, limit = 100) =>
  Effect.flatMap(Repositories, (repositories) => repositories.tags(repository, { after, limit }))

/** Repositories with tags, and pins that are no holds. */
const left = Effect.gen(function* () {
  const { rows, state } = yield* World
  const found = yield* rows.manifests.repositories(null, 100)
  const names = yield* Effect.forEach(found, (name) =>
    Effect.map(rows.manifests.tags(name, null, 100), (tags) => [name, ...Option.getOrThrow(tags)].join(" "))
  )
  return [...names, ...[...state.pins.keys()].filter((id) => !id.startsWith("oci:"))]
})

describe("pushing a manifest", () => {
  it.effect("by tag makes it found by tag and by digest, byte for byte", () =>
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

  it.effect("by digest tags nothing but what was asked for besides", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage(repository, null, ["layer"])
      assert.deepStrictEqual(yield* tags(), { items: [], hasMore: false })
      yield* putManifest(repository, digestOf(manifest), manifest, { tags: ["v1", "latest", "v1"] })
      assert.deepStrictEqual(yield* tags(), { items: ["latest", "v1"], hasMore: false })
      yield* putManifest(repository, "v2", manifest, { tags: ["v3"] })
      assert.deepStrictEqual((yield* tags()).items, ["latest", "v1", "v2", "v3"])
    }).pipe(Effect.provide(registry()))
  )

  it.effect("by a sha512 names it so, and its parts may be named by either", () =>
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

  it.effect("moves a tag from the manifest that had it", () =>
    Effect.gen(function* () {
      const before = yield* pushImage(repository, "latest", ["old"])
      const after = yield* pushImage(repository, "latest", ["new"])
      assert.strictEqual((yield* found("latest")).digest, digestOf(after))
      assert.lengthOf(yield* pull(repository, digestOf(before)), 3)
      assert.deepStrictEqual((yield* tags()).items, ["latest"])
    }).pipe(Effect.provide(registry()))
  )

  it.effect("about a subject says so, whether or not the subject is there", () =>
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

  it.effect("does without layers that clients find elsewhere, and keeps those of them that are here", () =>
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
  it.effect("because something is missing names what, and leaves nothing", () =>
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

  it.effect("because an index lists what is a manifest elsewhere only, or a blob only", () =>
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
      "nobody can compute its digest",
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
    it.effect(`because ${why} is refused before anything is asked or sent`, () =>
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

  it.effect("because its own bytes were collected just before its row came is stored again", () =>
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

describe("reading a manifest", () => {
  it.effect("asks the database once and the store once", () =>
    Effect.gen(function* () {
      const { database, storage } = yield* World
      const manifest = yield* pushImage(repository, "v1", ["layer"])
      for (const reference of ["v1", digestOf(manifest)]) {
        database.calls.length = 0
        storage.calls.length = 0
        const { bytes } = yield* find(reference)
        assert.strictEqual(Buffer.concat(yield* Stream.runCollect(bytes)).toString(), manifest)
        assert.deepStrictEqual(
          database.calls.map(({ operation }) => operation),
          ["manifests.find"]
        )
        assert.deepStrictEqual(
          storage.calls.map(({ operation }) => operation),
          ["get"]
        )
      }
    }).pipe(Effect.provide(registry()))
  )

  it.effect("of which there is none, or whose name is none, is an error that says which", () =>
    Effect.gen(function* () {
      yield* pushImage(repository, "v1", ["layer"])
      for (const reference of [
        "v2",
        "",
        "-",
        "a/b",
        "sha256:",
        digestOf("layer"),
        `md5:${"a".repeat(600)}`
      ]) {
        assert.deepInclude(yield* Effect.flip(find(reference)), {
          _tag: "ManifestUnknown",
          repository,
          reference
        })
        const error = yield* Effect.flip(deleteManifest(repository, reference))
        assert.deepInclude(error, { _tag: "ManifestUnknown", repository, reference })
        assert.include(error.message, `Repository ${repository} has no manifest ${reference}.`)
      }
      const elsewhere = Effect.flatMap(Repositories, (other) => other.manifest("library/two", "v1"))
      assert.strictEqual((yield* Effect.flip(elsewhere))._tag, "ManifestUnknown")
    }).pipe(Effect.provide(registry()))
  )
})

describe("being given a manifest that no tag names", () => {
  /** It was pushed by digest, and `given` or not 20 hours later; then its index comes, after another 20 hours. */
  const listed = Effect.fnUntraced(function* (given: boolean) {
    const child = yield* pushImage(repository, null, ["layer"])
    yield* hours(20)
    if (given) yield* find(digestOf(child))
    yield* hours(20)
    return yield* Effect.result(putManifest(repository, "all", indexOf([child])))
  })

  it.effect("puts off its expiry, so that an index can list it and its layers can be pulled", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* listed(true))._tag, "Success")
      yield* longAfter
      assert.lengthOf(yield* pull(repository, "all"), 4)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("control: nobody who was not given it can list it then", () =>
    Effect.gen(function* () {
      const result = yield* listed(false)
      assert.include(JSON.stringify(result), "ManifestMissingBlobs")
    }).pipe(Effect.provide(registry()))
  )

  const touches = Effect.map(World, ({ database }) => database.count("manifests.touch"))

  it.effect("writes once a quarter of a hold, and nothing while a tag names it", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage(repository, null, ["layer"])
      for (const [later, expected] of [
        [0, 0],
        [6 * hour, 0],
        [1, 1],
        [6 * hour, 1],
        [hour, 2]
      ] as const) {
        yield* TestClock.adjust(later)
        yield* find(digestOf(manifest))
        yield* find(digestOf(manifest))
        assert.strictEqual(yield* touches, expected)
      }
      yield* putManifest(repository, "v1", manifest)
      yield* TestClock.adjust(7 * hour)
      yield* find(digestOf(manifest))
      yield* find("v1")
      assert.strictEqual(yield* touches, 2)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("does not happen when it expires meanwhile", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      const manifest = yield* pushImage(repository, null, ["layer"])
      yield* TestClock.adjust(24 * hour)
      const context = yield* Effect.context<World>()
      database.next("manifests.touch", hangsBefore(Effect.provide(Effect.orDie(expire), context)))
      const error = yield* Effect.flip(find(digestOf(manifest)))
      assert.deepInclude(error, { _tag: "ManifestUnknown", reference: digestOf(manifest) })
    }).pipe(Effect.provide(registry()))
  )

  it.effect("does not depend on a database that can be written", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      const manifest = yield* pushImage(repository, null, ["layer"])
      yield* TestClock.adjust(20 * hour)
      database.next("manifests.touch", fails("Unavailable"))
      assert.lengthOf(yield* pull(repository, digestOf(manifest)), 3)
      assert.strictEqual(yield* touches, 1)
    }).pipe(Effect.provide(registry()))
  )
})

describe("deleting a manifest", () => {
  it.effect("by tag takes the tag away and leaves the manifest", () =>
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

  it.effect("by digest takes all its tags with it", () =>
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

  it.effect("that an index lists is refused, and says what to do; with the index gone it goes", () =>
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

describe("listing", () => {
  it.effect("tags are sorted by bytes, page by page", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage(repository, null, ["layer"])
      const names = ["Z", "_", "a", "a-1", "a.1", "b"]
      yield* putManifest(repository, "b", manifest, { tags: ["a.1", "Z", "a", "_", "a-1"] })
      assert.deepStrictEqual(yield* tags(), { items: ["Z", "_", "a", "a-1", "a.1", "b"], hasMore: false })
      assert.deepStrictEqual(yield* tags(undefined, 6), { items: names, hasMore: false })
      assert.deepStrictEqual(yield* tags(undefined, 2), { items: ["Z", "_"], hasMore: true })
      assert.deepStrictEqual(yield* tags("_", 2), { items: ["a", "a-1"], hasMore: true })
      assert.deepStrictEqual(yield* tags("a-1", 2), { items: ["a.1", "b"], hasMore: false })
      assert.deepStrictEqual(yield* tags("a-0", 1), { items: ["a-1"], hasMore: true })
      assert.deepStrictEqual(yield* tags("b", 2), { items: [], hasMore: false })
      assert.deepStrictEqual(yield* tags("", 0), { items: [], hasMore: false })
    }).pipe(Effect.provide(registry()))
  )

  it.effect("repositories are those with a manifest", () =>
    Effect.gen(function* () {
      const repositories = yield* Repositories
      yield* pushBlob("library/blobs", "layer")
      const manifest = yield* pushImage("b/b", null, ["layer"])
      yield* pushImage("b", "v1", ["layer"])
      yield* pushImage("a", "v1", ["layer"])
      assert.deepStrictEqual(yield* repositories.list({ limit: 2 }), { items: ["a", "b"], hasMore: true })
      assert.deepStrictEqual(yield* repositories.list({ limit: 2, after: "b" }), {
        items: ["b/b"],
        hasMore: false
      })
      yield* deleteManifest("b/b", digestOf(manifest))
      assert.deepStrictEqual((yield* repositories.list({ limit: 9 })).items, ["a", "b"])
    }).pipe(Effect.provide(registry()))
  )
})

describe("referrers", () => {
  const image = imageOf(["layer"])
  const about = (name: string, rest: object = {}) =>
    aboutOf(image, ["layer"], { annotations: { name }, ...rest })
  const ask = (options: { after?: string; limit?: number; artifactType?: string } = {}) =>
    Effect.flatMap(Repositories, (repositories) =>
      repositories.referrers(repository, digestOf(image), { limit: 100, ...options })
    )

  it.effect("are found by their subject, which need not exist, and by their type", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ask(), { items: [], hasMore: false })
      const signature = yield* pushImage(repository, null, ["layer"], about("signature"))
      const plain = yield* pushImage(repository, null, ["layer"], about("plain", { artifactType: undefined }))
      const both = [
        {
          repository,
          digest: digestOf(signature),
          mediaType: ociImage,
          sizeBytes: signature.length,
          artifactType: "application/example",
          annotations: { name: "signature" },
          subject: digestOf(image)
        },
        {
          repository,
          digest: digestOf(plain),
          mediaType: ociImage,
          sizeBytes: plain.length,
          artifactType: configType,
          annotations: { name: "plain" },
          subject: digestOf(image)
        }
      ].sort((a, b) => (a.digest < b.digest ? -1 : 1))
      assert.deepStrictEqual(yield* ask(), { items: both, hasMore: false })
      yield* pushImage(repository, "v1", ["layer"], image)
      assert.deepStrictEqual(yield* ask(), { items: both, hasMore: false })
      const typed = yield* ask({ artifactType: configType })
      assert.deepStrictEqual(
        typed.items.map(({ digest }) => digest),
        [digestOf(plain)]
      )
      yield* deleteManifest(repository, digestOf(plain))
      assert.lengthOf((yield* ask()).items, 1)
    }).pipe(Effect.provide(registry()))
  )

  const all = Effect.fnUntraced(function* (limit: number) {
    const pages: Array<ReadonlyArray<string>> = []
    let after: string | undefined
    for (let hasMore = true; hasMore; ) {
      const page = yield* ask(after === undefined ? { limit } : { limit, after })
      pages.push(page.items.map(({ digest }) => digest))
      hasMore = page.hasMore
      if (hasMore) assert.isNotEmpty(page.items)
      after = page.items.at(-1)?.digest
    }
    return pages
  })

  it.effect("come in pages, each once, however many they are", () =>
    Effect.gen(function* () {
      const digests: Array<string> = []
      for (let n = 0; n < 40; n++) {
        digests.push(digestOf(yield* pushImage(repository, null, ["layer"], about(`number ${n}`))))
      }
      digests.sort()
      for (const limit of [1, 7, 15, 16, 17, 20, 39, 40, 41]) {
        const pages = yield* all(limit)
        assert.deepStrictEqual(pages.flat(), digests)
        assert.lengthOf(pages, Math.ceil(40 / limit))
      }
      assert.deepStrictEqual(yield* ask({ limit: 0 }), { items: [], hasMore: false })
    }).pipe(Effect.provide(registry()))
  )

  it.effect("with long annotations make short pages, which no client finds too long", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      const digests: Array<string> = []
      for (let n = 0; n < 20; n++) {
        const long = about(`number ${n}`, { annotations: { long: `${n}`.padEnd(1_000_000) } })
        digests.push(digestOf(yield* pushImage(repository, null, ["layer"], long)))
      }
      const longest = about("longest", { annotations: { long: "".padEnd(4_000_000) } })
      digests.push(digestOf(yield* pushImage(repository, null, ["layer"], longest)))
      digests.sort()
      database.calls.length = 0
      const pages = yield* all(100)
      assert.deepStrictEqual(pages.flat(), digests)
      for (const page of pages) assert.isAtMost(page.length, 3)
      for (const { args, operation } of database.calls) {
        if (operation === "manifests.referrers") assert.isAtMost(Number(args[4]), 16)
      }
    }).pipe(Effect.provide(registry()))
  )
})
