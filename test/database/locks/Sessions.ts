/** Requests of one upload session on several replicas: the second waits and then sees the result. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Publication } from "../../../src/database/Database.ts"
import type { Lease, Sessions } from "../../../src/oci/database/RegistryDatabase.ts"
import { type Arena, arena, before, later, ownArena } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { blob, chunk, digest, hour, intent, minute, now, session } from "../../fixtures/samples.ts"
import { answered, brought, discarded, ref } from "../../oci/database/contract/Sessions.ts"

/** The statements that change something, in the verbs they are of. */
export const sessionStatement = {
  appends: /INSERT INTO "artifact_gc"\."upload_chunks"/,
  claims: /SET state = 'finalizing'/,
  publishes: /INSERT INTO "public"\."blobs"/,
  completes: /SET state = 'done'/,
  deletes: /^\s*DELETE FROM "artifact_gc"\."upload_sessions"/
}

export const mine: Lease = { token: "mine", until: now + minute }
export const theirs: Lease = { token: "theirs", until: now + 2 * minute }
export const made = (n: number): Publication => ({
  key: intent(n).key,
  digest: digest(n),
  sizeBytes: n
})

/** Session `s` with a first chunk of 6 bytes, and intents of the chunks that may follow. */
const grown = ({ tables }: Arena) =>
  tables.write({
    sessions: [session("s", { receivedBytes: 6 })],
    chunks: [chunk(6, "s", 0)],
    intents: [intent(1), intent(2), intent(3)]
  })

/** `first` up to `statement`, then `second` until it waits, then both to their end. */
export const contend = Effect.fnUntraced(function* <A, B, E, F>(
  a: Arena,
  statement: RegExp,
  first: (sessions: Sessions) => Effect.Effect<A, E>,
  second: (sessions: Sessions) => Effect.Effect<B, F>
) {
  const other = yield* a.process()
  const started = later(second(other.sessions))
  const outcome = yield* first(a.database.sessions).pipe(
    before(statement, Effect.andThen(started.start, a.waiting()))
  )
  return [outcome, yield* started.outcome] as const
})

/**
 * Runs `meanwhile` while `verb` has changed a session and has not ended. A trigger holds it, with its locks, because no hook runs
 * within a verb of one statement. Needs an {@link ownArena}.
 */
export const whileHeld = Effect.fnUntraced(function* <A, E, B, F>(
  a: Arena,
  verb: Effect.Effect<A, E>,
  meanwhile: Effect.Effect<B, F>
) {
  const holder = yield* a.session
  yield* holder(`
    CREATE FUNCTION public.held() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(7); RETURN NULL; END'`)
  yield* holder(`
    CREATE TRIGGER held AFTER UPDATE ON artifact_gc.upload_sessions FOR EACH ROW EXECUTE FUNCTION public.held()`)
  yield* holder("SELECT pg_advisory_lock(7)")
  const held = later(verb)
  yield* held.start
  yield* a.waiting()
  const found = yield* meanwhile
  yield* holder("SELECT pg_advisory_unlock(7)")
  return [yield* held.outcome, found] as const
})

/** `first` until it has changed the session, then `second` until it waits, then both to their end. */
const contendHeld = Effect.fnUntraced(function* <A, B, E, F>(
  a: Arena,
  first: (sessions: Sessions) => Effect.Effect<A, E>,
  second: (sessions: Sessions) => Effect.Effect<B, F>
) {
  const other = yield* a.process()
  const started = later(second(other.sessions))
  const [outcome] = yield* whileHeld(
    a,
    first(a.database.sessions),
    Effect.andThen(started.start, a.waiting(2))
  )
  return [outcome, yield* started.outcome] as const
})

