import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import type { Bucket, Dated } from "../../../src/storage/s3/Bucket.ts"
import { skew } from "../../../src/storage/s3/Skew.ts"
import { type Answer, receive, reply } from "../../fixtures/s3/StubServer.ts"
import { storeThat, whileTimePasses } from "../../fixtures/s3/StubStore.ts"

const processClock = Clock.Clock.defaultValue()
const now = () => processClock.currentTimeMillisUnsafe()

/** Answers with the date of a clock that is `ahead` of this process's clock. */
const dated =
  (ahead: number): Answer =>
  async (asked, response, request) => {
    await receive(asked, response, request)
    // The date of an object says nothing about the clock.
    const headers = { "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT" }
    response.writeHead(200, { ...headers, date: new Date(now() + ahead).toUTCString() }).end()
  }

describe("skew", () => {
  it.live("is the difference between the date of a HEAD of the bucket and this process's clock", () =>
    Effect.gen(function* () {
      for (const ahead of [0, 60_000, -60_000, 86_400_000, -86_400_000]) {
        const { asked, storage } = yield* storeThat([dated(ahead)])
        const found = Option.getOrThrow(yield* storage.skew)
        assert.closeTo(found, ahead, 20_000)
        assert.deepStrictEqual(
          asked.map(({ method, url }) => `${method} ${url}`),
          ["HEAD /bucket/"]
        )
      }
    })
  )

  it.effect("compares real clocks, even under another Clock", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2049, 0, 1))
      const { storage } = yield* storeThat([dated(60_000)])
      assert.closeTo(Option.getOrThrow(yield* whileTimePasses(storage.skew)), 60_000, 20_000)
    })
  )

  it.live("is not invented if the store does not tell the time", () =>
    Effect.gen(function* () {
      for (const date of [undefined, "soon"]) {
        const { storage } = yield* storeThat([
          async (asked, response, request) => {
            await receive(asked, response, request)
            response.sendDate = false
            response.writeHead(200, date === undefined ? {} : { date }).end()
          }
        ])
        const error = yield* Effect.flip(storage.skew)
        assert.deepInclude(error, { operation: "probe", reason: "Misbehaved" })
      }
      const { storage } = yield* storeThat([reply(403)])
      assert.strictEqual((yield* Effect.flip(storage.skew)).reason, "AccessDenied")
    })
  )

  /** The skew of an answer, without a server. */
  const skewOf = (dated: Dated) => {
    const bucket = { name: "bucket", calls: { date: async () => dated }, requests: { repeated: sendAtOnce } }
    return Effect.map(skew(bucket as unknown as Bucket), Option.getOrThrow)
  }
  const sendAtOnce = <A>({ send }: { readonly send: (signal: AbortSignal) => Promise<A> }) =>
    Effect.promise((signal) => send(signal))

  const date = "Wed, 25 Nov 2026 10:00:00 GMT"
  const told = Date.parse(date)
  const cases: ReadonlyArray<readonly [string, number, number, number]> = [
    ["the same", 0, 0, 0],
    ["the end of the second that the date shows", 999, 999, 0],
    ["less than a second before", -999, -999, 0],
    ["less than a second behind the second that the date shows", 1999, 1999, 0],
    ["a second before", -1000, -1000, 1000],
    ["a second behind", 2000, 2000, -1000],
    ["a minute before", -60_000, -60_000, 60_000],
    ["a minute behind", 61_000, 61_000, -60_000],
    ["around it, at both ends of a slow request", -15_000, 15_000, 0],
    ["around a minute before it", -75_000, -45_000, 60_000]
  ]
  for (const [what, sent, answered, expected] of cases) {
    it.effect(`is ${expected} when this process's clock shows ${what}`, () =>
      Effect.gen(function* () {
        const answer = { date, sentAt: told + sent, answeredAt: told + answered }
        assert.strictEqual(yield* skewOf(answer), expected)
      })
    )
  }
})
