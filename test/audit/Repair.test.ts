/** The repair: objects without an owner are journaled and later deleted, nothing else is, and never much by mistake. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import type { AuditOptions } from "../../src/audit/Audit.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { fails, hangsAfter, hangsBefore } from "../../src/testing/Faults.ts"
import { audit, audited } from "../fixtures/audit/Auditing.ts"
import {
  abandon,
  artifact,
  blobKey,
  blobs,
  day,
  hour,
  journaled,
  journalRow,
  objects,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  world
} from "../fixtures/World.ts"

const repairing: AuditOptions = {
  repair: true,
  settings: { quarantine: Duration.hours(3), deleteDelay: Duration.hours(1) }
}

/** A registry with one blob, and objects that nothing owns of every kind. */
const littered = Effect.gen(function* () {
  yield* upload("live", { references: [artifact("a", "live")] })
  yield* upload("lost", { references: [artifact("b", "lost")] })
  yield* (yield* World).store.delete([blobKey("lost")])
  yield* abandon("slow", start + 30 * day)
  yield* stage("blobs/x/1", 5)
  yield* stage("blobs/x/2", 7)
  yield* stage("elsewhere/1")
  yield* stage("uploads/s/1")
  yield* TestClock.adjust("2 days")
  yield* stage("blobs/young/1")
})

const failureOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined

