/** What the guards of a sweep remember and ask: breakers, other collectors, the server's clock. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { type Exposure, historyMillis, isOpen } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blob,
  blobs,
  condemned,
  digest,
  digests,
  everything,
  hour,
  intent,
  minute,
  now,
  orphan,
  type Promised,
  pin,
  sweep,
  write
} from "../../fixtures/samples.ts"

const exposure: Exposure = {
  blobs: 5,
  bytes: 5_000_000_000_000,
  totalBlobs: 7,
  totalBytes: 6_000_000_000_000
}
const lesser: Exposure = { blobs: 1, bytes: 1, totalBlobs: 1, totalBytes: 1 }

export const guarding = (promised: Promised): void => {
  describe("breakers", () => {
    promised("are closed and have no past until they trip", () =>
      Effect.gen(function* () {
        const { breakers } = yield* Database
        for (const name of ["orphans", "leftovers"] as const) {
          const state = yield* breakers.read(name)
          assert.deepStrictEqual(state, { name, trippedAt: null, exposure: null, confirmedAt: null })
          assert.isFalse(isOpen(state))
        }
        assert.deepStrictEqual(yield* breakers.confirm(now), [])
        assert.isNull((yield* breakers.read("orphans")).confirmedAt)
      })
    )

    promised("stay open with what they tripped over first, each for itself, until they are confirmed", () =>
      Effect.gen(function* () {
        const { breakers } = yield* Database
        yield* breakers.trip("orphans", now, exposure)
        yield* breakers.trip("orphans", now + minute, lesser)
        const open = { name: "orphans", trippedAt: now, exposure, confirmedAt: null } as const
        assert.deepStrictEqual(yield* breakers.read("orphans"), open)
        assert.isTrue(isOpen(open))
        assert.isNull((yield* breakers.read("leftovers")).trippedAt)
        assert.deepStrictEqual(yield* breakers.confirm(now + hour), ["orphans"])
        const closed = yield* breakers.read("orphans")
        assert.deepStrictEqual(closed, { ...open, confirmedAt: now + hour })
        assert.isFalse(isOpen(closed))
        assert.deepStrictEqual(yield* breakers.confirm(now + 2 * hour), [])
        assert.deepStrictEqual(yield* breakers.read("orphans"), closed)
      })
    )

    promised("open again after a confirmation, with what they trip over then", () =>
      Effect.gen(function* () {
        const { breakers } = yield* Database
        yield* breakers.trip("leftovers", now, exposure)
        yield* breakers.trip("orphans", now, exposure)
        assert.deepStrictEqual(yield* breakers.confirm(now), ["leftovers", "orphans"])
        yield* breakers.trip("leftovers", now + 1, lesser)
        const again = yield* breakers.read("leftovers")
        assert.deepStrictEqual(again, {
          name: "leftovers",
          trippedAt: now + 1,
          exposure: lesser,
          confirmedAt: now
        })
        assert.isTrue(isOpen(again))
      })
    )

    promised("are closed by a confirmation from a clock that is behind the one they tripped by", () =>
      Effect.gen(function* () {
        const { breakers } = yield* Database
        yield* breakers.trip("orphans", now, exposure)
        assert.deepStrictEqual(yield* breakers.confirm(now - hour), ["orphans"])
        const state = yield* breakers.read("orphans")
        assert.strictEqual(state.confirmedAt, now)
        assert.isFalse(isOpen(state))
      })
    )

    promised("are judged by what stands condemned, since then or ever, of what there is", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3, 4, 5),
          orphans: [
            orphan(1),
            condemned(2, now - hour),
            condemned(3, now - hour + 1),
            condemned(4, now),
            // Its blob is gone.
            condemned(9, now)
          ]
        })
        const { breakers } = yield* Database
        const totals = { totalBlobs: 5, totalBytes: 15 }
        assert.deepStrictEqual(yield* breakers.exposure(null, 2), { blobs: 3, bytes: 9, ...totals })
        assert.deepStrictEqual(yield* breakers.exposure(now - hour, 1), { blobs: 2, bytes: 7, ...totals })
        assert.deepStrictEqual(yield* breakers.exposure(now, -1), { blobs: 0, bytes: 0, ...totals })
      })
    )

    promised("are told no totals where too few are condemned to ask for them", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3), orphans: [condemned(1), condemned(2)] })
        const { breakers } = yield* Database
        const found = { blobs: 2, bytes: 3 }
        assert.deepStrictEqual(yield* breakers.exposure(null, 2), { ...found, totalBlobs: 0, totalBytes: 0 })
        assert.deepStrictEqual(yield* breakers.exposure(null, 1), { ...found, totalBlobs: 3, totalBytes: 6 })
      })
    )

    promised("add up more bytes than 32 bits hold", () =>
      Effect.gen(function* () {
        const sizeBytes = 3_000_000_000_000
        yield* write({
          blobs: [blob(1, { sizeBytes }), blob(2, { sizeBytes })],
          orphans: [condemned(1), condemned(2)]
        })
        assert.deepStrictEqual(yield* (yield* Database).breakers.exposure(null, 0), {
          blobs: 2,
          bytes: 2 * sizeBytes,
          totalBlobs: 2,
          totalBytes: 2 * sizeBytes
        })
      })
    )
  })

  describe("orphans whose loss is no mistake", () => {
    const pinned = (n: number, expiresAt: number) => ({
      key: intent(n).key,
      digest: digest(n),
      sizeBytes: n,
      references: [],
      pins: [pin(`hold ${n}`, n, expiresAt)]
    })

    promised("count neither as condemned nor among all blobs: never referred to while their pin held", () =>
      Effect.gen(function* () {
        const { blobs: writers, breakers, journal, orphans } = yield* Database
        yield* write({
          blobs: blobs(1, 2),
          orphans: [condemned(1)],
          intents: [intent(3), intent(4), intent(5)]
        })
        yield* writers.publish(now, [pinned(3, now + hour), pinned(4, now + hour)])
        // With a reference from the beginning it is not newborn.
        yield* writers.publish(now, [{ ...pinned(5, now + hour), references: [artifact("five", 5)] }])
        yield* writers.adopt(now, [artifact("four", 4)])
        assert.deepStrictEqual(yield* orphans.held(now, true), { blobs: 1, until: now + hour })
        yield* writers.unreference([artifact("four", 4), artifact("five", 5)])
        assert.deepStrictEqual(yield* orphans.held(now, false), { blobs: 3, until: now + hour })
        assert.deepStrictEqual(yield* orphans.held(now + hour, false), { blobs: 0, until: null })
        assert.strictEqual(yield* journal.expirePins(now + hour, 10), 3)
        const found = yield* orphans.find(everything)
        assert.deepStrictEqual(
          found.map((orphan) => [orphan.digest, orphan.cause, orphan.seenAt === now + hour]),
          [
            [digest(1), undefined, false],
            [digest(2), undefined, false],
            [digest(3), "unused", true],
            [digest(4), undefined, false],
            [digest(5), undefined, false]
          ]
        )
        const later = now + 2 * hour
        const seen = digests(1, 2, 3, 4, 5)
        yield* orphans.record(everything, { now: later, seen, condemned: digests(3, 4), sweep })
        assert.deepStrictEqual(yield* breakers.exposure(null, 0), {
          blobs: 2,
          bytes: 5,
          totalBlobs: 4,
          totalBytes: 12
        })
        assert.deepInclude(yield* breakers.exposure(null, 9, later - 1), { blobs: 1, bytes: 1 })
        const request = {
          condemnedCutoff: later,
          seenCutoff: later,
          usedCutoff: later,
          limit: 9,
          after: null
        }
        const { purged } = yield* orphans.purge({
          ...request,
          now: later,
          deleteNotBefore: later,
          leaseUntil: null
        })
        assert.deepStrictEqual(purged.map((blob) => [blob.digest, blob.cause]).sort(), [
          [digest(1), undefined],
          [digest(3), "unused"],
          [digest(4), undefined]
        ])
      })
    )

    promised("lose their cause with their sighting", () =>
      Effect.gen(function* () {
        const { blobs: writers, journal, orphans } = yield* Database
        yield* write({ intents: [intent(3)] })
        yield* writers.publish(now, [pinned(3, now)])
        yield* journal.expirePins(now, 10)
        assert.strictEqual((yield* orphans.find(everything))[0]?.cause, "unused")
        yield* writers.adopt(now, [artifact("three", 3)])
        yield* writers.unreference([artifact("three", 3)])
        assert.isUndefined((yield* orphans.find(everything))[0]?.cause)
      })
    )
  })

  describe("the history of a breaker", () => {
    const day = 24 * hour
    const midnight = Date.parse("2026-11-23T00:00:00.000Z")
    const burst = { blobs: 3, bytes: 30, totalBlobs: 9, totalBytes: 90 }

    promised("adds up a day: the largest total, all that was lost, the last burst", () =>
      Effect.gen(function* () {
        const { breakers } = yield* Database
        assert.deepStrictEqual(yield* breakers.history("orphans", 0), [])
        yield* breakers.note("orphans", now, { total: { blobs: 9, bytes: 5 }, lost: { blobs: 1, bytes: 2 } })
        yield* breakers.note("orphans", now + hour, { total: { blobs: 8, bytes: 9e12 }, burst })
        yield* breakers.note("orphans", now + 2 * hour, { lost: { blobs: 2, bytes: 3 } })
        yield* breakers.note("orphans", now + day, { lost: { blobs: 1, bytes: 1 } })
        yield* breakers.note("manifests", now, { lost: { blobs: 7, bytes: 7 } })
        const none = { blobs: 0, bytes: 0 }
        const second = { day: midnight + day, total: none, lost: { blobs: 1, bytes: 1 }, burst: null }
        const first = {
          day: midnight,
          total: { blobs: 9, bytes: 9e12 },
          lost: { blobs: 3, bytes: 5 },
          burst
        }
        assert.deepStrictEqual(yield* breakers.history("orphans", now), [second, first])
        assert.deepStrictEqual(yield* breakers.history("orphans", now + day), [second])
      })
    )

    promised("forgets what is older than a month", () =>
      Effect.gen(function* () {
        const { breakers } = yield* Database
        yield* breakers.note("orphans", now, { burst })
        yield* breakers.note("orphans", now + historyMillis, { burst })
        assert.lengthOf(yield* breakers.history("orphans", 0), 2)
        yield* breakers.note("orphans", now + historyMillis + day, { burst })
        assert.deepStrictEqual(
          (yield* breakers.history("orphans", 0)).map((one) => one.day),
          [midnight + historyMillis + day, midnight + historyMillis]
        )
      })
    )

    promised("has what a person allowed, of the breakers that were named", () =>
      Effect.gen(function* () {
        const { breakers } = yield* Database
        yield* breakers.trip("orphans", now, exposure)
        yield* breakers.trip("references", now, { blobs: 0, bytes: 0, totalBlobs: 0, totalBytes: 0 })
        yield* breakers.trip("leftovers", now, lesser)
        assert.deepStrictEqual(
          (yield* breakers.list).map(({ name }) => name),
          ["leftovers", "orphans", "references"]
        )
        assert.deepStrictEqual(yield* breakers.confirm(now, ["orphans", "manifests"]), ["orphans"])
        assert.isTrue(isOpen(yield* breakers.read("leftovers")))
        assert.deepStrictEqual((yield* breakers.history("orphans", 0))[0]?.burst, exposure)
        assert.deepStrictEqual(yield* breakers.confirm(now), ["leftovers", "references"])
        assert.deepStrictEqual(yield* breakers.history("references", 0), [])
      })
    )
  })

  describe("collectors", () => {
    const settings = { GC_GRACE: "1h", 'odd "name"': "ü\\n" }

    promised("know of the others that are at work, and of none that has left or is overdue", () =>
      Effect.gen(function* () {
        const { peers } = yield* Database
        assert.deepStrictEqual(yield* peers.register(now, now + hour, { id: "b", settings }), [])
        const b = { id: "b", seenAt: now, settings, activity: null }
        assert.deepStrictEqual(yield* peers.register(now + 1, now + 2, { id: "a", settings: {} }), [b])
        const a = { id: "a", seenAt: now + 1, settings: {}, activity: null }
        assert.deepStrictEqual(yield* peers.others(now + 1, "c"), [a, b])
        assert.deepStrictEqual(yield* peers.others(now + 1, "b"), [a])
        assert.deepStrictEqual(yield* peers.others(now + 2, "b"), [], "until then, not longer")
        assert.deepStrictEqual(yield* peers.register(now + hour, now + 2 * hour, { id: "d", settings }), [])
        yield* peers.leave("d")
        yield* peers.leave("d")
        assert.deepStrictEqual(yield* peers.others(now + hour, "c"), [])
      })
    )

    promised("say again and again that they are at work, each time with their settings of then", () =>
      Effect.gen(function* () {
        const { peers } = yield* Database
        yield* peers.register(now, now + 1, { id: "a", settings })
        yield* peers.register(now + minute, now + hour, { id: "a", settings: { GC_GRACE: "2h" } })
        assert.deepStrictEqual(yield* peers.others(now + minute, "b"), [
          { id: "a", seenAt: now + minute, settings: { GC_GRACE: "2h" }, activity: null }
        ])
      })
    )
  })

  describe("skew", () => {
    promised("is small between programs of one machine, and no matter what Clock says", () =>
      Effect.gen(function* () {
        // The clock of the tests stands at 1970.
        assert.isBelow(Math.abs(yield* (yield* Database).skew), 5000)
      })
    )
  })
}
