/** What reference sources need of the database: the page that is due, what they hold, and their names. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { DueRequest, KeptBlob } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blobs,
  condemned,
  digest,
  digests,
  everything,
  hour,
  minute,
  now,
  orphan,
  type Promised,
  rows,
  sweep,
  write
} from "../../fixtures/samples.ts"

const request: DueRequest = { condemnedCutoff: now - hour, seenCutoff: now - hour, limit: 100, after: null }

const kept = (n: number, until: number): KeptBlob => ({ digest: digest(n), until })

const purged = (only: ReadonlyArray<number>, limit = 100) =>
  Effect.flatMap(Database, ({ orphans }) =>
    Effect.map(
      orphans.purge({
        ...request,
        limit,
        now,
        usedCutoff: now - hour,
        deleteNotBefore: now,
        leaseUntil: null,
        only: digests(...only)
      }),
      (page) => page.purged.map((blob) => blob.digest).sort()
    )
  )

const found = Effect.flatMap(Database, ({ orphans }) => orphans.find(everything))

const named = Effect.flatMap(Database, ({ references }) =>
  Effect.map(references.check(now, false), ({ sources }) => sources)
)

export const referenceSources = (promised: Promised): void => {
  describe("due", () => {
    promised(
      "shows what a purge would take, longest condemned first, page by page, and changes nothing",
      () =>
        Effect.gen(function* () {
          const { orphans } = yield* Database
          const early = now - 4 * hour
          yield* write({
            blobs: blobs(1, 2, 3, 4),
            references: [artifact("a", 3)],
            orphans: [condemned(1), condemned(2, early), condemned(3, early), condemned(4, now), orphan(5)]
          })
          const before = yield* rows
          const first = yield* orphans.due({ ...request, limit: 2 })
          const shown = (n: number, condemnedAt: number) => ({
            digest: digest(n),
            seenAt: now - 3 * hour,
            condemnedAt
          })
          assert.deepStrictEqual(first, {
            orphans: [shown(2, early), shown(3, early)],
            next: { condemnedAt: early, digest: digest(3) }
          })
          const second = yield* orphans.due({ ...request, limit: 2, after: first.next })
          assert.deepStrictEqual(second, { orphans: [shown(1, now - 2 * hour)], next: null })
          assert.deepStrictEqual(yield* rows, before)
        })
    )

    promised("leaves out what was first seen after its cutoff", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        yield* write({ blobs: blobs(1), orphans: [condemned(1)] })
        const page = yield* orphans.due({ ...request, seenCutoff: now - 3 * hour - 1 })
        assert.deepStrictEqual(page, { orphans: [], next: null })
      })
    )
  })

  describe("purge of some", () => {
    promised("takes none but these, and of these none that is not due or is referenced", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3, 4),
          references: [artifact("a", 3)],
          orphans: [condemned(1), condemned(2), condemned(3), condemned(4, now)]
        })
        assert.deepStrictEqual(yield* purged([]), [])
        assert.deepStrictEqual(yield* purged([2, 3, 4, 9]), digests(2))
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, blobs(1, 3, 4))
        assert.deepStrictEqual(after.orphans, [condemned(1), condemned(4, now)])
      })
    )

    promised("takes none that was pinned since the question, though its pin is gone again", () =>
      Effect.gen(function* () {
        const database = yield* Database
        yield* write({ blobs: blobs(1, 2), orphans: [condemned(1), condemned(2)] })
        const page = yield* database.orphans.due(request)
        assert.lengthOf(page.orphans, 2)
        const pin = { id: "p", digest: digest(1), expiresAt: now + hour }
        yield* database.blobs.adopt(now, [], { pins: [pin] })
        yield* database.blobs.unpin(["p"])
        assert.deepStrictEqual(yield* purged([1, 2]), digests(2))
        assert.deepStrictEqual(
          (yield* rows).blobs.map((row) => row.digest),
          digests(1)
        )
      })
    )
  })

  describe("keep", () => {
    promised("ends a condemnation, begins the sighting anew, and dates the next question", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        yield* write({ blobs: blobs(1, 2, 3), orphans: [condemned(1), orphan(2), condemned(3)] })
        assert.strictEqual(
          yield* orphans.keep(now, [kept(2, now + hour), kept(1, now + minute), kept(9, now)]),
          2
        )
        const sightings = (yield* rows).orphans.map(({ condemnedAt, digest, seenAt, sweep }) => ({
          ...{ digest, seenAt, condemnedAt, sweep }
        }))
        assert.deepStrictEqual(sightings, [orphan(1, now), orphan(2, now), condemned(3)])
        assert.deepStrictEqual(
          (yield* found).map(({ digest, keptUntil }) => [digest, keptUntil]),
          [
            [digest(1), now + minute],
            [digest(2), now + hour],
            [digest(3), undefined]
          ]
        )
        assert.deepStrictEqual(yield* purged([1, 2, 3]), digests(3))
      })
    )

    promised("outlasts the next condemnation, so that the next question can be later", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        yield* write({ blobs: blobs(1), orphans: [orphan(1)] })
        yield* orphans.keep(now - 3 * hour, [kept(1, now - 2 * hour)])
        yield* orphans.record(everything, { now: now - hour, seen: digests(1), condemned: digests(1), sweep })
        const { orphans: page } = yield* orphans.due(request)
        assert.deepStrictEqual(page, [
          {
            digest: digest(1),
            seenAt: now - 3 * hour,
            condemnedAt: now - hour,
            keptUntil: now - 2 * hour
          }
        ])
      })
    )

    promised("is over once the sighting ends", () =>
      Effect.gen(function* () {
        const { blobs: writers, orphans } = yield* Database
        yield* write({ blobs: blobs(1), orphans: [orphan(1)] })
        yield* orphans.keep(now, [kept(1, now + hour)])
        yield* writers.adopt(now, [artifact("a", 1)])
        yield* writers.unreference([artifact("a", 1)])
        assert.deepStrictEqual(
          (yield* found).map(({ keptUntil, seenAt }) => ({ keptUntil, seenAt })),
          [{ keptUntil: undefined, seenAt: null }]
        )
      })
    )

    promised("moves with a sighting that was dated in the future", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        yield* write({ blobs: blobs(1), orphans: [orphan(1)] })
        yield* orphans.keep(now + hour, [kept(1, now + 2 * hour)])
        assert.strictEqual(yield* orphans.redate(now, digests(1)), 1)
        assert.deepStrictEqual(
          (yield* found).map(({ keptUntil, seenAt }) => ({ keptUntil, seenAt })),
          [{ keptUntil: undefined, seenAt: now }]
        )
      })
    )

    promised("of nothing keeps nothing", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        assert.strictEqual(yield* orphans.keep(now, []), 0)
      })
    )
  })

  describe("the names of sources", () => {
    promised("are remembered, missed and forgotten", () =>
      Effect.gen(function* () {
        const { references } = yield* Database
        assert.deepStrictEqual(yield* named, [])
        yield* references.rememberSources(["sessions", "avatars", "sessions"])
        yield* references.missSources(now, ["sessions", "unknown"])
        assert.deepStrictEqual(yield* named, [
          { name: "avatars", missingAt: null },
          { name: "sessions", missingAt: now }
        ])
        yield* references.rememberSources(["sessions"])
        yield* references.forgetSources(["avatars", "unknown"])
        assert.deepStrictEqual(yield* named, [{ name: "sessions", missingAt: null }])
      })
    )
  })
}