describe("a repair", () => {
  it.effect(
    "journals what nothing owns below the blob prefix, due after the longer wait, and deletes nothing",
    () =>
      Effect.gen(function* () {
        yield* littered
        const before = yield* objects
        const { summary } = yield* audit(repairing)
        assert.deepStrictEqual(summary.repaired, {
          objects: 2,
          bytes: 12,
          dueAt: new Date(start + 2 * day + 3 * hour).toISOString()
        })
        assert.strictEqual(summary.findings.ownerless.objects, 3)
        assert.deepStrictEqual(yield* journaled, ["blobs/x/1", "blobs/x/2"])
        assert.deepInclude(yield* journalRow(ObjectKey.make("blobs/x/1")), {
          reason: "leftover",
          sizeBytes: 5,
          notBefore: start + 2 * day + 3 * hour
        })
        assert.deepStrictEqual(yield* objects, before)
        assert.deepStrictEqual(yield* blobs, ["live", "lost"], "a row whose object is missing stays")
      }).pipe(Effect.provide(world()))
  )

  it.effect("journals nothing the second time, and the sweep deletes the objects when they are due", () =>
    Effect.gen(function* () {
      // No invariant holds for a blob whose object was removed, so this registry has none.
      yield* upload("live", { references: [artifact("a", "live")] })
      yield* stage("blobs/x/1", 5)
      yield* TestClock.adjust("2 days")
      yield* audit(repairing)
      const again = yield* audit(repairing)
      assert.deepStrictEqual(again.findings, [])
      assert.deepInclude(again.summary, { repaired: null, awaitingDeletion: { objects: 1, bytes: 5 } })
      yield* sweep()
      assert.deepStrictEqual(yield* objects, [blobKey("live"), "blobs/x/1"])
      yield* sweepAfter(3 * hour)
      assert.deepStrictEqual(yield* objects, [blobKey("live")])
      assert.deepStrictEqual(yield* journaled, [])
      assert.deepStrictEqual((yield* audit()).findings, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("happens only on request, and only below the prefix", () =>
    Effect.gen(function* () {
      yield* littered
      yield* audit({ ...repairing, repair: false })
      assert.deepStrictEqual(yield* journaled, [])
      yield* audit({ ...repairing, prefix: "elsewhere/" })
      assert.deepStrictEqual(yield* journaled, [])
      yield* audit({ ...repairing, prefix: "blobs/x/", after: ObjectKey.make("blobs/x/1") })
      assert.deepStrictEqual(yield* journaled, ["blobs/x/2"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("asks again in the snapshot that journals, and keeps an object that has an owner by then", () =>
    Effect.gen(function* () {
      yield* littered
      const { database, rows } = yield* World
      let pages = 0
      const announce = Effect.orDie(
        rows.blobs.intend([{ key: ObjectKey.make("blobs/x/1"), digest: null, expiresAt: start + 30 * day }])
      )
      database.always(({ operation }) =>
        operation === "audit.page" && ++pages === 2 ? hangsAfter(announce) : undefined
      )
      const { summary } = yield* audit(repairing)
      assert.strictEqual(pages, 2)
      assert.deepInclude(summary.repaired, { objects: 1, bytes: 7 })
      assert.deepStrictEqual(yield* journaled, ["blobs/x/2"])
    }).pipe(Effect.provide(world()))
  )
})

describe("a repair that ends early", () => {
  it.effect("journals nothing when the audit before it failed or was stopped", () =>
    Effect.gen(function* () {
      yield* littered
      const { storage } = yield* World
      storage.next("head", fails("Unavailable"))
      const failed = yield* audited(repairing)
      assert.deepInclude(failed.summary, { complete: false, repaired: null })
      const stopped = yield* audit({ ...repairing, stop: Effect.void })
      assert.deepInclude(stopped.summary, { complete: false, repaired: null, stoppedBy: "stopped" })
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("reports what it journaled, and the next finishes it", () =>
    Effect.gen(function* () {
      const count = 2500
      for (let n = 0; n < count; n++) yield* stage(`blobs/${String(n).padStart(4, "0")}`)
      yield* TestClock.adjust("2 days")
      const { database } = yield* World
      const stop = yield* Deferred.make<void>()
      database.next("leftovers.journal", hangsAfter(Deferred.succeed(stop, undefined)))
      const settings = { breakerPercent: 100 }
      const first = yield* audit({ repair: true, settings, stop: Deferred.await(stop) })
      assert.deepInclude(first.summary, { complete: false, stoppedBy: "stopped" })
      assert.strictEqual(first.summary.repaired?.objects, 1000)
      const second = yield* audit({ repair: true, settings })
      assert.strictEqual(second.summary.repaired?.objects, count - 1000)
      assert.lengthOf(yield* journaled, count)
    }).pipe(Effect.provide(world()))
  )
})

describe("a repair of too much", () => {
  const settings = { breakerBlobs: 3, breakerPercent: 40 }
  const registry = (owned: number, ownerless: number) =>
    Effect.gen(function* () {
      for (let n = 0; n < owned; n++) {
        yield* upload(`blob${n}`, { references: [artifact(`a${n}`, `blob${n}`)] })
      }
      for (let n = 0; n < ownerless; n++) yield* stage(`blobs/x/${String(n).padStart(2, "0")}`, 2)
      yield* TestClock.adjust("2 days")
    })

  it.effect("is refused above the number and the share together, and journals nothing", () =>
    Effect.gen(function* () {
      yield* registry(5, 4)
      const { findings, summary, exit } = yield* audited({ repair: true, settings })
      assert.lengthOf(findings, 4)
      assert.deepInclude(summary, { complete: false, stoppedBy: "failure", repaired: null })
      assert.deepStrictEqual(yield* journaled, [])
      const error = failureOf(exit)
      assert.deepInclude(error, { _tag: "RepairRefused", ownerless: 4, bytes: 8, listed: 9 })
      assert.match(String(error), /4 of 9 objects \(44\.4 %, 8 bytes\), .*GC_BREAKER_PERCENT=100/)
    }).pipe(Effect.provide(world()))
  )

  it.effect("is refused when nothing owns any of the objects, even if they are few", () =>
    Effect.gen(function* () {
      yield* registry(0, 11)
      const { exit } = yield* audited({ repair: true })
      assert.deepInclude(failureOf(exit), { _tag: "RepairRefused", ownerless: 11, listed: 11 })
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("would have journaled all of another catalogue's store, and does so on request", () =>
    Effect.gen(function* () {
      yield* registry(0, 11)
      yield* audit({ repair: true, settings: { ...settings, breakerPercent: 100 } })
      assert.lengthOf(yield* journaled, 11)
    }).pipe(Effect.provide(world()))
  )

  for (const [title, owned, ownerless] of [
    ["many, and a small share", 6, 4],
    ["a large share, and few", 0, 3]
  ] as const) {
    it.effect(`is none: ${title}`, () =>
      Effect.gen(function* () {
        yield* registry(owned, ownerless)
        assert.strictEqual((yield* audit({ repair: true, settings })).summary.repaired?.objects, ownerless)
      }).pipe(Effect.provide(world()))
    )
  }

  it.effect("is noticed when it has grown too large since it was counted", () =>
    Effect.gen(function* () {
      yield* registry(3, 2)
      const { state, database } = yield* World
      let pages = 0
      // A table that is emptied, or a database that is set back, between the two passes.
      database.always(({ operation }) =>
        operation === "audit.page" && ++pages === 2
          ? hangsBefore(Effect.sync(() => state.blobs.clear()))
          : undefined
      )
      const { exit } = yield* audited({ repair: true, settings })
      assert.strictEqual(pages, 2)
      assert.deepInclude(failureOf(exit), { _tag: "RepairRefused", ownerless: 5, listed: 5 })
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("does not begin while the breaker of leftovers waits for an operator, but an audit does", () =>
    Effect.gen(function* () {
      yield* registry(6, 1)
      const { rows } = yield* World
      const exposure = { blobs: 7, bytes: 0, totalBlobs: 8, totalBytes: 0 }
      yield* rows.breakers.trip("leftovers", start + 2 * day, exposure)
      const { summary, exit } = yield* audited({ repair: true, settings })
      assert.isUndefined(summary)
      assert.deepInclude(failureOf(exit), { _tag: "BreakerOpen", breaker: "leftovers", blobs: 7 })
      assert.deepStrictEqual(yield* journaled, [])
      assert.lengthOf((yield* audit({ settings })).findings, 1)
      yield* rows.breakers.confirm(start + 2 * day)
      assert.strictEqual((yield* audit({ repair: true, settings })).summary.repaired?.objects, 1)
    }).pipe(Effect.provide(world()))
  )

  it.effect("ends when the breaker opens while it counts", () =>
    Effect.gen(function* () {
      yield* registry(6, 1)
      const { database, rows } = yield* World
      const exposure = { blobs: 7, bytes: 0, totalBlobs: 8, totalBytes: 0 }
      const trips = rows.breakers.trip("leftovers", start + 2 * day, exposure)
      database.next("audit.page", hangsAfter(Effect.orDie(trips)))
      const { exit } = yield* audited({ repair: true, settings })
      assert.deepInclude(failureOf(exit), { _tag: "BreakerOpen" })
      assert.deepStrictEqual(yield* journaled, [])
    }).pipe(Effect.provide(world()))
  )
})
