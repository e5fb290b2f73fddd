/** Objects that nothing knows: whose turn it is to list, and what is journaled; uploads in parts on their way to it. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { LeftoverPlan, LeftoverScan } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  blobs,
  chunk,
  dead,
  digest,
  hour,
  intent,
  key,
  minute,
  now,
  type Promised,
  rows,
  session,
  write
} from "../../fixtures/samples.ts"

const day = 24 * hour
const leaseUntil = now + 5 * minute
const verbs = Effect.map(Database, ({ leftovers }) => leftovers)

/** As of a store in which there is little to list; far more than a database remembers of other tests. */
const daily: LeftoverPlan = { everyMillis: day, cuts: [key(300), key(600)], cutFrom: 1e12 }

const claim = (at = now, until = at + 5 * minute, plan: LeftoverPlan | null = daily) =>
  Effect.flatMap(verbs, (leftovers) => leftovers.claim(at, until, plan))
/** A claim that is granted. */
const take = (at = now, until = at + 5 * minute, plan: LeftoverPlan | null = daily) =>
  Effect.map(claim(at, until, plan), Option.getOrThrow)

/** What a scan says but its lease. */
const standing = ({ token: _, ...rest }: LeftoverScan) => rest
const fresh = { pass: 1, startedAt: now, from: null, upTo: null, after: null }
const page = { listed: 500, unowned: 4 }
const halfway = { after: key(500), ...page }
const end = { after: null, listed: 300, unowned: 0 }
/** Of a pass. */
const none = { listed: 0, unowned: 0 }
const counted = (listed: number, unowned: number) => Option.some({ listed, unowned })

const found = (n: number | string, sizeBytes = 3) => ({ key: key(n), sizeBytes })
const leftover = (n: number, change: Parameters<typeof dead>[1] = {}) =>
  dead(n, { digest: null, reason: "leftover", notBefore: now + hour, ...change })

