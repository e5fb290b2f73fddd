/** Dead keys: claim, confirm, postpone, dead letters, and the reaping of intents. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { JournalEntry, Postponement } from "../../../src/database/Database.ts"
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

const leaseUntil = now + 5 * minute

const claim = (limit = 100, at = now) =>
  Effect.flatMap(Database, ({ journal }) => journal.claim(at, leaseUntil, limit))

const entry = (n: number, change: Partial<JournalEntry> = {}): JournalEntry => ({
  key: key(n),
  sizeBytes: n,
  reason: "purged",
  attempts: 0,
  uploadId: null,
  ...change
})

const failed = (n: number, change: Partial<Postponement> = {}): Postponement => ({
  key: key(n),
  notBefore: now + hour,
  attempts: 1,
  error: "SlowDown: please reduce your request rate",
  deadAt: null,
  ...change
})

export const journal = (promised: Promised): void => {
  describe("journal.claim", () => {
    promised("leases the keys that are due, oldest first, and passes the leased ones over", () =>
      Effect.gen(function* () {
        const old = now - 2 * hour
        yield* write({
          journal: [
            dead(4, { notBefore: old }),
            dead(3),
            dead(2),
            dead(1, { notBefore: now, attempts: 3, reason: "reaped", sizeBytes: 0 }),
            dead(5, { notBefore: now + 1 })
          ]
        })
        assert.deepStrictEqual(yield* claim(2), { entries: [entry(2), entry(4)], readopted: 0 })
        assert.deepStrictEqual((yield* rows).journal, [
          dead(1, { notBefore: now, attempts: 3, reason: "reaped", sizeBytes: 0 }),
          dead(2, { claimedUntil: leaseUntil }),
          dead(3),
          dead(4, { notBefore: old, claimedUntil: leaseUntil }),
          dead(5, { notBefore: now + 1 })
        ])
        assert.deepStrictEqual(yield* claim(), {
          entries: [entry(1, { attempts: 3, reason: "reaped", sizeBytes: 0 }), entry(3)],
          readopted: 0
        })
        assert.deepStrictEqual(yield* claim(), { entries: [], readopted: 0 }, "the fifth is not due")
      })
    )

    promised("gives a key to another when its lease is over, to the millisecond", () =>
      Effect.gen(function* () {
        yield* write({ journal: [dead(1, { claimedUntil: now + 1 }), dead(2, { claimedUntil: now })] })
        assert.deepStrictEqual((yield* claim()).entries, [entry(2)])
        assert.deepStrictEqual((yield* claim(100, now + 1)).entries, [entry(1)])
      })
    )

    promised("leaves dead letters alone", () =>
      Effect.gen(function* () {
        yield* write({ journal: [dead(1, { deadAt: now - hour })] })
        assert.deepStrictEqual(yield* claim(), { entries: [], readopted: 0 })
      })
    )

    promised("strikes off, and does not return, a key that a blob owns again", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 3), journal: [dead(1), dead(2)] })
        assert.deepStrictEqual(yield* claim(), { entries: [entry(2)], readopted: 1 })
        const after = yield* rows
        assert.deepStrictEqual(after.journal, [dead(2, { claimedUntil: leaseUntil })])
        assert.deepStrictEqual(after.blobs, blobs(1, 3))
      })
    )

    promised("strikes off, and does not return, a key that an upload session owns", () =>
      Effect.gen(function* () {
        const own = chunk(1, "s", 0)
        yield* write({
          sessions: [session("s", { receivedBytes: 1 })],
          chunks: [own],
          journal: [dead(1, { key: own.key }), dead(2)]
        })
        assert.deepStrictEqual(yield* claim(), { entries: [entry(2)], readopted: 1 })
        const after = yield* rows
        assert.deepStrictEqual(after.journal, [dead(2, { claimedUntil: leaseUntil })])
        assert.deepStrictEqual(after.chunks, [own])
      })
    )
  })

  describe("journal.confirm", () => {
    promised("strikes off what is gone; once more, or for unknown keys, it changes nothing", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        yield* write({ journal: [dead(1), dead(2), dead(3)] })
        yield* journal.confirm([key(3), key(1)])
        yield* journal.confirm([key(3), key(1), key(9)])
        yield* journal.confirm([])
        assert.deepStrictEqual((yield* rows).journal, [dead(2)])
      })
    )
  })

  describe("journal.postpone", () => {
    promised("ends the leases and writes down when to try again and why", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        yield* write({
          journal: [
            dead(1, { claimedUntil: leaseUntil }),
            dead(2, { claimedUntil: leaseUntil }),
            dead(3, { claimedUntil: leaseUntil })
          ]
        })
        yield* journal.postpone([failed(2, { attempts: 12, error: "AccessDenied", deadAt: now }), failed(1)])
        const error = "SlowDown: please reduce your request rate"
        assert.deepStrictEqual((yield* rows).journal, [
          dead(1, { notBefore: now + hour, attempts: 1, lastError: error }),
          dead(2, { notBefore: now + hour, attempts: 12, lastError: "AccessDenied", deadAt: now }),
          dead(3, { claimedUntil: leaseUntil })
        ])
        assert.deepStrictEqual((yield* claim(100, now + hour)).entries, [entry(1, { attempts: 1 }), entry(3)])
      })
    )

    promised("passes over keys that are no longer in the journal", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        yield* journal.postpone([])
        yield* journal.postpone([failed(1)])
        assert.deepStrictEqual((yield* rows).journal, [])
      })
    )
  })

  describe("dead letters", () => {
    const given = (n: number) =>
      dead(n, { attempts: 12, lastError: `error ${n}`, deadAt: now - n, claimedUntil: n === 1 ? now : null })
    const letters = [given(1), given(2), given(3)]

    promised("are listed in key order, page after page", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        yield* write({ journal: [...letters, dead(0)] })
        const letter = (n: number) => ({
          ...entry(n, { attempts: 12 }),
          lastError: `error ${n}`,
          deadAt: now - n
        })
        assert.deepStrictEqual(yield* journal.deadLetters(null, 2), [letter(1), letter(2)])
        assert.deepStrictEqual(yield* journal.deadLetters(key(2), 2), [letter(3)])
        assert.deepStrictEqual(yield* journal.deadLetters(key(3), 2), [])
      })
    )

    promised("are due again, with a clean slate, when all are retried", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        const waiting = dead(4, { attempts: 2, notBefore: now + hour })
        yield* write({ journal: [...letters, waiting] })
        assert.strictEqual(yield* journal.retry(now, "all"), 3)
        assert.deepStrictEqual((yield* rows).journal, [
          ...[1, 2, 3].map((n) => dead(n, { notBefore: now, lastError: `error ${n}` })),
          waiting
        ])
        assert.strictEqual(yield* journal.retry(now, "all"), 0)
        assert.deepStrictEqual((yield* claim()).entries, [entry(1), entry(2), entry(3)])
      })
    )

    promised("are retried by name, others not, and neither what is not dead", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        const waiting = dead(4, { attempts: 2, notBefore: now + hour })
        yield* write({ journal: [...letters, waiting] })
        assert.strictEqual(yield* journal.retry(now, [key(2), key(4), key(9)]), 1)
        assert.strictEqual(yield* journal.retry(now, []), 0)
        assert.deepStrictEqual((yield* rows).journal, [
          given(1),
          dead(2, { notBefore: now, lastError: "error 2" }),
          given(3),
          waiting
        ])
      })
    )
  })

  describe("journal.reapIntents", () => {
    promised("journals the keys of uploads whose time is up, and tells how many", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        yield* write({ intents: [intent(1, now), intent(2, now - hour), intent(3, now + 1)] })
        assert.strictEqual(yield* journal.reapIntents(now, now + 7, 100), 2)
        const after = yield* rows
        assert.deepStrictEqual(after.intents, [intent(3, now + 1)])
        const reaped = (n: number) =>
          dead(n, {
            key: key(`upload-${n}`),
            digest: digest(n),
            sizeBytes: 0,
            reason: "reaped",
            notBefore: now + 7
          })
        assert.deepStrictEqual(after.journal, [reaped(1), reaped(2)])
      })
    )

    promised("takes no more than it is asked to", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        yield* write({ intents: [1, 2, 3].map((n) => intent(n, now - hour)) })
        assert.strictEqual(yield* journal.reapIntents(now, now, 2), 2)
        assert.strictEqual(yield* journal.reapIntents(now, now, 2), 1)
        assert.strictEqual(yield* journal.reapIntents(now, now, 2), 0)
        assert.lengthOf((yield* rows).journal, 3)
      })
    )

    promised("makes a writer that is still at it start again", () =>
      Effect.gen(function* () {
        const { journal, blobs: writers } = yield* Database
        yield* writers.intend([intent(1, now)])
        yield* journal.reapIntents(now, now, 100)
        const outcome = yield* writers.publish(now, [
          { key: intent(1).key, digest: digest(1), sizeBytes: 1, references: [] }
        ])
        assert.deepStrictEqual(outcome, ["expired"])
        assert.deepStrictEqual((yield* rows).blobs, [])
      })
    )
  })
}
