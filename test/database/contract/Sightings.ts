/** What of a slice is garbage, and writing it down: find and record. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Slice } from "../../../src/database/Database.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
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

const redating = (promised: Promised): void => {
  describe("redate", () => {
    promised("moves what lies ahead to now, and nothing else", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        const both = { ...condemned(3, now + 1), seenAt: now + 2 }
        const before = [orphan(1, now), orphan(2, now + 1), both, condemned(4, now + 1), orphan(5, now + 1)]
        yield* write({ blobs: blobs(1, 2, 3, 4, 5), orphans: before })
        assert.strictEqual(yield* orphans.redate(now, digests(1, 2, 3, 4, 9)), 3)
        assert.deepStrictEqual((yield* rows).orphans, [
          orphan(1, now),
          orphan(2, now),
          { ...both, seenAt: now, condemnedAt: now },
          condemned(4, now),
          orphan(5, now + 1)
        ])
      })
    )
  })

  describe("instants", () => {
    const limits = {
      now,
      toleranceMillis: 1000,
      leaseMillis: hour,
      uploadMillis: 2 * hour,
      leftoverMillis: 3 * hour,
      deleteMillis: 1000,
      backoffMillis: 4 * hour
    }
    const key = (name: string) => ObjectKey.make(name)

    promised("are found and corrected where they lie further ahead than a wait explains", () =>
      Effect.gen(function* () {
        const { breakers, candidates, instants, journal, leftovers, peers } = yield* Database
        const entry = {
          digest: null,
          sizeBytes: 1,
          attempts: 0,
          lastError: null,
          deadAt: null,
          uploadId: null
        }
        const due = (name: string, reason: "purged" | "leftover", notBefore: number) =>
          ({ ...entry, key: key(name), reason, notBefore, claimedUntil: null }) as const
        const farthest = now + 4 * hour + 1000
        const honest = [due("a", "purged", farthest), due("b", "leftover", now)]
        yield* write({ journal: honest, intents: [intent("i", now + 9 * hour)] })
        yield* breakers.trip("orphans", now + 1000, nothing)
        yield* peers.register(now + 1000, now + 99 * hour, { id: "p", settings: {} })
        yield* leftovers.claim(now + 1000, now + hour, { everyMillis: 0, cuts: [], cutFrom: 1 })
        yield* candidates.passDone({ wanted: 1, startedAt: now + 1000 })
        assert.deepStrictEqual(yield* instants.ahead(limits), [], "every one of these is honest")

        const year = now + 365 * 24 * hour
        yield* write({ journal: [due("c", "purged", farthest + 1), due("d", "leftover", year)] })
        yield* breakers.confirm(year)
        yield* peers.register(year, year + hour, { id: "q", settings: {} })
        yield* candidates.passDone({ wanted: 1, startedAt: year })
        assert.deepStrictEqual(yield* instants.ahead(limits), ["breakers", "collectors", "journal", "scans"])
        assert.deepStrictEqual(yield* instants.correct(limits), {
          breakers: 1,
          collectors: 1,
          intents: 1,
          journal: 2,
          scans: 1
        })
        assert.deepStrictEqual(yield* instants.ahead(limits), [])
        const found = yield* rows
        assert.deepStrictEqual(found.journal, [
          ...honest,
          due("c", "purged", now + 1000),
          due("d", "leftover", now + 3 * hour)
        ])
        assert.deepStrictEqual(found.intents, [intent("i", now + 2 * hour)])
        assert.strictEqual((yield* breakers.read("orphans")).confirmedAt, now)
        assert.deepInclude(yield* peers.others(now, "p"), {
          id: "q",
          seenAt: now,
          settings: {},
          activity: null
        })
        assert.deepStrictEqual(yield* peers.others(now + hour, "p"), [])
        assert.isTrue(Option.isSome(yield* candidates.passDue(now + hour, hour)))
        assert.lengthOf((yield* journal.claim(now + 1000, now + hour, 9)).entries, 2)
      })
    )

    promised("of leases beyond any lease do not keep keys from other collectors", () =>
      Effect.gen(function* () {
        const { journal } = yield* Database
        const row = { digest: null, sizeBytes: 1, reason: "purged", notBefore: now, attempts: 0 } as const
        const rest = { lastError: null, deadAt: null, uploadId: null }
        const until = (name: string, claimedUntil: number) => ({
          ...row,
          ...rest,
          key: key(name),
          claimedUntil
        })
        yield* write({ journal: [until("honest", now + 25 * hour), until("wrong", now + 25 * hour + 1)] })
        const { entries } = yield* journal.claim(now, now + hour, 9)
        assert.deepStrictEqual(
          entries.map((entry) => entry.key as string),
          ["wrong"]
        )
      })
    )
  })
}

const nothing = { blobs: 0, bytes: 0, totalBlobs: 0, totalBytes: 0 }
const intent = (name: string, expiresAt: number) => ({
  key: ObjectKey.make(name),
  digest: digest(1),
  expiresAt,
  uploadId: null
})

export const sightings = (promised: Promised): void => {
  redating(promised)
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
