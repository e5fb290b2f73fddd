/** Finding orphans by what changed: what is noted, what becomes of it. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blob,
  blobs,
  condemned,
  digest,
  digests,
  file,
  hour,
  intent,
  minute,
  now,
  orphan,
  type Promised,
  pin,
  rows,
  sweep,
  write
} from "../../fixtures/samples.ts"
import { Tables } from "../../fixtures/Tables.ts"
import { config, layer, manifest, manifestRow } from "../../oci/database/contract/Manifests.ts"

const watch = Effect.gen(function* () {
  yield* (yield* Tables).watch
  yield* (yield* Database).inspect
})

const queue = Effect.map(rows, ({ candidates }) => candidates)
const sightings = Effect.map(rows, ({ orphans }) => orphans)

/** What `change` puts into the queue of a catalogue that has `given`. */
const noted = Effect.fnUntraced(function* <E>(
  given: Parameters<typeof write>[0],
  change: (database: Database["Service"]) => Effect.Effect<unknown, E>
) {
  yield* write(given)
  yield* watch
  yield* change(yield* Database)
  return yield* queue
})

export const candidates = (promised: Promised): void => {
  describe("watched references", () => {
    promised("are not, unless an operator asked for it, and then nothing is queued", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1), references: [artifact("a", 1)] })
        const { blobs: writers, candidates } = yield* Database
        assert.deepStrictEqual(yield* candidates.watch, { isOn: false, unwatched: [] })
        yield* writers.unreference([artifact("a", 1)])
        assert.deepStrictEqual(yield* queue, [])
        yield* watch
        assert.deepStrictEqual(yield* candidates.watch, { isOn: true, unwatched: [] })
      })
    )

    promised("note a blob when a reference goes, be there others or not", () =>
      Effect.gen(function* () {
        const given = { blobs: blobs(1, 2), references: [artifact("a", 1), file("b", 1), file("c", 2)] }
        const changed = noted(given, (database) =>
          database.blobs.unreference([artifact("a", 1), file("c", 2)])
        )
        assert.deepStrictEqual(yield* changed, digests(1, 2))
      })
    )

    promised("note the blob that a reference had before it was given another", () =>
      Effect.gen(function* () {
        const given = { blobs: blobs(1, 2), references: [artifact("a", 1)] }
        const changed = noted(given, (database) => database.blobs.adopt(now, [artifact("a", 2)]))
        assert.deepStrictEqual(yield* changed, digests(1))
      })
    )

    promised("note nothing when a reference comes, is repeated, or was not there", () =>
      Effect.gen(function* () {
        const given = { blobs: blobs(1, 2), references: [artifact("a", 1)] }
        const changed = noted(given, ({ blobs: writers }) =>
          Effect.all([
            writers.adopt(now, [artifact("a", 1), file("b", 2)], { pins: [pin("p", 1)] }),
            writers.unreference([artifact("x", 1)]),
            writers.unpin(["nobody's"])
          ])
        )
        assert.deepStrictEqual(yield* changed, [])
      })
    )

    promised("note a blob when a pin is released or expires", () =>
      Effect.gen(function* () {
        const given = { blobs: blobs(1, 2, 3), pins: [pin("a", 1), pin("b", 2, now - 1), pin("c", 3)] }
        const changed = noted(given, ({ blobs: writers, journal }) =>
          Effect.all([writers.unpin(["a"]), journal.expirePins(now, 10)])
        )
        assert.deepStrictEqual(yield* changed, digests(1, 2))
      })
    )

    promised(
      "note a blob that was held and released at once, and one that a manifest refers to otherwise than before",
      () =>
        Effect.gen(function* () {
          const given = { blobs: blobs(1, 2, 3), manifests: [manifestRow(2, null, [layer(3)])] }
          const changed = noted(given, ({ blobs: writers, manifests }) =>
            Effect.all([
              writers.adopt(now, [], { pins: [pin("a", 1)], release: ["a"] }),
              manifests.put(now, manifest(2), [config(3)])
            ])
          )
          assert.deepStrictEqual(yield* changed, digests(1, 3))
        })
    )

    promised("note a blob whose sighting ends, although nothing came to refer to it", () =>
      Effect.gen(function* () {
        const given = { blobs: blobs(1, 2), orphans: [condemned(1), condemned(2)] }
        const changed = noted(given, ({ blobs: writers }) =>
          Effect.all([
            // The third does not live, so the first is held for nothing.
            writers.adopt(now, [artifact("a", 1), artifact("b", 3)], { allOrNothing: true }),
            // Both are held, and only one is referred to.
            writers.adopt(now, [artifact("c", 2), artifact("c", 1)])
          ])
        )
        assert.includeMembers([...(yield* changed)], [...digests(1, 2)])
        const { candidates } = yield* Database
        yield* candidates.review(now, 10)
        assert.deepStrictEqual(yield* sightings, [orphan(2, now)])
      })
    )

    promised("note a blob that a purge found in use", () =>
      Effect.gen(function* () {
        const used = blob(1, { lastUsedAt: now })
        const given = { blobs: [used], orphans: [condemned(1)] }
        const changed = noted(given, ({ orphans }) =>
          orphans.purge({
            now,
            condemnedCutoff: now,
            seenCutoff: now,
            usedCutoff: now - minute,
            limit: 10,
            after: null,
            deleteNotBefore: now,
            leaseUntil: null
          })
        )
        assert.deepStrictEqual(yield* changed, digests(1))
        const { candidates } = yield* Database
        yield* candidates.review(now, 10)
        assert.deepStrictEqual(yield* sightings, [orphan(1, now)])
      })
    )

    promised("note a blob that is new, but not one that is there", () =>
      Effect.gen(function* () {
        const given = { blobs: blobs(1), references: [artifact("a", 1)], intents: [intent(1), intent(2)] }
        const publication = (n: number) => ({
          key: intent(n).key,
          digest: digest(n),
          sizeBytes: n,
          references: [file(`f${n}`, n)]
        })
        const changed = noted(given, ({ blobs: writers }) =>
          writers.publish(now, [publication(1), publication(2)])
        )
        assert.deepStrictEqual(yield* changed, digests(2))
      })
    )
  })

  describe("review", () => {
    promised("sights what nothing refers to, and forgets what something refers to or what is gone", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3, 4),
          references: [artifact("a", 1), artifact("b", 2), file("b", 2), artifact("c", 3)],
          pins: [pin("p", 4)]
        })
        yield* watch
        const { blobs: writers, candidates } = yield* Database
        yield* writers.unreference([artifact("a", 1), artifact("b", 2)])
        yield* writers.unpin(["p"])
        assert.deepStrictEqual(yield* candidates.review(now, 10), { candidates: 3, orphans: 2 })
        assert.deepStrictEqual(yield* sightings, [orphan(1, now), orphan(4, now)])
        assert.deepStrictEqual(yield* queue, [])
        assert.deepStrictEqual(yield* candidates.review(now, 10), { candidates: 0, orphans: 0 })
      })
    )

    promised("takes the oldest first, as many as asked for", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3),
          references: [artifact("a", 1), artifact("b", 2), artifact("c", 3)]
        })
        yield* watch
        const { blobs: writers, candidates } = yield* Database
        for (const n of [3, 1, 2]) yield* writers.unreference([artifact("_abc"[n] ?? "", n)])
        assert.deepStrictEqual(yield* candidates.review(now, 2), { candidates: 2, orphans: 2 })
        assert.deepStrictEqual(yield* queue, digests(2))
      })
    )

    promised("begins a sighting anew that something has kept since", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2),
          references: [artifact("a", 1)],
          orphans: [condemned(1), condemned(2)]
        })
        yield* watch
        const { blobs: writers, candidates } = yield* Database
        yield* writers.unreference([artifact("a", 1)])
        yield* candidates.review(now, 10)
        assert.deepStrictEqual(yield* sightings, [orphan(1, now), condemned(2)])
      })
    )

    promised("counts a blob once that was noted several times", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1), references: [artifact("a", 1), artifact("b", 1)] })
        yield* watch
        const { blobs: writers, candidates } = yield* Database
        yield* writers.unreference([artifact("a", 1)])
        yield* writers.unreference([artifact("b", 1)])
        assert.deepStrictEqual(yield* candidates.review(now, 10), { candidates: 2, orphans: 1 })
      })
    )
  })

  describe("sighted", () => {
    promised("tells what is still an orphan from what is not, page by page", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 4, 5),
          references: [artifact("a", 2)],
          pins: [pin("p", 4)],
          orphans: [orphan(1), orphan(2), orphan(3), condemned(4), condemned(5)]
        })
        const { candidates } = yield* Database
        const usedAt = blob(1).lastUsedAt
        assert.deepStrictEqual(yield* candidates.sighted(null, 3), {
          sightings: 3,
          orphans: [{ digest: digest(1), sizeBytes: 1, usedAt, seenAt: now - 3 * hour, condemnedAt: null }],
          stale: digests(2, 3),
          next: digest(3)
        })
        assert.deepStrictEqual(yield* candidates.sighted(digest(3), 3), {
          sightings: 2,
          orphans: [
            {
              digest: digest(5),
              sizeBytes: 5,
              usedAt,
              seenAt: now - 3 * hour,
              condemnedAt: now - 2 * hour
            }
          ],
          stale: digests(4),
          next: null
        })
        assert.deepStrictEqual(yield* candidates.sighted(digest(5), 3), {
          sightings: 0,
          orphans: [],
          stale: [],
          next: null
        })
      })
    )
  })

  describe("settle", () => {
    promised("condemns once, and ends the sightings of what is kept or gone", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3, 5),
          references: [artifact("a", 3)],
          orphans: [orphan(1), condemned(2), orphan(3), orphan(4), orphan(5)]
        })
        const { candidates } = yield* Database
        const ended = yield* candidates.settle({
          now,
          condemned: digests(1, 2),
          stale: digests(3, 4),
          sweep: "another"
        })
        assert.strictEqual(ended, 2)
        assert.deepStrictEqual(yield* sightings, [
          { ...orphan(1), condemnedAt: now, sweep: "another" },
          condemned(2),
          orphan(5)
        ])
      })
    )

    promised("keeps the sighting of a blob that was said to be kept and is not any more", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1), orphans: [orphan(1)] })
        const { candidates } = yield* Database
        assert.strictEqual(yield* candidates.settle({ now, condemned: [], stale: digests(1), sweep }), 0)
        assert.deepStrictEqual(yield* sightings, [orphan(1)])
      })
    )
  })

  describe("the scan of everything", () => {
    promised("is due until one was done, then so long after that began, and while one is under way", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2, 3) })
        const { candidates, orphans } = yield* Database
        const due = (at: number) => candidates.passDue(at, hour)
        const isDue = (at: number) => Effect.map(due(at), Option.isSome)
        const first = yield* due(now)
        assert.deepStrictEqual(first, Option.some({ wanted: 1, startedAt: now }))
        assert.isTrue(yield* isDue(now), "asking changes nothing")
        yield* candidates.passDone(Option.getOrThrow(first))
        assert.isFalse(yield* isDue(now + hour - 1))
        assert.isTrue(yield* isDue(now + hour))
        yield* orphans.claimSlice(2, null)
        assert.isTrue(yield* isDue(now + minute), "it stands in the middle")
        yield* orphans.claimSlice(2, null)
        assert.isFalse(yield* isDue(now + minute))
      })
    )

    promised("clears no sighting, if it is told so", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2), orphans: [orphan(1)] })
        const { orphans } = yield* Database
        const slice = { after: null, upTo: null, blobs: 2 }
        const marks = { now, seen: digests(2), condemned: [], sweep }
        assert.strictEqual(yield* orphans.record(slice, { ...marks, clear: false }), 0)
        assert.deepStrictEqual(yield* sightings, [orphan(1), orphan(2, now)])
        assert.strictEqual(yield* orphans.record(slice, marks), 1, "the control")
      })
    )
  })
}
