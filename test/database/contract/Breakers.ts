/** What the guards of a sweep remember and ask: breakers, other collectors, the server's clock. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { type Exposure, isOpen } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  blob,
  blobs,
  condemned,
  hour,
  minute,
  now,
  orphan,
  type Promised,
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

  describe("collectors", () => {
    const settings = { GC_GRACE: "1h", 'odd "name"': "ü\\n" }

    promised("know of the others that are at work, and of none that has left or is overdue", () =>
      Effect.gen(function* () {
        const { peers } = yield* Database
        assert.deepStrictEqual(yield* peers.register(now, now + hour, { id: "b", settings }), [])
        const b = { id: "b", seenAt: now, settings }
        assert.deepStrictEqual(yield* peers.register(now + 1, now + 2, { id: "a", settings: {} }), [b])
        const a = { id: "a", seenAt: now + 1, settings: {} }
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
          { id: "a", seenAt: now + minute, settings: { GC_GRACE: "2h" } }
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
