/** What of a slice is garbage, and writing it down: find and record. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { Slice } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blob,
  blobs,
  condemned,
  digest,
  digests,
  everything,
  file,
  hour,
  now,
  orphan,
  type Promised,
  rows,
  sweep,
  write
} from "../../fixtures/samples.ts"

const found = (slice: Slice) =>
  Effect.flatMap(Database, ({ orphans }) =>
    Effect.map(orphans.find(slice), (all) => all.map((one) => one.digest))
  )

const record = (slice: Slice, at: number, seen: ReadonlyArray<number>, doomed: ReadonlyArray<number> = []) =>
  Effect.flatMap(Database, ({ orphans }) =>
    orphans.record(slice, { now: at, seen: digests(...seen), condemned: digests(...doomed), sweep })
  )

export const sightings = (promised: Promised): void => {
  describe("find", () => {
    promised("finds what nothing refers to, in digest order, with all that is known of its age", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        yield* write({
          blobs: [
            blob(3, { sizeBytes: 5_000_000_000_000 }),
            blob(1, { createdAt: 1000, lastUsedAt: 2000 }),
            blob(2, { createdAt: 4000, lastUsedAt: 3000 })
          ],
          orphans: [orphan(2, 5000), condemned(3, 6001)]
        })
        assert.deepStrictEqual(yield* orphans.find(everything), [
          { digest: digest(1), sizeBytes: 1, usedAt: 2000, seenAt: null, condemnedAt: null },
          { digest: digest(2), sizeBytes: 2, usedAt: 4000, seenAt: 5000, condemnedAt: null },
          {
            digest: digest(3),
            sizeBytes: 5_000_000_000_000,
            usedAt: now - 24 * hour,
            seenAt: now - 3 * hour,
            condemnedAt: 6001
          }
        ])
      })
    )

    promised("keeps what any one kind of reference points at", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3, 4),
          references: [artifact("a", 1), file("f", 2), artifact("b", 3), file("g", 3)]
        })
        assert.deepStrictEqual(yield* found(everything), digests(4))
        const { blobs: writers } = yield* Database
        yield* writers.unreference([artifact("b", 3)])
        assert.deepStrictEqual(yield* found(everything), digests(4), "still referred to as a file")
        yield* writers.unreference([file("g", 3)])
        assert.deepStrictEqual(yield* found(everything), digests(3, 4))
      })
    )

    promised("looks at the slice alone: behind its beginning, up to and with its end", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3, 4, 5), references: [artifact("a", 3)] })
        assert.deepStrictEqual(yield* found({ after: digest(1), upTo: digest(4), blobs: 3 }), digests(2, 4))
        assert.deepStrictEqual(yield* found({ after: null, upTo: digest(1), blobs: 1 }), digests(1))
        assert.deepStrictEqual(yield* found({ after: digest(4), upTo: null, blobs: 1 }), digests(5))
        assert.deepStrictEqual(yield* found({ after: digest(5), upTo: null, blobs: 0 }), [])
      })
    )

    promised("writes nothing", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2), orphans: [orphan(1), orphan(9)] })
        const before = yield* rows
        yield* found(everything)
        assert.deepStrictEqual(yield* rows, before)
      })
    )
  })

  describe("record", () => {
    promised("writes first sightings and condemnations down at the given instant", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2) })
        assert.strictEqual(yield* record(everything, now + 1, [1, 2], [2]), 0)
        assert.deepStrictEqual((yield* rows).orphans, [orphan(1, now + 1), orphan(2, now + 1, now + 1)])
      })
    )

    promised("keeps the first sight and the first condemnation", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3) })
        yield* record(everything, 1000, [1, 2, 3], [3])
        yield* record(everything, 2000, [1, 2, 3], [2, 3])
        yield* record(everything, 3000, [1, 2, 3])
        assert.deepStrictEqual((yield* rows).orphans, [
          orphan(1, 1000),
          orphan(2, 1000, 2000),
          orphan(3, 1000, 1000)
        ])
      })
    )

    promised("clears what is no longer found, condemned or not, and says how many", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3), orphans: [orphan(1), condemned(2), orphan(3)] })
        assert.strictEqual(yield* record(everything, now, [3]), 2)
        assert.deepStrictEqual((yield* rows).orphans, [orphan(3)])
        assert.strictEqual(yield* record(everything, now, []), 1)
        assert.strictEqual(yield* record(everything, now, []), 0)
        assert.deepStrictEqual((yield* rows).orphans, [])
      })
    )

    promised("leaves the sightings of other slices alone", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3, 4), orphans: [orphan(1), orphan(2), orphan(3), orphan(4)] })
        assert.strictEqual(yield* record({ after: digest(1), upTo: digest(3), blobs: 2 }, now, []), 2)
        assert.deepStrictEqual((yield* rows).orphans, [orphan(1), orphan(4)])
      })
    )

    promised("condemns only what was seen", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2), orphans: [orphan(2)] })
        yield* record(everything, now, [1], [1, 2])
        assert.deepStrictEqual((yield* rows).orphans, [orphan(1, now, now)])
      })
    )

    promised("sights nothing of what another collector has purged since it was found", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2), orphans: [condemned(1), condemned(2)] })
        const { orphans } = yield* Database
        assert.deepStrictEqual(yield* found(everything), digests(1, 2))
        const { purged } = yield* orphans.purge({
          now,
          condemnedCutoff: now,
          seenCutoff: now,
          usedCutoff: now,
          limit: 1,
          after: null,
          deleteNotBefore: now,
          leaseUntil: null
        })
        assert.deepStrictEqual(
          purged.map((one) => one.digest),
          digests(1)
        )
        assert.strictEqual(yield* record(everything, now, [1, 2]), 0)
        assert.deepStrictEqual((yield* rows).orphans, [condemned(2)])
      })
    )

    promised("starts anew with what was referenced in between", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1) })
        yield* record(everything, 1000, [1], [1])
        yield* record(everything, 2000, [])
        yield* record(everything, 3000, [1])
        assert.deepStrictEqual((yield* rows).orphans, [orphan(1, 3000)])
      })
    )
  })
}
