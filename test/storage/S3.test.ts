import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Inspectable, Option, Schema, Stream } from "effect"
import { StorageError } from "../../src/domain/StorageError.ts"
import { type Answer, errorXml, listXml, reply, stubServer } from "../fixtures/s3/StubServer.ts"
import {
  a,
  anObject,
  bytesOf,
  keysOf,
  secret,
  session,
  slowDown,
  storeThat,
  whileTimePasses
} from "../fixtures/s3/StubStore.ts"
import { until } from "../fixtures/Until.ts"

describe("errors of S3", () => {
  const cases: ReadonlyArray<readonly [string, Answer, StorageError["reason"]]> = [
    ["503 SlowDown", slowDown, "Throttled"],
    ["503 without a document", reply(503), "Unavailable"],
    ["500 InternalError", reply(500, errorXml("InternalError")), "Unavailable"],
    ["429", reply(429), "Throttled"],
    ["502 with a proxy's page", reply(502, "<html>Bad Gateway</html>"), "Unavailable"],
    ["504", reply(504), "TimedOut"],
    ["400 RequestTimeout", reply(400, errorXml("RequestTimeout")), "TimedOut"],
    ["403 AccessDenied", reply(403, errorXml("AccessDenied")), "AccessDenied"],
    ["403 SignatureDoesNotMatch", reply(403, errorXml("SignatureDoesNotMatch")), "AccessDenied"],
    ["400 ExpiredToken", reply(400, errorXml("ExpiredToken")), "AccessDenied"],
    ["404 NoSuchBucket", reply(404, errorXml("NoSuchBucket")), "NotFound"],
    ["301 PermanentRedirect", reply(301, errorXml("PermanentRedirect")), "Rejected"],
    ["400 AuthorizationHeaderMalformed", reply(400, errorXml("AuthorizationHeaderMalformed")), "Rejected"],
    ["501 NotImplemented", reply(501, errorXml("NotImplemented")), "Rejected"],
    ["a connection that is cut", (_, response) => void response.destroy(), "Unavailable"],
    [
      "an answer that is cut",
      (_, response) => void response.writeHead(200).write("<", () => response.destroy()),
      "Unavailable"
    ],
    ["an answer that is not XML", reply(200, "hello"), "Misbehaved"]
  ]
  for (const [what, answer, reason] of cases) {
    it.live(`${what} is ${reason}`, () =>
      Effect.gen(function* () {
        const { storage } = yield* storeThat([answer])
        const error = yield* Effect.flip(storage.probe)
        assert.deepInclude(error, { operation: "probe", subject: "bucket", reason }, error.message)
      })
    )
  }

  it.live("a closed port is Unavailable", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* Effect.scoped(stubServer(slowDown))
      const { storage } = yield* storeThat([slowDown], { endpoint })
      assert.strictEqual((yield* Effect.flip(storage.probe)).reason, "Unavailable")
    })
  )

  it.live("never contain credentials, whatever the store echoes", () =>
    Effect.gen(function* () {
      const echo: Answer = (asked, response) => {
        const { authorization, "x-amz-security-token": token } = asked.headers
        const document = errorXml("SignatureDoesNotMatch", `${authorization} ${token} ${secret}`).replace(
          "</Error>",
          `<CanonicalRequest>${token} ${secret}</CanonicalRequest><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId></Error>`
        )
        response.writeHead(403).end(document)
      }
      const { storage } = yield* storeThat([echo])
      const error = yield* Effect.flip(storage.delete([a]))
      assert.strictEqual(error.reason, "AccessDenied")
      const encoded = yield* Schema.encodeEffect(StorageError)(error)
      const shown = [
        error.message,
        error.stack,
        JSON.stringify(encoded),
        Inspectable.toStringUnknown(error),
        inspect(error, { depth: 10, showHidden: true })
      ].join("\n")
      assert.include(shown, "<redacted>")
      for (const hidden of [secret, session, "AKIDEXAMPLE"]) assert.notInclude(shown, hidden)
    })
  )
})

