/** The report of an audit on a catalogue and a store at rest, and how an audit continues another. */
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { AuditProgress, type AuditProgressEvent } from "../../src/audit/Progress.ts"
import { AuditEvent } from "../../src/domain/AuditReport.ts"
import { fromSha256Hex } from "../../src/domain/Digest.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { fails, hangsBefore } from "../../src/testing/Faults.ts"
import { audit, audited, named } from "../fixtures/audit/Auditing.ts"
import {
  abandon,
  artifact,
  blobKey,
  bury,
  day,
  digest,
  localFile,
  session,
  settle,
  snapshot,
  stage,
  start,
  upload,
  World,
  world
} from "../fixtures/World.ts"

const drop = (key: string) => Effect.flatMap(World, ({ store }) => store.delete([ObjectKey.make(key)]))

/** One of each kind of finding, two days old, and one of each kind of sound object. */
const everything = Effect.gen(function* () {
  yield* upload("sound", { references: [artifact("a", "sound")], sizeBytes: 5 })
  yield* upload("lost", { references: [artifact("b", "lost"), localFile("/f", "lost")], sizeBytes: 7 })
  yield* drop(blobKey("lost"))
  yield* upload("torn", { references: [artifact("c", "torn")], sizeBytes: 9 })
  yield* stage(blobKey("torn"), 4)
  yield* upload("loose", { sizeBytes: 3 })
  yield* drop(blobKey("loose"))
  yield* stage("blobs/nobody/1", 11)
  yield* stage("elsewhere/nobody", 13)
  yield* stage("uploads/session/0", 17)
  yield* session("push", [23])
  yield* abandon("slow", start + 30 * day)
  yield* bury("dead", start + 30 * day, 2)
  yield* TestClock.adjust("2 days")
  yield* stage("blobs/young/1", 19)
})

