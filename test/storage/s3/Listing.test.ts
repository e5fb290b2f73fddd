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
        [["p/b"], [], ["p/c"], ["p/d"]]
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
    ["that says there is more, but not where", listXml([], { truncated: true }), undefined],
    ["that does not say whether there is more", listXml([]).replace(/<IsTruncated.*?ed>/, ""), undefined],
    ["with an object without a key", listXml([{ key: "" }]), undefined],
    [
      "with more objects than were asked for",
      listXml(Array.from({ length: 1001 }, (_, n) => ({ key: String(n).padStart(4, "0") }))),
      undefined
    ],
    [
      "of which the SDK reads only a part",
      `${listXml([{ key: "a" }, { key: "b" }]).replace("</ListBucketResult>", "")}<!-- x --><![CDATA[<Contents>]]></ListBucketResult>`,
      undefined
    ]
  ] as const) {
    it.live(`refuses a listing ${what}`, () =>
      Effect.gen(function* () {
        const { storage } = yield* storeThat([reply(200, document)])
        const error = yield* Effect.flip(Stream.runDrain(storage.list("", { after })))
        assert.deepInclude(error, { operation: "list", reason: "Misbehaved" })
      })
    )
  }

  describe("that does not advance", () => {
    const empty = (token: string) => reply(200, listXml([], { truncated: true, token }))
    /** Only keys that are not valid. */
    const illegal = (token: string) => reply(200, listXml([{ key: "b%00" }], { truncated: true, token }))
    const full = (key: string, token: string) => reply(200, listXml([{ key }], { truncated: true, token }))

    for (const [what, answers, requests] of [
      ["with the same token each time", [empty("T")], 2],
      ["with the same token each time, and keys that are not valid", [illegal("T")], 2],
      ["with the same token and the same object", [full("a", "T")], 2],
      ["with two tokens by turns", [empty("T"), empty("U"), empty("T")], 3],
      ["with a circle of tokens behind an object", [full("a", "T"), empty("U"), empty("V"), empty("U")], 4]
    ] as const) {
      it.live(`is refused ${what}`, () =>
        Effect.gen(function* () {
          const { asked, storage } = yield* storeThat(answers)
          const error = yield* Effect.flip(Stream.runDrain(storage.list("")))
          assert.deepInclude(error, { operation: "list", reason: "Misbehaved" })
          assert.strictEqual(asked.length, requests)
        }).pipe(Effect.provide(Logger.layer([])))
      )
    }

    it.live("is refused after a thousand answers in a row without an object, whatever their tokens", () =>
      Effect.gen(function* () {
        let tokens = 0
        const { asked, storage } = yield* storeThat([
          (asked, response, request) => empty(`T${tokens++}`)(asked, response, request)
        ])
        const error = yield* Effect.flip(Stream.runDrain(storage.list("")))
        assert.match(error.detail, /does not advance: 1000 answers in a row/)
        assert.strictEqual(asked.length, 1000)
      })
    )

    it.live("is followed while it lists an object now and then, also where tokens repeat", () =>
      Effect.gen(function* () {
        const { storage } = yield* storeThat([
          empty("T"),
          empty("U"),
          full("a", "V"),
          empty("T"),
          empty("U"),
          reply(200, listXml([{ key: "b" }]))
        ])
        assert.deepStrictEqual(yield* keysOf(storage), ["a", "b"])
      })
    )

    it.live("lets its caller stop between answers without an object", () =>
      Effect.gen(function* () {
        let tokens = 0
        const { asked, storage } = yield* storeThat([
          (asked, response, request) => empty(`T${tokens++}`)(asked, response, request)
        ])
        const pages = yield* storage.list("").pipe(
          Stream.takeWhile(() => asked.length < 5),
          Stream.runCollect
        )
        assert.strictEqual(pages.length, 4)
      })
    )
  })

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
