/** Whether a store lists uploads in parts by a prefix, and how they are found where it does not. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type Answer, errorXml, partsXml, reply, uploadsXml } from "../../fixtures/s3/StubServer.ts"
import { storeThat } from "../../fixtures/s3/StubStore.ts"

const begunAt = "2026-01-02T03:04:05.000Z"

/** A store whose uploads are found under these prefixes. */
const storeOfUploads = (isListed: (key: string, prefix: string) => boolean, create?: Answer) => {
  const uploads = new Map<string, string>()
  let ids = 0
  const answer: Answer = (asked, response, request) => {
    const { pathname, searchParams } = new URL(asked.url, "http://x")
    const key = decodeURIComponent(pathname.slice("/bucket/".length))
    const id = searchParams.get("uploadId") ?? ""
    const document = (): string => {
      if (asked.method === "POST") {
        uploads.set(`U${++ids}`, key)
        const named = `<Bucket>bucket</Bucket><Key>${key}</Key><UploadId>U${ids}</UploadId>`
        return `<InitiateMultipartUploadResult>${named}</InitiateMultipartUploadResult>`
      }
      if (searchParams.has("uploads")) {
        const prefix = searchParams.get("prefix") ?? ""
        const found = [...uploads].filter(([, key]) => isListed(key, prefix))
        return uploadsXml(found.map(([id, key]) => ({ key, id, begun: begunAt })))
      }
      return partsXml([], null)
    }
    if (asked.method === "DELETE") {
      uploads.delete(id)
      return reply(204)(asked, response, request)
    }
    return (asked.method === "POST" && create ? create : reply(200, document()))(asked, response, request)
  }
  return Effect.map(storeThat([answer]), (store) => ({ ...store, uploads }))
}

const byPrefix = (key: string, prefix: string) => key.startsWith(prefix)
/** As MinIO lists. */
const byKey = (key: string, prefix: string) => prefix === "" || key === prefix

describe("the search for uploads in parts", () => {
  it.live("is complete in a store that lists them by a prefix, and is tested once", () =>
    Effect.gen(function* () {
      const { asked, storage, uploads } = yield* storeOfUploads(byPrefix)
      assert.strictEqual(yield* storage.multipartSearch("uploads/", true), "complete")
      assert.deepStrictEqual([...uploads], [], "the upload of the test was aborted")
      assert.match(asked[0]?.url ?? "", /^\/bucket\/uploads\/artifact-gc-test\/[-0-9a-f]{36}\?uploads/)
      const requests = asked.length
      assert.strictEqual(yield* storage.multipartSearch("uploads/", true), "complete")
      assert.strictEqual(asked.length, requests)
    })
  )

  it.live("is partial in a store that lists them by their key: then it takes the whole bucket's", () =>
    Effect.gen(function* () {
      const { storage, uploads } = yield* storeOfUploads(byKey)
      const found = (prefix: string) =>
        Effect.map(Stream.runCollect(storage.multiparts(prefix)), (pages) =>
          pages.flat().map(({ key }): string => key)
        )
      uploads.set("X", "uploads/a").set("Y", "blobs/b").set("Z", "other/c")
      assert.deepStrictEqual(yield* found("uploads/"), [], "control: an empty listing that proves nothing")
      assert.strictEqual(yield* storage.multipartSearch("uploads/", true), "partial")
      assert.deepStrictEqual(yield* found("uploads/"), ["uploads/a"])
      assert.deepStrictEqual(yield* found("blobs/"), ["blobs/b"])
      assert.deepStrictEqual([...uploads.keys()], ["X", "Y", "Z"])
    })
  )

  it.live("is not tested where nothing may be written, and known if a prefix found an upload", () =>
    Effect.gen(function* () {
      const { asked, storage, uploads } = yield* storeOfUploads(byPrefix)
      assert.strictEqual(yield* storage.multipartSearch("uploads/", false), "unknown")
      assert.strictEqual(asked.length, 0)
      uploads.set("X", "uploads/a")
      yield* Stream.runDrain(storage.multiparts("uploads/"))
      assert.strictEqual(yield* storage.multipartSearch("uploads/", false), "complete")
      assert.isFalse(asked.some(({ method }) => method === "POST"))
    })
  )

  for (const [what, create] of [
    ["may not begin an upload", reply(403, errorXml("AccessDenied"))],
    ["have a store without uploads in parts", reply(501, errorXml("NotImplemented"))]
  ] as const) {
    it.live(`is unknown to credentials that ${what}, and no failure`, () =>
      Effect.gen(function* () {
        const { asked, storage } = yield* storeOfUploads(byPrefix, create)
        for (let round = 1; round <= 2; round++) {
          assert.strictEqual(yield* storage.multipartSearch("uploads/", true), "unknown")
        }
        assert.strictEqual(asked.length, 1, "they are not asked again")
      })
    )
  }

  it.live("is unknown in a store that shows the upload nowhere, and tested again", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeOfUploads(() => false)
      for (let round = 1; round <= 2; round++) {
        assert.strictEqual(yield* storage.multipartSearch("uploads/", true), "unknown")
      }
    })
  )

  it.live("is complete on AWS, which documents it, without a request", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([reply(500)], { endpoint: undefined })
      assert.strictEqual(yield* storage.multipartSearch("uploads/", true), "complete")
      assert.strictEqual(asked.length, 0)
    })
  )

  it.live("fails with a store that does not answer", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeOfUploads(byPrefix, reply(500, errorXml("InternalError")))
      assert.strictEqual(
        (yield* Effect.flip(storage.multipartSearch("uploads/", true))).reason,
        "Unavailable"
      )
    })
  )
})
