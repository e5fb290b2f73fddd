/**
 * The faults of a replica that serves repositories. A client that was told of success finds what it was
 * promised. Any other client repeats its request, and then finds it. Nothing else is lost. Once all is
 * deleted and all waits are over, nothing is left.
 */

import { assert } from "@effect/vitest"
import { Effect, Layer, Option, Result } from "effect"
import { TestClock } from "effect/testing"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { KeyNonce } from "../../../src/domain/ObjectKey.ts"
import { registryPhases } from "../../../src/oci/RegistryPhases.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as Facts from "../../../src/testing/Facts.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import type { FaultStory, FaultTable } from "../../fixtures/FaultTable.ts"
import {
  aboutOf,
  deleteManifest,
  descriptorOf,
  digestOf,
  imageOf,
  indexOf,
  layerType,
  pull,
  pullBlob,
  pushBlob,
  pushImage,
  putManifest
} from "../../fixtures/oci/Repositories.ts"
import { Tables } from "../../fixtures/Tables.ts"
import { hour, killedWhen, settle, start } from "../../fixtures/World.ts"

type Steps<A = unknown> = Effect.Effect<A, unknown, Repositories | BlobStore | Sweep>

/** Lets ten hours pass `times` times, with a sweep after each. */
const later = Effect.fnUntraced(function* (times: number) {
  for (let n = 0; n < times; n++) {
    yield* TestClock.adjust("10 hours")
    yield* settle
    yield* (yield* Sweep).once()
  }
})

interface Story extends FaultStory {
  /** What happens before. */
  readonly before: Steps
  readonly act: Steps
  /** What a client that was told of success relies on. */
  readonly promise: Steps
  /** The error with which the request may fail without faults, the first time or repeated. */
  readonly mayFail?: string
}

const repository = "library/one"
const image = imageOf(["layer"])
const blobs = Effect.forEach(["config", "layer"], (content) => pushBlob(repository, content))
const pushed = Effect.andThen(blobs, putManifest(repository, "v1", image))

