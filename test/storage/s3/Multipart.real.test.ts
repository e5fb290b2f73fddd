/** Multipart uploads on a real server: this store's, other clients', unfinished ones, and copies in parts. */
import { randomBytes } from "node:crypto"
import { CreateMultipartUploadCommand, ListPartsCommand, UploadPartCommand } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Result, Stream } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { StorageError } from "../../../src/domain/StorageError.ts"
import type { Storage } from "../../../src/storage/Storage.ts"
import { dialect, onRealS3, ownBucket } from "../../fixtures/s3/RealServer.ts"
import { bytesOf, keysOf } from "../../fixtures/s3/StubStore.ts"
import { until } from "../../fixtures/Until.ts"

const MiB = 1024 * 1024

const uploadsOf = (storage: Storage["Service"], prefix: string) =>
  Effect.map(Stream.runCollect(storage.multiparts(prefix)), (pages) => pages.flat())

/** A bucket, and the steps of another client in it. */
const scene = Effect.gen(function* () {
  const { Bucket, client, storage } = yield* ownBucket()
  return {
    Bucket,
    client,
    storage: yield* storage(),
    begin: (Key: string) =>
      Effect.promise(async () => {
        const { UploadId = "" } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
        return UploadId
      }),
    sendPart: (Key: string, UploadId: string, PartNumber: number) =>
      Effect.promise(() =>
        client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: Buffer.alloc(5 * MiB) }))
      ),
    parts: (Key: string, UploadId: string) =>
      Effect.promise(async () => {
        const { Parts = [] } = await client.send(new ListPartsCommand({ Bucket, Key, UploadId }))
        return Parts.map(({ LastModified }) => LastModified?.getTime() ?? 0)
      })
  }
})

