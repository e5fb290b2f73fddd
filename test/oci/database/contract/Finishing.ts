/** Upload sessions on their way to a blob: claim, renewClaim, release, complete. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { Publication } from "../../../../src/database/Database.ts"
import type { SessionRow } from "../../../../src/oci/database/Memory.ts"
import { Database } from "../../../fixtures/Database.ts"
import {
  blob,
  blobs,
  chunk,
  condemned,
  dead,
  digest,
  hour,
  intent,
  key,
  minute,
  now,
  type Promised,
  pin,
  rows,
  session,
  write
} from "../../../fixtures/samples.ts"
import { answered, brought, discarded, ref } from "./Sessions.ts"

const verbs = Effect.map(Database, ({ sessions }) => sessions)

const strangers = { repository: "library/other", id: "s" }
const lease = { token: "mine", until: now + minute }
/** Session `s`, claimed under `mine`. */
const mine = (row: Partial<SessionRow> = {}) =>
  session("s", { state: "finalizing", token: "mine", leaseUntil: now + minute, lastActivityAt: now, ...row })
const finished = (n: number, row: Partial<SessionRow> = {}) =>
  mine({ state: "done", digest: digest(n), leaseUntil: null, ...row })

const claiming = (promised: Promised): void => {
  describe("sessions.claim", () => {
    promised("takes an open session and shows its chunks in order", () =>
      Effect.gen(function* () {
        const { claim } = yield* verbs
        yield* write({
          sessions: [session("s", { receivedBytes: 8 }), session("other", { receivedBytes: 3 })],
          chunks: [chunk(2, "s", 6), chunk(6, "s", 0), chunk(3, "other", 0)]
        })
        assert.deepStrictEqual(yield* claim(now, ref("s"), lease), {
          _tag: "claimed",
          session: answered(mine({ receivedBytes: 8 })),
          chunks: [brought(6, 0), brought(2, 6)]
        })
        assert.deepStrictEqual((yield* rows).sessions, [
          session("other", { receivedBytes: 3 }),
          mine({ receivedBytes: 8 })
        ])
      })
    )

    promised("is busy until the lease ends, to the millisecond, but for the same token", () =>
      Effect.gen(function* () {
        const { claim } = yield* verbs
        yield* write({ sessions: [mine()] })
        const theirs = { token: "theirs", until: now + hour }
        assert.deepStrictEqual(yield* claim(lease.until - 1, ref("s"), theirs), {
          _tag: "busy",
          session: answered(mine()),
          until: lease.until
        })
        assert.deepStrictEqual((yield* rows).sessions, [mine()])
        const again = yield* claim(now + 1, ref("s"), { ...lease, until: now + 2 * minute })
        const renewed = mine({ leaseUntil: now + 2 * minute, lastActivityAt: now + 1 })
        assert.deepStrictEqual(again, { _tag: "claimed", session: answered(renewed), chunks: [] })
        assert.strictEqual((yield* claim(now + 2 * minute, ref("s"), theirs))._tag, "claimed")
        assert.deepStrictEqual((yield* rows).sessions, [
          mine({ token: "theirs", leaseUntil: now + hour, lastActivityAt: now + 2 * minute })
        ])
      })
    )

    promised("says what a session has become, or that there is none", () =>
      Effect.gen(function* () {
        const { claim } = yield* verbs
        yield* write({ sessions: [finished(1)] })
        assert.deepStrictEqual(yield* claim(now, ref("s"), lease), {
          _tag: "done",
          session: answered(finished(1)),
          digest: digest(1)
        })
        assert.deepStrictEqual(yield* claim(now, strangers, lease), { _tag: "unknown" })
        assert.deepStrictEqual(yield* claim(now, ref("other"), lease), { _tag: "unknown" })
      })
    )
  })

  describe("sessions.renewClaim", () => {
    promised("puts off the end of its own lease, never brings it forward, and notes activity", () =>
      Effect.gen(function* () {
        const { renewClaim } = yield* verbs
        yield* write({ sessions: [mine()] })
        assert.isTrue(yield* renewClaim(now + 5, ref("s"), { ...lease, until: now }))
        assert.isTrue(yield* renewClaim(now + 5 * minute, ref("s"), { ...lease, until: now + hour }))
        assert.deepStrictEqual((yield* rows).sessions, [
          mine({ leaseUntil: now + hour, lastActivityAt: now + 5 * minute })
        ])
      })
    )

    promised("says so when it is another token's, released, done or gone", () =>
      Effect.gen(function* () {
        const { renewClaim } = yield* verbs
        const given = [
          { ...finished(1), id: "d" },
          mine({ id: "o", state: "open", leaseUntil: null }),
          mine()
        ]
        yield* write({ sessions: given })
        assert.isFalse(yield* renewClaim(now, ref("s"), { ...lease, token: "theirs" }))
        for (const one of [ref("d"), ref("o"), ref("other"), strangers]) {
          assert.isFalse(yield* renewClaim(now, one, lease), JSON.stringify(one))
        }
        assert.deepStrictEqual((yield* rows).sessions, given)
      })
    )
  })

  describe("sessions.release", () => {
    promised("gives a session back as it was; once more, it answers the same", () =>
      Effect.gen(function* () {
        const { append, claim, release } = yield* verbs
        yield* write({
          sessions: [session("s", { receivedBytes: 6 })],
          chunks: [chunk(6, "s", 0)],
          intents: [intent(2)]
        })
        yield* claim(now, ref("s"), lease)
        assert.isTrue(yield* release(now + 1, ref("s"), "mine"))
        assert.isTrue(yield* release(now + 1, ref("s"), "mine"))
        const open = mine({ state: "open", leaseUntil: null, receivedBytes: 6, lastActivityAt: now + 1 })
        const after = yield* rows
        assert.deepStrictEqual([after.sessions, after.chunks], [[open], [chunk(6, "s", 0)]])
        assert.strictEqual((yield* append(now, ref("s"), brought(2, 6)))._tag, "appended")
        assert.strictEqual((yield* claim(now, ref("s"), { ...lease, token: "theirs" }))._tag, "claimed")
      })
    )

    promised("says so when it is another token's, done or gone", () =>
      Effect.gen(function* () {
        const { release } = yield* verbs
        const given = [{ ...finished(1), id: "d" }, mine()]
        yield* write({ sessions: given })
        assert.isFalse(yield* release(now, ref("s"), "theirs"))
        for (const one of [ref("d"), ref("other"), strangers]) {
          assert.isFalse(yield* release(now, one, "mine"), JSON.stringify(one))
        }
        assert.deepStrictEqual((yield* rows).sessions, given)
      })
    )
  })
}

