import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { Digest } from "../../../src/domain/Digest.ts"
import { Repositories, type RepositoriesOptions } from "../../../src/oci/Repositories.ts"
import { fails, hangsAfter } from "../../../src/testing/Faults.ts"
import {
  bytesOf,
  deleteManifest,
  digestOf,
  holds,
  hours,
  imageOf,
  impatient,
  pull,
  pullBlob,
  pushBlob,
  pushImage,
  putManifest,
  registry
} from "../../fixtures/oci/Repositories.ts"
import { day, hour, start, sweep, World } from "../../fixtures/World.ts"

const blob = (repository: string, content: string) =>
  Effect.flatMap(Repositories, (repositories) => repositories.blob(repository, digestOf(content)))
const peek = (repository: string, content: string) =>
  Effect.flatMap(Repositories, (repositories) => repositories.peek(repository, digestOf(content)))
const mount = (repository: string, content: string, from: string | null) =>
  Effect.flatMap(Repositories, (repositories) => repositories.mount(repository, digestOf(content), from))
const deleteBlob = (repository: string, content: string) =>
  Effect.flatMap(Repositories, (repositories) => repositories.deleteBlob(repository, digestOf(content)))

const isThere = <A, E, R>(found: Effect.Effect<Option.Option<A>, E, R>) => Effect.map(found, Option.isSome)

/** Returns the pins that were written while `effect` ran. */
const writes = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const { database } = yield* World
  const before = database.count("blobs.adopt")
  yield* effect
  return database.count("blobs.adopt") - before
})

const expiryOf = (repository: string, content: string) =>
  Effect.map(
    holds,
    (pins) => pins.find((pin) => pin.id === `oci:${repository}@${digestOf(content)}`)?.expiresAt
  )

describe("a repository has a blob", () => {
  it.effect("that was pushed to it, while the hold lasts; no other repository has it", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      assert.deepStrictEqual(
        yield* blob("library/one", "layer"),
        Option.some({ digest: digestOf("layer"), sizeBytes: 5 })
      )
      assert.deepStrictEqual(yield* blob("library/two", "layer"), Option.none())
      assert.deepStrictEqual(yield* peek("library/two", "layer"), Option.none())
      assert.deepStrictEqual(yield* blob("library/one", "other"), Option.none())
      assert.strictEqual(yield* pullBlob("library/one", digestOf("layer")), "layer")
    }).pipe(Effect.provide(registry()))
  )

  it.effect("not after its hold has ended, whether or not a sweep has run", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      yield* TestClock.adjust(day - 1)
      assert.isTrue(yield* isThere(peek("library/one", "layer")))
      yield* TestClock.adjust(1)
      assert.lengthOf(yield* holds, 1)
      assert.isFalse(yield* isThere(peek("library/one", "layer")))
      assert.isFalse(yield* isThere(blob("library/one", "layer")))
      assert.strictEqual((yield* Effect.flip(deleteBlob("library/one", "layer")))._tag, "BlobUnknown")
    }).pipe(Effect.provide(registry()))
  )

  it.effect("to which one of its manifests refers, or that is one of them, also without a hold", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage("library/one", "v1", ["layer"])
      yield* hours(30)
      assert.deepStrictEqual(yield* holds, [])
      for (const content of ["config", "layer", manifest]) {
        assert.isTrue(yield* isThere(peek("library/one", content)))
        assert.isFalse(yield* isThere(peek("library/two", content)))
      }
    }).pipe(Effect.provide(registry()))
  )
})

