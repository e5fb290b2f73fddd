/**
 * Every call that a repository makes, to the database and to the store, fails once, or fails and takes effect, or is the
 * last thing that its process does. Whoever was told of success finds what was promised; whoever was not can ask again
 * and then does; nothing else is lost; and when all is deleted and all waits are over, nothing is left.
 *
 * The calls are found by recording each story without faults, so that a new call is in the table by itself.
 */

import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Option, Result } from "effect"
import { TestClock } from "effect/testing"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import type { DatabaseFailure } from "../../../src/domain/DatabaseError.ts"
import { KeyNonce } from "../../../src/domain/ObjectKey.ts"
import type { StorageFailure } from "../../../src/domain/StorageError.ts"
import { registryPhases } from "../../../src/oci/RegistryPhases.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as Facts from "../../../src/testing/Facts.ts"
import { type Fault, fails, hangsAfter, hangsBefore, lands } from "../../../src/testing/Faults.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import { Database } from "../../fixtures/Database.ts"
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

/** Lets so many times ten hours pass, and collectors sweep after each. */
const later = Effect.fnUntraced(function* (times: number) {
  for (let n = 0; n < times; n++) {
    yield* TestClock.adjust("10 hours")
    yield* settle
    yield* (yield* Sweep).once()
  }
})

interface Story {
  readonly name: string
  /** What was there before. */
  readonly before: Steps
  readonly act: Steps
  /** What whoever was told of success relies on. */
  readonly promise: Steps
  /** How it may fail without faults, the first time or repeated. */
  readonly mayFail?: string
  /** Calls that the story must make, or it is not the story that it says. */
  readonly calls: ReadonlyArray<string>
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
    name: "the answer that a blob is there",
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

type AnyFault = Fault<DatabaseFailure & StorageFailure>
type Faults = Record<string, (died: Deferred.Deferred<void>) => AnyFault>

/** What becomes of the struck call where its effect is what matters. `died` ends the process. */
export const effectiveFaults: Faults = {
  "times out and takes effect": () => lands("Unavailable"),
  "takes effect, and its process dies": (died) =>
    hangsAfter(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
}

/** For stores and databases on the virtual clock. */
export const allFaults: Faults = {
  ...effectiveFaults,
  fails: () => fails("Unavailable"),
  "times out and takes effect ten minutes later": () => lands("Unavailable", "10 minutes"),
  "is not reached, because its process dies": (died) =>
    hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
}

type Backend<E> = Layer.Layer<Database | AllDatabases.Databases | Tables | Storage, E>

/** Repositories whose calls suffer, and collectors whose calls do not. */
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
    Layer.merge(Sweep.layer({}, registryPhases).pipe(Layer.provide([...services])))
  )
  let nonce = 0
  const nonces = Layer.succeed(KeyNonce, () => `n${++nonce}`)
  return { scripts, registry: yield* Layer.build(Layer.merge(registry, nonces)) }
})

/** An image that nobody touches. */
const bystander = imageOf(["layer", "other"])

/** Deletes every manifest that there is, indexes before what they list; then nothing must be left. */
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

/** Plays `story` with a fault in its `index`-th call; the operations that were called. */
const play = Effect.fnUntraced(function* (
  story: Story,
  index: number,
  fault: (died: Deferred.Deferred<void>) => AnyFault
) {
  yield* TestClock.setTime(start)
  const { registry, scripts } = yield* setUp
  const died = yield* Deferred.make<void>()
  const calls: Array<string> = []
  const rule = (call: { readonly operation: string }) => {
    calls.push(call.operation)
    return calls.length - 1 === index ? fault(died) : undefined
  }
  yield* Effect.gen(function* () {
    yield* pushImage("library/kept", "v1", ["layer", "other"])
    yield* story.before
    for (const script of Object.values(scripts)) script.always(rule)
    const first = yield* Effect.result(killedWhen(story.act, Deferred.await(died)))
    for (const script of Object.values(scripts)) script.heal()
    const isTold = Result.isSuccess(first) && Result.isSuccess(first.success)
    if (index < 0 && story.mayFail === undefined) assert.isTrue(isTold)
    if (isTold) yield* story.promise
    // Whatever was on its way has arrived when the client comes again, and when all is deleted.
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
  return calls
})

/** Registers the table for one backend. */
export const faultTable = <E>(name: string, backend: Backend<E>, table: Faults, timeout = 60_000): void => {
  describe(`on ${name}, a repository of which one call`, () => {
    for (const [what, fault] of Object.entries(table)) {
      for (const story of stories) {
        it.effect(
          `${what} keeps its promises and leaks nothing: ${story.name}`,
          () =>
            Effect.gen(function* () {
              const played = (index: number) =>
                play(story, index, fault).pipe(
                  Effect.provide(backend),
                  Effect.scoped,
                  Effect.catchDefect((defect) =>
                    Effect.die(new Error(`${story.name}, call ${index}`, { cause: defect }))
                  )
                )
              const calls = yield* played(-1)
              const left = [...calls]
              for (const call of story.calls) {
                assert.include(left, call)
                left.splice(left.indexOf(call), 1)
              }
              for (let index = 0; index < calls.length; index++) yield* played(index)
            }),
          timeout
        )
      }
    }
  })
}
