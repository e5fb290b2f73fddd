/** What collectors keep of a registry, and that no push fails because of them. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { nameOf } from "../../../src/oci/repositories/RepositoryContext.ts"
import { hangsBefore } from "../../../src/testing/Faults.ts"
import {
  aboutOf,
  collector,
  deleteManifest,
  digestOf,
  holds,
  hours,
  imageOf,
  indexOf,
  longAfter,
  pull,
  pushBlob,
  pushImage,
  putManifest,
  registry,
  stored
} from "../../fixtures/oci/Repositories.ts"
import { clean, minute, World } from "../../fixtures/World.ts"

const repository = "library/one"

/** Returns whether the manifest exists, without reading it: a read would put off its expiry. */
const isThere = (reference: string) =>
  Effect.gen(function* () {
    const { rows } = yield* World
    return Option.isSome(yield* rows.manifests.find(repository, Option.getOrThrow(nameOf(reference))))
  })

describe("collectors leave", () => {
  it.effect("the content of all tags, and nothing else, of two images, an index and a signature", () =>
    Effect.gen(function* () {
      const amd = yield* pushImage(repository, null, ["base", "amd"])
      const arm = yield* pushImage(repository, null, ["base", "arm"])
      const index = indexOf([amd, arm])
      yield* putManifest(repository, "v1", index)
      const signature = yield* pushImage(repository, null, ["signed"], aboutOf(index, ["signed"]))
      const ofArm = yield* pushImage(repository, null, ["sbom"], aboutOf(arm, ["sbom"]))
      const kept = yield* pushImage(repository, "v2", ["base", "kept"])
      const everything = [amd, arm, index, signature, ofArm, kept]
      const layers = ["config", "base", "amd", "arm", "signed", "sbom", "kept"]

      yield* longAfter
      assert.deepStrictEqual(yield* stored, [...everything, ...layers].sort())
      assert.lengthOf(yield* pull(repository, "v1"), 7)
      assert.lengthOf(yield* pull(repository, digestOf(signature)), 3)
      assert.deepStrictEqual(yield* holds, [])

      yield* deleteManifest(repository, "v1")
      yield* longAfter
      assert.deepStrictEqual(yield* stored, [kept, "config", "base", "kept"].sort())
      assert.deepStrictEqual(yield* pull(repository, "v2"), [kept, "config", "base", "kept"].sort())

      yield* deleteManifest(repository, digestOf(kept))
      yield* longAfter
      assert.deepStrictEqual(yield* stored, [])
      const { rows, state } = yield* World
      assert.deepStrictEqual(yield* rows.manifests.repositories(null, 1), [])
      assert.strictEqual(state.blobs.size, 0)
      yield* clean
    }).pipe(Effect.provide(registry()))
  )

  it.effect("an untagged manifest for a day, so that its index or tag can follow", () =>
    Effect.gen(function* () {
      const child = yield* pushImage(repository, null, ["layer"])
      const moved = yield* pushImage(repository, "latest", ["old"])
      yield* pushImage(repository, "latest", ["new"])
      yield* hours(23)
      assert.isTrue(yield* isThere(digestOf(moved)))
      yield* putManifest(repository, "all", indexOf([child]))
      yield* hours(2)
      assert.isFalse(yield* isThere(digestOf(moved)))
      yield* longAfter
      assert.lengthOf(yield* pull(repository, "all"), 4)
      assert.lengthOf(yield* pull(repository, "latest"), 3)
      yield* deleteManifest(repository, digestOf(indexOf([child])))
      yield* hours(23)
      yield* putManifest(repository, digestOf(child), child)
      yield* hours(23)
      assert.isTrue(yield* isThere(digestOf(child)))
      yield* hours(2)
      assert.isFalse(yield* isThere(digestOf(child)))
    }).pipe(Effect.provide(registry()))
  )

  it.effect(
    "a referrer for as long as its subject and a day longer, but not a subject for its referrers",
    () =>
      Effect.gen(function* () {
        const image = yield* pushImage(repository, "v1", ["layer"])
        const signature = yield* pushImage(repository, null, ["signed"], aboutOf(image, ["signed"]))
        const ofSignature = yield* pushImage(repository, null, ["notary"], aboutOf(signature, ["notary"]))
        yield* longAfter
        assert.isTrue(yield* isThere(digestOf(ofSignature)))
        yield* deleteManifest(repository, "v1")
        yield* hours(25)
        assert.isFalse(yield* isThere(digestOf(image)))
        yield* hours(22)
        assert.isTrue(yield* isThere(digestOf(signature)))
        yield* longAfter
        assert.deepStrictEqual(yield* stored, [])
      }).pipe(Effect.provide(registry()))
  )

  it.effect("a referrer that was pushed before its subject, if that is pushed within a day", () =>
    Effect.gen(function* () {
      const image = imageOf(["layer"])
      const early = yield* pushImage(repository, null, ["signed"], aboutOf(image, ["signed"]))
      const alone = yield* pushImage(repository, null, ["signed"], aboutOf(imageOf(["never"]), ["signed"]))
      yield* hours(20)
      yield* pushImage(repository, "v1", ["layer"], image)
      yield* longAfter
      assert.isTrue(yield* isThere(digestOf(early)))
      assert.isFalse(yield* isThere(digestOf(alone)))
    }).pipe(Effect.provide(registry()))
  )

  it.effect("in each repository what it needs", () =>
    Effect.gen(function* () {
      const image = yield* pushImage(repository, "v1", ["layer", "own"])
      yield* pushImage("library/two", "v1", ["layer"])
      yield* deleteManifest(repository, digestOf(image))
      yield* longAfter
      assert.lengthOf(yield* pull("library/two", "v1"), 3)
      assert.deepStrictEqual(yield* stored, [imageOf(["layer"]), "config", "layer"].sort())
    }).pipe(Effect.provide(registry()))
  )

  it.effect("nothing of an abandoned push: neither its blobs nor a manifest without its index", () =>
    Effect.gen(function* () {
      yield* pushBlob(repository, "layer")
      yield* hours(23)
      assert.deepStrictEqual(yield* stored, ["layer"])
      yield* pushImage(repository, null, ["child"])
      yield* longAfter
      assert.deepStrictEqual(yield* stored, [])
    }).pipe(Effect.provide(registry()))
  )
})

