/** Sending bodies: from memory, streamed, in parts. */
import { createHash, randomBytes } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { StorageFailure } from "../../../src/domain/StorageError.ts"
import { fromClient, ofManyParts } from "../../../src/storage/s3/Failure.ts"
import { type Answer, errorXml, refuse, reply, silence } from "../../fixtures/s3/StubServer.ts"
import {
  a,
  partNumber,
  slowDown,
  storeOfUploads,
  storeThat,
  type UploadAnswers,
  whileTimePasses
} from "../../fixtures/s3/StubStore.ts"
import { until } from "../../fixtures/Until.ts"

describe("put", () => {
  it.live("declares the length and sends no checksum trailers", () =>
    Effect.gen(function* () {
      for (const size of [0, 1000, 3_000_000]) {
        const { asked, storage } = yield* storeThat([reply(200)])
        const body = randomBytes(size)
        yield* storage.put(ObjectKey.make("a b/c"), Stream.make(body), size)
        assert.isTrue(asked[0]?.body.equals(body))
        assert.deepInclude(asked[0], { method: "PUT", url: "/bucket/a%20b/c?x-id=PutObject" })
        assert.strictEqual(asked[0]?.headers["content-length"], String(size))
        assert.notProperty(asked[0]?.headers, "x-amz-trailer")
        assert.notProperty(asked[0]?.headers, "content-encoding")
      }
    })
  )

  it.live("signs each part with the hash of its bytes, because plain http does not protect them", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeOfUploads()
      const body = randomBytes(20 * 1024 * 1024)
      yield* storage.put(a, Stream.make(body), null)
      yield* storage.put(a, Stream.make(body.subarray(0, 5_000_000)), null)
      const sent = asked.filter(({ method }) => method === "PUT")
      assert.deepStrictEqual(
        sent.map(({ body }) => body.length),
        [8_388_608, 8_388_608, 4_194_304, 5_000_000]
      )
      for (const { body, headers } of sent) {
        assert.strictEqual(headers["x-amz-content-sha256"], createHash("sha256").update(body).digest("hex"))
      }
    })
  )

  it.effect("repeats a small body, runs it once, and does not repeat a large one", () =>
    Effect.gen(function* () {
      let runs = 0
      const counted = (size: number) =>
        Stream.suspend(() => {
          runs++
          return Stream.make(Buffer.alloc(size))
        })
      const { asked, storage } = yield* storeThat([slowDown, reply(500), reply(200)], { retries: 5 })
      yield* whileTimePasses(storage.put(a, counted(1000), 1000))
      assert.deepStrictEqual([runs, asked.length], [1, 3])
      assert.isTrue(asked.every(({ body }) => body.length === 1000))

      const large = yield* storeThat([slowDown, reply(200)], { retries: 5 })
      const error = yield* whileTimePasses(Effect.flip(large.storage.put(a, counted(3_000_000), 3_000_000)))
      assert.strictEqual(error.reason, "Throttled")
      assert.deepStrictEqual([runs, large.asked.length], [2, 1])
    })
  )

  it.live("does not run a large body that the store refuses", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat([refuse(403, errorXml("AccessDenied"))])
      let ran = false
      const body = Stream.suspend(() => {
        ran = true
        return Stream.make(Buffer.alloc(3_000_000))
      })
      assert.strictEqual((yield* Effect.flip(storage.put(a, body, 3_000_000))).reason, "AccessDenied")
      assert.isFalse(ran)
    })
  )

  it.live("never sends all declared bytes of a body that is too long, however late that shows", () =>
    Effect.gen(function* () {
      for (const size of [1000, 3_000_000]) {
        const { asked, storage } = yield* storeThat([reply(200)])
        const body = Stream.make(Buffer.alloc(size - 1), Buffer.alloc(1)).pipe(
          Stream.rechunk(1),
          Stream.concat(Stream.fromEffectDrain(Effect.sleep("200 millis"))),
          Stream.concat(Stream.make(Buffer.alloc(1)))
        )
        assert.strictEqual((yield* Effect.flip(storage.put(a, body, size))).reason, "Truncated")
        assert.isTrue(asked.every((request) => request.body.length < size && !request.isComplete))
        // Control: the store was receiving the body.
        assert.strictEqual((asked[0]?.body.length ?? 0) > 0, size > 2_000_000)
      }
    })
  )
})

