/** Upload sessions while they grow: open, read, touch, append, cancel. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { StagedChunk, UploadSession } from "../../../../src/oci/database/RegistryDatabase.ts"
import { Database } from "../../../fixtures/Database.ts"
import {
  chunk,
  dead,
  digest,
  hour,
  intent,
  key,
  now,
  type Promised,
  pin,
  rows,
  session,
  write
} from "../../../fixtures/samples.ts"

const verbs = Effect.map(Database, ({ sessions }) => sessions)

/** A session as a verb answers it. */
export const answered = ({ token, leaseUntil, ...seen }: ReturnType<typeof session>): UploadSession => seen

/** A chunk as its writer brings it. */
export const brought = (n: number, startByte: number): StagedChunk => {
  const { session: _, ...staged } = chunk(n, "", startByte)
  return staged
}

/** What a session needs no more: due at once, and of no digest. */
export const discarded = (n: number, row: Partial<ReturnType<typeof dead>> = {}) =>
  dead(n, { key: intent(n).key, digest: null, reason: "upload", notBefore: now, ...row })

export const ref = (id: string) => ({ repository: "library/app", id })
const strangers = { repository: "library/other", id: "s" }

const beginning = (promised: Promised): void => {
  describe("sessions.open", () => {
    promised("begins a session, open and empty", () =>
      Effect.gen(function* () {
        const { open, read } = yield* verbs
        yield* open(now, { ...ref("s"), algorithm: "sha512" })
        const begun = session("s", { algorithm: "sha512", lastActivityAt: now })
        assert.deepStrictEqual((yield* rows).sessions, [begun])
        assert.deepStrictEqual(yield* read(ref("s")), Option.some(answered(begun)))
      })
    )

    promised("changes nothing when it is done again, for any repository", () =>
      Effect.gen(function* () {
        const { open } = yield* verbs
        const given = session("s", { receivedBytes: 6 })
        yield* write({ sessions: [given] })
        yield* open(now, { ...ref("s"), algorithm: "sha256" })
        yield* open(now, { ...strangers, algorithm: "sha512" })
        assert.deepStrictEqual((yield* rows).sessions, [given])
      })
    )
  })

  describe("sessions.read", () => {
    promised("knows a session in its own repository only", () =>
      Effect.gen(function* () {
        const { read } = yield* verbs
        const done = session("d", { state: "done", digest: digest(1), receivedBytes: 2 ** 40 })
        yield* write({ sessions: [session("s"), done] })
        assert.deepStrictEqual(yield* read(ref("d")), Option.some(answered(done)))
        assert.deepStrictEqual(yield* read(strangers), Option.none())
        assert.deepStrictEqual(yield* read(ref("other")), Option.none())
      })
    )
  })

  describe("sessions.touch", () => {
    promised("notes activity, which never goes back", () =>
      Effect.gen(function* () {
        const { touch } = yield* verbs
        const held = session("f", { state: "finalizing", token: "t", leaseUntil: now })
        yield* write({ sessions: [session("s"), held] })
        assert.isTrue(yield* touch(now, ref("s")))
        assert.isTrue(yield* touch(now - 1, ref("s")))
        assert.isTrue(yield* touch(now, ref("f")))
        assert.deepStrictEqual((yield* rows).sessions, [
          { ...held, lastActivityAt: now },
          session("s", { lastActivityAt: now })
        ])
      })
    )

    promised("says so when the session is gone, another repository's or done", () =>
      Effect.gen(function* () {
        const { touch } = yield* verbs
        const given = [session("d", { state: "done", digest: digest(1) }), session("s")]
        yield* write({ sessions: given })
        for (const one of [ref("d"), ref("other"), strangers]) assert.isFalse(yield* touch(now, one))
        assert.deepStrictEqual((yield* rows).sessions, given)
      })
    )
  })
}

