/** The page over the port for operators, with a collector and a registry in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Layer, Ref } from "effect"
import { TestClock } from "effect/testing"
import type { DeadLetter } from "../../../src/database/Database.ts"
import { CollectorDatabase } from "../../../src/database/Database.ts"
import { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { registryPhases } from "../../../src/oci/RegistryPhases.ts"
import * as OpsServer from "../../../src/ops/OpsServer.ts"
import { groupsOf } from "../../../src/ops/page/Gather.ts"
import * as Seldom from "../../../src/ops/page/Seldom.ts"
import * as StatusPage from "../../../src/ops/page/StatusPage.ts"
import { defaultSettings } from "../../../src/sweep/Settings.ts"
import { services } from "../../fixtures/oci/Stored.ts"
import { busy } from "../../fixtures/ops/Busy.ts"
import { states } from "../../fixtures/ops/Pages.ts"
import { Ops, opsOptions, read, service } from "../../fixtures/ops/Service.ts"

const paged = Layer.effect(
  Ops,
  Effect.gen(function* () {
    const page = yield* StatusPage.make({
      settings: defaultSettings,
      phases: registryPhases,
      version: "1.2.3"
    })
    return Ops.of({ url: yield* OpsServer.serve({ ...opsOptions, page }) })
  })
).pipe(Layer.provideMerge(service))

describe("the status page", () => {
  it.live("shows what a busy service has done, and says so to a browser alone", () =>
    Effect.gen(function* () {
      yield* busy
      const { headers, status, text } = yield* read("/")
      assert.strictEqual(status, 200)
      assert.strictEqual(headers.get("content-type"), "text/html; charset=utf-8")
      assert.match(
        headers.get("content-security-policy") ?? "",
        /^default-src 'none'; style-src 'sha256-[\w+/=]{44}'; base-uri/
      )
      assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
      assert.strictEqual(headers.get("referrer-policy"), "no-referrer")
      assert.strictEqual(headers.get("cache-control"), "no-store")
      for (const part of [
        "Something needs attention",
        "Breaker orphans",
        "artifact-gc 1.2.3",
        "Largest repositories"
      ]) {
        assert.include(text, part)
      }
      assert.notInclude(text, "http-equiv")
      assert.match((yield* read("/?refresh")).text, /<meta http-equiv="refresh" content="30">/)
      assert.notInclude((yield* read("/?<script>")).text, "<script>")
      assert.strictEqual((yield* read("/", { method: "POST" })).status, 405)
      assert.strictEqual((yield* read("/", { method: "HEAD" })).text, "")
      assert.strictEqual((yield* read("/?refresh")).status, 200)
      assert.match((yield* read("/nothing")).text, /^There is only \/, \/metrics/)
    }).pipe(Effect.provide(paged))
  )

  it.effect(
    "reads nothing until a browser asks, once for all who ask at once, and again after some seconds",
    () =>
      Effect.gen(function* () {
        const reads = yield* Ref.make(0)
        const database = yield* CollectorDatabase
        const counting = CollectorDatabase.of({
          ...database,
          backlog: (now) =>
            Effect.andThen(
              Ref.update(reads, (n) => n + 1),
              database.backlog(now)
            )
        })
        const page = yield* Effect.provideService(
          StatusPage.make<never>({ settings: defaultSettings, phases: [], version: "1" }),
          CollectorDatabase,
          counting
        )
        assert.strictEqual(yield* Ref.get(reads), 0)
        yield* Effect.all([page(false), page(true), page(false)], { concurrency: "unbounded" })
        assert.strictEqual(yield* Ref.get(reads), 1)
        yield* TestClock.adjust("4 seconds")
        yield* page(false)
        assert.strictEqual(yield* Ref.get(reads), 2)
      }).pipe(Effect.provide(services()), Effect.scoped)
  )

  it.effect("says that the database does not answer, and no word of why", () =>
    Effect.gen(function* () {
      const database = yield* CollectorDatabase
      const error = new DatabaseError({
        operation: "backlog",
        reason: "Unavailable",
        detail: "SECRET",
        cause: null
      })
      const page = yield* Effect.provideService(
        StatusPage.make<never>({ settings: defaultSettings, phases: [], version: "1" }),
        CollectorDatabase,
        CollectorDatabase.of({ ...database, backlog: () => Effect.fail(error) })
      )
      const response = yield* page(false)
      assert.strictEqual(response.status, 503)
      const body = JSON.stringify(response.body)
      assert.notInclude(body, "SECRET")
    }).pipe(Effect.provide(services()), Effect.scoped)
  )

  it.effect("remembers the sweeps that it read, and reads later ones alone", () =>
    Effect.gen(function* () {
      const { history } = yield* CollectorDatabase
      const { report } = states.busy?.status.last ?? assert.fail("no sweep")
      yield* TestClock.setTime(Date.parse("2026-11-30T00:00:00Z"))
      const page = yield* StatusPage.make<never>({ settings: defaultSettings, phases: [], version: "1" })
      for (let n = 1; n <= 3; n++) {
        const at = yield* Clock.currentTimeMillis
        const ended = {
          sweep: `${n}`,
          collector: "c",
          startedAt: at,
          endedAt: at,
          report: report ?? assert.fail()
        }
        yield* history.record(ended, 0, { at, sweep: null, nextDueAt: null })
        yield* TestClock.adjust("1 hour")
        const { body } = yield* page(false)
        const text = Buffer.from((body as unknown as { body: Uint8Array }).body).toString()
        assert.include(text, `${n} sweep${n === 1 ? "" : "s"}.`)
      }
    }).pipe(Effect.provide(services()), Effect.scoped)
  )
})

describe("what is computed seldom", () => {
  it.effect("runs once at a time, in the background, and keeps the last value when it fails", () =>
    Effect.gen(function* () {
      const runs = yield* Ref.make(0)
      const compute = Effect.gen(function* () {
        const n = yield* Ref.updateAndGet(runs, (count) => count + 1)
        yield* Effect.sleep("3 seconds")
        return n === 2 ? yield* Effect.fail("too slow") : n
      })
      const value = yield* Seldom.make("It", compute, {
        every: Duration.minutes(15),
        patience: Duration.seconds(1)
      })
      const asked = yield* Effect.forkChild(Effect.all([value, value], { concurrency: 2 }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(asked), [{ _tag: "Pending" }, { _tag: "Pending" }])
      yield* TestClock.adjust("2 seconds")
      const first = { _tag: "Known", at: yield* Clock.currentTimeMillis, value: 1 } as const
      assert.deepStrictEqual(yield* value, first)
      yield* TestClock.adjust("15 minutes")
      assert.deepStrictEqual(yield* value, first, "the old value is shown while the new one is computed")
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* value, first, "and when that failed")
      assert.strictEqual(yield* Ref.get(runs), 2)
      yield* TestClock.adjust("15 minutes")
      yield* value
      yield* TestClock.adjust("3 seconds")
      assert.deepInclude(yield* value, { _tag: "Known", value: 3 })
    }).pipe(Effect.scoped)
  )

  it.effect("is computed again after 10 seconds where it costs little", () =>
    Effect.gen(function* () {
      const runs = yield* Ref.make(0)
      const compute = Effect.andThen(
        Effect.sleep("40 millis"),
        Ref.updateAndGet(runs, (count) => count + 1)
      )
      const value = yield* Seldom.make("It", compute, {
        every: Duration.minutes(15),
        patience: Duration.seconds(1)
      })
      const ask = Effect.gen(function* () {
        yield* value
        yield* TestClock.adjust("40 millis")
        return yield* Ref.get(runs)
      })
      yield* Effect.forkChild(ask)
      yield* TestClock.adjust("40 millis")
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* ask, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* ask, 2)
    }).pipe(Effect.scoped)
  )

  it.effect("says when a failure is tried again", () =>
    Effect.gen(function* () {
      const value = yield* Seldom.make("It", Effect.fail("no"), {
        every: Duration.minutes(15),
        patience: Duration.seconds(1)
      })
      assert.deepStrictEqual(yield* value, { _tag: "Failed", retryAt: 15 * 60_000 })
    }).pipe(Effect.scoped)
  )
})

describe("dead letters", () => {
  it("are grouped by the store's code, the most frequent first", () => {
    const letter = (n: number, lastError: string): DeadLetter => ({
      key: ObjectKey.make(`blobs/${n}`),
      sizeBytes: n,
      reason: "purged",
      attempts: 9,
      uploadId: null,
      lastError,
      deadAt: 100 - n
    })
    const groups = groupsOf([
      letter(1, "Locked: a: b"),
      letter(2, "AccessDenied: x"),
      letter(3, "AccessDenied: y"),
      letter(4, "<html>")
    ])
    assert.deepStrictEqual(
      groups.map(({ bytes, keys, oldestAt, reason }) => [reason, keys, bytes, oldestAt]),
      [
        ["AccessDenied", 2, 5, 97],
        ["Locked", 1, 1, 99],
        ["other", 1, 4, 96]
      ]
    )
    assert.deepStrictEqual(groups[0]?.example, { key: "blobs/2", error: "AccessDenied: x" })
  })
})