const appending = (server: Server): void => {
  it.live("of two chunks for one offset one is added, and the other's bytes are journaled", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* grown(a)
      const [first, second] = yield* contendHeld(
        a,
        ({ append }) => append(now, ref("s"), brought(1, 6)),
        ({ append }) => append(now, ref("s"), brought(2, 6))
      )
      const after = yield* a.tables.rows
      const longer = session("s", { receivedBytes: 7, lastActivityAt: now })
      assert.deepStrictEqual(first, { _tag: "appended", session: answered(longer) })
      assert.deepStrictEqual(second, { _tag: "conflict", session: answered(longer) })
      assert.deepStrictEqual(after.sessions, [longer])
      assert.deepStrictEqual(after.chunks, [chunk(1, "s", 6), chunk(6, "s", 0)])
      assert.deepStrictEqual([after.intents, after.journal], [[intent(3)], [discarded(2)]])
    })
  )

  it.live("of eight chunks for one offset at once exactly one is added, again and again", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const replicas = yield* Effect.all([a.process(), a.process(), a.process(), a.process()])
      for (let round = 0; round < 10; round++) {
        yield* a.database.sessions.open(now, { ...ref(`s${round}`), algorithm: "sha256" })
        const ns = Array.from({ length: 8 }, (_, n) => 100 + 8 * round + n)
        yield* a.database.blobs.intend(ns.map((n) => intent(n)))
        const outcomes = yield* Effect.forEach(
          ns,
          (n, index) =>
            (replicas[index % 4] ?? a.database).sessions.append(now, ref(`s${round}`), brought(n, 0)),
          { concurrency: "unbounded" }
        )
        const added = ns.filter((_, index) => outcomes[index]?._tag === "appended")
        assert.lengthOf(added, 1)
        const after = yield* a.tables.rows
        assert.deepStrictEqual(
          after.chunks.filter((row) => row.session === `s${round}`),
          added.map((n) => chunk(n, `s${round}`, 0))
        )
      }
      const after = yield* a.tables.rows
      assert.deepStrictEqual([after.intents, after.chunks.length, after.journal.length], [[], 10, 70])
      assert.strictEqual(yield* a.deadlocks, 0)
    })
  )

  it.live(
    "control: compared without a lock, both are added, and the session's bytes are not what was sent",
    () =>
      Effect.gen(function* () {
        const a = yield* ownArena(server)
        yield* grown(a)
        const [one, two] = [yield* a.session, yield* a.session]
        yield* one(
          "ALTER TABLE artifact_gc.upload_chunks DROP CONSTRAINT upload_chunks_session_id_start_byte_key"
        )
        const compare = "SELECT FROM artifact_gc.upload_sessions WHERE id = 's' AND received_bytes = 6"
        assert.deepStrictEqual([(yield* one(compare)).length, (yield* two(compare)).length], [1, 1])
        for (const [writer, n] of [
          [one, 1],
          [two, 2]
        ] as const) {
          yield* writer(
            "INSERT INTO artifact_gc.upload_chunks SELECT object_key, 's', 6, $1, digest FROM artifact_gc.intents WHERE object_key = $2",
            [n, intent(n).key]
          )
          yield* writer("UPDATE artifact_gc.upload_sessions SET received_bytes = received_bytes + $1", [n])
        }
        const after = yield* a.tables.rows
        assert.strictEqual(after.sessions[0]?.receivedBytes, 9)
        assert.deepStrictEqual(
          after.chunks.map(({ startByte }) => startByte),
          [6, 6, 0]
        )
      })
  )
}

const claiming = (server: Server): void => {
  it.live("a claim waits for a chunk in flight, and has it", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* grown(a)
      const [appended, claimed] = yield* contendHeld(
        a,
        ({ append }) => append(now, ref("s"), brought(1, 6)),
        ({ claim }) => claim(now, ref("s"), mine)
      )
      assert.strictEqual(appended._tag, "appended")
      assert.deepInclude(claimed, { _tag: "claimed", chunks: [brought(6, 0), brought(1, 6)] })
      assert.deepStrictEqual((yield* a.tables.rows).journal, [])
    })
  )

  it.live("a chunk waits for a claim in flight, and its bytes are journaled", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* grown(a)
      const [claimed, appended] = yield* contendHeld(
        a,
        ({ claim }) => claim(now, ref("s"), mine),
        ({ append }) => append(now, ref("s"), brought(1, 6))
      )
      assert.deepInclude(claimed, { _tag: "claimed", chunks: [brought(6, 0)] })
      assert.strictEqual(appended._tag, "conflict")
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.chunks, [chunk(6, "s", 0)])
      assert.deepStrictEqual([after.intents, after.journal], [[intent(2), intent(3)], [discarded(1)]])
    })
  )

  it.live("control: chunks read without the lock lack one that was acknowledged before the claim", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* grown(a)
      const finisher = yield* a.session
      const chunks = yield* finisher("SELECT FROM artifact_gc.upload_chunks WHERE session_id = 's'")
      assert.strictEqual((yield* a.database.sessions.append(now, ref("s"), brought(1, 6)))._tag, "appended")
      const [claimed] = yield* finisher(
        `UPDATE artifact_gc.upload_sessions SET state = 'finalizing', lease_until = now() WHERE state = 'open'
         RETURNING received_bytes::int AS received`
      )
      assert.deepStrictEqual([chunks.length, claimed?.received], [1, 7], "a byte of the upload is missing")
    })
  )

  it.live("of eight that claim a session at once exactly one has it", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* grown(a)
      const replicas = yield* Effect.all([a.process(), a.process()])
      const outcomes = yield* Effect.forEach(
        Array.from({ length: 8 }, (_, n) => ({ token: `token ${n}`, until: now + minute })),
        (lease, n) => (replicas[n % 2] ?? a.database).sessions.claim(now, ref("s"), lease),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag).sort(), [...Array(7).fill("busy"), "claimed"])
    })
  )
}

