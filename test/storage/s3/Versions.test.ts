/** Deletes in a bucket with versions: the requests, and which keys count as deleted. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { S3Options } from "../../../src/storage/S3.ts"
import {
  type Answer,
  type Asked,
  errorXml,
  type ListedVersion,
  receive,
  reply,
  versionsXml
} from "../../fixtures/s3/StubServer.ts"
import { a, b, c, slowDown, storeThat, whileTimePasses } from "../../fixtures/s3/StubStore.ts"

interface Version extends ListedVersion {
  readonly id: string
  readonly isLocked?: boolean
}

interface Bucket {
  /** The bucket's versions in the store's order. Deletes remove them. */
  readonly versions: Array<Version>
  /** Versions on a page. Default 1000. */
  readonly page?: number
  /** Returns another answer for some requests. */
  readonly instead?: (asked: Asked) => Answer | undefined
}

const paramsOf = ({ url }: Asked) => new URL(url, "http://x").searchParams

const list = ({ page = 1000, versions }: Bucket, params: URLSearchParams): string => {
  const [prefix, key, id] = ["prefix", "key-marker", "version-id-marker"].map((name) => params.get(name))
  const all = versions.filter((version) => version.key.startsWith(prefix ?? ""))
  const from = all.findIndex((version) => version.key === key && version.id === id) + 1
  const shown = all.slice(from, from + page)
  const last = shown.at(-1)
  return versionsXml(shown, last === undefined || from + page >= all.length ? undefined : last)
}

const lockText = "Access Denied because object protected by object lock."

/** Answers DeleteObjects with versions. An absent version counts as deleted. */
const remove = ({ versions }: Bucket, body: string): string => {
  const answers = [...body.matchAll(/<Object>(.*?)<\/Object>/g)].map(([, object = ""]) => {
    const key = /<Key>(.*)<\/Key>/.exec(object)?.[1]
    const id = /<VersionId>(.*)<\/VersionId>/.exec(object)?.[1]
    const named = `<Key>${key}</Key><VersionId>${id}</VersionId>`
    const at = versions.findIndex((version) => version.key === key && version.id === id)
    if (versions[at]?.isLocked)
      return `<Error>${named}<Code>AccessDenied</Code><Message>${lockText}</Message></Error>`
    if (at >= 0) versions.splice(at, 1)
    return `<Deleted>${named}</Deleted>`
  })
  return `<DeleteResult>${answers.join("")}</DeleteResult>`
}

const bucketWith = (bucket: Bucket, options: Partial<S3Options> = {}) =>
  Effect.map(
    storeThat(
      [
        async (asked, response, request) => {
          const other = bucket.instead?.(asked)
          if (other !== undefined) return other(asked, response, request)
          if (paramsOf(asked).has("versions"))
            return reply(200, list(bucket, paramsOf(asked)))(asked, response, request)
          if (asked.method === "HEAD") return reply(404)(asked, response, request)
          await receive(asked, response, request)
          response.writeHead(200).end(remove(bucket, asked.body.toString()))
        }
      ],
      { versionedDelete: "versions", ...options }
    ),
    (store) => ({ ...store, left: () => bucket.versions.map(({ id, key }) => `${key} ${id}`) })
  )

const isListing = (asked: Asked) => paramsOf(asked).has("versions")
const isBatch = (asked: Asked) => asked.method === "POST"