describe("a push", () => {
  it.effect("that takes 23 hours finds its first layer at the end", () =>
    Effect.gen(function* () {
      yield* pushBlob(repository, "layer")
      yield* hours(23)
      yield* pushBlob(repository, "config")
      yield* putManifest(repository, "v1", imageOf(["layer"]))
      yield* longAfter
      assert.lengthOf(yield* pull(repository, "v1"), 3)
    }).pipe(Effect.provide(registry()))
  )

  it.effect(
    "succeeds and can be pulled, although a collector without waits sweeps before each of its steps",
    () =>
      Effect.gen(function* () {
        const { database, storage } = yield* World
        const collect = Effect.andThen(TestClock.adjust(4 * minute), yield* collector)
        database.always(() => hangsBefore(collect))
        storage.always(() => hangsBefore(collect))
        const repositories = yield* Repositories
        const push = Effect.fnUntraced(function* (tag: string, own: string) {
          for (const content of ["config", "base", own]) {
            const found = yield* repositories.blob(repository, digestOf(content))
            if (found._tag === "None") yield* pushBlob(repository, content)
          }
          yield* putManifest(repository, digestOf(imageOf(["base", own])), imageOf(["base", own]))
          yield* putManifest(repository, tag, indexOf([imageOf(["base", own])]))
          assert.lengthOf(yield* pull(repository, tag), 5)
        })
        for (const [tag, own] of [
          ["v1", "a"],
          ["v2", "b"],
          ["v1", "c"],
          ["v1", "a"]
        ] as const) {
          yield* push(tag, own)
        }
        database.heal()
        storage.heal()
        yield* longAfter
        assert.lengthOf(yield* pull(repository, "v1"), 5)
        assert.lengthOf(yield* pull(repository, "v2"), 5)
        assert.strictEqual((yield* stored).length, 8)
      }).pipe(Effect.scoped, Effect.provide(registry()))
  )

  it.effect("control: without holds the same collector makes it fail", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      const collect = yield* collector
      yield* pushBlob(repository, "config")
      yield* pushBlob(repository, "layer")
      state.pins.clear()
      yield* TestClock.adjust(Duration.hours(1))
      yield* collect
      const error = yield* Effect.flip(putManifest(repository, "v1", imageOf(["layer"])))
      assert.strictEqual(error._tag, "ManifestMissingBlobs")
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )
})
