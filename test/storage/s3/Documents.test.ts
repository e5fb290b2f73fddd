/** Answers of status 200 that are not the store's: a proxy's page, an empty body, another document. */
import { GetBucketVersioningCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Stream } from "effect"
import type { StorageError } from "../../../src/domain/StorageError.ts"
import type { Storage } from "../../../src/storage/Storage.ts"
import { type Answer, deleteXml, listXml, reply, stubServer } from "../../fixtures/s3/StubServer.ts"
import { a, b, keysOf, storeOfUploads, storeThat } from "../../fixtures/s3/StubStore.ts"

const page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"

const others: Readonly<Record<string, readonly [body: string, said: RegExp]>> = {
  "an HTML page": [page, /an HTML page/],
  "an HTML page without a document type": ["<HTML><body>moved</body></HTML>", /an HTML page/],
  "an XHTML page": [`<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>`, /an HTML page/],
  "an empty body": ["", /is empty/],
  blanks: [" \n ", /is empty/],
  JSON: [`{"status":"ok"}`, /no XML document/],
  "another document": ["<ListAllMyBucketsResult></ListAllMyBucketsResult>", /<ListAllMyBucketsResult>/],
  "a document type": [`<!DOCTYPE x [<!ENTITY e "f">]>${listXml([{ key: "&e;" }])}`, /no XML document/]
}

/** What a caller does with the store, whose first answer is the other one. */
const calls: Readonly<Record<string, (storage: Storage["Service"]) => Effect.Effect<unknown, StorageError>>> =
  {
    probe: (storage) => storage.probe,
    list: (storage) => Stream.runDrain(storage.list("")),
    multiparts: (storage) => Stream.runDrain(storage.multiparts("")),
    "delete of a batch": (storage) => storage.delete([a, b]),
    "put of unknown length": (storage) =>
      storage.put(a, Stream.make(Buffer.alloc(6_000_000), Buffer.alloc(6_000_000)), null),
    traits: (storage) => storage.traits
  }

describe("an answer of status 200 that is not the store's", () => {
  for (const [what, [body, said]] of Object.entries(others)) {
    for (const [call, run] of Object.entries(calls)) {
      it.live(`fails ${call} by name: ${what}`, () =>
        Effect.gen(function* () {
          const { asked, storage } = yield* storeThat([reply(200, body)])
          const error = yield* Effect.flip(run(storage))
          assert.strictEqual(error.reason, "Misbehaved", error.message)
          assert.match(error.detail, said)
          assert.match(error.message, /S3_ENDPOINT/)
          assert.strictEqual(asked.filter(({ method }) => method !== "DELETE").length, 1, "nothing followed")
        })
      )
    }
  }

  it.live("control: the SDK takes it for an empty bucket without versions", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* stubServer(reply(200, page))
      const client = new S3Client({
        endpoint,
        region: "us-east-1",
        forcePathStyle: true,
        credentials: { accessKeyId: "a", secretAccessKey: "b" }
      })
      const listing = yield* Effect.promise(() => client.send(new ListObjectsV2Command({ Bucket: "bucket" })))
      assert.deepStrictEqual([listing.Contents, listing.IsTruncated], [undefined, undefined])
      const versioning = yield* Effect.promise(() =>
        client.send(new GetBucketVersioningCommand({ Bucket: "bucket" }))
      )
      assert.isUndefined(versioning.Status)
      client.destroy()
    })
  )

  it.live("is no confirmation of a put, of a part, of its completion, or of a single delete", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat([reply(200, page)])
      assert.strictEqual(
        (yield* Effect.flip(storage.put(a, Stream.make(Buffer.from("x")), 1))).reason,
        "Misbehaved"
      )
      const big = () => Stream.make(Buffer.alloc(6_000_000), Buffer.alloc(6_000_000))
      for (const answers of [{ part: reply(200, page) }, { complete: reply(200, page) }]) {
        const uploads = yield* storeOfUploads(answers)
        const error = yield* Effect.flip(uploads.storage.put(a, big(), null))
        assert.strictEqual(error.reason, "Misbehaved", JSON.stringify(Object.keys(answers)))
      }
      const alone = yield* storeThat([
        reply(501, "<Error><Code>NotImplemented</Code></Error>"),
        reply(200, page)
      ])
      const { deleted, failed } = yield* alone.storage.delete([a])
      assert.deepStrictEqual(deleted, [])
      assert.deepInclude(failed[0], { key: a, code: "Misbehaved", reason: "unknown" })
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("is found in a page after the first one, and ends the listing", () =>
    Effect.gen(function* () {
      const first = reply(200, listXml([{ key: "a" }], { truncated: true, token: "T" }))
      const { storage } = yield* storeThat([first, reply(200, page)])
      assert.strictEqual((yield* Effect.flip(keysOf(storage))).reason, "Misbehaved")
    })
  )

  it.live("is not read to its end if it is longer than any listing", () =>
    Effect.gen(function* () {
      let sent = 0
      const endless: Answer = (_, response) => {
        response.writeHead(200)
        const chunk = Buffer.alloc(1024 * 1024, " ")
        const more = () => {
          while (!response.destroyed && response.write(chunk)) sent += 1
        }
        response.on("drain", more)
        more()
      }
      const { storage } = yield* storeThat([endless])
      const error = yield* Effect.flip(storage.probe)
      assert.strictEqual(error.reason, "Misbehaved")
      assert.match(error.detail, /longer than 33554432 bytes/)
      assert.isBelow(sent, 200, "the connection was closed")
    })
  )

  it.live("is the store's own after a byte order mark, blanks, a declaration, a comment or a prefix", () =>
    Effect.gen(function* () {
      const plain = listXml([{ key: "a" }])
      const bare = plain.replace(/^<\?xml.*?\?>/, "")
      const prefixed = bare
        .replace("<ListBucketResult", "<s3:ListBucketResult")
        .replace("</ListB", "</s3:ListB")
      for (const text of [plain, bare, `\uFEFF${plain}`, ` \n${bare}`, `<!-- x -->${bare}`, prefixed]) {
        const { storage } = yield* storeThat([reply(200, text)])
        assert.deepStrictEqual(yield* keysOf(storage), ["a"], text)
      }
      const { storage } = yield* storeThat([reply(200, deleteXml(["a"], []))])
      assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
    })
  )
})