describe("the answer that a repository has a blob", () => {
  it.effect("begins a hold on a blob to which a manifest refers, with an end by the clock", () =>
    Effect.gen(function* () {
      yield* pushImage("library/one", "v1", ["layer"])
      yield* hours(30)
      assert.isTrue(yield* isThere(blob("library/one", "layer")))
      assert.strictEqual(yield* expiryOf("library/one", "layer"), (yield* Clock.currentTimeMillis) + day)
      assert.lengthOf(yield* holds, 1)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("renews the hold, and writes nothing while three quarters of it are left", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      const asked = blob("library/one", "layer")
      assert.strictEqual(yield* writes(asked), 0)
      yield* TestClock.adjust(6 * hour)
      assert.strictEqual(yield* writes(asked), 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* writes(asked), 1)
      assert.strictEqual(yield* expiryOf("library/one", "layer"), (yield* Clock.currentTimeMillis) + day)
      assert.strictEqual(yield* writes(asked), 0)
      assert.lengthOf(yield* holds, 1)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("is not given for a blob that is deleted meanwhile", () =>
    Effect.gen(function* () {
      const { database, state } = yield* World
      yield* pushBlob("library/one", "layer")
      yield* TestClock.adjust(7 * hour)
      const collect = Effect.sync(() => {
        state.pins.clear()
        state.blobs.clear()
      })
      database.next("manifests.blob", hangsAfter(collect))
      assert.deepStrictEqual(yield* blob("library/one", "layer"), Option.none())
    }).pipe(Effect.provide(registry()))
  )

  it.effect("is not given if the hold could not be written", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* pushBlob("library/one", "layer")
      yield* TestClock.adjust(7 * hour)
      database.next("blobs.adopt", fails("Unavailable"))
      assert.strictEqual((yield* Effect.flip(blob("library/one", "layer")))._tag, "DatabaseError")
    }).pipe(Effect.provide(registry()))
  )

  it.effect("holds for the configured time, and never shortens the hold of another replica", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      const given = yield* expiryOf("library/one", "layer")
      const patient = yield* replica({ hold: Duration.hours(40) })
      const hasty = yield* replica({ hold: Duration.hours(10) })
      yield* hasty.blob("library/one", digestOf("layer"))
      assert.strictEqual(yield* expiryOf("library/one", "layer"), given)
      yield* patient.blob("library/one", digestOf("layer"))
      assert.strictEqual(yield* expiryOf("library/one", "layer"), start + 40 * hour)
      yield* hasty.mount("library/one", digestOf("layer"), null)
      assert.strictEqual(yield* expiryOf("library/one", "layer"), start + 40 * hour)
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )
})

const replica = (options: RepositoriesOptions) =>
  Effect.map(Layer.build(Repositories.layer(options)), Context.get(Repositories))

/** Tells a client that the layer exists, deletes the last manifest that refers to it, and lets time pass. */
const betrayed = Effect.fnUntraced(function* (asks: typeof blob | typeof peek) {
  yield* pushImage("library/one", "v1", ["layer"])
  yield* hours(30)
  assert.isTrue(yield* isThere<unknown, unknown, Repositories>(asks("library/one", "layer")))
  assert.isTrue(yield* isThere<unknown, unknown, Repositories>(asks("library/one", "config")))
  yield* deleteManifest("library/one", digestOf(imageOf(["layer"])))
  yield* hours(17)
  const another = imageOf(["layer"], { annotations: { "org.example": "another" } })
  return yield* Effect.result(
    Effect.andThen(putManifest("library/one", "v2", another), pull("library/one", "v2"))
  )
})

describe("a client that was told that a layer exists", () => {
  it.effect("can refer to it hours later, although the last manifest that did is deleted meanwhile", () =>
    Effect.gen(function* () {
      const result = yield* betrayed(blob)
      assert.strictEqual(result._tag, "Success")
    }).pipe(Effect.provide(registry(impatient)))
  )

  it.effect("control: without the hold its push fails", () =>
    Effect.gen(function* () {
      const result = yield* betrayed(peek)
      assert.deepInclude(result, { _tag: "Failure" })
      assert.include(JSON.stringify(result), "ManifestMissingBlobs")
    }).pipe(Effect.provide(registry(impatient)))
  )
})

describe("reading a blob", () => {
  it.effect("calls database and store once each, for all bytes or a range", () =>
    Effect.gen(function* () {
      const { database, storage } = yield* World
      yield* pushBlob("library/one", "0123456789")
      database.calls.length = 0
      const found = Option.getOrThrow(yield* peek("library/one", "0123456789"))
      const bytes = yield* Stream.runCollect(found.read({ start: 2, end: 4 }))
      assert.strictEqual(Buffer.concat(bytes).toString(), "234")
      assert.deepStrictEqual(
        database.calls.map(({ operation }) => operation),
        ["manifests.blob"]
      )
      assert.strictEqual(storage.count("get"), 1)
      assert.strictEqual(storage.count("head"), 0)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("follows a blob that was deleted and pushed again since it was found", () =>
    Effect.gen(function* () {
      const store = yield* BlobStore
      const repositories = yield* Repositories
      yield* pushBlob("library/one", "layer")
      const found = Option.getOrThrow(yield* peek("library/one", "layer"))
      yield* repositories.deleteBlob("library/one", digestOf("layer"))
      for (let n = 0; n < 3; n++) yield* hours(1)
      assert.strictEqual((yield* Effect.flip(Stream.runCollect(found.read())))._tag, "BlobUnknown")
      yield* store.put(Stream.make(bytesOf("layer")))
      const bytes = yield* Stream.runCollect(found.read())
      assert.strictEqual(Buffer.concat(bytes).toString(), "layer")
      const opened = yield* Stream.runCollect(repositories.open(digestOf("layer"), { start: 3 }))
      assert.strictEqual(Buffer.concat(opened).toString(), "er")
    }).pipe(Effect.provide(registry(impatient)))
  )
})

describe("mounting a blob", () => {
  it.effect("gives it to the repository, from a repository that has it", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      assert.isFalse(yield* mount("library/two", "layer", "library/three"))
      assert.isFalse(yield* isThere(peek("library/two", "layer")))
      assert.isTrue(yield* mount("library/two", "layer", "library/one"))
      assert.isTrue(yield* isThere(peek("library/two", "layer")))
      assert.isFalse(yield* mount("library/two", "other", "library/one"))
    }).pipe(Effect.provide(registry()))
  )

  it.effect("without a source gives a blob that is live anywhere", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      assert.isFalse(yield* mount("library/two", "other", null))
      assert.isTrue(yield* mount("library/two", "layer", null))
      assert.isTrue(yield* isThere(peek("library/two", "layer")))
      const repositories = yield* Repositories
      assert.isFalse(yield* repositories.mount("library/two", Digest.make("md5:1"), null))
    }).pipe(Effect.provide(registry()))
  )

  it.effect("does not give a blob that the source had until its hold ended", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      yield* TestClock.adjust(day)
      assert.isFalse(yield* mount("library/two", "layer", "library/one"))
    }).pipe(Effect.provide(registry()))
  )

  it.effect("keeps it for a hold, whatever the source does with it", () =>
    Effect.gen(function* () {
      yield* pushImage("library/one", "v1", ["layer"])
      yield* hours(30)
      for (const content of ["config", "layer"])
        assert.isTrue(yield* mount("library/two", content, "library/one"))
      yield* deleteManifest("library/one", digestOf(imageOf(["layer"])))
      yield* hours(23)
      yield* putManifest("library/two", "v1", imageOf(["layer"]))
      yield* hours(48)
      assert.lengthOf(yield* pull("library/two", "v1"), 3)
      assert.isFalse(yield* isThere(peek("library/one", "layer")))
    }).pipe(Effect.provide(registry(impatient)))
  )

  it.effect("keeps it from deletion after a collector has condemned it", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      yield* deleteBlob("library/one", "layer")
      yield* hours(2)
      assert.isTrue((yield* World).state.orphans.has(digestOf("layer")))
      assert.isTrue(yield* mount("library/two", "layer", null))
      yield* hours(20)
      assert.strictEqual(yield* pullBlob("library/two", digestOf("layer")), "layer")
    }).pipe(Effect.provide(registry()))
  )
})

