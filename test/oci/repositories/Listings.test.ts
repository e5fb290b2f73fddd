import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { fails, hangsBefore } from "../../../src/testing/Faults.ts"
import {
  aboutOf,
  configType,
  deleteManifest,
  digestOf,
  hours,
  imageOf,
  indexOf,
  longAfter,
  ociImage,
  pull,
  pushBlob,
  pushImage,
  putManifest,
  registry
} from "../../fixtures/oci/Repositories.ts"
import { day, hour, minute, World } from "../../fixtures/World.ts"

const repository = "library/one"

const find = (reference: string) =>
  Effect.flatMap(Repositories, (repositories) => repositories.manifest(repository, reference))
const tags = (after?: string, limit = 100) =>
  Effect.flatMap(Repositories, (repositories) => repositories.tags(repository, { after, limit }))

describe("reading a manifest", () => {
  it.effect("calls database and store once each", () =>
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

  it.effect("that does not exist, or whose name is not valid, fails with an error that names it", () =>
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
        assert.include(error.message, `Repository ${repository} has no manifest ${reference}:`)
      }
      const elsewhere = Effect.flatMap(Repositories, (other) => other.manifest("library/two", "v1"))
      assert.strictEqual((yield* Effect.flip(elsewhere))._tag, "ManifestUnknown")
    }).pipe(Effect.provide(registry()))
  )
})

describe("reading a manifest without a tag", () => {
  /**
   * Pushes a manifest by digest, reads it or not 20 hours later, and pushes its index after another 20 hours.
   */
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

  it.effect("control: without the read it cannot be listed then", () =>
    Effect.gen(function* () {
      const result = yield* listed(false)
      assert.include(JSON.stringify(result), "ManifestMissingBlobs")
    }).pipe(Effect.provide(registry()))
  )

  const touches = Effect.map(World, ({ database }) => database.count("manifests.touch"))

  it.effect("writes once in 15 minutes, and nothing while it has a tag", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage(repository, null, ["layer"])
      for (const [later, expected] of [
        [0, 0],
        [15 * minute, 0],
        [1, 1],
        [15 * minute, 1],
        [minute, 2]
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

  it.effect("fails if it expires meanwhile", () =>
    Effect.gen(function* () {
      const { database, rows } = yield* World
      const manifest = yield* pushImage(repository, null, ["layer"])
      yield* TestClock.adjust(24 * hour)
      const now = yield* Clock.currentTimeMillis
      database.next("manifests.touch", hangsBefore(Effect.orDie(rows.manifests.expire(now, now - day, 9))))
      const error = yield* Effect.flip(find(digestOf(manifest)))
      assert.deepInclude(error, { _tag: "ManifestUnknown", reference: digestOf(manifest) })
    }).pipe(Effect.provide(registry()))
  )

  it.effect("works while the database is read-only", () =>
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

  it.effect("are listed in pages, each once, however many exist", () =>
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

  it.effect("with long annotations make short pages, which every client can read", () =>
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