describe("put in parts", () => {
  const MiB = 1024 * 1024
  const size = 20 * MiB
  const content = randomBytes(size)
  const body = Stream.fromIterable(
    Array.from({ length: 320 }, (_, i) => content.subarray(i * 65536, (i + 1) * 65536))
  ).pipe(Stream.rechunk(1))

  const uploads = (answers: UploadAnswers = {}) =>
    storeOfUploads(answers, { multipartAboveBytes: 5 * MiB, retries: 2 })

  it.live("sends parts of 8 MiB and completes them in order", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* uploads()
      yield* storage.put(a, body, size)
      const parts = asked.filter(({ method }) => method === "PUT")
      const inOrder = parts.sort((x, y) => (partNumber(x.url) < partNumber(y.url) ? -1 : 1))
      assert.deepStrictEqual(
        inOrder.map((part) => part.body.length),
        [8 * MiB, 8 * MiB, 4 * MiB]
      )
      assert.isTrue(Buffer.concat(inOrder.map((part) => part.body)).equals(content))
      const complete = asked.at(-1)?.body.toString() ?? ""
      assert.isBelow(complete.indexOf("part-1"), complete.indexOf("part-2"))
      assert.isBelow(complete.indexOf("part-2"), complete.indexOf("part-3"))
    })
  )

  it.effect("resends a part that failed", () =>
    Effect.gen(function* () {
      let failures = 0
      const { asked, storage } = yield* uploads({
        part: (asked, response, request) =>
          failures++ === 0
            ? slowDown(asked, response, request)
            : reply(200, "", { etag: '"e"' })(asked, response, request)
      })
      yield* whileTimePasses(storage.put(a, body, size))
      assert.strictEqual(asked.filter(({ method }) => method === "PUT").length, 4)
      assert.isFalse(asked.some(({ method }) => method === "DELETE"))
    })
  )

  const abandoned: ReadonlyArray<readonly [string, UploadAnswers, Stream.Stream<Uint8Array, string>]> = [
    ["a part fails permanently", { part: reply(403, errorXml("AccessDenied")) }, body],
    ["completing fails", { complete: reply(200, errorXml("InternalError")) }, body],
    ["the body fails", {}, body.pipe(Stream.take(200), Stream.concat(Stream.fail("broken")))],
    ["the body is too short", {}, Stream.take(body, 200)],
    ["the body is too long", {}, Stream.concat(body, Stream.make(Buffer.alloc(1)))]
  ]
  for (const [what, replaced, body] of abandoned) {
    it.effect(`aborts the upload when ${what}`, () =>
      Effect.gen(function* () {
        const { asked, storage } = yield* uploads(replaced)
        yield* whileTimePasses(Effect.flip(storage.put(a, body, size)))
        assert.deepInclude(asked.at(-1), { method: "DELETE" })
        assert.include(asked.at(-1)?.url, "uploadId=U1")
      })
    )
  }

  it.live("aborts the upload when it is interrupted", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* uploads({ part: silence })
      const fiber = yield* Effect.forkChild(storage.put(a, body, size))
      yield* until("a PUT is complete", () =>
        asked.some((request) => request.method === "PUT" && request.isComplete)
      )
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(asked.at(-1)?.method, "DELETE")
    })
  )

  it.live("tells the upload's id before its first part is sent", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* uploads()
      const told: Array<readonly [string, number]> = []
      const onMultipart = (uploadId: string) =>
        Effect.sync(() => {
          told.push([uploadId, asked.length])
        })
      yield* storage.put(a, body, size, { onMultipart })
      assert.deepStrictEqual(told, [["U1", 1]])
      // Without an upload there is no id.
      yield* storage.put(a, Stream.make(Buffer.alloc(1000)), 1000, { onMultipart })
      assert.strictEqual(told.length, 1)
    })
  )

  it.live("aborts the upload and fails when its id could not be recorded", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* uploads()
      const onMultipart = () => Effect.fail("no room" as const)
      assert.strictEqual(yield* Effect.flip(storage.put(a, body, size, { onMultipart })), "no room")
      assert.deepStrictEqual(
        asked.map(({ method }) => method),
        ["POST", "DELETE"]
      )
      assert.include(asked[1]?.url, "uploadId=U1")
    })
  )

  it.live("does not continue an upload without an id, which could not be aborted", () =>
    Effect.gen(function* () {
      const nameless = reply(200, "<InitiateMultipartUploadResult></InitiateMultipartUploadResult>")
      const { asked, storage } = yield* uploads({ create: nameless })
      const error = yield* Effect.flip(storage.put(a, body, size))
      assert.deepInclude(error, { operation: "put", reason: "Misbehaved" })
      assert.strictEqual(asked.length, 1)
    })
  )
})