describe("an audit", () => {
  it.effect("reports findings in key order with their referrers, and counts sound objects", () =>
    Effect.gen(function* () {
      yield* everything
      const before = yield* snapshot
      const { findings, summary } = yield* audit()
      assert.deepStrictEqual(findings, [
        {
          _tag: "MissingObject",
          key: blobKey("loose"),
          digest: "loose",
          sizeBytes: 3,
          referrers: []
        },
        {
          _tag: "MissingObject",
          key: blobKey("lost"),
          digest: "lost",
          sizeBytes: 7,
          referrers: [
            { table: "artifacts", column: "digest", rows: 1, sample: ["library b"] },
            { table: "local_files", column: "digest", rows: 1, sample: ["/f"] }
          ]
        },
        {
          _tag: "OwnerlessObject",
          key: "blobs/nobody/1",
          sizeBytes: 11,
          modifiedAt: new Date(start).toISOString()
        },
        {
          _tag: "SizeMismatch",
          key: blobKey("torn"),
          digest: "torn",
          rowBytes: 9,
          objectBytes: 4,
          referrers: [{ table: "artifacts", column: "digest", rows: 1, sample: ["library c"] }]
        },
        {
          _tag: "OwnerlessObject",
          key: "elsewhere/nobody",
          sizeBytes: 13,
          modifiedAt: new Date(start).toISOString()
        }
      ])
      assert.deepStrictEqual(summary, {
        _tag: "AuditSummary",
        complete: true,
        stoppedBy: null,
        prefix: "",
        after: null,
        lastKey: "uploads/session/0",
        startedAt: new Date(start + 2 * day).toISOString(),
        durationMillis: 0,
        listed: { objects: 9, bytes: 5 + 4 + 11 + 13 + 17 + 23 + 1 + 2 + 19 },
        rows: { objects: 4, bytes: 5 + 7 + 9 + 3 },
        sound: 1,
        digests: { verified: 0, bytes: 0, unverifiable: 0 },
        underWay: { objects: 1, bytes: 1 },
        awaitingDeletion: { objects: 1, bytes: 2 },
        staged: { objects: 2, bytes: 17 + 23 },
        young: { objects: 1, bytes: 19 },
        settled: 0,
        findings: {
          ownerless: { objects: 2, bytes: 24 },
          missing: { objects: 2, bytes: 10 },
          sizeMismatches: 1,
          digestMismatches: 0
        },
        repaired: null
      })
      const after = yield* snapshot
      assert.deepStrictEqual(
        { ...after, rows: { ...after.rows, lastAudit: null } },
        before,
        "it reads, and records its figures"
      )
    }).pipe(Effect.provide(world()))
  )

  it.effect("is encoded as JSON and decoded again", () =>
    Effect.gen(function* () {
      yield* everything
      const { findings, summary } = yield* audit()
      const codec = Schema.fromJsonString(AuditEvent)
      for (const event of [...findings, summary]) {
        const text = yield* Schema.encodeEffect(codec)(event)
        assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(codec)(text), event)
      }
    }).pipe(Effect.provide(world()))
  )

  it.effect("finds nothing in an empty store and catalogue", () =>
    Effect.gen(function* () {
      const { findings, summary } = yield* audit()
      assert.deepStrictEqual(findings, [])
      assert.deepInclude(summary, { complete: true, lastKey: null, sound: 0 })
    }).pipe(Effect.provide(world()))
  )

  it.effect("applies a prefix on both sides", () =>
    Effect.gen(function* () {
      yield* everything
      const { findings, summary } = yield* audit({ prefix: "blobs/l" })
      assert.deepStrictEqual(named(findings), ["MissingObject blobs/loose/1", "MissingObject blobs/lost/1"])
      assert.deepInclude(summary, { listed: { objects: 0, bytes: 0 }, rows: { objects: 2, bytes: 10 } })
    }).pipe(Effect.provide(world()))
  )

  it.effect("checks a row below the upload prefix, and asks no store for a key that is invalid", () =>
    Effect.gen(function* () {
      const { state, storage } = yield* World
      yield* upload("staged", { key: ObjectKey.make("uploads/s/1") })
      yield* upload("gone", { key: ObjectKey.make("uploads/s/2") })
      yield* drop("uploads/s/2")
      const long = "ü".repeat(513) as ObjectKey
      const row = { sizeBytes: 1, createdAt: start, lastUsedAt: start }
      state.blobs.set(digest("long"), { ...row, key: long })
      const { findings, summary } = yield* audit()
      assert.deepStrictEqual(named(findings), ["MissingObject uploads/s/2", `MissingObject ${long}`])
      assert.deepInclude(summary, { sound: 1, staged: { objects: 0, bytes: 0 } })
      assert.deepStrictEqual(
        storage.calls.filter(({ operation }) => operation === "head").map(({ args }) => args[0]),
        ["uploads/s/2"]
      )
    }).pipe(Effect.provide(world()))
  )

  it.effect("ignores an object without an owner until its grace is over, to the millisecond", () =>
    Effect.gen(function* () {
      yield* stage("blobs/nobody/1", 11)
      yield* TestClock.adjust(day - 1)
      const before = yield* audit()
      assert.deepStrictEqual(before.findings, [])
      assert.deepStrictEqual(before.summary.young, { objects: 1, bytes: 11 })
      yield* TestClock.adjust(1)
      assert.lengthOf((yield* audit()).findings, 1)
    }).pipe(Effect.provide(world()))
  )
})

