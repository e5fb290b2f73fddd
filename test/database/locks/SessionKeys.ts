/**
 * Upload sessions against collectors that reap, expire and search: no key is ever without an owner, and none that was
 * acknowledged is ever taken away.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import type { ExpireRequest, Sessions } from "../../../src/oci/database/RegistryDatabase.ts"
import * as Facts from "../../../src/testing/Facts.ts"
import { type Arena, arena, before, ownArena } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { chunk, digest, hour, intent, minute, now, session } from "../../fixtures/samples.ts"
import type { Rows } from "../../fixtures/Tables.ts"
import { brought, discarded, ref } from "../../oci/database/contract/Sessions.ts"
import { contend, made, mine, sessionStatement, whileHeld } from "./Sessions.ts"

/** Of what is idle since half an hour ago. */
const request: ExpireRequest = {
  now,
  idleSince: now - hour / 2,
  limit: 100,
  deleteNotBefore: now,
  leaseUntil: null
}
const nothing = { sessions: 0, forgotten: 0, journaled: [] }

/** Session `s`, idle, with a first chunk of 6 bytes and the intent of a second. */
const idle = ({ tables }: Arena, expiresAt = now + hour) =>
  tables.write({
    sessions: [session("s", { receivedBytes: 6 })],
    chunks: [chunk(6, "s", 0)],
    intents: [intent(1, expiresAt)]
  })

const reaping = (server: Server): void => {
  it.live("a chunk waits for a reap in flight, and has to come again", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* idle(a, now)
      const collector = yield* a.session
      yield* collector("BEGIN")
      yield* collector("DELETE FROM artifact_gc.intents")
      const writer = yield* Effect.forkChild(a.database.sessions.append(now, ref("s"), brought(1, 6)))
      yield* a.waiting()
      yield* collector("COMMIT")
      assert.deepStrictEqual(yield* Fiber.join(writer), { _tag: "expired" })
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.sessions, [session("s", { receivedBytes: 6 })])
      assert.deepStrictEqual([after.chunks, after.intents], [[chunk(6, "s", 0)], []])
    })
  )

  it.live("exactly one of append and reap has the key, depending on which is faster", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const collector = yield* a.process()
      for (let n = 1; n <= 50; n++) {
        yield* a.database.sessions.open(now, { ...ref(`s${n}`), algorithm: "sha256" })
        yield* a.database.blobs.intend([intent(n, now)])
        const [outcome, reaped] = yield* Effect.all(
          [
            a.database.sessions.append(now, ref(`s${n}`), brought(n, 0)),
            collector.journal.reapIntents(now, now, 100)
          ],
          { concurrency: "unbounded" }
        )
        assert.deepInclude(
          [
            ["appended", 0],
            ["expired", 1]
          ],
          [outcome._tag, reaped]
        )
      }
      const after = yield* a.tables.rows
      const keys = [...after.chunks, ...after.journal].map(({ key }) => key)
      assert.deepStrictEqual([new Set(keys).size, keys.length, after.intents], [50, 50, []])
    })
  )

  it.live("control: a chunk that is added without its intent is of an object that is being deleted", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* idle(a, now)
      yield* a.database.journal.reapIntents(now, now, 100)
      const { entries } = yield* a.database.journal.claim(now, now + hour, 100)
      const writer = yield* a.session
      yield* writer("INSERT INTO artifact_gc.upload_chunks VALUES ($1, 's', 6, 1, $2)", [
        intent(1).key,
        digest(1)
      ])
      const chunks = (yield* a.tables.rows).chunks.map(({ key }) => key)
      assert.includeMembers(
        chunks,
        entries.map(({ key }) => key)
      )
    })
  )
}