describe("a refusal for the parts of an upload", () => {
  const MiB = 1024 * 1024
  const body = Stream.make(Buffer.alloc(20 * MiB))
  const refusal = (code: string) => reply(code === "InvalidRange" ? 416 : 400, errorXml(code))
  const refusesFrom =
    (number: number, code: string): Answer =>
    (asked, response, request) =>
      (partNumber(asked.url) < number ? reply(200, "", { etag: '"e"' }) : refusal(code))(
        asked,
        response,
        request
      )

  it.effect.each([
    ["a part number that AWS refuses", { part: refusesFrom(3, "InvalidArgument") }, "TooLarge"],
    ["more parts than radosgw takes", { complete: refusal("InvalidRange") }, "TooLarge"],
    ["an object that is too large", { complete: refusal("EntityTooLarge") }, "TooLarge"],
    ["its first part (control)", { part: refusesFrom(1, "InvalidArgument") }, "Rejected"],
    ["a part that the store does not have", { complete: refusal("InvalidPart") }, "Rejected"]
  ] satisfies ReadonlyArray<readonly [string, UploadAnswers, StorageFailure]>)(
    "for %s fails as it should",
    ([, answers, reason]) =>
      Effect.gen(function* () {
        const { asked, storage } = yield* storeOfUploads(answers)
        const error = yield* Effect.flip(whileTimePasses(storage.put(a, body, null)))
        assert.deepInclude(error, { operation: "put", reason })
        assert.deepInclude(asked.at(-1), { method: "DELETE" })
      })
  )

  it("means the sizes of the parts only where there are several", () => {
    const refused = fromClient(
      "put",
      "a",
      Object.assign(new Error("x"), { name: "InvalidPart", $metadata: { httpStatusCode: 400 } }),
      (text) => text
    )
    assert.strictEqual(ofManyParts(refused, true).reason, "TooLarge")
    assert.strictEqual(ofManyParts(refused, false).reason, "Rejected")
  })
})

describe("put of unknown length", () => {
  const MiB = 1024 * 1024
  const part = 8 * MiB
  const bytes = (size: number) =>
    Stream.fromIterable([Buffer.alloc(Math.floor(size / 2)), Buffer.alloc(Math.ceil(size / 2))]).pipe(
      Stream.rechunk(1)
    )

  it.live("is one request if the body ends within a part, and a multipart upload otherwise", () =>
    Effect.gen(function* () {
      for (const [size, parts] of [
        [0, null],
        [1000, null],
        [part, null],
        [part + 1, [part, 1]],
        [2 * part, [part, part]],
        [2 * part + 1, [part, part, 1]]
      ] as const) {
        const told: Array<string> = []
        const { asked, storage } = yield* storeOfUploads()
        yield* storage.put(a, bytes(size), null, {
          onMultipart: (id) => Effect.sync(() => void told.push(id))
        })
        const puts = asked.filter(({ method }) => method === "PUT")
        const inOrder = puts.sort((x, y) => partNumber(x.url) - partNumber(y.url))
        assert.deepStrictEqual(
          inOrder.map((request) => request.body.length),
          parts === null ? [size] : [...parts],
          `${size} bytes`
        )
        assert.strictEqual(asked.length, parts === null ? 1 : parts.length + 2)
        assert.deepStrictEqual(told, parts === null ? [] : ["U1"])
      }
    })
  )

  it.effect("resends the buffered bytes when a request fails", () =>
    Effect.gen(function* () {
      let failures = 0
      const { asked, storage } = yield* storeOfUploads(
        {
          put: (...args) => (failures++ === 0 ? slowDown(...args) : reply(200)(...args))
        },
        { retries: 1 }
      )
      yield* whileTimePasses(storage.put(a, bytes(1000), null))
      assert.deepStrictEqual(
        asked.map((request) => request.body.length),
        [1000, 1000]
      )
    })
  )

  it.live("sends nothing for a body that fails within a part, and aborts the upload of a longer one", () =>
    Effect.gen(function* () {
      for (const [size, methods] of [
        [0, []],
        [part, []],
        [3 * part, ["POST", "PUT", "DELETE"]]
      ] as const) {
        const { asked, storage } = yield* storeOfUploads()
        const failing = Stream.concat(bytes(size), Stream.fail("broken" as const))
        assert.strictEqual(yield* Effect.flip(storage.put(a, failing, null)), "broken")
        assert.sameMembers([...new Set(asked.map(({ method }) => method))], [...methods], `${size} bytes`)
      }
    })
  )
})
