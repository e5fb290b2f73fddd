/** Unfinished multipart uploads: listing and aborting them. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Logger, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { StorageError } from "../../../src/domain/StorageError.ts"
import {
  type Answer,
  type Asked,
  errorXml,
  partsXml,
  reply,
  silence,
  uploadsXml
} from "../../fixtures/s3/StubServer.ts"
import { a, slowDown, storeThat, whileTimePasses } from "../../fixtures/s3/StubStore.ts"
import { until } from "../../fixtures/Until.ts"

const at = (second: number) => `2026-01-02T03:04:${String(second).padStart(2, "0")}.000Z`
const millis = (second: number) => Date.parse(at(second))

/** A bucket that answers with these listings in turn. `parts` are by the upload's id. */
const bucketOf = (
  listings: ReadonlyArray<string>,
  parts: Readonly<Record<string, ReadonlyArray<string> | Answer>> = {},
  options: Parameters<typeof storeThat>[1] = {}
) => {
  let listed = 0
  return storeThat(
    [
      (asked, response, request) => {
        const query = new URL(asked.url, "http://x").searchParams
        if (query.has("uploads")) return reply(200, listings[listed++] ?? "")(asked, response, request)
        const found = parts[query.get("uploadId") ?? ""] ?? []
        if (typeof found === "function") return found(asked, response, request)
        const from = Number(query.get("part-number-marker") ?? 0)
        return reply(200, partsXml(found.slice(from, from + 2), from + 2 < found.length ? from + 2 : null))(
          asked,
          response,
          request
        )
      }
    ],
    options
  )
}

const queries = (asked: ReadonlyArray<{ readonly url: string }>) =>
  asked.map(({ url }) => Object.fromEntries(new URL(url, "http://x").searchParams))

