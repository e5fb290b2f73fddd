/** Writers and the collector at one blob: the second waits and then sees the result. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Result } from "effect"
import type { PublishOutcome } from "../../../src/database/Database.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import { type Arena, arena, before, later, ownArena, purgeStatement } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import {
  artifact,
  blob,
  blobs,
  condemned,
  dead,
  digest,
  hour,
  intent,
  key,
  minute,
  now
} from "../../fixtures/samples.ts"

const request = {
  now,
  condemnedCutoff: now - hour,
  seenCutoff: 4_000_000_000_000,
  usedCutoff: now - hour,
  limit: 100,
  after: null,
  deleteNotBefore: now + minute,
  leaseUntil: null
}
const purged = {
  purged: [{ digest: digest(1), key: key(1), sizeBytes: 1 }],
  absolved: 0,
  busy: 0,
  next: null
}
const upload = { key: intent(1).key, digest: digest(1), sizeBytes: 1, references: [artifact("a", 1)] }

const condemnedBlob = ({ tables }: Arena) =>
  tables.write({ blobs: blobs(1), orphans: [condemned(1)], intents: [intent(1)] })

/** The purge of the condemned blob, with something that starts while it is before `statement` and must wait. */
const purgeAgainst = Effect.fnUntraced(function* <A, E>(
  a: Arena,
  statement: RegExp,
  contender: Effect.Effect<A, E>
) {
  const started = later(contender)
  const page = yield* a.database.orphans
    .purge(request)
    .pipe(before(statement, Effect.andThen(started.start, a.waiting())))
  assert.deepStrictEqual(page, purged)
  return yield* started.outcome
})

const republished = Effect.fnUntraced(function* (a: Arena) {
  const after = yield* a.tables.rows
  assert.deepStrictEqual(after.blobs, [blob(1, { key: intent(1).key, createdAt: now, lastUsedAt: now })])
  assert.deepStrictEqual(after.references, [artifact("a", 1)])
  assert.deepStrictEqual(after.journal, [dead(1, { notBefore: now + minute })], "the old key stays dead")
})

const against = (server: Server): void => {
  for (const [when, statement] of [
    ["holds its lock", purgeStatement.deletes],
    ["has deleted it", purgeStatement.clearsOrphans]
  ] as const) {
    it.live(`adopt waits for a purge that ${when}, then says that the blob must be uploaded`, () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* condemnedBlob(a)
        const writer = yield* a.process()
        const live = yield* purgeAgainst(a, statement, writer.blobs.adopt(now, [artifact("a", 1)]))
        assert.deepStrictEqual(live, new Set())
        assert.deepStrictEqual((yield* a.tables.rows).references, [])
        assert.deepStrictEqual(yield* writer.blobs.publish(now, [upload]), ["published"])
        yield* republished(a)
      })
    )

    it.live(`publish waits for a purge that ${when}, then makes the blob anew under its own key`, () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* condemnedBlob(a)
        const writer = yield* a.process()
        const outcome = yield* purgeAgainst(a, statement, writer.blobs.publish(now, [upload]))
        assert.deepStrictEqual(outcome, ["published"])
        yield* republished(a)
      })
    )
  }

  it.live("publish that waited for a purge that failed keeps the blob that lives", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlob(a)
      const collector = yield* a.session
      yield* collector("BEGIN")
      yield* collector("DELETE FROM blobs")
      const writer = yield* Effect.forkChild(a.database.blobs.publish(now, [upload]))
      yield* a.waiting()
      yield* collector("ROLLBACK")
      assert.deepStrictEqual(yield* Fiber.join(writer), ["deduplicated"])
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, [blob(1, { lastUsedAt: now })])
      assert.deepStrictEqual(
        after.journal.map((row) => [row.key, row.reason]),
        [[intent(1).key, "duplicate"]]
      )
    })
  )

  it.live("control: INSERT … ON CONFLICT DO NOTHING is told that a blob exists which is then purged", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlob(a)
      const writer = yield* a.session
      let inserted = -1
      const naive = Effect.map(
        writer(
          `INSERT INTO blobs (digest, object_key, size_bytes, created_at) VALUES ($1, 'mine', 1, now())
           ON CONFLICT DO NOTHING RETURNING 1`,
          [digest(1)]
        ),
        (rows) => {
          inserted = rows.length
        }
      )
      assert.deepStrictEqual(
        yield* a.database.orphans.purge(request).pipe(before(purgeStatement.deletes, naive)),
        purged
      )
      assert.strictEqual(inserted, 0, "it did not wait, and took the conflict for a blob that lives")
      assert.deepStrictEqual((yield* a.tables.rows).blobs, [])
    })
  )

  it.live("adopt in flight makes the purge pass over, and the blob is kept", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* condemnedBlob(a)
      const collector = yield* a.process()
      let page: unknown
      const purge = Effect.map(collector.orphans.purge(request), (found) => {
        page = found
      })
      const live = yield* a.database.blobs
        .adopt(now, [artifact("a", 1)])
        .pipe(before(/INSERT INTO "public"."artifacts"/, purge))
      assert.deepStrictEqual(live, new Set([digest(1)]))
      assert.deepStrictEqual(page, { purged: [], absolved: 0, busy: 0, next: null }, "its sighting is taken")
      assert.deepStrictEqual(yield* collector.orphans.purge(request), page)
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, [blob(1, { lastUsedAt: now })])
      assert.deepStrictEqual(after.orphans, [])
    })
  )

  it.live(
    "publish of what lives does not wait for references in flight, where the catalogue dates no use",
    () =>
      Effect.gen(function* () {
        const names = { ...defaultNames, lastUsedAtColumn: null }
        const a = yield* ownArena(server, names)
        const writer = yield* a.process({ lockTimeout: Duration.millis(100) }, names)
        yield* writer.blobs.intend([intent(1), { ...intent(1), key: key("again") }])
        yield* writer.blobs.publish(now, [upload])
        const foreign = yield* a.session
        yield* foreign("BEGIN")
        yield* foreign(
          "INSERT INTO local_files SELECT 'f', digest, now() FROM blobs WHERE object_key IS NOT NULL"
        )
        assert.deepStrictEqual(yield* writer.blobs.publish(now, [{ ...upload, key: key("again") }]), [
          "deduplicated"
        ])
        yield* foreign("COMMIT")
      })
  )
}