describe("a delete of all versions", () => {
  it.live("leaves no version and no marker of the keys, and all of their neighbours", () =>
    Effect.gen(function* () {
      const versions: Array<Version> = [
        { key: "a", id: "m2", isMarker: true },
        { key: "a", id: "v2" },
        { key: "a", id: "m1", isMarker: true },
        { key: "a", id: "v1" },
        { key: "a", id: "null" },
        { key: "a%2Fb", id: "v3" },
        { key: "aa", id: "v4" },
        { key: "b", id: "v5" },
        { key: "b", id: "v6" }
      ]
      const { asked, left, storage } = yield* bucketWith({ versions })
      const absent = ObjectKey.make("absent")
      assert.deepStrictEqual(yield* storage.delete([a, absent, b]), { deleted: [a, absent, b], failed: [] })
      assert.deepStrictEqual(left(), ["a%2Fb v3", "aa v4"])
      const listings = asked.filter(isListing)
      assert.strictEqual(listings.length, 3)
      assert.strictEqual(paramsOf(listings[0] as Asked).get("encoding-type"), "url")
    })
  )

  it.live("reads on while a page contains only versions of the key", () =>
    Effect.gen(function* () {
      const many = Array.from({ length: 7 }, (_, i): Version => ({ key: "a", id: `v${i}` }))
      const { asked, left, storage } = yield* bucketWith({
        versions: [...many, { key: "aa", id: "w" }, { key: "ab", id: "w" }, { key: "ac", id: "w" }],
        page: 2
      })
      assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
      assert.deepStrictEqual(left(), ["aa w", "ab w", "ac w"])
      assert.strictEqual(asked.filter(isListing).length, 4)
    })
  )

  it.live("names at most 1000 versions a request", () =>
    Effect.gen(function* () {
      const versions = Array.from({ length: 2001 }, (_, i): Version => ({ key: "a", id: `v${i}` }))
      const { asked, left, storage } = yield* bucketWith({ versions })
      assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
      assert.deepStrictEqual(left(), [])
      assert.deepStrictEqual(
        asked.filter(isBatch).map(({ body }) => body.toString().split("<Object>").length - 1),
        [1000, 1000, 1]
      )
    })
  )

  it.live("fails a key with a locked version, alone, and keeps its markers", () =>
    Effect.gen(function* () {
      const { left, storage } = yield* bucketWith({
        versions: [
          { key: "a", id: "v1" },
          { key: "b", id: "m", isMarker: true },
          { key: "b", id: "v2", isLocked: true },
          { key: "b", id: "v3" },
          { key: "c", id: "m", isMarker: true }
        ]
      })
      const { deleted, failed } = yield* storage.delete([a, b, c])
      assert.deepStrictEqual(deleted, [a, c])
      assert.deepStrictEqual(failed, [{ key: b, reason: "locked", code: "AccessDenied", detail: lockText }])
      // Without its marker the locked version would be visible again.
      assert.deepStrictEqual(left(), ["b m", "b v2"])
    })
  )

  const nextYear = new Date(Date.now() + 365 * 86_400_000).toISOString()
  for (const [what, answer, reason, said] of [
    ["under a legal hold", reply(200, "", { "x-amz-object-lock-legal-hold": "ON" }), "locked", /legal hold/],
    [
      "retained",
      reply(200, "", {
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": nextYear
      }),
      "locked",
      new RegExp(`retained until ${nextYear}`)
    ],
    [
      "no longer retained",
      reply(200, "", { "x-amz-object-lock-retain-until-date": "2020-01-01T00:00:00Z" }),
      "denied",
      /^because$/
    ],
    ["not locked", reply(200), "denied", /^because$/],
    ["of an unknown state", reply(403), "denied", /^because$/]
  ] as const) {
    it.live(`asks for the lock of a version that it may not delete: one ${what} is ${reason}`, () =>
      Effect.gen(function* () {
        const refused = `<DeleteResult><Error><Key>a</Key><VersionId>v1</VersionId><Code>AccessDenied</Code><Message>because</Message></Error></DeleteResult>`
        const { asked, storage } = yield* bucketWith({
          versions: [{ key: "a", id: "v1" }],
          instead: (asked) =>
            asked.method === "HEAD" ? answer : isBatch(asked) ? reply(200, refused) : undefined
        })
        const { failed } = yield* storage.delete([a])
        assert.deepInclude(failed[0], { key: a, reason, code: "AccessDenied" })
        assert.match(failed[0]?.detail ?? "", said)
        assert.strictEqual(asked.filter(({ url }) => url.includes("versionId=v1")).length, 1)
      })
    )
  }

  it.live("counts as deleted only versions that the store confirms", () =>
    Effect.gen(function* () {
      const silent = `<DeleteResult><Deleted><Key>a</Key></Deleted><Deleted><Key>b</Key><VersionId>v2</VersionId></Deleted></DeleteResult>`
      const { storage } = yield* bucketWith({
        versions: [
          { key: "a", id: "v1" },
          { key: "b", id: "v2" },
          { key: "b", id: "v3" },
          { key: "c", id: "v4" }
        ],
        instead: (asked) => (isBatch(asked) ? reply(200, silent) : undefined)
      })
      const { deleted, failed } = yield* storage.delete([a, b, c])
      assert.deepStrictEqual(deleted, [])
      assert.deepStrictEqual(
        failed.map(({ code, key, reason }) => [key, code, reason]),
        [a, b, c].map((key) => [key, "Unconfirmed", "unconfirmed"])
      )
    })
  )

  it.live("does not count an object as deleted of which the store lists no version", () =>
    Effect.gen(function* () {
      const there = reply(200, "", { "content-length": "1" })
      const { asked, storage } = yield* bucketWith({
        versions: [{ key: "b", id: "v1" }],
        instead: (asked) => (asked.method === "HEAD" && asked.url.startsWith("/bucket/a") ? there : undefined)
      })
      const { deleted, failed } = yield* storage.delete([a, b, c])
      assert.deepStrictEqual(deleted, [b, c])
      assert.deepStrictEqual(
        failed.map(({ code, key, reason }) => [key, code, reason]),
        [[a, "Misbehaved", "unknown"]]
      )
      assert.strictEqual(asked.filter(({ method }) => method === "HEAD").length, 2)
    })
  )

  for (const [what, document] of [
    ["has a version without an id", versionsXml([{ key: "a" }])],
    ["says there is more, but not where", versionsXml([{ key: "a", id: "v1" }], {})],
    ["repeats a marker", versionsXml([{ key: "a", id: "v1" }], { key: "a", id: "v1" })],
    ["is an HTML page", "<!doctype html><html></html>"],
    ["is empty", ""],
    ["does not say whether more follows", versionsXml([]).replace(/<IsTruncated>.*?<.IsTruncated>/, "")]
  ] as const) {
    it.live(`fails a key alone whose listing ${what}`, () =>
      Effect.gen(function* () {
        const { left, storage } = yield* bucketWith({
          versions: [
            { key: "a", id: "v1" },
            { key: "b", id: "v2" }
          ],
          instead: (asked) =>
            isListing(asked) && paramsOf(asked).get("prefix") === "a" ? reply(200, document) : undefined
        })
        const { deleted, failed } = yield* storage.delete([a, b])
        assert.deepStrictEqual(deleted, [b])
        assert.deepStrictEqual(
          failed.map(({ key }) => key),
          [a]
        )
        assert.deepStrictEqual(left(), ["a v1"], "a version that it could not list is not deleted")
      })
    )
  }

  it.live("fails as a whole when versions may not be listed", () =>
    Effect.gen(function* () {
      const { left, storage } = yield* bucketWith({
        versions: [{ key: "a", id: "v1" }],
        instead: (asked) => (isListing(asked) ? reply(403, errorXml("AccessDenied")) : undefined)
      })
      const error = yield* Effect.flip(storage.delete([a, b]))
      assert.deepInclude(error, { operation: "delete", reason: "AccessDenied" })
      assert.deepStrictEqual(left(), ["a v1"])
    })
  )

  it.effect("repeats a listing that failed", () =>
    Effect.gen(function* () {
      let failures = 0
      const { left, storage } = yield* bucketWith(
        {
          versions: [{ key: "a", id: "v1" }],
          instead: (asked) => (isListing(asked) && failures++ === 0 ? slowDown : undefined)
        },
        { retries: 1 }
      )
      yield* whileTimePasses(storage.delete([a]))
      assert.deepStrictEqual(left(), [])
    })
  )

  it.live("deletes versions one by one if batches are not supported or cannot name the key", () =>
    Effect.gen(function* () {
      const odd = ObjectKey.make("odd\u0001")
      const { asked, storage } = yield* bucketWith({
        versions: [
          { key: "a", id: "v1" },
          { key: "b", id: "v2" }
        ],
        instead: (asked) => {
          if (isBatch(asked)) return reply(501, errorXml("NotImplemented"))
          if (isListing(asked) && paramsOf(asked).get("prefix") === odd)
            return reply(200, versionsXml([{ key: "odd%01", id: "v3" }]))
          if (asked.method !== "DELETE") return undefined
          return asked.url.startsWith("/bucket/b") ? reply(404, errorXml("NoSuchVersion")) : reply(204)
        }
      })
      assert.deepStrictEqual(yield* storage.delete([a, odd, b]), { deleted: [a, odd, b], failed: [] })
      const alone = asked.filter(({ method }) => method === "DELETE")
      assert.sameMembers(
        alone.map((request) => `${request.url.split("?")[0]} ${paramsOf(request).get("versionId")}`),
        ["/bucket/a v1", "/bucket/b v2", "/bucket/odd%01 v3"]
      )
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("control: is not requested unless it was chosen", () =>
    Effect.gen(function* () {
      for (const versionedDelete of ["markers", undefined] as const) {
        const { asked, storage } = yield* storeThat(
          [reply(200, "<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>")],
          { versionedDelete }
        )
        assert.deepStrictEqual((yield* storage.delete([a])).deleted, [a])
        assert.strictEqual(asked.length, 1)
        assert.notInclude(asked[0]?.body.toString(), "VersionId")
      }
    })
  )
})