const whoseTurn = (promised: Promised): void => {
  describe("leftovers.claim", () => {
    promised("begins the first pass, and is refused to others until the lease is over", () =>
      Effect.gen(function* () {
        const first = yield* take()
        assert.deepStrictEqual(standing(first), fresh)
        assert.isTrue(Option.isNone(yield* claim(leaseUntil - 1)))
        const second = yield* take(leaseUntil)
        assert.deepStrictEqual(standing(second), fresh, "the same pass goes on")
        assert.notStrictEqual(second.token, first.token)
      })
    )

    promised("begins the next pass when it is time since the last began, if that has ended", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        const first = yield* take()
        assert.deepStrictEqual(yield* advance(first, end, now + hour, leaseUntil), counted(300, 0))
        assert.isTrue(Option.isNone(yield* claim(now + day - 1)))
        assert.isTrue(Option.isNone(yield* claim(now + day, now + 2 * day, null)), "none was wanted")
        const second = yield* take(now + day)
        assert.deepStrictEqual(standing(second), { ...fresh, pass: 2, startedAt: now + day })
        const counts = yield* advance(second, end, now + day + hour, leaseUntil)
        assert.deepStrictEqual(counts, counted(300, 0), "each pass counts for itself")
      })
    )

    promised("goes on with a pass that has not ended, however long ago it began", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        yield* advance(yield* take(), halfway, now, leaseUntil)
        const again = yield* take(now + 30 * day, now + 31 * day, null)
        assert.deepStrictEqual(standing(again), { ...fresh, after: key(500) })
      })
    )
  })

  describe("leftovers.advance", () => {
    promised("moves the scan on, renews its lease, and adds to the counts of the pass", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        const scan = yield* take()
        assert.deepStrictEqual(yield* advance(scan, halfway, now + minute, now + hour), counted(500, 4))
        assert.isTrue(Option.isNone(yield* claim(now + hour - 1)))
        const next = yield* take(now + hour)
        assert.deepStrictEqual(standing(next), { ...fresh, after: key(500) })
        assert.deepStrictEqual(yield* advance(next, halfway, now, leaseUntil), counted(1000, 8))
      })
    )

    promised("changes nothing when the lease was lost to another, was given up, or the pass has ended", () =>
      Effect.gen(function* () {
        const leftovers = yield* verbs
        const lost = yield* take()
        const holder = yield* take(leaseUntil)
        const refused = (scan: LeftoverScan) =>
          Effect.map(leftovers.advance(scan, end, now, leaseUntil), (counts) => {
            assert.isTrue(Option.isNone(counts))
          })
        yield* refused(lost)
        assert.deepStrictEqual(
          yield* leftovers.advance(holder, halfway, leaseUntil, now + hour),
          counted(500, 4)
        )
        yield* refused(lost)
        yield* leftovers.yield(holder)
        yield* refused(holder)
        const last = yield* take(now + hour)
        assert.deepStrictEqual(standing(last), { ...fresh, after: key(500) })
        assert.deepStrictEqual(yield* leftovers.advance(last, end, now + hour, leaseUntil), counted(800, 4))
        yield* refused(last)
        assert.strictEqual((yield* take(now + day)).pass, 2)
      })
    )

    promised("continues while no other collector has the scan, even past the end of the lease", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        const counts = yield* advance(yield* take(), halfway, now + day, now + day + hour)
        assert.deepStrictEqual(counts, counted(500, 4))
      })
    )
  })

  describe("leftovers.yield", () => {
    promised("lets the next go on at once where the scan stands; a lost lease yields nothing", () =>
      Effect.gen(function* () {
        const leftovers = yield* verbs
        const scan = yield* take()
        yield* leftovers.advance(scan, halfway, now, leaseUntil)
        yield* leftovers.yield(scan)
        const next = yield* take(now + 1)
        assert.deepStrictEqual(standing(next), { ...fresh, after: key(500) })
        yield* leftovers.yield(scan)
        assert.isTrue(Option.isNone(yield* claim(now + 2)))
      })
    )
  })

  describe("leftovers.withdraw", () => {
    promised("takes back the leftovers that no collector has begun to delete, and begins the pass anew", () =>
      Effect.gen(function* () {
        const leftovers = yield* verbs
        const others = [
          leftover(3, { attempts: 1 }),
          leftover(4, { claimedUntil: now + hour }),
          dead(5),
          dead(6, { reason: "reaped" }),
          dead(7, { reason: "duplicate" })
        ]
        yield* write({ journal: [leftover(1), leftover(2, { notBefore: now - hour }), ...others] })
        const scan = yield* take()
        yield* leftovers.advance(scan, halfway, now, leaseUntil)
        assert.strictEqual(yield* leftovers.withdraw(scan), 2)
        assert.deepStrictEqual((yield* rows).journal, others)
        const anew = yield* take(now + 1)
        assert.deepStrictEqual(standing(anew), fresh, "number and beginning stay")
        assert.deepStrictEqual(
          yield* leftovers.advance(anew, { after: key(1), ...none }, now, now),
          counted(0, 0)
        )
      })
    )

    promised("takes nothing back for one whose lease was lost", () =>
      Effect.gen(function* () {
        const leftovers = yield* verbs
        yield* write({ journal: [leftover(1)] })
        const lost = yield* take()
        const holder = yield* take(leaseUntil)
        assert.strictEqual(yield* leftovers.withdraw(lost), 0)
        assert.deepStrictEqual((yield* rows).journal, [leftover(1)])
        const counts = yield* leftovers.advance(holder, halfway, leaseUntil, now + hour)
        assert.deepStrictEqual(counts, counted(500, 4))
      })
    )
  })
}

/** Of a store with much to list. */
const shared: LeftoverPlan = { ...daily, cutFrom: 0 }
const ranges = [
  { from: null, upTo: key(300) },
  { from: key(300), upTo: key(600) },
  { from: key(600), upTo: null }
]