const expiring = (server: Server): void => {
  it.live("a chunk waits for the expiry of its session, and is then journaled with the others", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* idle(a)
      const [expired, appended] = yield* contend(
        a,
        sessionStatement.deletes,
        ({ expire }) => expire(request),
        ({ append }) => append(now, ref("s"), brought(1, 6))
      )
      assert.deepInclude(expired, { sessions: 1 })
      assert.deepStrictEqual(appended, { _tag: "unknown" })
      const after = yield* a.tables.rows
      assert.deepStrictEqual([after.sessions, after.chunks, after.intents], [[], [], []])
      assert.deepStrictEqual(after.journal, [discarded(1), discarded(6)])
    })
  )

  for (const [what, statement, at, verb] of [
    [
      "that takes a chunk",
      null,
      null,
      ({ append }: Sessions) => Effect.map(append(now, ref("s"), brought(1, 6)), ({ _tag }) => _tag)
    ],
    [
      "that is being completed, although its lease has ended",
      sessionStatement.publishes,
      now - hour,
      ({ complete }: Sessions) => complete(now, ref("s"), "mine", made(6))
    ]
  ] as const) {
    it.live(`an expiry passes over a session ${what}`, () =>
      Effect.gen(function* () {
        const a = yield* ownArena(server)
        const { sessions } = a.database
        yield* idle(a)
        if (at !== null) yield* sessions.claim(at, ref("s"), { ...mine, until: at })
        const collector = yield* a.process()
        let expired: unknown
        const expire = Effect.map(collector.sessions.expire(request), (found) => {
          expired = found
        })
        const outcome =
          statement === null
            ? (yield* whileHeld(a, verb(sessions), expire))[0]
            : yield* verb(sessions).pipe(before(statement, expire))
        assert.include(["appended", "published"], outcome)
        assert.deepStrictEqual(expired, nothing)
        const after = yield* a.tables.rows
        assert.deepStrictEqual([after.sessions.length, after.journal], [1, []])
        assert.deepStrictEqual(yield* collector.sessions.expire(request), nothing, "now it has been active")
      })
    )
  }

  it.live("a completion waits for the expiry of its session, and has lost the chunk it would adopt", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* idle(a)
      yield* a.database.sessions.claim(now - hour, ref("s"), { ...mine, until: now - 1 })
      const [expired, outcome] = yield* contend(
        a,
        sessionStatement.deletes,
        ({ expire }) => expire(request),
        ({ complete }) => complete(now, ref("s"), "mine", made(6))
      )
      assert.deepInclude(expired, { sessions: 1 })
      assert.strictEqual(outcome, "lost")
      const after = yield* a.tables.rows
      assert.deepStrictEqual([after.blobs, after.chunks, after.intents], [[], [], [intent(1)]])
      assert.deepStrictEqual(after.journal, [discarded(6)])
    })
  )

  it.live("control: judged without a lock, a session that has just been acknowledged a chunk loses it", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* idle(a)
      const collector = yield* a.session
      const found = yield* collector(
        "SELECT id FROM artifact_gc.upload_sessions WHERE last_activity_at <= to_timestamp($1)",
        [request.idleSince / 1000]
      )
      assert.strictEqual((yield* a.database.sessions.append(now, ref("s"), brought(1, 6)))._tag, "appended")
      yield* collector(
        `WITH gone AS (DELETE FROM artifact_gc.upload_chunks WHERE session_id = $1 RETURNING object_key, size_bytes)
         INSERT INTO artifact_gc.journal (object_key, size_bytes, reason, journaled_at, not_before)
         SELECT object_key, size_bytes, 'upload', now(), now() FROM gone`,
        [found[0]?.id]
      )
      assert.include(
        (yield* a.tables.rows).journal.map(({ key }) => key),
        intent(1).key
      )
    })
  )
}

const searching = (server: Server): void => {
  const asked = [1, 6].map((n) => ({ key: intent(n).key, sizeBytes: n }))

  for (const [when, statement] of [
    ["while it becomes a chunk", sessionStatement.appends],
    ["while the session is claimed", sessionStatement.claims],
    ["when its session has given it up and no row has it", sessionStatement.publishes],
    [
      "when it is a blob's and its intent still exists",
      /^\s*DELETE FROM "artifact_gc"\."intents" WHERE object_key = ANY/
    ],
    ["when it is a blob's and its session not done", sessionStatement.completes]
  ] as const) {
    it.live(`a search for leftovers does not find a session's key, ${when}`, () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* a.tables.write({ sessions: [session("s")], intents: [intent(6), intent(1)] })
        const collector = yield* a.process()
        const { sessions } = a.database
        const found: Array<unknown> = []
        const search = Effect.gen(function* () {
          found.push(...(yield* collector.leftovers.journal(now, asked, now)))
          const owned = yield* collector.blobs.owned(asked.map(({ key }) => key))
          found.push(...asked.filter(({ key }) => !owned.has(key)))
        })
        const life = Effect.gen(function* () {
          yield* sessions.append(now, ref("s"), brought(6, 0))
          yield* sessions.claim(now, ref("s"), mine)
          return yield* sessions.complete(now, ref("s"), "mine", made(6))
        })
        assert.strictEqual(yield* life.pipe(before(statement, search, "always")), "published")
        assert.deepStrictEqual(found, [])
        yield* search
        const after = yield* a.tables.rows
        assert.deepStrictEqual([found, after.journal, after.intents], [[], [], [intent(1)]])
      })
    )
  }

  it.live("control: a search that knows nothing of sessions journals their chunks", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* idle(a)
      const collector = yield* a.session
      const found = yield* collector(
        `SELECT k FROM unnest($1::text[]) k WHERE NOT EXISTS (SELECT FROM blobs WHERE object_key = k)
           AND NOT EXISTS (SELECT FROM artifact_gc.intents WHERE object_key = k)
           AND NOT EXISTS (SELECT FROM artifact_gc.journal WHERE object_key = k)`,
        [asked.map(({ key }) => key)]
      )
      assert.deepStrictEqual(found, [{ k: intent(6).key }])
    })
  )
}