const bytesOf = (text: string) => Stream.make(new TextEncoder().encode(text))
/** sha256 and sha512 of "hello" and "world", by sha256sum and sha512sum. */
const hello = fromSha256Hex("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
const world512 = digest(
  "sha512:11853df40f4b2b919d3815f64792e58d08663767a494bcbb38c0b2389d9140bbb170281b4a847be7757bde12c9cd0054ce3652d0ad3a1a0c92babb69798246ee"
)

describe("a deep audit", () => {
  const publish = Effect.fnUntraced(function* (of: string, key: string, text: string) {
    const { rows, store } = yield* World
    const now = yield* Clock.currentTimeMillis
    const to = ObjectKey.make(key)
    yield* rows.blobs.intend([{ key: to, digest: digest(of), expiresAt: now + day }])
    yield* store.put(to, bytesOf(text), text.length)
    const references = [artifact(key, of)]
    yield* rows.blobs.publish(now, [{ key: to, digest: digest(of), sizeBytes: text.length, references }])
  })

  it.effect("reads every object and reports those whose bytes have another digest", () =>
    Effect.gen(function* () {
      const { store } = yield* World
      yield* publish(hello, "blobs/1", "hello")
      yield* publish(world512, "blobs/2", "world")
      for (const [n, odd] of ["md5:5d41402abc4b2a76b9719d911017c592", hello.slice(7), `${hello}0`].entries())
        yield* publish(odd, `blobs/odd${n}`, "hello")
      const right = yield* audit({ deep: true })
      assert.deepStrictEqual(right.findings, [])
      assert.deepStrictEqual(right.summary.digests, { verified: 2, bytes: 10, unverifiable: 3 })
      assert.strictEqual(right.summary.sound, 5)

      yield* store.put(ObjectKey.make("blobs/1"), bytesOf("hullo"), 5)
      assert.deepStrictEqual((yield* audit()).findings, [], "sizes alone do not tell")
      const wrong = yield* audit({ deep: true })
      assert.deepStrictEqual(wrong.findings, [
        {
          _tag: "DigestMismatch",
          key: "blobs/1",
          digest: hello,
          actual: "sha256:7835066a1457504217688c8f5d06909c6591e0ca78c254ccf17450d0d999cab0",
          sizeBytes: 5,
          referrers: [{ table: "artifacts", column: "digest", rows: 1, sample: ["library blobs/1"] }]
        }
      ])
      assert.deepStrictEqual(wrong.summary.digests, { verified: 1, bytes: 5, unverifiable: 3 })
      assert.strictEqual(wrong.summary.sound, 4)
    }).pipe(Effect.provide(world()))
  )

  it.effect("reads at most four objects at once, and stops in the middle of an object", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      for (let n = 10; n < 50; n++) {
        const hex = createHash("sha256").update(String(n)).digest("hex")
        yield* publish(fromSha256Hex(hex), `blobs/${n}`, String(n))
      }
      yield* publish(`sha256:${"0".repeat(64)}`, "blobs/9", "hello")
      storage.next("get", hangsBefore(Effect.never), Number.POSITIVE_INFINITY)
      const stop = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(audit({ deep: true, stop: Deferred.await(stop) }))
      yield* settle
      assert.isAtMost(storage.count("get"), 4)
      assert.isAtLeast(storage.count("get"), 1)
      yield* Deferred.succeed(stop, undefined)
      const { summary } = yield* Fiber.join(fiber)
      assert.deepInclude(summary, { complete: false, stoppedBy: "stopped" })
      storage.heal()
      const rest = yield* audit({
        deep: true,
        after: summary.lastKey === null ? null : ObjectKey.make(summary.lastKey)
      })
      assert.strictEqual(summary.rows.objects + rest.summary.rows.objects, 41)
      assert.deepStrictEqual(rest.summary.digests, { verified: 40, bytes: 80, unverifiable: 0 })
      assert.deepStrictEqual(named(rest.findings), ["DigestMismatch blobs/9"])
    }).pipe(Effect.provide(world()))
  )
})

describe("the last audit", () => {
  it.effect("is recorded if it compared all keys, also where it repairs, and not if it could not", () =>
    Effect.gen(function* () {
      yield* everything
      const { database, state } = yield* World
      yield* audit({ prefix: "blobs/" })
      yield* audit({ after: ObjectKey.make("blobs/") })
      assert.isNull(state.lastAudit, "a part of the keys")
      const { summary } = yield* audit()
      assert.deepStrictEqual(state.lastAudit, { endedAt: start + 2 * day, summary })
      yield* TestClock.adjust("1 hour")
      database.next("audit.page", fails("Unavailable"))
      yield* audited()
      database.always(({ operation }) => (operation === "audit.record" ? fails("Unavailable") : undefined))
      const unrecorded = yield* audit()
      assert.deepStrictEqual(unrecorded.summary.findings, summary.findings, "its findings are valid")
      assert.deepStrictEqual(state.lastAudit, { endedAt: start + 2 * day, summary })
    }).pipe(Effect.provide(world()))
  )
})

/** Blobs whose objects are missing, more than fit on a page. */
const manyMissing = Effect.gen(function* () {
  const { state } = yield* World
  const row = { sizeBytes: 1, createdAt: start, lastUsedAt: start }
  for (let n = 0; n < 2500; n++) {
    const name = String(n).padStart(4, "0")
    state.blobs.set(digest(name), { ...row, key: blobKey(name) })
  }
})