const sharing = (promised: Promised): void => {
  describe("a pass that is cut", () => {
    promised("is leased range by range, which together are all keys, and ends with the last of them", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        const taken = [
          yield* take(now, leaseUntil, shared),
          yield* take(now, leaseUntil, shared),
          yield* take(now, leaseUntil, null)
        ]
        assert.deepStrictEqual(
          taken.map(standing),
          ranges.map((range) => ({ ...fresh, ...range }))
        )
        assert.strictEqual(new Set(taken.map(({ token }) => token)).size, 3)
        assert.isTrue(Option.isNone(yield* claim(now, leaseUntil, shared)))
        let expected = 0
        for (const scan of taken) {
          yield* advance(scan, { after: scan.upTo ?? key(900), ...page }, now, leaseUntil)
          expected += 500
          const counts = yield* advance(scan, { after: null, ...none }, now, leaseUntil)
          assert.deepStrictEqual(counts, counted(expected, (expected / 500) * 4))
        }
        assert.isTrue(Option.isNone(yield* claim(now + day - 1, now + day, shared)))
        const next = yield* take(now + day, now + 2 * day, shared)
        assert.deepStrictEqual(standing(next), { ...fresh, ...ranges[0], pass: 2, startedAt: now + day })
      })
    )

    promised("is one that is expected to be long: as the pass before it", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        const first = yield* take()
        assert.deepStrictEqual(standing(first), fresh, "nothing is known yet")
        yield* advance(first, { after: null, listed: 1e12, unowned: 0 }, now, leaseUntil)
        const second = yield* take(now + day)
        assert.deepStrictEqual([second.from, second.upTo], [null, key(300)])
      })
    )

    promised("goes on with the range that was given up, where it stood", () =>
      Effect.gen(function* () {
        const leftovers = yield* verbs
        const [one, two] = [yield* take(now, leaseUntil, shared), yield* take(now, leaseUntil, shared)]
        yield* leftovers.advance(two, { after: key(400), ...page }, now, leaseUntil)
        yield* leftovers.yield(two)
        const again = yield* take(now, leaseUntil, null)
        assert.deepStrictEqual(standing(again), { ...standing(two), after: key(400) })
        assert.isTrue(Option.isSome(yield* leftovers.advance(one, halfway, now, leaseUntil)))
      })
    )

    promised("that is withdrawn ends every lease, and nothing more is journaled for one", () =>
      Effect.gen(function* () {
        const leftovers = yield* verbs
        const [one, two] = [yield* take(now, leaseUntil, shared), yield* take(now, leaseUntil, shared)]
        yield* leftovers.advance(two, { after: key(400), ...page }, now, leaseUntil)
        assert.deepStrictEqual(yield* leftovers.journal(now, [found(350)], now + hour, two), [key(350)])
        assert.strictEqual(yield* leftovers.withdraw(one), 1)
        assert.deepStrictEqual(yield* leftovers.journal(now, [found(450)], now + hour, two), [])
        assert.isTrue(Option.isNone(yield* leftovers.advance(two, halfway, now, leaseUntil)))
        assert.deepStrictEqual((yield* rows).journal, [])
        const anew = [
          yield* take(now, leaseUntil, null),
          yield* take(now, leaseUntil, null),
          yield* take(now, leaseUntil, null)
        ]
        assert.deepStrictEqual(
          anew.map(standing),
          ranges.map((range) => ({ ...fresh, ...range }))
        )
      })
    )
  })
}

