/** Deletes in buckets with versions and locks, on a real server. */
import { PutObjectLegalHoldCommand } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { Storage } from "../../../src/storage/Storage.ts"
import { dialect, onRealS3, ownBucket } from "../../fixtures/s3/RealServer.ts"
import { keysOf } from "../../fixtures/s3/StubStore.ts"

const [a, b, absent] = ["a", "b", "absent"].map((key) => ObjectKey.make(key)) as [
  ObjectKey,
  ObjectKey,
  ObjectKey
]

const write = (storage: Storage["Service"], ...keys: ReadonlyArray<ObjectKey>) =>
  Effect.forEach(keys, (key) => storage.put(key, Stream.make(Buffer.from("bytes")), 5), {
    concurrency: 16,
    discard: true
  })

onRealS3("Versions", (name) => {
  describe(`versions on S3 (${name})`, () => {
    it.live(
      "control: a delete that adds markers frees nothing",
      () =>
        Effect.gen(function* () {
          const bucket = yield* ownBucket()
          const storage = yield* bucket.storage()
          assert.deepStrictEqual(yield* storage.traits, {
            versioning: "off",
            objectLock: false,
            deletes: "objects",
            chosen: true
          })
          yield* bucket.setVersioning("Enabled")
          assert.deepInclude(yield* storage.traits, { versioning: "on", deletes: "markers", chosen: false })
          yield* write(storage, a, b)
          yield* write(storage, a)
          assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
          assert.deepStrictEqual(yield* keysOf(storage), ["b"])
          assert.deepStrictEqual(yield* bucket.held, ["a", "a", "a (marker)", "b"])
        }),
      60_000
    )

    it.live(
      "a delete of all versions frees every version of its keys, however written and hidden, and nothing else",
      () =>
        Effect.gen(function* () {
          const bucket = yield* ownBucket()
          const hiding = yield* bucket.storage("markers")
          const storage = yield* bucket.storage("versions")
          const nested = dialect.nests === true ? ["a/b", "a/b/c"] : ["d/b", "d/bc"]
          const control = dialect.losesControls === true ? "ctl-x" : "ctl\u0001x"
          const odd = ["x y+z%&<é", nested[0], "日本/😀", control, "a"].map((key) => ObjectKey.make(`${key}`))
          const neighbours = ["a ", nested[1], "aa", "x y+z%&<éé"].map((key) => ObjectKey.make(`${key}`))
          // An object from before versioning has the version "null".
          yield* write(storage, ...odd)
          yield* bucket.setVersioning("Enabled")
          yield* write(storage, ...odd, ...neighbours)
          yield* hiding.delete(odd)
          yield* write(storage, ...odd)
          yield* hiding.delete(odd)
          assert.strictEqual((yield* bucket.held).length, 5 * odd.length + neighbours.length)
          assert.deepInclude(yield* storage.traits, { versioning: "on", deletes: "versions" })

          for (let round = 1; round <= 2; round++) {
            assert.deepStrictEqual(yield* storage.delete([...odd, absent]), {
              deleted: [...odd, absent],
              failed: []
            })
            assert.deepStrictEqual<unknown>(yield* bucket.held, [...neighbours].sort())
          }
          assert.deepStrictEqual<unknown>(yield* keysOf(storage), [...neighbours].sort())
        }),
      60_000
    )

    it.live(
      "it deletes older versions too if versioning is suspended or was never on",
      () =>
        Effect.gen(function* () {
          const bucket = yield* ownBucket()
          const storage = yield* bucket.storage("versions")
          yield* write(storage, a, b)
          assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
          assert.deepStrictEqual(yield* bucket.held, ["b"])

          yield* bucket.setVersioning("Enabled")
          yield* write(storage, a)
          yield* write(storage, a)
          yield* bucket.setVersioning("Suspended")
          assert.deepInclude(yield* storage.traits, { versioning: "suspended", deletes: "versions" })
          yield* write(storage, a)
          assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
          assert.deepStrictEqual(yield* bucket.held, ["b"])
        }),
      60_000
    )

    it.live(
      "it lists a key's versions page by page",
      () =>
        Effect.gen(function* () {
          const bucket = yield* ownBucket()
          const storage = yield* bucket.storage("versions")
          yield* bucket.setVersioning("Enabled")
          const many = ObjectKey.make("many +%/versions")
          yield* write(storage, ...Array.from({ length: 1005 }, () => many), a)
          assert.deepStrictEqual(yield* storage.delete([many]), { deleted: [many], failed: [] })
          assert.deepStrictEqual(yield* bucket.held, ["a"])
        }),
      120_000
    )

    it.live(
      "a locked version fails its key alone, stays hidden, and is deleted after its lock ends",
      () =>
        Effect.gen(function* () {
          const bucket = yield* ownBucket(true)
          const hiding = yield* bucket.storage("markers")
          const storage = yield* bucket.storage("versions")
          assert.deepStrictEqual(yield* storage.traits, {
            versioning: "on",
            objectLock: true,
            deletes: "versions",
            chosen: true
          })
          const hold = (Status: "ON" | "OFF") =>
            Effect.promise(() =>
              bucket.client.send(
                new PutObjectLegalHoldCommand({
                  Bucket: bucket.Bucket,
                  Key: a,
                  VersionId: version,
                  LegalHold: { Status }
                })
              )
            )
          yield* write(storage, a, b)
          const version = (yield* bucket.versionsOf(a))[0]
          yield* hold("ON")
          yield* hiding.delete([a])

          const { deleted, failed } = yield* storage.delete([a, b])
          assert.deepStrictEqual(deleted, [b])
          assert.deepStrictEqual(
            failed.map(({ key, reason }) => [key, reason]),
            [[a, "locked"]]
          )
          // Each store has its own.
          assert.include(["AccessDenied", "InvalidRequest"], failed[0]?.code)
          assert.deepStrictEqual(yield* bucket.held, ["a", "a (marker)"])
          assert.isTrue(Option.isNone(yield* storage.head(a)))

          yield* hold("OFF")
          assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
          assert.deepStrictEqual(yield* bucket.held, [])
        }),
      60_000
    )
  })
})
