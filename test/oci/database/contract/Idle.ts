/** Idle upload sessions: expire, idle, backlog. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { JournalEntry } from "../../../../src/database/Database.ts"
import type { ExpireRequest } from "../../../../src/oci/database/RegistryDatabase.ts"
import { Database } from "../../../fixtures/Database.ts"
import {
  chunk,
  dead,
  digest,
  hour,
  intent,
  minute,
  now,
  type Promised,
  rows,
  session,
  write
} from "../../../fixtures/samples.ts"
import { discarded } from "./Sessions.ts"

const verbs = Effect.map(Database, ({ sessions }) => sessions)

const held = (id: string, leaseUntil: number) =>
  session(id, { state: "finalizing", token: "t", leaseUntil, lastActivityAt: now - 3 * hour })

/** Idle: `a`, done; `b`, with two chunks; `c`, whose lease has ended; `d`, just so. */
const given = {
  sessions: [
    session("a", { state: "done", digest: digest(1), lastActivityAt: now - 5 * hour }),
    session("b", { receivedBytes: 8, lastActivityAt: now - 4 * hour }),
    { ...held("c", now), receivedBytes: 3 },
    session("d", { lastActivityAt: now - hour }),
    { ...held("leased", now + 1), receivedBytes: 4 },
    session("young", { receivedBytes: 5, lastActivityAt: now - hour + 1 })
  ],
  chunks: [
    ...[chunk(2, "b", 6), chunk(3, "c", 0), chunk(4, "leased", 0)],
    ...[chunk(5, "young", 0), chunk(6, "b", 0)]
  ]
}
const kept = ({ id }: { readonly id: string }) => id === "leased" || id === "young"

/** Of what is idle since an hour ago. */
const request = (limit: number): ExpireRequest => ({
  now,
  idleSince: now - hour,
  limit,
  deleteNotBefore: now + minute,
  leaseUntil: null
})
const entry = (n: number): JournalEntry => ({
  key: intent(n).key,
  sizeBytes: n,
  reason: "upload",
  attempts: 0,
  uploadId: null
})
const nothing = { sessions: 0, forgotten: 0, journaled: [] }

export const idling = (promised: Promised): void => {
  describe("sessions.expire", () => {
    promised("ends what is idle to the millisecond, journals its chunks, and forgets what is done", () =>
      Effect.gen(function* () {
        const { expire, idle } = yield* verbs
        yield* write(given)
        assert.deepStrictEqual(yield* idle(now, now - hour), { sessions: 3, chunks: 3, bytes: 11 })
        assert.deepStrictEqual(yield* expire(request(100)), {
          sessions: 3,
          forgotten: 1,
          journaled: [entry(2), entry(3), entry(6)]
        })
        const after = yield* rows
        assert.deepStrictEqual(after.sessions, given.sessions.filter(kept))
        assert.deepStrictEqual(after.chunks, [chunk(4, "leased", 0), chunk(5, "young", 0)])
        const later = { notBefore: now + minute }
        assert.deepStrictEqual(after.journal, [discarded(2, later), discarded(3, later), discarded(6, later)])
        assert.deepStrictEqual(yield* idle(now, now - hour), { sessions: 0, chunks: 0, bytes: 0 })
        assert.deepStrictEqual(yield* expire(request(100)), nothing)
      })
    )

    promised("takes the longest idle first, as many sessions and chunks as it may, and one at least", () =>
      Effect.gen(function* () {
        const { expire } = yield* verbs
        yield* write(given)
        const left = Effect.map(rows, ({ sessions }) => sessions.map(({ id }) => id).join(" "))
        assert.deepStrictEqual(yield* expire(request(3)), { ...nothing, forgotten: 1 })
        assert.strictEqual(yield* left, "b c d leased young")
        const expected = { sessions: 1, forgotten: 0, journaled: [entry(2), entry(6)] }
        assert.deepStrictEqual(yield* expire(request(0)), expected)
        assert.strictEqual(yield* left, "c d leased young")
        assert.deepStrictEqual(yield* expire(request(3)), {
          ...{ sessions: 2, forgotten: 0 },
          journaled: [entry(3)]
        })
        assert.strictEqual(yield* left, "leased young")
        assert.deepStrictEqual(yield* expire(request(3)), nothing)
      })
    )

    promised(
      "leases the keys that it journals, so that no other collector deletes them, and returns only those",
      () =>
        Effect.gen(function* () {
          const { sessions, journal } = yield* Database
          const before = dead(6, { key: intent(6).key, notBefore: now - hour })
          yield* write({ ...given, journal: [before] })
          const leaseUntil = now + hour
          const { journaled } = yield* sessions.expire({ ...request(100), deleteNotBefore: now, leaseUntil })
          assert.deepStrictEqual(journaled, [entry(2), entry(3)], "another has journaled the third")
          const leased = { claimedUntil: leaseUntil }
          assert.deepStrictEqual((yield* rows).journal, [discarded(2, leased), discarded(3, leased), before])
          const claimed = yield* journal.claim(now, now + minute, 100)
          assert.deepStrictEqual(
            claimed.entries.map(({ key }) => key),
            [before.key]
          )
          assert.lengthOf((yield* journal.claim(leaseUntil, leaseUntil + 1, 100)).entries, 3)
        })
    )

    promised("are counted and dated in the backlog while they are open or being finished", () =>
      Effect.gen(function* () {
        const { backlog } = yield* verbs
        assert.deepStrictEqual(yield* backlog, { sessions: 0, oldestActivityAt: null })
        const finalizing = { state: "finalizing", token: "t", leaseUntil: now } as const
        yield* write({
          sessions: [
            session("a"),
            session("b", { lastActivityAt: now - 3 * hour, ...finalizing }),
            session("c", { lastActivityAt: now - 4 * hour, state: "done", digest: digest(1) })
          ]
        })
        assert.deepStrictEqual(yield* backlog, { sessions: 2, oldestActivityAt: now - 3 * hour })
      })
    )
  })
}