const made = (n: number, change: Partial<Publication> = {}): Publication => ({
  key: intent(n).key,
  digest: digest(n),
  sizeBytes: n,
  pins: [pin("hold", n)],
  ...change
})

const completing = (promised: Promised): void => {
  promised("makes the only chunk a blob where it is", () =>
    Effect.gen(function* () {
      const { complete } = yield* verbs
      yield* write({ sessions: [mine({ receivedBytes: 6 })], chunks: [chunk(6, "s", 0)] })
      const publication = made(6)
      for (const _ of ["first", "again"]) {
        assert.strictEqual(yield* complete(now + 1, ref("s"), "mine", publication), "published")
      }
      const after = yield* rows
      assert.deepStrictEqual(after.blobs, [
        blob(6, { key: intent(6).key, createdAt: now + 1, lastUsedAt: now + 1 })
      ])
      assert.deepStrictEqual(after.pins, [pin("hold", 6)])
      assert.deepStrictEqual(after.sessions, [finished(6, { receivedBytes: 6, lastActivityAt: now + 1 })])
      assert.deepStrictEqual([after.chunks, after.intents, after.journal], [[], [], []])
    })
  )

  promised("makes an object with an intent a blob and journals the chunks it was made of", () =>
    Effect.gen(function* () {
      const { complete } = yield* verbs
      yield* write({
        sessions: [mine({ receivedBytes: 8 }), session("other", { receivedBytes: 3 })],
        chunks: [chunk(6, "s", 0), chunk(2, "s", 6), chunk(3, "other", 0)],
        intents: [intent(8), intent(9)]
      })
      assert.strictEqual(yield* complete(now, ref("s"), "mine", made(8)), "published")
      const after = yield* rows
      assert.deepStrictEqual(
        after.blobs.map((row) => row.key),
        [intent(8).key]
      )
      assert.deepStrictEqual(after.sessions[1], finished(8, { receivedBytes: 8 }))
      assert.deepStrictEqual(after.chunks, [chunk(3, "other", 0)])
      assert.deepStrictEqual([after.intents, after.journal], [[intent(9)], [discarded(2), discarded(6)]])
    })
  )

  promised("of what lives already journals the chunk as the duplicate it is", () =>
    Effect.gen(function* () {
      const { complete } = yield* verbs
      yield* write({
        blobs: blobs(6),
        orphans: [condemned(6)],
        sessions: [mine({ receivedBytes: 6 })],
        chunks: [chunk(6, "s", 0)]
      })
      for (const _ of ["first", "again"]) {
        assert.strictEqual(yield* complete(now, ref("s"), "mine", made(6)), "deduplicated")
      }
      const after = yield* rows
      assert.deepStrictEqual([after.blobs, after.orphans], [[blob(6, { lastUsedAt: now })], []])
      assert.deepStrictEqual(after.pins, [pin("hold", 6)])
      assert.deepStrictEqual(after.sessions, [finished(6, { receivedBytes: 6 })])
      assert.deepStrictEqual([after.chunks, after.intents], [[], []])
      assert.deepStrictEqual(after.journal, [
        dead(6, { key: intent(6).key, reason: "duplicate", notBefore: now })
      ])
    })
  )

  promised("takes the place of a blob whose object is in doubt", () =>
    Effect.gen(function* () {
      const { complete } = yield* verbs
      yield* write({
        blobs: blobs(6),
        suspects: [{ digest: digest(6), key: key(6) }],
        sessions: [mine({ receivedBytes: 6 })],
        chunks: [chunk(6, "s", 0)]
      })
      assert.strictEqual(yield* complete(now, ref("s"), "mine", made(6)), "published")
      const after = yield* rows
      assert.deepStrictEqual(after.blobs, [blob(6, { key: intent(6).key, lastUsedAt: now })])
      assert.deepStrictEqual(after.journal, [dead(6, { reason: "duplicate", notBefore: now })])
      assert.deepStrictEqual(after.chunks, [])
    })
  )

  promised("needs no lease that lasts, only that no other has taken the session over", () =>
    Effect.gen(function* () {
      const { complete } = yield* verbs
      yield* write({ sessions: [mine({ receivedBytes: 6 })], chunks: [chunk(6, "s", 0)] })
      assert.strictEqual(yield* complete(now + hour, ref("s"), "mine", made(6)), "published")
    })
  )
}