const factsOf = (rows: Rows): Facts.Rows => ({
  blobs: new Map(rows.blobs.map((row) => [row.digest, row])),
  references: new Map(),
  journal: new Map(rows.journal.map((row) => [row.key, row])),
  intents: new Map(rows.intents.map((row) => [row.key, row])),
  sessions: new Map(rows.sessions.map((row) => [row.id, row])),
  chunks: new Map(rows.chunks.map((row) => [row.key, row]))
})

const together = (server: Server): void => {
  it.live("all requests at once lose no key, give none two owners, and do not deadlock", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const used: Array<number> = []
      const counts = new Map<string, number>()
      const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1)
      /** Two clients push to one session, and each finishes it; a third gives up now and then. */
      const client = Effect.fnUntraced(function* (who: number) {
        const { blobs, sessions } = yield* a.process({ maxConnections: 1 })
        for (let round = 0; round < 40; round++) {
          const one = ref(`s${round % 5}`)
          const n = 1000 * (who + 1) + round
          yield* sessions.open(now, { ...one, algorithm: "sha256" })
          yield* blobs.intend([intent(n, now + (round % 7) - 3), intent(n + 500)])
          used.push(n, n + 500)
          const found = Option.getOrUndefined(yield* sessions.read(one))
          const startByte = found?.receivedBytes ?? 0
          count((yield* sessions.append(now + round, one, brought(n, startByte)))._tag)
          if (round % 6 === who) count(`cancelled ${yield* sessions.cancel(now, one)}`)
          if (round % 2 === who % 2) continue
          const token = `${who} ${round}`
          const claim = yield* sessions.claim(now, one, { token, until: now + minute })
          const [only, ...others] = claim._tag === "claimed" ? claim.chunks : []
          const key = only === undefined || others.length > 0 ? intent(n + 500).key : only.key
          const publication = { ...made(n), key, digest: digest(round % 6) }
          count(yield* sessions.complete(now, one, token, publication))
        }
      })
      let done = false
      const collector = Effect.gen(function* () {
        const { journal, leftovers, sessions } = yield* a.process({ maxConnections: 1 })
        while (!done) {
          yield* journal.reapIntents(now, now, 3)
          const { sessions: ended } = yield* sessions.expire({ ...request, idleSince: now + 20, limit: 3 })
          if (ended > 0) count("expired session")
          const objects = used.map((n) => ({ key: intent(n).key, sizeBytes: n }))
          yield* leftovers.journal(now, objects, now)
        }
      })
      const clients = Effect.all([client(0), client(1), client(2)], { concurrency: "unbounded" }).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            done = true
          })
        )
      )
      yield* Effect.all([clients, collector, collector], { concurrency: "unbounded" })
      const after = yield* a.tables.rows
      const all = new Set(used.map((n) => intent(n).key))
      assert.deepStrictEqual(Facts.invariantsOf(factsOf(after), all), [])
      const owners = [...after.blobs, ...after.journal, ...after.intents, ...after.chunks].map(
        ({ key }) => key
      )
      assert.deepStrictEqual([...owners].sort(), [...all].sort(), "each key has one owner")
      assert.deepStrictEqual(
        after.journal.filter(({ reason }) => reason === "leftover"),
        []
      )
      assert.isAbove(counts.get("published") ?? 0, 0)
      assert.isAbove(counts.get("lost") ?? 0, 0)
      assert.strictEqual(yield* a.deadlocks, 0)
    })
  )
}

export const sessionKeys = (server: Server): void => {
  describe("an upload session against a reap", () => reaping(server))
  describe("an upload session against its expiry", () => expiring(server))
  describe("an upload session against a search", () => searching(server))
  describe("upload sessions", () => together(server))
}