const repositories = <A, E>(ask: (repositories: Repositories["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(Repositories, ask)

const gone = (reference: string): Steps =>
  Effect.map(Effect.flip(repositories((all) => all.manifest(repository, reference))), (error) =>
    assert.strictEqual(error._tag, "ManifestUnknown")
  )

const foreign = imageOf(["layer"], {
  layers: [descriptorOf("layer"), descriptorOf("far", layerType, { urls: ["https://example.com/far"] })]
})

const stories: ReadonlyArray<Story> = [
  {
    name: "push of an image by tag",
    before: blobs,
    act: putManifest(repository, "v1", image),
    promise: pull(repository, "v1"),
    calls: ["blobs.locate", "blobs.intend", "put", "blobs.publish", "manifests.put"]
  },
  {
    name: "push of an image of which a layer is elsewhere",
    before: blobs,
    act: putManifest(repository, "v1", foreign),
    promise: Effect.map(
      repositories((all) => all.manifest(repository, "v1")),
      ({ digest }) => assert.strictEqual(digest, digestOf(foreign))
    ),
    calls: ["manifests.put", "manifests.put"]
  },
  {
    name: "push of an index that takes a tag over",
    before: pushed,
    act: putManifest(repository, "v1", indexOf([image]), { tags: ["v2"] }),
    promise: Effect.map(pull(repository, "v1"), (found) => assert.include(found, indexOf([image]))),
    calls: ["blobs.publish", "manifests.put"]
  },
  {
    name: "push of a referrer by digest",
    before: pushed,
    act: putManifest(repository, digestOf(aboutOf(image, ["layer"])), aboutOf(image, ["layer"])),
    promise: Effect.map(
      repositories((all) => all.referrers(repository, digestOf(image), { limit: 9 })),
      ({ items }) => assert.lengthOf(items, 1)
    ),
    calls: ["manifests.put"]
  },
  {
    name: "push of an image whose layer is missing",
    before: pushBlob(repository, "config"),
    act: putManifest(repository, "v1", imageOf(["nowhere"])),
    promise: gone("v1"),
    mayFail: "ManifestMissingBlobs",
    calls: ["blobs.publish", "manifests.put", "blobs.unpin"]
  },
  {
    name: "the answer that a repository has a blob",
    before: Effect.andThen(pushed, later(3)),
    act: Effect.map(
      repositories((all) => all.blob(repository, digestOf("layer"))),
      (found) => assert.isTrue(Option.isSome(found))
    ),
    promise: Effect.andThen(
      Effect.ignore(deleteManifest(repository, digestOf(image))),
      Effect.andThen(later(1), pullBlob(repository, digestOf("layer")))
    ),
    calls: ["manifests.blob", "blobs.adopt"]
  },
  {
    name: "mount",
    before: pushed,
    act: Effect.map(
      repositories((all) => all.mount("library/two", digestOf("layer"), repository)),
      (mounted) => assert.isTrue(mounted)
    ),
    promise: pullBlob("library/two", digestOf("layer")),
    calls: ["manifests.blob", "blobs.adopt"]
  },
  {
    name: "deletion of a blob",
    before: blobs,
    act: repositories((all) => all.deleteBlob(repository, digestOf("layer"))),
    promise: Effect.map(
      repositories((all) => all.peek(repository, digestOf("layer"))),
      (found) => assert.isTrue(Option.isNone(found))
    ),
    mayFail: "BlobUnknown",
    calls: ["manifests.blob", "blobs.unpin"]
  },
  {
    name: "deletion of a tag",
    before: pushed,
    act: deleteManifest(repository, "v1"),
    promise: gone("v1"),
    mayFail: "ManifestUnknown",
    calls: ["manifests.untag"]
  },
  {
    name: "deletion of a manifest",
    before: pushed,
    act: deleteManifest(repository, digestOf(image)),
    promise: Effect.andThen(gone("v1"), gone(digestOf(image))),
    mayFail: "ManifestUnknown",
    calls: ["manifests.delete"]
  },
  {
    name: "pull of an untagged image",
    before: Effect.andThen(
      pushed,
      Effect.andThen(deleteManifest(repository, "v1"), TestClock.adjust(7 * hour))
    ),
    act: pull(repository, digestOf(image)),
    promise: Effect.andThen(TestClock.adjust(hour), pull(repository, digestOf(image))),
    calls: ["manifests.find", "manifests.touch", "get", "manifests.blob"]
  }
]

/** Repositories whose calls are struck, and a collector whose calls are not. */
const setUp = Effect.gen(function* () {
  const services = [AllDatabases.all(yield* Database), Layer.succeed(Storage, yield* Storage)] as const
  const scripts = { database: AllDatabases.script(), storage: FaultyStorage.script() }
  const faulty = Layer.merge(
    AllDatabases.faulty(scripts.database),
    FaultyStorage.layer(scripts.storage)
  ).pipe(Layer.provide([...services]))
  const registry = Repositories.layer().pipe(
    Layer.provideMerge(BlobStore.layer()),
    Layer.provide(faulty),
    Layer.merge(Sweep.layerUnchecked({ phases: registryPhases }).pipe(Layer.provide([...services])))
  )
  let nonce = 0
  const nonces = Layer.succeed(KeyNonce, () => `n${++nonce}`)
  return { scripts, registry: yield* Layer.build(Layer.merge(registry, nonces)) }
})

/** An image that no story touches. */
const bystander = imageOf(["layer", "other"])

/** Deletes all manifests, indexes before their children, and asserts that nothing is left. */
const deleteAll = Effect.gen(function* () {
  const all = [indexOf([image]), aboutOf(image, ["layer"]), image, foreign, bystander]
  for (const manifest of all) {
    for (const of of [repository, "library/kept"])
      yield* Effect.ignore(deleteManifest(of, digestOf(manifest)))
  }
  yield* later(9)
  const { blobs, intents, journal, manifests, orphans, pins, references, tags } = yield* (yield* Tables).rows
  const left = { blobs, intents, journal, manifests, orphans, pins, references, tags }
  for (const [table, rows] of Object.entries(left)) assert.deepStrictEqual([table, ...rows], [table])
  assert.deepStrictEqual(yield* Facts.objects(yield* Storage), [])
})

const play: FaultTable<Story>["play"] = Effect.fnUntraced(function* (story, strike) {
  yield* TestClock.setTime(start)
  const { registry, scripts } = yield* setUp
  const rule = strike.rule()
  yield* Effect.gen(function* () {
    yield* pushImage("library/kept", "v1", ["layer", "other"])
    yield* story.before
    for (const script of Object.values(scripts)) script.always(rule)
    const first = yield* Effect.result(killedWhen(story.act, strike.died))
    for (const script of Object.values(scripts)) script.heal()
    const isTold = Result.isSuccess(first) && Result.isSuccess(first.success)
    if (strike.isFaultless && story.mayFail === undefined) assert.isTrue(isTold)
    if (isTold) yield* story.promise
    // A request that takes effect later has done so before the client repeats its own.
    yield* TestClock.adjust("11 minutes")
    yield* settle
    if (!isTold) {
      const again = yield* Effect.result(story.act)
      if (Result.isFailure(again)) assert.strictEqual((again.failure as Error).name, story.mayFail)
      yield* story.promise
    }
    assert.lengthOf(yield* pull("library/kept", "v1"), 4)
    yield* deleteAll
  }).pipe(Effect.provide(registry))
})

/** The faults of a replica that serves repositories. */
export const repositoryFaults: FaultTable<Story> = {
  subject: "a repository",
  promise: "keeps its promises and leaks nothing",
  stories,
  play
}