const journaling = (promised: Promised): void => {
  describe("leftovers.journal", () => {
    promised(
      "journals what neither a row nor an intent nor a session nor the journal names, and answers it",
      () =>
        Effect.gen(function* () {
          const { journal } = yield* verbs
          const given = dead(3, { attempts: 2, notBefore: now - hour })
          yield* write({
            blobs: blobs(1),
            intents: [intent(2)],
            journal: [given],
            sessions: [session("s", { receivedBytes: 6 })],
            chunks: [chunk(6, "s", 0)]
          })
          const objects = [
            found(5, 0),
            found(4, 2 ** 40),
            found(3),
            found("upload-2"),
            found("upload-6"),
            found(1)
          ]
          const journaled = yield* journal(now, objects, now + hour)
          assert.deepStrictEqual([...journaled].sort(), [key(4), key(5)])
          const after = yield* rows
          assert.deepStrictEqual(after.journal, [
            given,
            leftover(4, { sizeBytes: 2 ** 40 }),
            leftover(5, { sizeBytes: 0 })
          ])
          assert.deepStrictEqual(after.blobs, blobs(1))
          assert.deepStrictEqual(after.intents, [intent(2)])
        })
    )

    promised("once more, or of nothing, changes nothing", () =>
      Effect.gen(function* () {
        const { journal } = yield* verbs
        yield* journal(now, [found(1)], now + hour)
        assert.deepStrictEqual(yield* journal(now + 1, [found(1, 9)], now + 2 * hour), [])
        assert.deepStrictEqual(yield* journal(now, [], now), [])
        assert.deepStrictEqual((yield* rows).journal, [leftover(1, { sizeBytes: 3 })])
      })
    )

    promised("makes a key due when it says, for a claim that names the reason", () =>
      Effect.gen(function* () {
        const { leftovers, journal } = yield* Database
        yield* leftovers.journal(now, [found(1)], now + hour)
        const before = yield* journal.claim(now + hour - 1, now + day, 10)
        assert.deepStrictEqual(before.entries, [])
        const { entries } = yield* journal.claim(now + hour, now + day, 10)
        assert.deepStrictEqual(entries, [
          { key: key(1), sizeBytes: 3, reason: "leftover", attempts: 0, uploadId: null }
        ])
      })
    )
  })
}

const inParts = (promised: Promised): void => {
  describe("an upload in parts", () => {
    promised("that was recorded goes with its key through reaping into a claim", () =>
      Effect.gen(function* () {
        const { blobs: writers, journal } = yield* Database
        yield* writers.intend([intent(1, now), intent(2, now)])
        assert.isTrue(yield* writers.recordMultipart(intent(1).key, "first"))
        assert.isTrue(yield* writers.recordMultipart(intent(1).key, "2~second"), "the last one counts")
        assert.deepStrictEqual((yield* rows).intents, [
          { ...intent(1, now), uploadId: "2~second" },
          intent(2, now)
        ])
        assert.strictEqual(yield* journal.reapIntents(now, now, 10), 2)
        const { entries } = yield* journal.claim(now, leaseUntil, 10)
        assert.deepStrictEqual(
          entries.map(({ key, uploadId }) => ({ key, uploadId })),
          [
            { key: intent(1).key, uploadId: "2~second" },
            { key: intent(2).key, uploadId: null }
          ]
        )
        yield* journal.postpone([
          { key: intent(1).key, notBefore: now, attempts: 12, error: "AccessDenied", deadAt: now }
        ])
        const [letter] = yield* journal.deadLetters(null, 1)
        assert.strictEqual(letter?.uploadId, "2~second")
      })
    )

    promised("cannot be recorded once its intent is gone, and leaves no trace when it is published", () =>
      Effect.gen(function* () {
        const { blobs: writers, journal } = yield* Database
        yield* writers.intend([intent(1, now), intent(2), intent(3)])
        yield* journal.reapIntents(now, now, 10)
        assert.isFalse(yield* writers.recordMultipart(intent(1).key, "late"))
        yield* writers.recordMultipart(intent(2).key, "done")
        yield* writers.recordMultipart(intent(3).key, "duplicate")
        const publication = { digest: digest(2), sizeBytes: 1, references: [] }
        const outcomes = yield* writers.publish(now, [
          { ...publication, key: intent(2).key },
          { ...publication, key: intent(3).key }
        ])
        assert.deepStrictEqual(outcomes, ["published", "deduplicated"])
        const after = yield* rows
        assert.deepStrictEqual(after.intents, [])
        assert.deepStrictEqual(
          after.journal.map(({ key, uploadId }) => ({ key, uploadId })),
          [
            { key: intent(1).key, uploadId: null },
            { key: intent(3).key, uploadId: null }
          ]
        )
      })
    )
  })
}

export const leftovers = (promised: Promised): void => {
  whoseTurn(promised)
  sharing(promised)
  journaling(promised)
  inParts(promised)
}