const ending = (server: Server): void => {
  it.live("a claim waits for a cancellation in flight, and there is nothing to finish", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* grown(a)
      const outcomes = yield* contend(
        a,
        sessionStatement.deletes,
        ({ cancel }) => cancel(now, ref("s")),
        ({ claim }) => claim(now, ref("s"), mine)
      )
      assert.deepStrictEqual(outcomes, [true, { _tag: "unknown" }])
      const after = yield* a.tables.rows
      assert.deepStrictEqual([after.sessions, after.chunks, after.journal], [[], [], [discarded(6)]])
    })
  )

  it.live("a cancellation waits for a claim in flight, and leaves the session to it", () =>
    Effect.gen(function* () {
      const a = yield* ownArena(server)
      yield* grown(a)
      const [claimed, cancelled] = yield* contendHeld(
        a,
        ({ claim }) => claim(now, ref("s"), mine),
        ({ cancel }) => cancel(now, ref("s"))
      )
      assert.deepStrictEqual([claimed._tag, cancelled], ["claimed", false])
      assert.strictEqual(yield* a.database.sessions.complete(now, ref("s"), "mine", made(6)), "published")
      const after = yield* a.tables.rows
      assert.deepStrictEqual(
        [after.chunks, after.journal, after.blobs],
        [[], [], [blob(6, { key: intent(6).key, createdAt: now, lastUsedAt: now })]]
      )
    })
  )
}

const takingOver = (server: Server): void => {
  const claimed = Effect.fnUntraced(function* (a: Arena) {
    yield* grown(a)
    yield* a.database.sessions.claim(now, ref("s"), mine)
  })

  it.live(
    "a replica that returns after its lease and a take-over has lost, and its object is journaled",
    () =>
      Effect.gen(function* () {
        const a = yield* ownArena(server)
        yield* claimed(a)
        const [taken, late] = yield* contendHeld(
          a,
          ({ claim }) => claim(mine.until, ref("s"), theirs),
          ({ complete }) => complete(mine.until, ref("s"), "mine", made(1))
        )
        assert.deepStrictEqual([taken._tag, late], ["claimed", "lost"])
        const { sessions } = a.database
        assert.strictEqual(
          yield* sessions.complete(mine.until, ref("s"), "mine", made(6)),
          "lost",
          "by adoption"
        )
        assert.strictEqual(yield* sessions.complete(now, ref("s"), "theirs", made(6)), "published")
        const after = yield* a.tables.rows
        assert.deepStrictEqual(
          after.blobs.map(({ key }) => key),
          [intent(6).key]
        )
        assert.deepStrictEqual([after.chunks, after.intents], [[], [intent(2), intent(3)]])
        assert.deepStrictEqual(after.journal, [discarded(1, { notBefore: mine.until })])
      })
  )

  it.live("a take-over waits for a completion in flight, and finds the session done", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* claimed(a)
      const [outcome, taken] = yield* contend(
        a,
        sessionStatement.publishes,
        ({ complete }) => complete(mine.until, ref("s"), "mine", made(1)),
        ({ claim }) => claim(mine.until, ref("s"), theirs)
      )
      assert.deepInclude(taken, { _tag: "done", digest: digest(1) })
      assert.strictEqual(outcome, "published")
      const after = yield* a.tables.rows
      assert.deepStrictEqual([after.chunks, after.intents], [[], [intent(2), intent(3)]])
      assert.deepStrictEqual(after.journal, [discarded(6, { notBefore: mine.until })])
    })
  )

  it.live(
    "control: one that does not ask for its token takes away a chunk that was acknowledged meanwhile",
    () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* claimed(a)
        const { sessions } = a.database
        yield* sessions.claim(now + hour, ref("s"), { ...theirs, until: now + 2 * hour })
        yield* sessions.release(now + hour, ref("s"), "theirs")
        assert.strictEqual((yield* sessions.append(now + hour, ref("s"), brought(2, 6)))._tag, "appended")
        assert.strictEqual(yield* sessions.complete(now + hour, ref("s"), "mine", made(1)), "lost")
        assert.lengthOf((yield* a.tables.rows).chunks, 2)
        const late = yield* a.session
        yield* late(
          `WITH gone AS (DELETE FROM artifact_gc.upload_chunks WHERE session_id = 's' RETURNING object_key, size_bytes)
         INSERT INTO artifact_gc.journal (object_key, size_bytes, reason, journaled_at, not_before)
         SELECT object_key, size_bytes, 'upload', now(), now() FROM gone`
        )
        yield* late("UPDATE artifact_gc.upload_sessions SET state = 'done', digest = $1 WHERE id = 's'", [
          digest(1)
        ])
        assert.include(
          (yield* a.tables.rows).journal.map(({ key }) => key),
          intent(2).key
        )
      })
  )
}

export const sessionRequests = (server: Server): void => {
  describe("chunks of one upload session", () => appending(server))
  describe("a chunk against a claim", () => claiming(server))
  describe("a cancellation against a claim", () => ending(server))
  describe("a completion against a take-over", () => takingOver(server))
}