describe("an audit that ends early", () => {
  it.effect("names its last key when it is stopped, and another finds the rest, and nothing twice", () =>
    Effect.gen(function* () {
      yield* manyMissing
      const whole = yield* audit()
      assert.lengthOf(whole.findings, 2500)
      const { database } = yield* World
      const stop = yield* Deferred.make<void>()
      let page = 0
      database.always(({ operation }) =>
        operation === "audit.page" && ++page === 2
          ? hangsBefore(Effect.andThen(Deferred.succeed(stop, undefined), Effect.never))
          : undefined
      )
      const first = yield* audit({ stop: Deferred.await(stop) })
      assert.deepInclude(first.summary, { complete: false, stoppedBy: "stopped", lastKey: blobKey("0999") })
      database.heal()
      const rest = yield* audit({ after: blobKey("0999") })
      assert.deepStrictEqual([...first.findings, ...rest.findings], whole.findings)
      assert.deepInclude(rest.summary, { complete: true, after: blobKey("0999") })
    }).pipe(Effect.provide(world()))
  )

  it.effect("summarises its work before a failure, and fails with it", () =>
    Effect.gen(function* () {
      yield* manyMissing
      const { database } = yield* World
      let page = 0
      database.always(({ operation }) =>
        operation === "audit.page" && ++page === 2 ? fails("Unavailable") : undefined
      )
      const { findings, summary, exit } = yield* audited()
      assert.lengthOf(findings, 1000)
      assert.deepInclude(summary, { complete: false, stoppedBy: "failure", lastKey: blobKey("0999") })
      assert.isTrue(Exit.isFailure(exit))
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.deepInclude(error, { _tag: "DatabaseError", reason: "Unavailable" })
    }).pipe(Effect.provide(world()))
  )

  for (const [what, operation] of [
    ["listing", "list"],
    ["a HEAD", "head"]
  ] as const) {
    it.effect(`reports nothing that it could not confirm when ${what} fails`, () =>
      Effect.gen(function* () {
        yield* manyMissing
        const { storage } = yield* World
        storage.next(operation, fails("AccessDenied"))
        const { findings, summary, exit } = yield* audited()
        assert.deepStrictEqual(findings, [])
        assert.deepInclude(summary, { complete: false, stoppedBy: "failure", lastKey: null })
        assert.isTrue(Exit.isFailure(exit))
      }).pipe(Effect.provide(world()))
    )
  }

  it.effect("has no summary when the guard refuses the catalogue", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      database.next("inspect", fails("Denied"))
      const { findings, summary, exit } = yield* audited()
      assert.deepStrictEqual([findings, summary], [[], undefined])
      assert.isTrue(Exit.isFailure(exit))
    }).pipe(Effect.provide(world()))
  )
})

describe("progress", () => {
  const watch = Effect.fnUntraced(function* (options: Parameters<typeof audit>[0]) {
    const events: Array<AuditProgressEvent> = []
    yield* Effect.provideService(audit(options), AuditProgress, {
      watched: true,
      report: (event) => Effect.sync(() => void events.push(event))
    })
    return events
  })

  it.effect("reports its progress, and the total if it is known", () =>
    Effect.gen(function* () {
      yield* manyMissing
      const events = yield* watch({})
      assert.deepStrictEqual(
        events.map(({ rows, expectedRows }) => [rows, expectedRows]),
        [
          [1000, 2500],
          [2000, 2500],
          [2500, 2500]
        ]
      )
      assert.strictEqual((yield* watch({ prefix: "blobs/" }))[0]?.expectedRows, 2500)
      assert.strictEqual((yield* watch({ prefix: "blobs/00" }))[0]?.expectedRows, null)
      assert.strictEqual((yield* watch({ after: blobKey("0001") }))[0]?.expectedRows, null)
    }).pipe(Effect.provide(world()))
  )

  it.effect("costs no query if it is not watched", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* audit()
      assert.strictEqual(database.count("audit.estimate"), 0)
    }).pipe(Effect.provide(world()))
  )
})
