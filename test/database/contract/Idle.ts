/** Upload sessions that nobody goes on with: expire, idle. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Database } from "../../../src/database/Database.ts"
import { discarded } from "./Sessions.ts"
import { chunk, digest, hour, minute, now, type Promised, rows, session, write } from "./samples.ts"

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

export const idling = (promised: Promised): void => {
  describe("sessions.expire", () => {
    promised("ends what is idle to the millisecond, journals its chunks, and forgets what is done", () =>
      Effect.gen(function* () {
        const { expire, idle } = yield* verbs
        yield* write(given)
        assert.deepStrictEqual(yield* idle(now, now - hour), { sessions: 3, chunks: 3, bytes: 11 })
        assert.deepStrictEqual(yield* expire(now, now - hour, now + minute, 100), {
          sessions: 3,
          chunks: 3,
          bytes: 11,
          forgotten: 1
        })
        const after = yield* rows
        assert.deepStrictEqual(after.sessions, given.sessions.filter(kept))
        assert.deepStrictEqual(after.chunks, [chunk(4, "leased", 0), chunk(5, "young", 0)])
        const later = { notBefore: now + minute }
        assert.deepStrictEqual(after.journal, [discarded(2, later), discarded(3, later), discarded(6, later)])
        const nothing = { sessions: 0, chunks: 0, bytes: 0 }
        assert.deepStrictEqual(yield* idle(now, now - hour), nothing)
        assert.deepStrictEqual(yield* expire(now, now - hour, now, 100), { ...nothing, forgotten: 0 })
      })
    )

    promised("takes the longest idle first, as many sessions and chunks as it may, and one at least", () =>
      Effect.gen(function* () {
        const { expire } = yield* verbs
        yield* write(given)
        const left = Effect.map(rows, ({ sessions }) => sessions.map(({ id }) => id).join(" "))
        const none = { sessions: 0, chunks: 0, bytes: 0, forgotten: 0 }
        assert.deepStrictEqual(yield* expire(now, now - hour, now, 3), { ...none, forgotten: 1 })
        assert.strictEqual(yield* left, "b c d leased young")
        assert.deepStrictEqual(yield* expire(now, now - hour, now, 0), {
          ...{ sessions: 1, chunks: 2, bytes: 8 },
          forgotten: 0
        })
        assert.strictEqual(yield* left, "c d leased young")
        assert.deepStrictEqual(yield* expire(now, now - hour, now, 3), {
          ...{ sessions: 2, chunks: 1, bytes: 3 },
          forgotten: 0
        })
        assert.strictEqual(yield* left, "leased young")
        assert.deepStrictEqual(yield* expire(now, now - hour, now, 3), none)
      })
    )
  })
}
