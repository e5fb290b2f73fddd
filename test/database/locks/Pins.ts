/** Pins against purges, and leases against reaps: exactly one of the two wins, and each is told which. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { type Arena, arena, before, later, purgeStatement } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import {
  blob,
  blobs,
  condemned,
  digest,
  hour,
  intent,
  key,
  minute,
  now,
  pin
} from "../../fixtures/samples.ts"

const request = {
  now,
  condemnedCutoff: now - hour,
  seenCutoff: 4_000_000_000_000,
  usedCutoff: now - hour,
  limit: 100,
  after: null,
  deleteNotBefore: now + minute,
  leaseUntil: null
}
const purged = {
  purged: [{ digest: digest(1), key: key(1), sizeBytes: 1 }],
  absolved: 0,
  busy: 0,
  next: null
}

const condemnedBlob = ({ tables }: Arena) => tables.write({ blobs: blobs(1), orphans: [condemned(1)] })

const pinning = (a: Arena, id = "p", n = 1) => a.database.blobs.adopt(now, [], { pins: [pin(id, n)] })

const againstPurge = (server: Server): void => {
  for (const [when, statement] of [
    ["holds its lock", purgeStatement.deletes],
    ["has deleted the blob", purgeStatement.clearsOrphans]
  ] as const) {
    it.live(`waits for one that ${when}, and is then told that the blob does not live`, () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* condemnedBlob(a)
        const collector = yield* a.process()
        const started = later(pinning(a))
        const page = yield* collector.orphans
          .purge(request)
          .pipe(before(statement, Effect.andThen(started.start, a.waiting())))
        assert.deepStrictEqual(page, purged)
        assert.deepStrictEqual(yield* started.outcome, new Set())
        assert.deepStrictEqual((yield* a.tables.rows).pins, [])
      })
    )
  }

  it.live("in flight makes the purge pass over the blob, which is kept", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlob(a)
      const collector = yield* a.process()
      let page: unknown
      const purge = Effect.map(collector.orphans.purge(request), (found) => {
        page = found
      })
      const live = yield* pinning(a).pipe(before(/INSERT INTO "artifact_gc"."pins"/, purge))
      assert.deepStrictEqual(live, new Set([digest(1)]))
      assert.deepInclude(page, { purged: [] })
      yield* a.tables.write({ orphans: [condemned(1)] })
      assert.deepInclude(yield* collector.orphans.purge({ ...request, usedCutoff: now }), {
        purged: [],
        absolved: 1
      })
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, [blob(1, { lastUsedAt: now })])
      assert.deepStrictEqual(after.pins, [pin("p", 1)])
    })
  )

  it.live("or the purge has the blob, depending on which is faster", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const collector = yield* a.process()
      const rounds = Array.from({ length: 40 }, (_, n) => n + 1)
      yield* a.tables.write({ blobs: blobs(...rounds), orphans: rounds.map((n) => condemned(n)) })
      const outcomes: Array<boolean> = []
      const purging = Effect.gen(function* () {
        for (let n = 0; n < 20; n++) yield* collector.orphans.purge({ ...request, limit: 2 })
      })
      const pinner = Effect.gen(function* () {
        for (const n of [...rounds].reverse()) {
          outcomes[n] = (yield* pinning(a, `p${n}`, n)).has(digest(n))
        }
      })
      yield* Effect.all([purging, pinner], { concurrency: "unbounded" })
      const after = yield* a.tables.rows
      const alive = new Set(after.blobs.map((row) => row.digest))
      for (const n of rounds) {
        assert.strictEqual(
          outcomes[n],
          alive.has(digest(n)),
          `blob ${n} lives exactly if the pin was told so`
        )
      }
      assert.deepStrictEqual(after.pins.map((row) => row.digest).sort(), [...alive].sort())
      assert.strictEqual(after.journal.length, rounds.length - alive.size)
    })
  )

  it.live("control: a pin that does not lock the row is told that a blob lives which is then purged", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlob(a)
      const writer = yield* a.session
      let taken = -1
      const naive = Effect.map(
        writer(
          `INSERT INTO artifact_gc.pins (id, digest, expires_at)
           SELECT 'p', digest, now() FROM blobs WHERE digest = $1 RETURNING 1`,
          [digest(1)]
        ),
        (rows) => {
          taken = rows.length
        }
      )
      const page = yield* a.database.orphans.purge(request).pipe(before(purgeStatement.clearsOrphans, naive))
      assert.deepStrictEqual(page, purged)
      assert.strictEqual(taken, 1, "it did not wait, and took the row for a blob that lives")
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, [])
      assert.lengthOf(after.pins, 1)
    })
  )
}

const againstReap = (server: Server): void => {
  it.live("or the reap has the upload, depending on which is faster", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const collector = yield* a.process()
      for (let round = 0; round < 40; round++) {
        const own = { ...intent(round, now), key: key(`round-${round}`) }
        yield* a.database.blobs.intend([own])
        const [renewed, reaped] = yield* Effect.all(
          [a.database.blobs.renew([own.key], now + hour), collector.journal.reapIntents(now, now, 100)],
          { concurrency: "unbounded" }
        )
        assert.strictEqual(renewed.size + reaped, 1, "exactly one of the two has the key")
      }
      const after = yield* a.tables.rows
      assert.strictEqual(after.intents.length + after.journal.length, 40)
    })
  )

  it.live("waits for one in flight, and is then told that the upload is gone", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.database.blobs.intend([intent(1, now)])
      const collector = yield* a.session
      yield* collector("BEGIN")
      yield* collector("DELETE FROM artifact_gc.intents")
      const renewal = yield* Effect.forkChild(a.database.blobs.renew([intent(1).key], now + hour))
      const record = yield* Effect.forkChild(a.database.blobs.recordMultipart(intent(1).key, "parts"))
      yield* a.waiting(2)
      yield* collector("COMMIT")
      assert.deepStrictEqual(yield* Fiber.join(renewal), new Set())
      assert.isFalse(yield* Fiber.join(record))
    })
  )
}

export const pins = (server: Server): void => {
  describe("a pin against a purge", () => againstPurge(server))
  describe("a renewal against a reap", () => againstReap(server))
}