onRealS3("Multipart", (name) => {
  describe(`uploads in parts on S3 (${name})`, () => {
    it.live(
      "an upload of another client is found, dated by its newest part, and aborted",
      () =>
        Effect.gen(function* () {
          const { begin, parts, sendPart, storage } = yield* scene
          const [odd, plain] = [ObjectKey.make("p/x y+z%&<é/1"), ObjectKey.make("p/z")]
          yield* storage.put(plain, Stream.make(Buffer.from("object")), 6)
          const first = yield* begin(odd)
          const second = yield* begin(plain)
          yield* sendPart(odd, first, 2)
          yield* Effect.sleep("1100 millis")
          yield* sendPart(odd, first, 1)

          const [found, ...more] = yield* uploadsOf(storage, odd)
          assert.deepStrictEqual(more, [])
          assert.deepInclude(found, { key: odd, uploadId: first })
          const times = yield* parts(odd, first)
          assert.strictEqual(times.length, 2)
          assert.strictEqual(found?.lastActivityAt, Math.max(...times))
          assert.isAbove(Math.max(...times), Math.min(...times), "control: the parts differ in age")
          const [other] = yield* uploadsOf(storage, plain)
          assert.deepInclude(other, { key: plain, uploadId: second })
          assert.closeTo(other?.lastActivityAt ?? 0, times[1] ?? 0, 60_000)
          const below = (prefix: string) =>
            Effect.map(uploadsOf(storage, prefix), (found) => found.map(({ uploadId }) => uploadId))
          if (dialect.findsUploadsByKeyOnly === true) {
            assert.deepStrictEqual(yield* below("p/"), [], "control: an empty listing proves nothing here")
          }
          const search = dialect.findsUploadsByKeyOnly === true ? "partial" : "complete"
          assert.strictEqual(yield* storage.multipartSearch("p/", true), search)
          assert.sameMembers([...(yield* below("p/"))], [first, second])
          assert.deepStrictEqual(yield* below("q/"), [])
          assert.deepStrictEqual(yield* keysOf(storage), [plain], "no listing of objects shows them")

          for (let round = 1; round <= 2; round++)
            yield* storage.abortMultipart({ key: odd, uploadId: first })
          yield* storage.abortMultipart({ key: plain, uploadId: second })
          assert.deepStrictEqual(
            [...(yield* uploadsOf(storage, odd)), ...(yield* uploadsOf(storage, plain))],
            []
          )
          assert.strictEqual(yield* bytesOf(storage.get(plain)), "object", "the object of that key stays")
        }),
      60_000
    )

    it.live(
      dialect.uploadPages === undefined
        ? "are listed page by page, with several of one key"
        : `exception: of 1005 ${dialect.uploadPages} is listed, and a listing that cannot continue fails`,
      () =>
        Effect.gen(function* () {
          const { begin, storage } = yield* scene
          const keys = ["a", "b +%", "c"].map((key) => `many/${key}`)
          const begun = yield* Effect.forEach(
            Array.from({ length: 1005 }, (_, i) => keys[i % 3] ?? ""),
            begin,
            { concurrency: 32 }
          )
          assert.strictEqual(new Set(begun).size, 1005)
          const listed = yield* Effect.result(Stream.runCollect(storage.multiparts("")))
          if (dialect.uploadPages === "only the first page") {
            assert.isTrue(Result.isFailure(listed) && listed.failure.reason === "Rejected")
            return
          }
          const pages = yield* Effect.fromResult(listed)
          assert.isAtLeast(pages.length, dialect.uploadPages === "one page" ? 1 : 2)
          assert.sameMembers(
            pages.flat().map(({ uploadId }) => uploadId),
            begun
          )
        }),
      120_000
    )

    it.live(
      "of 2,000 parts are aborted in one request, again without an error, and are gone",
      () =>
        Effect.gen(function* () {
          const { begin, client, Bucket, parts, storage } = yield* scene
          const key = ObjectKey.make("many/parts")
          const uploadId = yield* begin(key)
          const numbers = Array.from({ length: 2000 }, (_, n) => n + 1)
          const send = (PartNumber: number) =>
            Effect.promise(() =>
              client.send(
                new UploadPartCommand({ Bucket, Key: key, UploadId: uploadId, PartNumber, Body: "x" })
              )
            )
          yield* Effect.forEach(numbers, send, { concurrency: 32, discard: true })
          assert.isAtLeast((yield* parts(key, uploadId)).length, 1000, "control: its parts are there")
          const [found] = yield* uploadsOf(storage, key)
          assert.strictEqual(found?.uploadId, uploadId, "its 2,000 parts were looked through")
          for (let round = 1; round <= 2; round++) yield* storage.abortMultipart({ key, uploadId })
          assert.deepStrictEqual(yield* uploadsOf(storage, key), [])
        }),
      120_000
    )

    it.live(
      "a put reports its upload's id, another client can abort it, and the put then leaves nothing",
      () =>
        Effect.gen(function* () {
          const { storage } = yield* scene
          const key = ObjectKey.make("half")
          const reached = yield* Deferred.make<void>()
          const release = yield* Deferred.make<void>()
          const body = Stream.make(Buffer.alloc(20 * MiB)).pipe(
            Stream.concat(Stream.fromEffectDrain(Deferred.succeed(reached, undefined))),
            Stream.concat(Stream.fromEffectDrain(Deferred.await(release))),
            Stream.concat(Stream.make(Buffer.alloc(20 * MiB)))
          )
          let told: string | undefined
          const fiber = yield* Effect.forkChild(
            Effect.flip(
              storage.put(key, body, null, {
                onMultipart: (id) =>
                  Effect.sync(() => {
                    told = id
                  })
              })
            )
          )
          yield* Deferred.await(reached)
          yield* until("the put tells its upload's id", () => told !== undefined)
          const [found] = yield* uploadsOf(storage, key)
          assert.strictEqual(found?.uploadId, told)
          yield* storage.abortMultipart({ key, uploadId: told ?? "" })
          yield* Deferred.succeed(release, undefined)
          const error = yield* Fiber.join(fiber)
          assert.instanceOf(error, StorageError)
          assert.deepStrictEqual(yield* keysOf(storage), [])
          assert.deepStrictEqual(yield* uploadsOf(storage, key), [])
        }),
      60_000
    )

    it.live(
      "an object that is too large for one request is copied in parts, and no upload remains",
      () =>
        Effect.gen(function* () {
          const { storage } = yield* scene
          const [from, to] = [ObjectKey.make("from/x y+é"), ObjectKey.make("to/x y+é")]
          const content = randomBytes(12 * MiB + 1)
          yield* storage.put(from, Stream.make(content), content.length)
          yield* storage.copy(from, to)
          const copied = Buffer.concat(yield* Stream.runCollect(storage.get(to)))
          assert.isTrue(copied.equals(content))
          assert.strictEqual(Option.getOrThrow(yield* storage.head(to)).sizeBytes, content.length)
          assert.deepStrictEqual(yield* uploadsOf(storage, to), [])
        }),
      60_000
    )

    it.live(
      dialect.losesPercentInParts === true
        ? 'exception: an object with "%" in its key is not copied in parts, and not reported as absent'
        : 'an object with "%" in its key is copied in parts',
      () =>
        Effect.gen(function* () {
          const { storage } = yield* scene
          const [from, to] = [ObjectKey.make("from%2F"), ObjectKey.make("to%2F")]
          yield* storage.put(from, Stream.make(Buffer.alloc(6 * MiB)), 6 * MiB)
          const outcome = yield* Effect.result(storage.copy(from, to))
          if (dialect.losesPercentInParts === true) {
            assert.isTrue(Result.isFailure(outcome) && outcome.failure.reason === "Misbehaved")
            assert.deepStrictEqual<unknown>(yield* keysOf(storage), [from])
            assert.deepStrictEqual(yield* uploadsOf(storage, to), [])
          } else {
            assert.isTrue(Result.isSuccess(outcome))
            assert.deepStrictEqual<unknown>(yield* keysOf(storage), [from, to])
          }
        }),
      60_000
    )
  })
})
