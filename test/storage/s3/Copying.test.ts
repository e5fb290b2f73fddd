import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { type Answer, errorXml, reply } from "../../fixtures/s3/StubServer.ts"
import { b, partNumber, slowDown, storeThat, whileTimePasses } from "../../fixtures/s3/StubStore.ts"

const MiB = 1024 * 1024
const from = ObjectKey.make("from/x y+%/é")
const copied = reply(200, `<CopyObjectResult><ETag>"c"</ETag></CopyObjectResult>`)

interface Answers {
  readonly sizeBytes: number
  readonly part?: Answer
  readonly copy?: Answer
}

/** A store with an object of that size. */
const storeWith = ({ copy = copied, part, sizeBytes }: Answers, retries = 0) =>
  storeThat(
    [
      (asked, response, request) => {
        const query = new URL(asked.url, "http://x").searchParams
        const head = reply(200, "", {
          "content-length": String(sizeBytes),
          "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT",
          etag: '"source"'
        })
        const partCopied = reply(
          200,
          `<CopyPartResult><ETag>"part-${query.get("partNumber")}"</ETag></CopyPartResult>`
        )
        const answer =
          asked.method === "HEAD"
            ? head
            : query.has("uploads")
              ? reply(
                  200,
                  "<InitiateMultipartUploadResult><UploadId>U1</UploadId></InitiateMultipartUploadResult>"
                )
              : query.has("partNumber")
                ? (part ?? partCopied)
                : asked.method === "POST"
                  ? reply(200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
                  : asked.method === "PUT"
                    ? copy
                    : reply(204)
        return answer(asked, response, request)
      }
    ],
    { copyInPartsAboveBytes: 5 * MiB, retries }
  )

describe("copy", () => {
  it.live("is one request that names its source, up to the limit for one request", () =>
    Effect.gen(function* () {
      for (const sizeBytes of [0, 5 * MiB]) {
        const { asked, storage } = yield* storeWith({ sizeBytes })
        yield* storage.copy(from, b)
        assert.deepStrictEqual(
          asked.map(({ method, url }) => `${method} ${url.split("?")[0]}`),
          ["HEAD /bucket/from/x%20y%2B%25/%C3%A9", "PUT /bucket/b"]
        )
        assert.strictEqual(asked[1]?.headers["x-amz-copy-source"], "bucket/from/x%20y%2B%25/%C3%A9")
        assert.strictEqual(asked[1]?.body.length, 0)
      }
    })
  )

  it.live("is made in parts above the limit, each on the condition that the source is unchanged", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeWith({ sizeBytes: 12 * MiB })
      yield* storage.copy(from, b)
      const parts = asked
        .filter(({ url }) => url.includes("partNumber"))
        .sort((x, y) => partNumber(x.url) - partNumber(y.url))
      assert.deepStrictEqual(
        parts.map(({ headers }) => [
          headers["x-amz-copy-source-range"],
          headers["x-amz-copy-source-if-match"]
        ]),
        [
          [`bytes=0-${5 * MiB - 1}`, '"source"'],
          [`bytes=${5 * MiB}-${10 * MiB - 1}`, '"source"'],
          [`bytes=${10 * MiB}-${12 * MiB - 1}`, '"source"']
        ]
      )
      const complete = asked.at(-1)?.body.toString() ?? ""
      for (const part of [1, 2, 3]) assert.include(complete, `part-${part}`)
    })
  )

  it.live("aborts its upload when a part fails", () =>
    Effect.gen(function* () {
      const part = reply(412, errorXml("PreconditionFailed"))
      const { asked, storage } = yield* storeWith({ sizeBytes: 12 * MiB, part })
      const error = yield* Effect.flip(storage.copy(from, b))
      assert.deepInclude(error, { operation: "copy", reason: "Rejected" })
      // It is not always the last request to arrive, because it may overtake parts.
      const ends = asked.filter(({ method }) => method === "DELETE")
      assert.strictEqual(ends.length, 1)
      assert.include(ends[0]?.url, "uploadId=U1")
    })
  )

  it.effect("is repeated, even if the store fails after it began to answer", () =>
    Effect.gen(function* () {
      let failures = 0
      const late = reply(200, errorXml("InternalError"))
      const copy: Answer = (...args) => [slowDown, late, copied][failures++]?.(...args)
      const { asked, storage } = yield* storeWith({ sizeBytes: 1, copy }, 2)
      yield* whileTimePasses(storage.copy(from, b))
      assert.strictEqual(asked.length, 4)
    })
  )

  it.live("distinguishes an absent source from other failures", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat([reply(404), reply(403)])
      for (const reason of ["NotFound", "AccessDenied"] as const) {
        const error = yield* Effect.flip(storage.copy(from, b))
        assert.deepInclude(error, { operation: "copy", subject: from, reason })
      }
    })
  )

  it.live("does not report a source as absent that the store shows", () =>
    Effect.gen(function* () {
      const noSuchKey = reply(404, errorXml("NoSuchKey"))
      for (const sizeBytes of [1, 12 * MiB]) {
        const { storage } = yield* storeWith({ sizeBytes, copy: noSuchKey, part: noSuchKey })
        const error = yield* Effect.flip(storage.copy(from, b))
        assert.deepInclude(error, { operation: "copy", subject: from, reason: "Misbehaved" })
      }
      // Control: the source was deleted between the two requests.
      const there = reply(200, "", { "content-length": "1" })
      const { asked, storage } = yield* storeThat([there, noSuchKey, reply(404)])
      assert.strictEqual((yield* Effect.flip(storage.copy(from, b))).reason, "NotFound")
      assert.strictEqual(asked.length, 3)
    })
  )
})