describe("deleting a blob", () => {
  it.effect("ends the repository's hold, and no other's", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      yield* pushBlob("library/two", "layer")
      yield* deleteBlob("library/one", "layer")
      assert.isFalse(yield* isThere(blob("library/one", "layer")))
      assert.deepInclude(yield* Effect.flip(deleteBlob("library/one", "layer")), {
        _tag: "BlobUnknown",
        digests: [digestOf("layer")]
      })
      yield* hours(20)
      assert.strictEqual(yield* pullBlob("library/two", digestOf("layer")), "layer")
    }).pipe(Effect.provide(registry()))
  )

  it.effect("frees its space if no other repository has it", () =>
    Effect.gen(function* () {
      yield* pushBlob("library/one", "layer")
      yield* deleteBlob("library/one", "layer")
      yield* hours(4)
      assert.strictEqual((yield* World).bucket.objects.size, 0)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("is refused while a manifest of the repository refers to it or is it, and says what to do", () =>
    Effect.gen(function* () {
      const manifest = yield* pushImage("library/one", "v1", ["layer"])
      for (const content of ["config", "layer", manifest]) {
        const error = yield* Effect.flip(deleteBlob("library/one", content))
        assert.deepInclude(error, { _tag: "BlobNeeded", digest: digestOf(content) })
        assert.include(error.message, "delete the manifest first")
      }
      assert.lengthOf(yield* holds, 2)
      assert.strictEqual((yield* Effect.flip(deleteBlob("library/two", "layer")))._tag, "BlobUnknown")
      yield* deleteManifest("library/one", digestOf(manifest))
      yield* deleteBlob("library/one", "layer")
      assert.isFalse(yield* isThere(peek("library/one", "layer")))
      yield* sweep()
    }).pipe(Effect.provide(registry()))
  )
})
