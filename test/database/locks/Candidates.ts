/** Writers that change references and collectors that review candidates at the same time: no loss is missed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { arena, before as hooked, ownArena } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { artifact, blobs, condemned, digests, file, now, orphan, sweep } from "../../fixtures/samples.ts"

const dropArtifact = (name: string) =>
  `DELETE FROM public.artifacts WHERE repository = 'library/app' AND name = '${name}'`

const reviewStatement = { sights: /^\s*INSERT INTO "artifact_gc"\."orphans" AS o/ }
const settleStatement = {
  locks: /FOR UPDATE SKIP LOCKED$/,
  ends: /^\s*DELETE FROM "artifact_gc"\."orphans" o/
}

export const candidates = (server: Server): void => {
  describe("noted losses", () => {
    it.live("of a transaction that has not committed are reviewed after it has", () =>
      Effect.gen(function* () {
        const { database, tables, session } = yield* arena(server)
        yield* tables.write({ blobs: blobs(1), references: [artifact("a", 1)] })
        yield* tables.watch
        yield* database.inspect
        const writer = yield* session
        yield* writer("BEGIN")
        yield* writer(dropArtifact("a"))
        assert.deepStrictEqual(yield* database.candidates.review(now, 10), { candidates: 0, orphans: 0 })
        yield* writer("COMMIT")
        assert.deepStrictEqual(yield* database.candidates.review(now, 10), { candidates: 1, orphans: 1 })
      }).pipe(Effect.scoped)
    )

    it.live("are reviewed in the order in which they came, from the ninth to the tenth and on", () =>
      Effect.gen(function* () {
        const { database, tables, session } = yield* ownArena(server)
        yield* tables.write({
          blobs: blobs(1, 2, 3),
          references: [artifact("a", 1), artifact("b", 2), artifact("c", 3)]
        })
        yield* tables.watch
        yield* database.inspect
        yield* (yield* session)("ALTER TABLE artifact_gc.candidates ALTER id RESTART WITH 9")
        for (const lost of [artifact("a", 1), artifact("b", 2), artifact("c", 3)])
          yield* database.blobs.unreference([lost])
        yield* database.candidates.review(now, 1)
        assert.deepStrictEqual((yield* tables.rows).orphans, [orphan(1, now)])
        yield* database.candidates.review(now, 1)
        assert.deepStrictEqual((yield* tables.rows).candidates, digests(3))
      }).pipe(Effect.scoped)
    )

    it.live("make no transaction wait: not two that lose the same blob, and none for a review of it", () =>
      Effect.gen(function* () {
        const { database, tables, session } = yield* arena(server)
        yield* tables.write({
          blobs: blobs(1),
          references: [artifact("a", 1), artifact("b", 1), artifact("c", 1)]
        })
        yield* tables.watch
        yield* database.inspect
        yield* database.blobs.unreference([artifact("c", 1)])
        const [one, another] = yield* Effect.all([session, session])
        for (const writer of [one, another]) yield* writer("SET lock_timeout = '1ms'")
        yield* one("BEGIN")
        yield* one(dropArtifact("a"))
        yield* hooked(reviewStatement.sights, another(dropArtifact("b")))(database.candidates.review(now, 10))
        assert.deepStrictEqual(
          (yield* tables.rows).candidates,
          digests(1),
          "what came during the review stays"
        )
        yield* one("COMMIT")
        assert.deepStrictEqual(yield* database.candidates.review(now, 10), { candidates: 2, orphans: 1 })
      }).pipe(Effect.scoped)
    )

    it.live("are shared: what one collector reviews another passes over", () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        const { database, tables } = a
        const other = yield* a.process()
        yield* tables.write({ blobs: blobs(1, 2), references: [artifact("a", 1), artifact("b", 2)] })
        yield* tables.watch
        yield* Effect.all([database.inspect, other.inspect])
        yield* database.blobs.unreference([artifact("a", 1)])
        yield* database.blobs.unreference([artifact("b", 2)])
        let others: unknown
        const beside = Effect.tap(other.candidates.review(now, 10), (found) =>
          Effect.sync(() => {
            others = found
          })
        )
        const found = yield* database.candidates.review(now, 1).pipe(hooked(reviewStatement.sights, beside))
        assert.deepStrictEqual(
          [found, others],
          [
            { candidates: 1, orphans: 1 },
            { candidates: 1, orphans: 1 }
          ]
        )
        assert.deepStrictEqual((yield* tables.rows).orphans, [orphan(1, now), orphan(2, now)])
      }).pipe(Effect.scoped)
    )

    it.live("a sighting is not ended for a reference that goes while it is looked at", () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        const { database, tables } = a
        const other = yield* a.process()
        yield* tables.write({ blobs: blobs(1), references: [artifact("a", 1)], orphans: [condemned(1)] })
        yield* tables.watch
        yield* Effect.all([database.inspect, other.inspect])
        // It was kept when the page was read; then the reference goes, and another collector reviews that at once.
        const lostAndReviewed = Effect.andThen(
          other.blobs.unreference([artifact("a", 1)]),
          other.candidates.review(now, 10)
        )
        const marks = { now, condemned: [], stale: digests(1), sweep }
        const ended = yield* database.candidates
          .settle(marks)
          .pipe(hooked(settleStatement.locks, lostAndReviewed))
        assert.strictEqual(ended, 0)
        assert.deepStrictEqual((yield* tables.rows).orphans, [orphan(1, now)])
      }).pipe(Effect.scoped)
    )

    it.live("a review waits for a sighting that is being ended, and sights anew", () =>
      Effect.gen(function* () {
        const a = yield* arena(server)
        const { database, tables } = a
        const other = yield* a.process()
        yield* tables.write({
          blobs: blobs(1),
          references: [artifact("a", 1), file("b", 1)],
          orphans: [condemned(1)]
        })
        yield* tables.watch
        yield* Effect.all([database.inspect, other.inspect])
        let review: Fiber.Fiber<unknown, unknown> | undefined
        const losing = Effect.gen(function* () {
          yield* other.blobs.unreference([artifact("a", 1)])
          review = Effect.runFork(
            Effect.andThen(other.blobs.unreference([file("b", 1)]), other.candidates.review(now, 10))
          )
          yield* a.waiting()
        })
        const marks = { now, condemned: [], stale: digests(1), sweep }
        yield* database.candidates.settle(marks).pipe(hooked(settleStatement.ends, losing))
        assert.isDefined(review)
        if (review !== undefined) yield* Fiber.join(review)
        assert.deepStrictEqual((yield* tables.rows).orphans, [orphan(1, now)])
        assert.deepStrictEqual((yield* tables.rows).candidates, [])
      }).pipe(Effect.scoped)
    )

    const scans: ReadonlyArray<
      readonly [how: string, clear: boolean, noted: boolean, left: readonly [number, number]]
    > = [
      ["that clears nothing keeps", false, true, [1, 0]],
      ["that clears what it did not find has its blob noted again for", true, true, [0, 1]],
      ["that clears, without the trigger on sightings, loses (the control)", true, false, [0, 0]]
    ]
    for (const [how, clear, noted, left] of scans) {
      it.live(`a scan ${how} a sighting that was reviewed meanwhile`, () =>
        Effect.gen(function* () {
          const { database, session, tables } = yield* arena(server)
          yield* tables.write({ blobs: blobs(1), references: [artifact("a", 1)] })
          yield* tables.watch
          yield* database.inspect
          if (!noted) yield* (yield* session)("ALTER TABLE artifact_gc.orphans DISABLE TRIGGER USER")
          const slice = { after: null, upTo: null, blobs: 1 }
          assert.deepStrictEqual(yield* database.orphans.find(slice), [])
          yield* database.blobs.unreference([artifact("a", 1)])
          yield* database.candidates.review(now, 10)
          yield* database.orphans.record(slice, { now, seen: [], condemned: [], sweep, clear })
          const { orphans, candidates } = yield* tables.rows
          assert.deepStrictEqual([orphans.length, candidates.length], [...left])
        }).pipe(Effect.scoped)
      )
    }
  })
}
