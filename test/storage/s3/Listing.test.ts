import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Stream } from "effect"
import { listXml, reply } from "../../fixtures/s3/StubServer.ts"
import { keysOf, slowDown, storeThat, whileTimePasses } from "../../fixtures/s3/StubStore.ts"

describe("list", () => {
  it.live("requests encoded names, from the start or after a key, then by the store's token", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* storeThat([
        reply(200, listXml([{ key: "p/b" }], { truncated: true, token: "T/1=" })),
        reply(200, listXml([], { truncated: true, token: "T2" })),
        reply(200, listXml([{ key: "p/c" }], { truncated: true })),
        reply(200, listXml([{ key: "p/d" }]))
      ])
      const pages = yield* Stream.runCollect(storage.list("p/", { after: "p/a b" }))
      assert.deepStrictEqual(
        pages.map((page) => page.map((object): string => object.key)),
        [["p/b"], ["p/c"], ["p/d"]]
      )
      const queries = asked.map(({ url }) => Object.fromEntries(new URL(url, "http://x").searchParams))
      assert.deepInclude(queries[0], {
        "encoding-type": "url",
        prefix: "p/",
        "start-after": "p/a b",
        "max-keys": "1000"
      })
      assert.strictEqual(queries[1]?.["continuation-token"], "T/1=")
      assert.notProperty(queries[1], "start-after")
      assert.strictEqual(queries[2]?.["continuation-token"], "T2")
      assert.strictEqual(
        queries[3]?.["start-after"],
        "p/c",
        "without a token it continues after the last key"
      )
    })
  )

  it.live("decodes names like forms, and only if the store encoded them", () =>
    Effect.gen(function* () {
      const entries = [{ key: "a+b" }, { key: "a%20c" }, { key: "a%2Bd" }, { key: "%C3%A9%0D%01" }]
      const { storage } = yield* storeThat([reply(200, listXml(entries))])
      assert.deepStrictEqual(yield* keysOf(storage), ["a b", "a c", "a+d", "é\r\u0001"])
      const { storage: plain } = yield* storeThat([
        reply(200, listXml([{ key: "a%20b" }, { key: "a+b" }], { encoded: false }))
      ])
      assert.deepStrictEqual(yield* keysOf(plain), ["a%20b", "a+b"])
    })
  )

  it.live("skips objects whose keys are not valid, and logs it", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const entries = [{ key: "a" }, { key: "b%00c" }, { key: "b%FF" }, { key: "c" }]
      const { storage } = yield* storeThat([reply(200, listXml(entries))])
      const keys = yield* keysOf(storage).pipe(
        Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))]))
      )
      assert.deepStrictEqual(keys, ["a", "c"])
      assert.strictEqual(logged.length, 1)
    })
  )

  for (const [what, document, after] of [
    ["that is out of order", listXml([{ key: "b" }, { key: "a" }]), undefined],
    ["with a key twice", listXml([{ key: "a" }, { key: "a" }]), undefined],
    ["with the key after which it should start", listXml([{ key: "a" }]), "a"],
    ["with an object without a time", listXml([{ key: "a", time: "" }]), undefined],
    ["with an object without a size", listXml([{ key: "a", size: "" }]), undefined],
    ["that says there is more, but not where", listXml([], { truncated: true }), undefined]
  ] as const) {
    it.live(`refuses a listing ${what}`, () =>
      Effect.gen(function* () {
        const { storage } = yield* storeThat([reply(200, document)])
        const error = yield* Effect.flip(Stream.runDrain(storage.list("", { after })))
        assert.deepInclude(error, { operation: "list", reason: "Unknown" })
      })
    )
  }

  it.effect("repeats only the page that failed", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat(
        [
          reply(200, listXml([{ key: "a" }], { truncated: true, token: "T" })),
          slowDown,
          reply(200, listXml([{ key: "b" }]))
        ],
        { retries: 1 }
      )
      assert.deepStrictEqual(yield* whileTimePasses(keysOf(storage)), ["a", "b"])
    })
  )
})
