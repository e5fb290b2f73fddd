import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { a, b, c, slowDown, storeThat } from "./harness.ts"
import { type Answer, deleteXml, errorXml, reply } from "./stub.ts"

describe("delete", () => {
  it.live("counts as deleted only what the store confirms", () =>
    Effect.gen(function* () {
      const keys = ["gone", "denied", "slow", "never there", "silent", "a & b"].map((key) =>
        ObjectKey.make(key)
      )
      const { asked, storage } = yield* storeThat([
        reply(
          200,
          deleteXml(
            ["a &amp; b", "gone", "unasked"],
            [
              ["denied", "AccessDenied"],
              ["slow", "SlowDown"],
              ["never there", "NoSuchKey"]
            ]
          )
        )
      ])
      const { deleted, failed } = yield* storage.delete(keys)
      assert.deepStrictEqual<ReadonlyArray<string>>(deleted, ["gone", "never there", "a & b"])
      assert.deepStrictEqual<unknown>(
        failed.map(({ code, key }) => [key, code]),
        [
          ["denied", "AccessDenied"],
          ["slow", "SlowDown"],
          ["silent", "Unconfirmed"]
        ]
      )
      assert.strictEqual(asked.length, 1)
      assert.notInclude(asked[0]?.body.toString(), "<Quiet>true")
    })
  )

  it.live("names keys alone that XML cannot name", () =>
    Effect.gen(function* () {
      const odd = ObjectKey.make("odd\u0001")
      const { asked, storage } = yield* storeThat([reply(200, deleteXml(["a"], [])), reply(204)])
      assert.deepStrictEqual(yield* storage.delete([odd, a]), { deleted: [odd, a], failed: [] })
      assert.deepStrictEqual(
        asked.map(({ method, url }) => `${method} ${url.split("?")[0]}`),
        ["POST /bucket/", "DELETE /bucket/odd%01"]
      )
      assert.notInclude(asked[0]?.body.toString(), "odd")
    })
  )

  for (const code of ["NotImplemented", "MethodNotAllowed", "MissingContentMD5"]) {
    it.live(`goes on one by one for good where batches are ${code}`, () =>
      Effect.gen(function* () {
        const status = { NotImplemented: 501, MethodNotAllowed: 405 }[code] ?? 400
        const one: Answer = (asked, response, request) =>
          asked.url.startsWith("/bucket/b")
            ? reply(403, errorXml("AccessDenied"))(asked, response, request)
            : asked.url.startsWith("/bucket/c")
              ? reply(404, errorXml("NoSuchKey"))(asked, response, request)
              : reply(204)(asked, response, request)
        const { asked, storage } = yield* storeThat([reply(status, errorXml(code)), one])
        for (let round = 1; round <= 2; round++) {
          const { deleted, failed } = yield* storage.delete([a, b, c])
          assert.deepStrictEqual(deleted, [a, c])
          assert.deepStrictEqual(
            failed.map(({ code, key }) => [key, code]),
            [[b, "AccessDenied"]]
          )
          assert.strictEqual(asked.length, 1 + 3 * round)
        }
      }).pipe(Effect.provide(Logger.layer([])))
    )
  }

  it.live("tries a batch that was not understood one by one, and the next as a batch again", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([
        reply(400, errorXml("MalformedXML")),
        reply(204),
        reply(500, errorXml("InternalError")),
        reply(200, deleteXml(["a"], []))
      ])
      const { deleted, failed } = yield* storage.delete([a, b])
      assert.strictEqual(deleted.length, 1)
      assert.deepStrictEqual(
        failed.map(({ code }) => code),
        ["InternalError"]
      )
      yield* storage.delete([a])
      assert.deepStrictEqual(
        asked.map(({ method }) => method),
        ["POST", "DELETE", "DELETE", "POST"]
      )
    })
  )

  it.live("does not ask a store 1000 times that has had enough", () =>
    Effect.gen(function* () {
      const keys = Array.from({ length: 1000 }, (_, i) => ObjectKey.make(`${i}`))
      const { asked, storage } = yield* storeThat([reply(501, errorXml("NotImplemented")), slowDown])
      const { deleted, failed } = yield* storage.delete(keys)
      assert.strictEqual(deleted.length, 0)
      assert.strictEqual(failed.length, 1000)
      assert.isTrue(failed.every(({ code }) => code === "SlowDown" || code === "Throttled"))
      assert.isBelow(asked.length, 50)
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("fails as a whole when the request did, and asks nothing for no keys", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([reply(404, errorXml("NoSuchBucket"))])
      assert.deepStrictEqual(yield* storage.delete([]), { deleted: [], failed: [] })
      assert.strictEqual(asked.length, 0)
      assert.deepInclude(yield* Effect.flip(storage.delete([a, b])), {
        operation: "delete",
        reason: "NotFound"
      })
      assert.strictEqual(asked.length, 1)
    })
  )
})