const reaping = (server: Server): void => {
  const expired = intent(1, now)
  const published = (outcome: ReadonlyArray<PublishOutcome>, reaped: number) => {
    assert.deepInclude(
      [
        [["published"], 0],
        [["expired"], 1]
      ],
      [outcome, reaped],
      "exactly one of the two has the key"
    )
  }

  it.live("exactly one of publish and reap has the key, depending on which is faster", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      const collector = yield* a.process()
      for (let round = 0; round < 50; round++) {
        const own = { ...intent(round, now), key: key(`round-${round}`) }
        yield* a.database.blobs.intend([own])
        const [outcome, reaped] = yield* Effect.all(
          [
            a.database.blobs.publish(now, [{ ...own, sizeBytes: 1, references: [] }]),
            collector.journal.reapIntents(now, now, 100)
          ],
          { concurrency: "unbounded" }
        )
        published(outcome, reaped)
      }
      const after = yield* a.tables.rows
      const [owned, journaled] = [after.blobs, after.journal].map((rows) => rows.map((row) => row.key))
      assert.lengthOf(new Set([...(owned ?? []), ...(journaled ?? [])]), 50)
      assert.strictEqual((owned?.length ?? 0) + (journaled?.length ?? 0), 50)
      assert.deepStrictEqual(after.intents, [])
    })
  )

  it.live("a reap passes over an upload that is being published", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.database.blobs.intend([expired])
      const collector = yield* a.process()
      let reaped = -1
      const reap = Effect.map(collector.journal.reapIntents(now, now, 100), (count) => {
        reaped = count
      })
      const outcome = yield* a.database.blobs
        .publish(now, [upload])
        .pipe(before(/INSERT INTO "public"."blobs"/, reap))
      assert.deepStrictEqual(outcome, ["published"])
      assert.strictEqual(reaped, 0)
      assert.deepStrictEqual((yield* a.tables.rows).journal, [])
    })
  )

  it.live("publish waits for a reap in flight, then says that its upload has expired", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.database.blobs.intend([expired])
      const collector = yield* a.session
      yield* collector("BEGIN")
      yield* collector("DELETE FROM artifact_gc.intents")
      const writer = yield* Effect.forkChild(a.database.blobs.publish(now, [upload]))
      yield* a.waiting()
      yield* collector("COMMIT")
      assert.deepStrictEqual(yield* Fiber.join(writer), ["expired"])
      const after = yield* a.tables.rows
      assert.deepStrictEqual(after.blobs, [])
      assert.deepStrictEqual(after.references, [])
    })
  )

  it.live(
    "control: a writer that does not ask for its intent publishes a key whose object is being deleted",
    () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        yield* a.database.blobs.intend([expired])
        yield* a.database.journal.reapIntents(now, now, 100)
        const { entries } = yield* a.database.journal.claim(now, now + hour, 100)
        const writer = yield* a.session
        yield* writer(
          "INSERT INTO blobs (digest, object_key, size_bytes, created_at) VALUES ($1, $2, 1, now())",
          [digest(1), expired.key]
        )
        assert.deepStrictEqual(
          entries.map((entry) => entry.key),
          [(yield* a.tables.rows).blobs[0]?.key],
          "a DELETE is under way for a key that a blob owns"
        )
      })
  )
}

const tagging = (server: Server): void => {
  it.live("writers that name the same tags in opposite orders do not deadlock", () =>
    Effect.gen(function* () {
      const a = yield* arena(server)
      yield* a.tables.write({ blobs: blobs(1, 2) })
      const names = Array.from({ length: 20 }, (_, n) => `tag-${n}`)
      const forward = names.map((name) => artifact(name, 1))
      const backward = [...names].reverse().map((name) => artifact(name, 1))
      const [one, two] = [yield* a.process({ maxConnections: 1 }), yield* a.process({ maxConnections: 1 })]
      const rounds = (run: Effect.Effect<unknown, unknown>) =>
        Effect.result(Effect.repeat(run, { times: 10 }))
      const outcomes = yield* Effect.all(
        [
          rounds(Effect.andThen(one.blobs.adopt(now, forward), one.blobs.unreference(forward))),
          rounds(Effect.andThen(two.blobs.adopt(now, backward), two.blobs.unreference(backward)))
        ],
        { concurrency: "unbounded" }
      )
      assert.isTrue(outcomes.every(Result.isSuccess))
      assert.strictEqual(yield* a.deadlocks, 0)
    })
  )
}

export const writers = (server: Server): void => {
  describe("a writer against a purge", () => against(server))
  describe("a writer against a reap", () => reaping(server))
  describe("a writer against a writer", () => tagging(server))
}