const losing = (promised: Promised): void => {
  const chunks = [chunk(6, "s", 0)]
  for (const [how, sessions] of [
    ["was taken over", [mine({ token: "theirs", receivedBytes: 6 })]],
    ["was given back", [mine({ state: "open", leaseUntil: null, receivedBytes: 6 })]],
    ["belongs to another repository", [mine({ repository: "library/other", receivedBytes: 6 })]]
  ] as const) {
    promised(`is lost when the session ${how}: a key with an intent is journaled, a chunk stays`, () =>
      Effect.gen(function* () {
        const { complete } = yield* verbs
        yield* write({ sessions, chunks, intents: [{ ...intent(8), uploadId: "parts" }] })
        for (const n of [6, 8, 6, 8]) {
          assert.strictEqual(yield* complete(now, ref("s"), "mine", made(n)), "lost")
        }
        const after = yield* rows
        assert.deepStrictEqual([after.sessions, after.chunks], [[...sessions], chunks])
        assert.deepStrictEqual([after.blobs, after.pins, after.intents], [[], [], []])
        assert.deepStrictEqual(after.journal, [discarded(8, { uploadId: "parts" })])
      })
    )
  }

  promised("is lost when the session is gone, or done by another or as another blob", () =>
    Effect.gen(function* () {
      const { complete } = yield* verbs
      const given = [finished(1), { ...finished(8), id: "t", token: "theirs" }]
      yield* write({ sessions: given, intents: [intent(6), intent(7), intent(8)] })
      assert.strictEqual(yield* complete(now, ref("gone"), "mine", made(6)), "lost")
      assert.strictEqual(yield* complete(now, ref("s"), "mine", made(7)), "lost")
      assert.strictEqual(yield* complete(now, ref("t"), "mine", made(8)), "lost")
      const after = yield* rows
      assert.deepStrictEqual([after.sessions, after.blobs, after.intents], [given, [], []])
      assert.deepStrictEqual(after.journal, [discarded(6), discarded(7), discarded(8)])
    })
  )

  promised("is expired when the intent was reaped, and the session can still be completed", () =>
    Effect.gen(function* () {
      const { complete } = yield* verbs
      const sessions = [session("other", { receivedBytes: 3 }), mine({ receivedBytes: 6 })]
      yield* write({ sessions, chunks: [chunk(3, "other", 0), ...chunks] })
      assert.strictEqual(yield* complete(now, ref("s"), "mine", made(8)), "expired")
      assert.strictEqual(
        yield* complete(now, ref("s"), "mine", made(3)),
        "expired",
        "another session's chunk"
      )
      const after = yield* rows
      assert.deepStrictEqual([after.sessions, after.chunks], [sessions, [chunk(3, "other", 0), ...chunks]])
      assert.deepStrictEqual([after.blobs, after.pins, after.journal], [[], [], []])
      assert.strictEqual(yield* complete(now, ref("s"), "mine", made(6)), "published")
    })
  )
}

export const finishing = (promised: Promised): void => {
  claiming(promised)
  describe("sessions.complete", () => {
    completing(promised)
    losing(promised)
  })
}
