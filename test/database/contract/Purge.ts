/** Taking condemned orphans away: purge. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { PurgeCursor, PurgedBlob, PurgePage, PurgeRequest } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blob,
  blobs,
  condemned,
  dead,
  digest,
  digests,
  file,
  hour,
  key,
  minute,
  now,
  orphan,
  type Promised,
  rows,
  write
} from "../../fixtures/samples.ts"

const request: PurgeRequest = {
  now,
  condemnedCutoff: now - hour,
  seenCutoff: 4_000_000_000_000,
  usedCutoff: now - hour,
  limit: 100,
  after: null,
  deleteNotBefore: now + minute,
  leaseUntil: null
}

const purge = (change: Partial<PurgeRequest> = {}) =>
  Effect.flatMap(Database, ({ orphans }) => orphans.purge({ ...request, ...change }))

const gone = (n: number): PurgedBlob => ({ digest: digest(n), key: key(n), sizeBytes: n })
const page = (change: Partial<PurgePage>): PurgePage => ({
  purged: [],
  absolved: 0,
  busy: 0,
  next: null,
  ...change
})
/** The order within a page does not matter. */
const ordered = (found: PurgePage): PurgePage => ({
  ...found,
  purged: [...found.purged].sort((a, b) => (a.digest < b.digest ? -1 : 1))
})