const growing = (promised: Promised): void => {
  promised("makes chunks of intents, one after the other", () =>
    Effect.gen(function* () {
      const { append } = yield* verbs
      const large = { ...brought(2, 6), sizeBytes: 2 ** 40 }
      yield* write({ sessions: [session("s")], intents: [intent(6), intent(2), intent(3)] })
      const first = session("s", { receivedBytes: 6, lastActivityAt: now })
      assert.deepStrictEqual(yield* append(now, ref("s"), brought(6, 0)), {
        _tag: "appended",
        session: answered(first)
      })
      const second = { ...first, receivedBytes: 6 + 2 ** 40, lastActivityAt: now + 1 }
      assert.deepStrictEqual(yield* append(now + 1, ref("s"), large), {
        _tag: "appended",
        session: answered(second)
      })
      const after = yield* rows
      assert.deepStrictEqual(after.sessions, [second])
      assert.deepStrictEqual(after.chunks, [{ ...large, session: "s" }, chunk(6, "s", 0)])
      assert.deepStrictEqual([after.intents, after.journal], [[intent(3)], []])
    })
  )

  promised("keeps the saved hash of the last chunk that had one, until the session is done", () =>
    Effect.gen(function* () {
      const { append, claim, complete, read } = yield* verbs
      const hash = { writtenBy: "a program", bytes: 6, state: Uint8Array.from({ length: 300 }, (_, n) => n) }
      const later = { ...hash, writtenBy: "another", bytes: 9 }
      const saved = Effect.map(read(ref("s")), (found) => Option.getOrNull(found)?.hash)
      yield* write({ sessions: [session("s")], intents: [intent(6), intent(2), intent(1), intent(3)] })
      const first = yield* append(now, ref("s"), { ...brought(6, 0), hash })
      assert.deepInclude(first, {
        session: { ...answered(session("s")), receivedBytes: 6, lastActivityAt: now, hash }
      })
      yield* append(now, ref("s"), brought(2, 6))
      assert.deepStrictEqual(yield* saved, hash)
      // Neither a chunk that comes too late nor one without its intent changes it.
      yield* append(now, ref("s"), { ...brought(3, 6), hash: later })
      yield* append(now, ref("s"), { ...brought(4, 8), hash: later })
      assert.deepStrictEqual(yield* saved, hash)
      yield* append(now, ref("s"), { ...brought(1, 8), hash: later })
      const claimed = yield* claim(now, ref("s"), { token: "t", until: now + hour })
      assert.deepStrictEqual(claimed._tag === "claimed" ? claimed.session.hash : null, later)
      yield* write({ intents: [intent(9)] })
      yield* complete(now, ref("s"), "t", {
        key: intent(9).key,
        digest: digest(9),
        sizeBytes: 9,
        pins: [pin("hold", 9)]
      })
      assert.isUndefined(yield* saved)
    })
  )

  promised("answers the same of a chunk that was added already, whatever came after it", () =>
    Effect.gen(function* () {
      const { append, claim } = yield* verbs
      yield* write({ sessions: [session("s")], intents: [intent(6), intent(2)] })
      yield* append(now, ref("s"), brought(6, 0))
      yield* append(now, ref("s"), brought(2, 6))
      const grown = session("s", { receivedBytes: 8, lastActivityAt: now })
      const again = append(now + 1, ref("s"), brought(6, 0))
      assert.deepStrictEqual(yield* again, { _tag: "appended", session: answered(grown) })
      yield* claim(now, ref("s"), { token: "t", until: now + hour })
      assert.deepStrictEqual(yield* again, {
        _tag: "appended",
        session: answered({ ...grown, state: "finalizing" })
      })
      const after = yield* rows
      assert.deepStrictEqual(after.chunks, [chunk(2, "s", 6), chunk(6, "s", 0)])
      assert.deepStrictEqual(after.journal, [])
    })
  )

  promised("of no byte adds nothing, and its key is journaled", () =>
    Effect.gen(function* () {
      const { append } = yield* verbs
      yield* write({
        sessions: [session("s", { receivedBytes: 6 })],
        chunks: [chunk(6, "s", 0)],
        intents: [intent(0)]
      })
      const touched = session("s", { receivedBytes: 6, lastActivityAt: now })
      for (const _ of ["first", "again"]) {
        const outcome = yield* append(now, ref("s"), brought(0, 6))
        assert.deepStrictEqual(outcome, { _tag: "appended", session: answered(touched) })
      }
      const after = yield* rows
      assert.deepStrictEqual(after.sessions, [touched])
      assert.deepStrictEqual(after.chunks, [chunk(6, "s", 0)])
      assert.deepStrictEqual([after.intents, after.journal], [[], [discarded(0)]])
    })
  )

  promised("of an intent that was reaped is expired, and the session is as it was", () =>
    Effect.gen(function* () {
      const { append } = yield* verbs
      const { journal } = yield* Database
      yield* write({ sessions: [session("s")], intents: [intent(6, now)] })
      yield* journal.reapIntents(now, now, 100)
      assert.deepStrictEqual(yield* append(now, ref("s"), brought(6, 0)), { _tag: "expired" })
      const after = yield* rows
      assert.deepStrictEqual([after.sessions, after.chunks], [[session("s")], []])
      assert.deepStrictEqual(
        after.journal.map(({ key, reason }) => [key, reason]),
        [[intent(6).key, "reaped"]]
      )
    })
  )
}

