/** The undo window: condemned blobs, listed and taken back. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { restorePin } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blobs,
  condemned,
  digest,
  digests,
  everything,
  hour,
  key,
  minute,
  now,
  orphan,
  type Promised,
  rows,
  sweep,
  write
} from "../../fixtures/samples.ts"

const purgeAll = Effect.flatMap(Database, ({ orphans }) =>
  orphans.purge({
    now,
    condemnedCutoff: now,
    seenCutoff: now,
    usedCutoff: now,
    limit: 100,
    after: null,
    deleteNotBefore: now,
    leaseUntil: null
  })
)

export const undoing = (promised: Promised): void => {
  describe("condemned", () => {
    promised("lists what is condemned and lives, by digest, page by page", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3, 4),
          orphans: [orphan(1), condemned(2), condemned(3, now - minute), condemned(4), condemned(9)]
        })
        const { orphans } = yield* Database
        const all = { _tag: "All" } as const
        const first = yield* orphans.condemned(all, null, 2)
        assert.deepStrictEqual(first, [
          {
            digest: digest(2),
            key: key(2),
            sizeBytes: 2,
            seenAt: now - 3 * hour,
            condemnedAt: now - 2 * hour,
            sweep
          },
          {
            digest: digest(3),
            key: key(3),
            sizeBytes: 3,
            seenAt: now - 3 * hour,
            condemnedAt: now - minute,
            sweep
          }
        ])
        const found = (selection: Parameters<typeof orphans.condemned>[0], after: number | null = null) =>
          Effect.map(orphans.condemned(selection, after === null ? null : digest(after), 10), (page) =>
            page.map((row) => row.digest)
          )
        assert.deepStrictEqual(yield* found(all, 3), digests(4))
        assert.deepStrictEqual(yield* found({ _tag: "Sweep", sweep }), digests(2, 3, 4))
        assert.deepStrictEqual(yield* found({ _tag: "Sweep", sweep: "another" }), [])
        assert.deepStrictEqual(yield* found({ _tag: "Digests", digests: digests(1, 3, 4, 9) }), digests(3, 4))
        assert.deepStrictEqual(yield* found({ _tag: "Digests", digests: [] }), [])
      })
    )

    promised("says which sweep condemned what", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2) })
        const { orphans } = yield* Database
        const mark = (sweep: string, n: number) =>
          orphans.record(everything, { now, seen: digests(1, 2), condemned: [digest(n)], sweep })
        yield* mark("first", 1)
        yield* mark("second", 2)
        const page = yield* orphans.condemned({ _tag: "Sweep", sweep: "second" }, null, 10)
        assert.deepStrictEqual(
          page.map((row) => row.digest),
          digests(2)
        )
      })
    )
  })

  describe("restore", () => {
    promised("ends the condemnation and holds each blob until then, whatever purges", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3), orphans: [condemned(1), condemned(2), condemned(3)] })
        const { orphans } = yield* Database
        const restored = yield* orphans.restore(now, digests(1, 2), now + hour)
        assert.deepStrictEqual([...restored].sort(), digests(1, 2))
        const page = yield* purgeAll
        assert.deepStrictEqual(
          page.purged.map((row) => row.digest),
          digests(3)
        )
        const held = [1, 2].map((n) => ({
          id: restorePin(digest(n)),
          digest: digest(n),
          expiresAt: now + hour
        }))
        assert.deepStrictEqual((yield* rows).pins, held)
        assert.deepStrictEqual(yield* orphans.find({ ...everything }), [])
      })
    )

    promised("holds a blob once, and never shorter than before", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1), orphans: [condemned(1)] })
        const { orphans } = yield* Database
        for (const hold of [hour, 2 * hour, minute]) yield* orphans.restore(now, digests(1), now + hold)
        assert.deepStrictEqual((yield* rows).pins, [
          { id: restorePin(digest(1)), digest: digest(1), expiresAt: now + 2 * hour }
        ])
      })
    )

    promised("leaves out what is gone, and does nothing for it", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1), orphans: [condemned(1)] })
        yield* purgeAll
        const { orphans } = yield* Database
        assert.deepStrictEqual([...(yield* orphans.restore(now, digests(1, 7), now + hour))], [])
        const after = yield* rows
        assert.deepStrictEqual([after.pins, after.blobs], [[], []])
      })
    )

    promised("gives a blob back to the waits when its hold has ended", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2), orphans: [condemned(1), condemned(2)] })
        const database = yield* Database
        yield* database.orphans.restore(now, digests(1, 2), now + hour)
        yield* database.blobs.adopt(now, [artifact("kept", 2)])
        assert.strictEqual(yield* database.journal.expirePins(now + hour, 10), 2)
        const found = yield* database.orphans.find(everything)
        assert.deepStrictEqual(
          found.map((row) => [row.digest, row.seenAt, row.condemnedAt]),
          [[digest(1), null, null]]
        )
      })
    )
  })
}