export const purging = (promised: Promised): void => {
  describe("purge", () => {
    promised("takes the row and its condemnation away and journals the key, leased as asked", () =>
      Effect.gen(function* () {
        const { blobs: writers } = yield* Database
        yield* write({ blobs: [blob(1, { sizeBytes: 5_000_000_000_000 })], orphans: [condemned(1)] })
        const leased = { deleteNotBefore: now + 5, leaseUntil: now + 7 }
        const purged = [{ ...gone(1), sizeBytes: 5_000_000_000_000 }]
        assert.deepStrictEqual(yield* purge(leased), page({ purged }))
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, [])
        assert.deepStrictEqual(after.orphans, [])
        assert.deepStrictEqual(after.journal, [
          dead(1, { sizeBytes: 5_000_000_000_000, notBefore: now + 5, claimedUntil: now + 7 })
        ])
        assert.deepStrictEqual(yield* writers.locate(digest(1)), Option.none())
        assert.deepStrictEqual(yield* purge(leased), page({}), "and there is nothing to purge again")
      })
    )

    promised("leaves the key to any collector when no lease is asked for", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1), orphans: [condemned(1)] })
        yield* purge({ leaseUntil: null })
        assert.deepStrictEqual((yield* rows).journal, [dead(1, { notBefore: now + minute })])
      })
    )

    promised("takes what was condemned at the cutoff, and not a millisecond later", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3),
          orphans: [condemned(1, now - hour), condemned(2, now - hour + 1), orphan(3)]
        })
        assert.deepStrictEqual(yield* purge(), page({ purged: [gone(1)] }))
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, blobs(2, 3))
        assert.deepStrictEqual(after.orphans, [condemned(2, now - hour + 1), orphan(3)])
      })
    )

    promised("keeps a blob that was referenced after it was condemned, and absolves it", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3),
          references: [artifact("a", 1), file("f", 2)],
          orphans: [condemned(1), condemned(2), condemned(3)]
        })
        assert.deepStrictEqual(yield* purge(), page({ purged: [gone(3)], absolved: 2 }))
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, blobs(1, 2))
        assert.deepStrictEqual(after.orphans, [])
        assert.lengthOf(after.references, 2)
        assert.deepStrictEqual(
          after.journal.map((row) => row.key),
          [key(3)]
        )
      })
    )

    promised(
      "leaves alone, to the millisecond, what was first seen after the cutoff, condemned though it is",
      () =>
        Effect.gen(function* () {
          const seenAt = now - 3 * hour
          const late = orphan(2, seenAt + 1, now - 2 * hour)
          yield* write({ blobs: blobs(1, 2), orphans: [orphan(1, seenAt, now - 2 * hour), late] })
          assert.deepStrictEqual(yield* purge({ seenCutoff: seenAt }), page({ purged: [gone(1)] }))
          const after = yield* rows
          assert.deepStrictEqual(after.blobs, blobs(2))
          assert.deepStrictEqual(after.orphans, [late])
        })
    )

    promised("keeps a blob used after the cutoff, to the millisecond, and absolves it", () =>
      Effect.gen(function* () {
        const cutoff = request.usedCutoff
        const kept = [blob(3, { lastUsedAt: cutoff + 1 }), blob(4, { createdAt: cutoff + 1, lastUsedAt: 0 })]
        yield* write({
          blobs: [
            blob(1, { lastUsedAt: cutoff }),
            blob(2, { createdAt: cutoff, lastUsedAt: cutoff }),
            ...kept
          ],
          orphans: [condemned(1), condemned(2), condemned(3), condemned(4)]
        })
        assert.deepStrictEqual(ordered(yield* purge()), page({ purged: [gone(1), gone(2)], absolved: 2 }))
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, kept)
        assert.deepStrictEqual(after.orphans, [])
      })
    )

    promised("clears a condemnation whose blob is gone already", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1), orphans: [condemned(1), condemned(2)] })
        assert.deepStrictEqual(yield* purge(), page({ purged: [gone(1)], absolved: 1 }))
        const after = yield* rows
        assert.deepStrictEqual(after.orphans, [])
        assert.lengthOf(after.journal, 1)
      })
    )

    promised("has nothing to do where nothing is condemned", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2), orphans: [orphan(1)] })
        const before = yield* rows
        assert.deepStrictEqual(yield* purge(), page({}))
        assert.deepStrictEqual(yield* rows, before)
      })
    )

    promised("goes page by page, longest condemned first, each orphan once", () =>
      Effect.gen(function* () {
        const early = now - 3 * hour
        yield* write({
          blobs: blobs(1, 2, 3, 4, 5),
          references: [artifact("a", 4)],
          orphans: [condemned(1), condemned(2, early), condemned(3, early), condemned(4, early), condemned(5)]
        })
        const first = yield* purge({ limit: 2 })
        const behind = (n: number, at: number): PurgeCursor => ({ digest: digest(n), condemnedAt: at })
        assert.deepStrictEqual(
          ordered(first),
          page({ purged: [gone(2), gone(3)], next: behind(3, early) }),
          "the earliest, and of those condemned together the first by digest"
        )
        const second = yield* purge({ limit: 2, after: first.next })
        assert.deepStrictEqual(
          second,
          page({ purged: [gone(1)], absolved: 1, next: behind(1, now - 2 * hour) })
        )
        const third = yield* purge({ limit: 2, after: second.next })
        assert.deepStrictEqual(third, page({ purged: [gone(5)] }))
      })
    )

    promised("ends whole pages with an empty one, and tries nothing again that lies before the cursor", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2), orphans: [condemned(1), condemned(2)] })
        const first = yield* purge({ limit: 2 })
        assert.deepStrictEqual(first.next, { digest: digest(2), condemnedAt: now - 2 * hour })
        yield* write({ blobs: blobs(1), orphans: [condemned(1)] })
        assert.deepStrictEqual(yield* purge({ limit: 2, after: first.next }), page({}))
        assert.deepStrictEqual((yield* rows).blobs, blobs(1), "left for the next sweep")
      })
    )

    promised("starts a journal row afresh if an unannounced writer used the key before", () =>
      Effect.gen(function* () {
        const old = dead(1, { attempts: 7, lastError: "AccessDenied", deadAt: now - hour, reason: "reaped" })
        yield* write({ blobs: blobs(1), orphans: [condemned(1)], journal: [old] })
        yield* purge({ leaseUntil: now + 9 })
        assert.deepStrictEqual((yield* rows).journal, [
          dead(1, { notBefore: now + minute, claimedUntil: now + 9 })
        ])
      })
    )

    promised("makes the digest free for a new upload under another key", () =>
      Effect.gen(function* () {
        const { blobs: writers } = yield* Database
        yield* write({ blobs: blobs(1), orphans: [condemned(1)] })
        yield* purge()
        assert.deepStrictEqual([...(yield* writers.adopt(now, [artifact("a", 1)]))], digests())
        yield* writers.intend([{ key: key("again"), digest: digest(1), expiresAt: now + hour }])
        const outcome = yield* writers.publish(now, [
          { key: key("again"), digest: digest(1), sizeBytes: 1, references: [artifact("a", 1)] }
        ])
        assert.deepStrictEqual(outcome, ["published"])
        const after = yield* rows
        assert.deepStrictEqual(
          after.blobs.map((row) => row.key),
          [key("again")]
        )
        assert.deepStrictEqual(
          after.journal.map((row) => row.key),
          [key(1)],
          "the old key stays dead"
        )
      })
    )
  })
}
