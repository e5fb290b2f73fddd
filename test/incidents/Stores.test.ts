/** Reports of stores with unexpected answers, on the real S3 client. See docs/design/incidents.md. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger, Random } from "effect"
import { TestClock } from "effect/testing"
import { type Purpose, tinyS3 } from "../fixtures/incidents/TinyS3.ts"
import { type Answer, deleteXml, errorXml, reply } from "../fixtures/s3/StubServer.ts"
import { whileTimePasses } from "../fixtures/s3/StubStore.ts"

const quiet = Effect.provide(Logger.layer([]))

describe("keiretsu-labs/kubernetes-manifests#2746: the clock guard was tripped by a stale Last-Modified", () => {
  it.live("a store is swept whose objects are all old, except one with a date in the future", () =>
    Effect.gen(function* () {
      const { state, sweep } = yield* tinyS3(3)
      for (const key of state.objects.keys()) state.objects.set(key, "2003-01-01T00:00:00.000Z")
      state.objects.set("uploads/odd/1", "2099-01-01T00:00:00.000Z")
      const report = yield* sweep.once()
      assert.deepInclude(report, { outcome: "complete", guards: [] })
      assert.deepStrictEqual([...state.objects.keys()], ["uploads/odd/1"])
    })
  )

  it.live("a store whose clock is ten minutes off is refused, and the message names the store's clock", () =>
    Effect.gen(function* () {
      const { state, sweep } = yield* tinyS3(3)
      state.date = new Date(Date.now() - 10 * 60_000).toUTCString()
      const report = yield* sweep.once()
      assert.strictEqual(report.outcome, "refused")
      assert.include(report.guards[0]?.message, "The store's clock is wrong")
      assert.strictEqual(state.objects.size, 3)
      state.date = null
      assert.strictEqual((yield* sweep.once()).totals.deleted, 3)
    })
  )
})

describe("treeverse/lakeFS#5729, quickwit-oss/quickwit#5242, grafana/loki#13623: SlowDown storms", () => {
  it.effect(
    "with half of all requests answered by 503, and keys throttled inside a 200, all objects are eventually deleted",
    () =>
      Effect.gen(function* () {
        let requests = 0
        let throttled = 0
        const here = yield* tinyS3(300, {
          settings: { batchMax: 50 },
          otherwise: (purpose, keys) => {
            if (requests++ % 2 === 0) return reply(503, errorXml("SlowDown"))
            if (purpose !== "batch") return undefined
            // Each third key of a batch is throttled, and the others are deleted.
            const slow = keys.filter((_, n) => n % 3 === 0)
            throttled += slow.length
            const gone = keys.filter((key) => !slow.includes(key))
            for (const key of gone) here.state.objects.delete(key)
            return keys.length < 3
              ? undefined
              : reply(
                  200,
                  deleteXml(
                    gone,
                    slow.map((key) => [key, "SlowDown"])
                  )
                )
          }
        })
        let sweeps = 0
        while (here.state.objects.size > 0 && sweeps++ < 60) {
          yield* whileTimePasses(here.sweep.once())
          assert.strictEqual(
            [...here.rows.journal.values()].filter(({ deadAt }) => deadAt !== null).length,
            0
          )
          yield* TestClock.adjust("10 minutes")
        }
        assert.strictEqual(here.state.objects.size, 0)
        yield* whileTimePasses(here.sweep.once())
        assert.strictEqual(here.rows.journal.size, 0)
        assert.isAbove(throttled, 50, "keys were throttled")
      }).pipe(Random.withSeed("storm"), quiet)
  )

  it.effect("a week of throttling makes no dead letter, and sweeps succeed when it ends", () =>
    Effect.gen(function* () {
      let storm = true
      const slow = (keys: ReadonlyArray<string>): Answer =>
        reply(
          200,
          deleteXml(
            [],
            keys.map((key) => [key, "SlowDown"])
          )
        )
      const here = yield* tinyS3(20, {
        s3: { retries: 0 },
        otherwise: (purpose, keys) => (storm && purpose === "batch" ? slow(keys) : undefined)
      })
      for (let n = 0; n < 14; n++) {
        yield* whileTimePasses(here.sweep.once())
        yield* TestClock.adjust("12 hours")
      }
      assert.strictEqual(here.state.objects.size, 20)
      assert.deepStrictEqual(yield* here.database.journal.deadLetters(null, 10), [])
      storm = false
      const report = yield* whileTimePasses(here.sweep.once())
      assert.deepInclude(report.totals, { deleted: 20, failed: 0 })
      assert.strictEqual(here.state.objects.size, 0)
    }).pipe(quiet)
  )
})

describe("aws/aws-sdk-js-v3#6920, minio/minio#20845, Zipstack/unstract#1922: stores without the bulk delete", () => {
  it.effect(
    "a store that requires Content-MD5 receives one batch without it, and every later batch with it",
    () =>
      Effect.gen(function* () {
        const { counts, rows, state, sweep } = yield* tinyS3(30, {
          settings: { batchMax: 10, deleteConcurrency: 1 },
          otherwise: (purpose, _, { headers }) =>
            purpose === "batch" && headers["content-md5"] === undefined
              ? reply(400, errorXml("MissingContentMD5"))
              : undefined
        })
        const report = yield* whileTimePasses(sweep.once())
        assert.strictEqual(report.totals.deleted, 30)
        assert.deepStrictEqual([state.objects.size, rows.journal.size], [0, 0])
        assert.deepStrictEqual([counts.get("batch"), counts.get("single")], [4, undefined])
      }).pipe(quiet)
  )

  const refusals: ReadonlyArray<readonly [string, Answer]> = [
    ["requires Content-MD5 and rejects every batch", reply(400, errorXml("MissingContentMD5"))],
    ["does not support DeleteObjects", reply(501, errorXml("NotImplemented"))]
  ]
  for (const [what, refusal] of refusals) {
    it.effect(
      `a store that ${what} receives no further batch, and objects are deleted one by one, in this sweep and the next`,
      () =>
        Effect.gen(function* () {
          const { counts, rows, state, sweep } = yield* tinyS3(30, {
            settings: { batchMax: 10, deleteConcurrency: 1 },
            otherwise: (purpose) => (purpose === "batch" ? refusal : undefined)
          })
          const first = yield* whileTimePasses(sweep.once())
          assert.deepInclude(first, { outcome: "complete" })
          assert.strictEqual(first.totals.deleted, 30)
          assert.deepStrictEqual([state.objects.size, rows.journal.size], [0, 0])
          const asked = (purpose: Purpose) => counts.get(purpose) ?? 0
          const batches = asked("batch")
          assert.isAtMost(batches, 2)
          assert.strictEqual(asked("single"), 30)

          state.objects.set("uploads/stale/1", "1969-12-01T00:00:00.000Z")
          assert.strictEqual((yield* whileTimePasses(sweep.once())).totals.deleted, 1)
          assert.deepStrictEqual([asked("batch"), asked("single")], [batches, 31], "no further batch is sent")
        }).pipe(quiet)
    )
  }
})

describe("onhate/cdk-gc#4: on a versioned bucket a collector grew storage", () => {
  const versioned = (purpose: Purpose) =>
    purpose === "versioning"
      ? reply(200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
      : undefined

  it.effect("without S3_VERSIONED_DELETE nothing is deleted, and the report names the setting", () =>
    Effect.gen(function* () {
      const { counts, state, sweep } = yield* tinyS3(3, { otherwise: versioned })
      const report = yield* whileTimePasses(sweep.once())
      assert.strictEqual(report.outcome, "refused")
      assert.include(report.guards[0]?.message, "S3_VERSIONED_DELETE")
      assert.strictEqual((counts.get("batch") ?? 0) + (counts.get("single") ?? 0), 0)
      assert.strictEqual(state.objects.size, 3)
    }).pipe(quiet)
  )

  it.effect("with markers, the report counts no reclaimed byte", () =>
    Effect.gen(function* () {
      const { sweep } = yield* tinyS3(3, {
        otherwise: versioned,
        s3: { versionedDelete: "markers", requestTimeout: Duration.hours(1) }
      })
      const report = yield* whileTimePasses(sweep.once())
      assert.deepInclude(report.totals, { deleted: 3, bytes: 3, reclaimedBytes: 0 })
    }).pipe(quiet)
  )
})
