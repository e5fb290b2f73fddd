/** How long the S3 backend waits, and on how many connections. */
import { randomBytes } from "node:crypto"
import { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Redacted, Stream } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { openingOf } from "../../../src/storage/Readables.ts"
import * as S3 from "../../../src/storage/S3.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { type Answer, listXml, receive, reply, silence, stubServer } from "../../fixtures/s3/StubServer.ts"
import { a, secret, storeThat } from "../../fixtures/s3/StubStore.ts"
import { until, untilTrue } from "../../fixtures/Until.ts"

describe("time", () => {
  it.live("a request without an answer is TimedOut and aborted", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([silence], { requestTimeout: Duration.seconds(2) })
      assert.strictEqual((yield* Effect.flip(storage.probe)).reason, "TimedOut")
      yield* until("the request is aborted", () => asked[0]?.isAborted === true)
    })
  )

  it.live("an interrupted request is aborted", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([silence])
      const fiber = yield* Effect.forkChild(storage.probe)
      yield* until("a request is sent", () => asked.length === 1)
      yield* Fiber.interrupt(fiber)
      yield* until("the request is aborted", () => asked[0]?.isAborted === true)
    })
  )

  it.live("the wait for a connection does not count towards the time limit", () =>
    Effect.gen(function* () {
      const slow: Answer = async (asked, response, request) => {
        await receive(asked, response, request)
        setTimeout(() => response.writeHead(200).end(), 60)
      }
      const { asked, storage } = yield* storeThat([slow], {
        maxConnections: 2,
        requestTimeout: Duration.millis(400)
      })
      const many = Array.from({ length: 60 }, (_, i) => ObjectKey.make(`${i}`))
      yield* Effect.forEach(many, (key) => Effect.exit(storage.head(key)), { concurrency: "unbounded" })
      assert.strictEqual(asked.length, 60)
      assert.isTrue(asked.every((request) => !request.isAborted))
    })
  )

  it.live("readers that have stopped reading do not block short requests", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat(
        [
          (asked, ...rest) =>
            reply(200, asked.url.includes("list-type") ? listXml([]) : Buffer.alloc(9_000_000))(
              asked,
              ...rest
            )
        ],
        { maxConnections: 3 }
      )
      const stopped = Stream.runForEach(storage.get(a), () => Effect.never)
      yield* Effect.forEach([1, 2, 3, 4], () => Effect.forkScoped(stopped))
      yield* until("a second request is sent", () => asked.length === 2)
      yield* storage.probe
      assert.strictEqual(asked.length, 3)
    })
  )

  it.live("a slow body has no time limit", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([reply(200)], { requestTimeout: Duration.millis(300) })
      const body = Stream.make(1, 2).pipe(
        Stream.rechunk(1),
        Stream.mapEffect(() => Effect.delay(Effect.succeed(Buffer.alloc(1_500_000)), "800 millis"))
      )
      yield* storage.put(a, body, 3_000_000)
      assert.strictEqual(asked[0]?.body.length, 3_000_000)
    })
  )

  it.live("a store that does not read the body is TimedOut", () =>
    Effect.gen(function* () {
      const stuck: Answer = (_, response, request) => {
        response.writeContinue()
        request.pause()
      }
      const { storage } = yield* storeThat([stuck], { requestTimeout: Duration.millis(100) })
      const body = Stream.forever(Stream.make(Buffer.alloc(65536)))
      const error = yield* Effect.flip(storage.put(a, body, 40_000_000))
      assert.deepInclude(error, { operation: "put", reason: "TimedOut" })
    })
  )

  it.live("a store that stops in the middle of an object is TimedOut, and only then", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat(
        [(_, response) => void response.writeHead(200, { "content-length": "10" }).write("hello")],
        { requestTimeout: Duration.millis(100) }
      )
      const error = yield* Effect.flip(Stream.runDrain(storage.get(a)))
      assert.deepInclude(error, { operation: "get", reason: "TimedOut" })
      // A slow reader is not the store's fault.
      const { storage: good } = yield* storeThat([reply(200, randomBytes(1_000_000))], {
        requestTimeout: Duration.millis(400)
      })
      let size = 0
      yield* Stream.runForEachArray(good.get(a), (chunks) => {
        const isFirst = size === 0
        for (const chunk of chunks) size += chunk.length
        return isFirst ? Effect.sleep("1 second") : Effect.void
      })
      assert.strictEqual(size, 1_000_000)
    })
  )

  it.live("a store that stops in the middle of a piped object is TimedOut, and a slow reader is not", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat(
        [(_, response) => void response.writeHead(200, { "content-length": "10" }).write("hello")],
        { requestTimeout: Duration.millis(100) }
      )
      const sunk = (slowMillis: number) =>
        new Writable({ write: (_, __, done) => void setTimeout(done, slowMillis) })
      const { failure, readable } = yield* openingOf(storage.get(a)) ?? Effect.die("not piped")
      const error = yield* Effect.promise(() => pipeline(readable, sunk(0)).then(() => null, failure))
      assert.deepInclude(error, { operation: "get", reason: "TimedOut" })
      const { storage: good } = yield* storeThat([reply(200, randomBytes(200_000))], {
        requestTimeout: Duration.millis(100)
      })
      const slow = yield* openingOf(good.get(a)) ?? Effect.die("not piped")
      yield* Effect.promise(() => pipeline(slow.readable, sunk(300)))
    })
  )

  it.live("connections end with the layer", () =>
    Effect.gen(function* () {
      const server = yield* stubServer(reply(200, listXml([])))
      const connections = Effect.callback<number>((resume) => {
        server.server.getConnections((_, count) => resume(Effect.succeed(count)))
      })
      yield* Effect.provide(
        Effect.gen(function* () {
          yield* (yield* Storage).probe
          assert.strictEqual(yield* connections, 1)
        }),
        S3.layer({
          bucket: "bucket",
          region: "us-east-1",
          endpoint: server.endpoint,
          credentials: { accessKeyId: Redacted.make("AKIDEXAMPLE"), secretAccessKey: Redacted.make(secret) }
        })
      )
      yield* untilTrue(
        "its connections are closed",
        Effect.map(connections, (count) => count === 0)
      )
    })
  )
})
