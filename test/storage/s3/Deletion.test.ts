import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import {
  type Answer,
  type Asked,
  deleteXml,
  errorXml,
  hangUp,
  receive,
  reply,
  silence
} from "../../fixtures/s3/StubServer.ts"
import { a, b, c, slowDown, storeThat, whileTimePasses } from "../../fixtures/s3/StubStore.ts"

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
        failed.map(({ code, key, reason }) => [key, code, reason]),
        [
          ["denied", "AccessDenied", "denied"],
          ["slow", "SlowDown", "throttled"],
          ["silent", "Unconfirmed", "unconfirmed"]
        ]
      )
      assert.strictEqual(asked.length, 1)
      assert.notInclude(asked[0]?.body.toString(), "<Quiet>true")
    })
  )

  describe("of keys that more than one request named", () => {
    const keys = ["a", "b"].map((key) => ObjectKey.make(key))
    const done = reply(200, deleteXml(["a", "b"], []))
    const cases: ReadonlyArray<readonly [string, ReadonlyArray<Answer>, boolean]> = [
      ["after no answer", [silence, done], true],
      ["after a 503", [slowDown, done], true],
      ["after a 500", [reply(500, errorXml("InternalError")), done], true],
      ["after a closed connection", [hangUp, done], true],
      ["but not of one definite answer", [done], false],
      ["but not after a definite refusal", [reply(400, errorXml("MissingContentMD5")), done], false],
      [
        "but not where the store deletes one by one",
        [reply(501, errorXml("NotImplemented")), reply(204)],
        false
      ]
    ]
    for (const [when, answers, isResent] of cases) {
      it.effect(`names them ${when}: an earlier request may still take effect`, () =>
        Effect.gen(function* () {
          const { storage } = yield* storeThat(answers, { retries: 1 })
          const outcome = yield* whileTimePasses(storage.delete(keys))
          assert.deepStrictEqual(outcome.deleted, keys)
          assert.deepStrictEqual(outcome.resent, isResent ? keys : undefined)
        }).pipe(Effect.provide(Logger.layer([])))
      )
    }
  })

  it.live("deletes keys alone that XML cannot name", () =>
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

  for (const code of ["NotImplemented", "MethodNotAllowed"]) {
    it.live(`deletes one by one from then on if batches are ${code}`, () =>
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

  for (const [how, refusal] of [
    ["by code", errorXml("MissingContentMD5")],
    ["by text", errorXml("InvalidRequest", "Missing required header for this request: Content-MD5")]
  ] as const) {
    it.live(`sends a Content-MD5 with every batch to a store that requires it ${how}`, () =>
      Effect.gen(function* () {
        const strict: Answer = async (asked, response, request) => {
          await receive(asked, response, request)
          const { headers } = asked
          const md5 = createHash("md5").update(asked.body).digest("base64")
          const isGood = headers["content-md5"] === md5
          const answer = isGood ? deleteXml(["a", "b"], []) : refusal
          response.writeHead(isGood ? 200 : 400).end(answer)
        }
        const { asked, storage } = yield* storeThat([strict])
        for (let round = 1; round <= 2; round++) {
          assert.deepStrictEqual(yield* storage.delete([a, b]), { deleted: [a, b], failed: [] })
          assert.strictEqual(asked.length, 1 + round, "it was learned once")
        }
        const headers: Asked["headers"] = asked.at(-1)?.headers ?? {}
        assert.include(String(headers.authorization), "content-md5", "it is signed")
        assert.isFalse(Object.keys(headers).some((name) => name.startsWith("x-amz-checksum")))
      }).pipe(Effect.provide(Logger.layer([])))
    )
  }

  it.live("deletes one by one if a Content-MD5 is required and not understood", () =>
    Effect.gen(function* () {
      const refusal = reply(400, errorXml("MissingContentMD5"))
      const { asked, storage } = yield* storeThat([refusal, refusal, reply(204)])
      assert.deepStrictEqual(yield* storage.delete([a, b]), { deleted: [a, b], failed: [] })
      yield* storage.delete([c])
      assert.deepStrictEqual(
        asked.map(({ method }) => method),
        ["POST", "POST", "DELETE", "DELETE", "DELETE"]
      )
    }).pipe(Effect.provide(Logger.layer([])))
  )

  describe("of a store that does not name what it deleted", () => {
    const silent = deleteXml([], [])
    const keys = ["a", "b", "c", "d"].map((key) => ObjectKey.make(key))

    it.live("looks up a few of the keys once, and then trusts the answers", () =>
      Effect.gen(function* () {
        const logged: Array<unknown> = []
        const { asked, storage } = yield* storeThat([
          reply(200, silent),
          reply(404),
          reply(404),
          reply(404),
          reply(200, silent),
          reply(200, deleteXml([], [["b", "AccessDenied"]]))
        ])
        yield* Effect.gen(function* () {
          assert.deepStrictEqual(yield* storage.delete(keys), { deleted: keys, failed: [] })
          assert.deepStrictEqual(yield* storage.delete(keys), { deleted: keys, failed: [] })
          const { deleted, failed } = yield* storage.delete(keys)
          assert.deepStrictEqual<ReadonlyArray<string>>(deleted, ["a", "c", "d"])
          assert.deepStrictEqual<unknown>(
            failed.map(({ code, key }) => [key, code]),
            [["b", "AccessDenied"]]
          )
        }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))])))
        assert.deepStrictEqual(
          asked.map(({ method }) => method),
          ["POST", "HEAD", "HEAD", "HEAD", "POST", "POST"]
        )
        assert.strictEqual(logged.length, 1, "logged once")
      })
    )

    it.live("trusts nothing if one of them still exists, and deletes one by one", () =>
      Effect.gen(function* () {
        const { asked, storage } = yield* storeThat([
          reply(200, silent),
          reply(404),
          reply(200),
          reply(404),
          reply(204)
        ])
        assert.deepStrictEqual(yield* storage.delete(keys), { deleted: keys, failed: [] })
        assert.deepStrictEqual(
          asked.map(({ method }) => method),
          ["POST", "HEAD", "HEAD", "HEAD", "DELETE", "DELETE", "DELETE", "DELETE"]
        )
        yield* storage.delete([a])
        assert.strictEqual(asked.at(-1)?.method, "DELETE")
      }).pipe(Effect.provide(Logger.layer([])))
    )

    it.live("leaves a key unconfirmed that an answer omits while it names others", () =>
      Effect.gen(function* () {
        const { storage } = yield* storeThat([
          reply(200, silent),
          reply(404),
          reply(404),
          reply(404),
          reply(200, deleteXml(["a"], []))
        ])
        yield* storage.delete(keys)
        const { failed } = yield* storage.delete([a, b])
        assert.deepStrictEqual<unknown>(
          failed.map(({ code, key }) => [key, code]),
          [["b", "Unconfirmed"]]
        )
      }).pipe(Effect.provide(Logger.layer([])))
    )
  })

  it.live("sends the keys of a batch that was not understood one by one, and the next batch as a batch", () =>
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

  it.live("does not send 1000 requests to a store that throttles", () =>
    Effect.gen(function* () {
      const keys = Array.from({ length: 1000 }, (_, i) => ObjectKey.make(`${i}`))
      const { asked, storage } = yield* storeThat([reply(501, errorXml("NotImplemented")), slowDown])
      const { deleted, failed } = yield* storage.delete(keys)
      assert.strictEqual(deleted.length, 0)
      assert.strictEqual(failed.length, 1000)
      assert.isTrue(failed.every(({ code }) => code === "SlowDown" || code === "Throttled"))
      assert.isTrue(failed.every(({ reason }) => reason === "throttled"))
      assert.isBelow(asked.length, 50)
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("fails as a whole if the request did, and sends nothing for no keys", () =>
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