const refusing = (promised: Promised): void => {
  const given = {
    sessions: [
      session("d", { state: "done", digest: digest(1), receivedBytes: 6 }),
      session("f", { state: "finalizing", token: "t", leaseUntil: now - 1, receivedBytes: 4 }),
      session("s", { receivedBytes: 6 })
    ],
    chunks: [chunk(4, "f", 0), chunk(6, "s", 0)]
  }
  for (const [what, id, startByte] of [
    ["that begins before the session ends", "s", 0],
    ["that begins after the session ends", "s", 7],
    ["of a session that is being finished, also when that lease has ended", "f", 4],
    ["of a session that is done", "d", 6]
  ] as const) {
    promised(`is in conflict ${what}, and its key is journaled with its multipart upload`, () =>
      Effect.gen(function* () {
        const { append } = yield* verbs
        yield* write({ ...given, intents: [{ ...intent(2), uploadId: "parts" }, intent(3)] })
        const found = given.sessions.find((one) => one.id === id) ?? session(id)
        for (const _ of ["first", "again"]) {
          assert.deepStrictEqual(yield* append(now, ref(id), brought(2, startByte)), {
            _tag: "conflict",
            session: answered(found)
          })
        }
        const after = yield* rows
        assert.deepStrictEqual([after.sessions, after.chunks], [given.sessions, given.chunks])
        assert.deepStrictEqual(after.intents, [intent(3)])
        assert.deepStrictEqual(after.journal, [discarded(2, { uploadId: "parts" })])
      })
    )
  }

  promised("is unknown in no session or another repository's, and its key is journaled", () =>
    Effect.gen(function* () {
      const { append } = yield* verbs
      yield* write({ ...given, intents: [intent(2), intent(3)] })
      assert.deepStrictEqual(yield* append(now, strangers, brought(2, 6)), { _tag: "unknown" })
      assert.deepStrictEqual(yield* append(now, ref("other"), brought(3, 0)), { _tag: "unknown" })
      assert.deepStrictEqual(yield* append(now, ref("other"), brought(3, 0)), { _tag: "unknown" })
      const after = yield* rows
      assert.deepStrictEqual([after.sessions, after.chunks], [given.sessions, given.chunks])
      assert.deepStrictEqual([after.intents, after.journal], [[], [discarded(2), discarded(3)]])
    })
  )

  promised("does not take a chunk of another session for its own", () =>
    Effect.gen(function* () {
      const { append } = yield* verbs
      yield* write({ ...given, sessions: [...given.sessions, session("t")] })
      assert.deepStrictEqual(yield* append(now, ref("t"), brought(6, 0)), { _tag: "expired" })
      assert.strictEqual((yield* append(now, ref("f"), brought(6, 0)))._tag, "conflict")
      const after = yield* rows
      assert.deepStrictEqual([after.chunks, after.journal], [given.chunks, []])
    })
  )
}

const cancelling = (promised: Promised): void => {
  promised("ends an open session and journals its chunks", () =>
    Effect.gen(function* () {
      const { cancel, read } = yield* verbs
      yield* write({
        sessions: [session("s", { receivedBytes: 8 }), session("other", { receivedBytes: 3 })],
        chunks: [chunk(6, "s", 0), chunk(2, "s", 6), chunk(3, "other", 0)],
        journal: [dead(1)]
      })
      assert.isTrue(yield* cancel(now, ref("s")))
      assert.deepStrictEqual(yield* read(ref("s")), Option.none())
      const after = yield* rows
      assert.deepStrictEqual(after.sessions, [session("other", { receivedBytes: 3 })])
      assert.deepStrictEqual(after.chunks, [chunk(3, "other", 0)])
      assert.deepStrictEqual(after.journal, [dead(1), discarded(2), discarded(6)])
      assert.isFalse(yield* cancel(now, ref("s")))
    })
  )

  promised("leaves a session that is done, that is another repository's, or that is being finished", () =>
    Effect.gen(function* () {
      const { cancel } = yield* verbs
      const given = [
        session("d", { state: "done", digest: digest(1) }),
        session("f", { state: "finalizing", token: "t", leaseUntil: now + 1, receivedBytes: 6 }),
        session("s")
      ]
      yield* write({ sessions: given, chunks: [chunk(6, "f", 0)] })
      for (const one of [ref("d"), ref("f"), strangers, ref("other")]) {
        assert.isFalse(yield* cancel(now, one), JSON.stringify(one))
      }
      assert.deepStrictEqual((yield* rows).sessions, given)
      assert.isTrue(yield* cancel(now + 1, ref("f")), "the lease has ended")
      const after = yield* rows
      assert.deepStrictEqual([after.chunks, after.journal], [[], [discarded(6, { notBefore: now + 1 })]])
    })
  )

  promised("leaves a key that is journaled already as it is there", () =>
    Effect.gen(function* () {
      const { cancel } = yield* verbs
      const given = dead(6, { key: chunk(6, "s", 0).key, attempts: 3, claimedUntil: now + hour })
      yield* write({
        sessions: [session("s", { receivedBytes: 6 })],
        chunks: [chunk(6, "s", 0)],
        journal: [given]
      })
      assert.isTrue(yield* cancel(now, ref("s")))
      const after = yield* rows
      assert.deepStrictEqual([after.sessions, after.chunks, after.journal], [[], [], [given]])
      assert.notStrictEqual(given.key, key(6))
    })
  )
}

export const uploading = (promised: Promised): void => {
  beginning(promised)
  describe("sessions.append", () => {
    growing(promised)
    refusing(promised)
  })
  describe("sessions.cancel", () => cancelling(promised))
}