describe("multiparts", () => {
  it.live("are dated by their newest part, on whichever page it is, and otherwise by their beginning", () =>
    Effect.gen(function* () {
      const { storage } = yield* bucketOf(
        [
          uploadsXml([
            { key: "p/a", id: "U1", begun: at(1) },
            { key: "p/a", id: "U2", begun: at(2) },
            { key: "p/b", id: "U3", begun: at(30) }
          ])
        ],
        {
          U1: [at(3), at(20), at(4), at(5), at(6)],
          U3: [at(7)]
        }
      )
      assert.deepStrictEqual<unknown>(yield* Stream.runCollect(storage.multiparts("p/")), [
        [
          { key: "p/a", uploadId: "U1", lastActivityAt: millis(20) },
          { key: "p/a", uploadId: "U2", lastActivityAt: millis(2) },
          // Of the two times the later one counts.
          { key: "p/b", uploadId: "U3", lastActivityAt: millis(30) }
        ]
      ])
    })
  )

  /** How stores write the key `p/x y+%z` and the marker after it. */
  const dialects: ReadonlyArray<readonly [string, string, string | undefined, "url" | "unsaid"]> = [
    ["encode both and say so", "p/x%20y%2B%25z", "p/x%20y%2B%25z", "url"],
    ["encode names, say so, and do not encode the marker", "p/x%20y%2B%25z", "p/x y+%z", "url"],
    ["encode names, say so, and have no marker", "p/x%20y%2B%25z", undefined, "url"],
    ["encode names only, and do not say so", "p/x%20y%2B%25z", "p/x y+%z", "unsaid"],
    ["do not encode", "p/x y+%z", "p/x y+%z", "unsaid"]
  ]
  for (const [what, key, marker, encoding] of dialects) {
    it.live(`are read from stores that ${what}, and the listing continues after the last`, () =>
      Effect.gen(function* () {
        const isThere = (asked: Asked) =>
          decodeURIComponent(asked.url.split("?")[0] ?? "") === "/bucket/p/x y+%z"
        const { asked, storage } = yield* bucketOf(
          [
            uploadsXml([{ key, id: "U1", begun: at(1) }], { key: marker, id: "U1" }, encoding),
            uploadsXml([{ key: "p/z", id: "U2", begun: at(1) }], undefined, encoding)
          ],
          {
            U1: (asked, ...rest) =>
              (isThere(asked) ? reply(200, partsXml([at(5)], null)) : reply(404, errorXml("NoSuchUpload")))(
                asked,
                ...rest
              )
          }
        )
        assert.deepStrictEqual<unknown>(yield* Stream.runCollect(storage.multiparts("p/")), [
          [{ key: "p/x y+%z", uploadId: "U1", lastActivityAt: millis(5) }],
          [{ key: "p/z", uploadId: "U2", lastActivityAt: millis(1) }]
        ])
        const listings = queries(asked).filter((query) => "uploads" in query)
        assert.deepInclude(listings[0], { prefix: "p/", "encoding-type": "url" })
        assert.notProperty(listings[0], "key-marker")
        assert.deepInclude(listings[1], { "key-marker": "p/x y+%z", "upload-id-marker": "U1" })
      })
    )
  }

  for (const code of ["NoSuchUpload", "NoSuchKey"]) {
    it.live(`omit an upload that ended after it was listed (${code})`, () =>
      Effect.gen(function* () {
        const { storage } = yield* bucketOf(
          [
            uploadsXml([
              { key: "a", id: "U1", begun: at(1) },
              { key: "b", id: "U2", begun: at(1) }
            ])
          ],
          { U1: reply(404, errorXml(code)) }
        )
        const found = (yield* Stream.runCollect(storage.multiparts(""))).flat()
        assert.deepStrictEqual(
          found.map(({ uploadId }) => uploadId),
          ["U2"]
        )
      })
    )
  }

  it.live("fail if the time of an upload's last part is unknown", () =>
    Effect.gen(function* () {
      const listing = uploadsXml([{ key: "a", id: "U1", begun: at(1) }])
      for (const [answer, reason] of [
        [reply(403, errorXml("AccessDenied")), "AccessDenied"],
        [reply(404, errorXml("NoSuchBucket")), "NotFound"]
      ] as const) {
        const { storage } = yield* bucketOf([listing], { U1: answer })
        const error = yield* Effect.flip(Stream.runDrain(storage.multiparts("")))
        assert.deepInclude(error, { operation: "list", reason })
      }
    })
  )

  for (const [what, listing] of [
    ["without a time", uploadsXml([{ key: "a", id: "U1" }])],
    ["without an id", uploadsXml([{ key: "a", begun: at(1) }])]
  ] as const) {
    it.live(`refuse a listing with an upload ${what}`, () =>
      Effect.gen(function* () {
        const { storage } = yield* bucketOf([listing])
        const error = yield* Effect.flip(Stream.runDrain(storage.multiparts("")))
        assert.deepInclude(error, { operation: "list", reason: "Misbehaved" })
      })
    )
  }

  it.live("fail instead of looping for ever", () =>
    Effect.gen(function* () {
      const page = uploadsXml([{ key: "a", id: "U1", begun: at(1) }], { key: "a", id: "U1" })
      for (const listings of [[page, page], [uploadsXml([], { key: undefined, id: undefined })]]) {
        const { asked, storage } = yield* bucketOf(listings)
        const error = yield* Effect.flip(Stream.runDrain(storage.multiparts("")))
        assert.deepInclude(error, { operation: "list", reason: "Misbehaved" })
        assert.strictEqual(queries(asked).filter((query) => "uploads" in query).length, listings.length)
      }
    })
  )

  it.live("fail instead of following a circle of markers, with and without uploads", () =>
    Effect.gen(function* () {
      const marked = (id: string) => ({ key: "a", id })
      const full = (id: string) => uploadsXml([{ key: "a", id, begun: at(1) }], marked(id))
      const empty = (id: string) => uploadsXml([], marked(id), "unsaid")
      for (const page of [full, empty]) {
        const { asked, storage } = yield* bucketOf([page("U1"), page("U2"), page("U1"), page("U2")])
        const error = yield* Effect.flip(Stream.runDrain(storage.multiparts("")))
        assert.match(error.detail, /does not advance/)
        assert.strictEqual(queries(asked).filter((query) => "uploads" in query).length, 3)
      }
    })
  )

  it.live("fail if a listing does not say whether it is whole, of uploads and of parts", () =>
    Effect.gen(function* () {
      const unsaid = (document: string) => document.replace(/<IsTruncated>.*?<.IsTruncated>/, "")
      const whole = uploadsXml([{ key: "a", id: "U1", begun: at(1) }])
      for (const [listing, parts] of [
        [unsaid(whole), partsXml([], null)],
        [whole, unsaid(partsXml([], null))]
      ] as const) {
        const { storage } = yield* bucketOf([listing], { U1: reply(200, parts) })
        const error = yield* Effect.flip(Stream.runDrain(storage.multiparts("")))
        assert.match(error.detail, /IsTruncated/)
      }
    })
  )

  it.live("fail if a listing of parts does not advance: the newest part may be on a later page", () =>
    Effect.gen(function* () {
      const listing = uploadsXml([{ key: "a", id: "U1", begun: at(1) }])
      const { storage } = yield* bucketOf([listing], { U1: reply(200, partsXml([at(1)], 2)) })
      assert.deepInclude(yield* Effect.flip(Stream.runDrain(storage.multiparts(""))), {
        reason: "Misbehaved",
        subject: "a"
      })
    })
  )

  it.live("skip uploads whose keys are not valid, and log it", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const { storage } = yield* bucketOf([
        uploadsXml([
          { key: "b%00c", id: "U1", begun: at(1) },
          { key: "d", id: "U2", begun: at(1) }
        ])
      ])
      const found = yield* Stream.runCollect(storage.multiparts("")).pipe(
        Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))]))
      )
      assert.deepStrictEqual(
        found.flat().map(({ uploadId }) => uploadId),
        ["U2"]
      )
      assert.strictEqual(logged.length, 1)
    })
  )

  it.effect("repeat only the request that failed", () =>
    Effect.gen(function* () {
      let failures = 0
      const { storage } = yield* bucketOf(
        [uploadsXml([{ key: "a", id: "U1", begun: at(1) }])],
        {
          U1: (...args) => (failures++ === 0 ? slowDown : reply(200, partsXml([at(9)], null)))(...args)
        },
        { retries: 1 }
      )
      const found = yield* whileTimePasses(Stream.runCollect(storage.multiparts("")))
      assert.strictEqual(found.flat()[0]?.lastActivityAt, millis(9))
    })
  )
})

