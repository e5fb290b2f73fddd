/** Objects that nothing knows: whose turn it is to list, and what is journaled; uploads in parts on their way to it. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Database, type LeftoverScan } from "../../../src/database/Database.ts"
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
} from "./samples.ts"

const day = 24 * hour
const leaseUntil = now + 5 * minute
const verbs = Effect.map(Database, ({ leftovers }) => leftovers)

const claim = (at = now, until = at + 5 * minute) =>
  Effect.flatMap(verbs, (leftovers) => leftovers.claim(at, until, day))
/** A claim that is granted. */
const take = (at = now, until = at + 5 * minute) => Effect.map(claim(at, until), Option.getOrThrow)

/** What a scan says but its lease. */
const standing = ({ token: _, ...rest }: LeftoverScan) => rest
const fresh = { pass: 1, startedAt: now, after: null, listed: 0, unowned: 0 }
const halfway = { after: key(500), listed: 1000, unowned: 7 }
const end = { after: null, listed: 1500, unowned: 8 }

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
        assert.isTrue(yield* advance(first, end, now + hour, leaseUntil))
        assert.isTrue(Option.isNone(yield* claim(now + day - 1)))
        assert.deepStrictEqual(standing(yield* take(now + day)), { ...fresh, pass: 2, startedAt: now + day })
      })
    )

    promised("goes on with a pass that has not ended, however long ago it began", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        yield* advance(yield* take(), halfway, now, leaseUntil)
        const again = yield* take(now + 30 * day)
        assert.deepStrictEqual(standing(again), { ...fresh, ...halfway })
      })
    )
  })

  describe("leftovers.advance", () => {
    promised("moves the scan on and renews its lease", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        const scan = yield* take()
        assert.isTrue(yield* advance(scan, halfway, now + minute, now + hour))
        assert.isTrue(Option.isNone(yield* claim(now + hour - 1)))
        assert.deepStrictEqual(standing(yield* take(now + hour)), { ...fresh, ...halfway })
      })
    )

    promised("changes nothing when the lease was lost to another, was given up, or the pass has ended", () =>
      Effect.gen(function* () {
        const leftovers = yield* verbs
        const lost = yield* take()
        const holder = yield* take(leaseUntil)
        assert.isFalse(yield* leftovers.advance(lost, end, now, leaseUntil))
        assert.isTrue(yield* leftovers.advance(holder, halfway, leaseUntil, now + hour))
        assert.isFalse(yield* leftovers.advance(lost, end, now, leaseUntil))
        yield* leftovers.yield(holder)
        assert.isFalse(yield* leftovers.advance(holder, end, now, leaseUntil))
        const last = yield* take(now + hour)
        assert.deepStrictEqual(standing(last), { ...fresh, ...halfway })
        assert.isTrue(yield* leftovers.advance(last, end, now + hour, leaseUntil))
        assert.isFalse(yield* leftovers.advance(last, halfway, now + hour, leaseUntil))
        assert.strictEqual((yield* take(now + day)).pass, 2)
      })
    )

    promised("goes on while nobody else has taken the scan, even past the end of the lease", () =>
      Effect.gen(function* () {
        const { advance } = yield* verbs
        assert.isTrue(yield* advance(yield* take(), halfway, now + day, now + day + hour))
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
        assert.deepStrictEqual(standing(next), { ...fresh, ...halfway })
        yield* leftovers.yield(scan)
        assert.isTrue(Option.isNone(yield* claim(now + 2)))
      })
    )
  })

  describe("leftovers.withdraw", () => {
    promised("takes back the leftovers that nobody has begun to delete, and begins the pass anew", () =>
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
        assert.deepStrictEqual(standing(yield* take(now + 1)), fresh, "number and beginning stay")
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
        assert.isTrue(yield* leftovers.advance(holder, halfway, leaseUntil, now + hour))
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
  journaling(promised)
  inParts(promised)
}