describe("repeating requests", () => {
  it.effect("repeats a request that may be repeated, on the Clock", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat(
        [slowDown, reply(500), reply(200, listXml([{ key: "a" }]))],
        {
          retries: 3
        }
      )
      assert.deepStrictEqual(yield* whileTimePasses(keysOf(storage)), ["a"])
      assert.strictEqual(asked.length, 3)
    })
  )

  it.effect("gives up after the given number of retries", () =>
    Effect.gen(function* () {
      for (const call of ["probe", "list", "delete", "head", "get", "put", "abort"] as const) {
        const { asked, storage } = yield* storeThat([slowDown], { retries: 2 })
        const calls = {
          probe: storage.probe,
          list: keysOf(storage),
          delete: storage.delete([a]),
          head: storage.head(a),
          get: bytesOf(storage.get(a)),
          put: storage.put(a, Stream.make(Buffer.from("x")), 1),
          abort: storage.abortMultipart({ key: a, uploadId: "U" })
        }
        const error = yield* whileTimePasses(Effect.flip(calls[call] as Effect.Effect<unknown, StorageError>))
        // The answer to HEAD has no body that could say "SlowDown".
        assert.deepInclude(error, { operation: call, reason: call === "head" ? "Unavailable" : "Throttled" })
        assert.strictEqual(asked.length, 3, call)
      }
    })
  )

  it.effect("gives up after the given time", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([slowDown], {
        retries: 1000,
        retryWithin: Duration.seconds(10)
      })
      yield* whileTimePasses(Effect.flip(storage.probe))
      assert.isAtLeast(asked.length, 4)
      assert.isAtMost(asked.length, 9)
    })
  )

  it.effect("does not repeat a request that would fail again", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([reply(403, errorXml("AccessDenied"))], { retries: 3 })
      yield* whileTimePasses(Effect.flip(storage.probe))
      assert.strictEqual(asked.length, 1)
    })
  )

  it.effect("repeats a request that was refused because of the clock, with the store's time", () =>
    Effect.gen(function* () {
      const skewed = reply(403, errorXml("RequestTimeTooSkewed"), { date: "Fri, 01 Jan 2049 00:00:00 GMT" })
      const { asked, storage } = yield* storeThat([skewed, reply(200, listXml([]))], { retries: 1 })
      yield* whileTimePasses(storage.probe)
      assert.include(asked[1]?.headers["x-amz-date"], "2049")
    })
  )
})

describe("get and head", () => {
  it.effect("repeats a get until its first byte, not after", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([slowDown, anObject], { retries: 1 })
      assert.strictEqual(yield* whileTimePasses(bytesOf(storage.get(a))), "hello")
      assert.strictEqual(asked.length, 2)
      const cut: Answer = (_, response) =>
        void response.writeHead(200, { "content-length": "10" }).write("hello", () => response.destroy())
      const broken = yield* storeThat([cut], { retries: 1 })
      const error = yield* whileTimePasses(Effect.flip(bytesOf(broken.storage.get(a))))
      assert.deepInclude(error, { operation: "get", subject: "a", reason: "Unavailable" })
      assert.strictEqual(broken.asked.length, 1)
    })
  )

  it.live("asks for a range and refuses an answer without one", () =>
    Effect.gen(function* () {
      const part = reply(206, "ell", { "content-range": "bytes 1-3/5" })
      const { asked, storage } = yield* storeThat([part, part, anObject])
      assert.strictEqual(yield* bytesOf(storage.get(a, { start: 1, end: 3 })), "ell")
      assert.strictEqual(yield* bytesOf(storage.get(a, { start: 1 })), "ell")
      assert.deepStrictEqual(
        asked.map(({ headers }) => headers.range),
        ["bytes=1-3", "bytes=1-"]
      )
      const error = yield* Effect.flip(bytesOf(storage.get(a, { start: 1 })))
      assert.deepInclude(error, { operation: "get", reason: "Misbehaved" })
    })
  )

  it.live("aborts a get that is no longer read", () =>
    Effect.gen(function* () {
      const endless: Answer = (_, response) => {
        response.writeHead(200)
        const more = () => void response.write(Buffer.alloc(65536), (error) => (error ? undefined : more()))
        more()
      }
      const { asked, storage } = yield* storeThat([endless])
      yield* Stream.runDrain(Stream.take(storage.get(a), 3))
      yield* until("the first request is aborted", () => asked[0]?.isAborted === true)
      const fiber = yield* Effect.forkChild(Stream.runDrain(storage.get(a)))
      yield* until("a second request is sent", () => asked.length === 2)
      yield* Fiber.interrupt(fiber)
      yield* until("the second request is aborted", () => asked[1]?.isAborted === true)
    })
  )

  it.live("distinguishes an absent object from a forbidden one", () =>
    Effect.gen(function* () {
      const found = reply(200, "", {
        "content-length": "5",
        "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT"
      })
      const { storage } = yield* storeThat([reply(404), reply(403), found, reply(200)])
      assert.isTrue(Option.isNone(yield* storage.head(a)))
      assert.strictEqual((yield* Effect.flip(storage.head(a))).reason, "AccessDenied")
      assert.deepStrictEqual(
        yield* storage.head(a),
        Option.some({ key: a, sizeBytes: 5, modifiedAt: 1767323045000 })
      )
      assert.isTrue(Exit.isFailure(yield* Effect.exit(storage.head(a))), "no time, no answer")
    })
  )
})