describe("abortMultipart", () => {
  const upload = { key: a, uploadId: "U/1 x" }

  it.effect("names the upload, and is repeated", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([slowDown, reply(204)], { retries: 1 })
      yield* whileTimePasses(storage.abortMultipart(upload))
      assert.strictEqual(asked.length, 2)
      assert.strictEqual(asked[1]?.method, "DELETE")
      assert.deepInclude(queries(asked)[1], { uploadId: "U/1 x" })
    })
  )

  it.effect(
    "waits twenty times as long as for another request: a store may delete 10,000 parts before it answers",
    () =>
      Effect.gen(function* () {
        let answer = () => {}
        const slow: Answer = (asked, response, request) => {
          answer = () => void reply(204)(asked, response, request)
        }
        const { asked, storage } = yield* storeThat([slow], { requestTimeout: Duration.seconds(30) })
        const within = Effect.fnUntraced(function* <A>(effect: Effect.Effect<A, StorageError>) {
          const before = asked.length
          const fiber = yield* Effect.forkChild(Effect.result(effect))
          yield* TestClock.withLive(until("the request arrives", () => asked.length > before))
          yield* TestClock.adjust("9 minutes")
          answer()
          return yield* whileTimePasses(Fiber.join(fiber))
        })
        assert.isTrue(Result.isSuccess(yield* within(storage.abortMultipart(upload))))
        const other = yield* within(storage.head(a))
        assert.isTrue(
          Result.isFailure(other) && other.failure.reason === "TimedOut",
          "control: another request"
        )
      })
  )

  it.effect("that got no answer is over for the next one, once the store has done it", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat([silence, reply(404, errorXml("NoSuchUpload"))])
      const first = yield* Effect.flip(whileTimePasses(storage.abortMultipart(upload)))
      assert.strictEqual(first.reason, "TimedOut")
      yield* storage.abortMultipart(upload)
    })
  )

  it.live("succeeds if the upload is already over, and only then", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat([
        reply(404, errorXml("NoSuchUpload")),
        reply(404, errorXml("NoSuchBucket")),
        reply(403, errorXml("AccessDenied"))
      ])
      yield* storage.abortMultipart(upload)
      for (const reason of ["NotFound", "AccessDenied"] as const) {
        const error = yield* Effect.flip(storage.abortMultipart(upload))
        assert.deepInclude(error, { operation: "abort", subject: "a", reason })
      }
    })
  )
})
