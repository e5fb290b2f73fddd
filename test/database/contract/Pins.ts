/** What keeps a blob or an upload besides references: pins and leases. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { touchEveryMillis } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blob,
  blobs,
  condemned,
  dead,
  digest,
  digests,
  everything,
  hour,
  intent,
  key,
  minute,
  now,
  type Promised,
  pin,
  rows,
  write
} from "../../fixtures/samples.ts"

const writers = Effect.map(Database, (database) => database.blobs)

const request = {
  now,
  condemnedCutoff: now - hour,
  seenCutoff: now,
  usedCutoff: now - hour,
  limit: 100,
  after: null,
  deleteNotBefore: now + minute,
  leaseUntil: null
}

const upload = (n: number) => ({ key: intent(n).key, digest: digest(n), sizeBytes: n, references: [] })

export const pins = (promised: Promised): void => {
  describe("a pin", () => {
    promised("keeps a blob from being found and from being purged, until it is released", () =>
      Effect.gen(function* () {
        const { blobs: verbs, orphans } = yield* Database
        yield* write({ blobs: blobs(1, 2), orphans: [condemned(1), condemned(2)], pins: [pin("p", 1)] })
        const found = yield* orphans.find(everything)
        assert.deepStrictEqual(
          found.map((orphan) => orphan.digest),
          digests(2)
        )
        const page = yield* orphans.purge(request)
        assert.deepStrictEqual(
          page.purged.map((purged) => purged.digest),
          digests(2)
        )
        assert.strictEqual(page.absolved, 1)
        assert.deepStrictEqual((yield* rows).blobs, blobs(1))

        assert.strictEqual(yield* verbs.unpin(["p"]), 1)
        yield* write({ orphans: [condemned(1)] })
        assert.lengthOf((yield* orphans.purge(request)).purged, 1)
        assert.deepStrictEqual((yield* rows).blobs, [])
      })
    )

    promised("keeps its blob also when it has expired and no sweep has ended it", () =>
      Effect.gen(function* () {
        const { orphans } = yield* Database
        yield* write({ blobs: blobs(1), orphans: [condemned(1)], pins: [pin("p", 1, now - hour)] })
        assert.deepStrictEqual((yield* orphans.purge(request)).purged, [])
      })
    )

    promised("ends at its expiry or after, a few at a time", () =>
      Effect.gen(function* () {
        const { expirePins } = (yield* Database).journal
        const later = pin("d", 1, now + 1)
        yield* write({
          blobs: blobs(1),
          pins: [pin("a", 1, now - hour), pin("b", 1, now), pin("c", 1, now), later]
        })
        assert.strictEqual(yield* expirePins(now, 2), 2)
        assert.strictEqual(yield* expirePins(now, 2), 1)
        assert.strictEqual(yield* expirePins(now, 2), 0)
        assert.deepStrictEqual((yield* rows).pins, [later])
      })
    )

    promised("is released by its id, whether or not it is there", () =>
      Effect.gen(function* () {
        const { unpin } = yield* writers
        yield* write({ blobs: blobs(1), pins: [pin("a", 1), pin("b", 1)] })
        assert.strictEqual(yield* unpin(["a", "unknown", "a"]), 1)
        assert.strictEqual(yield* unpin([]), 0)
        assert.deepStrictEqual((yield* rows).pins, [pin("b", 1)])
      })
    )
  })

  describe("adopt with holds", () => {
    promised("pins the blobs that live, marks them used and ends their condemnation", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({
          blobs: [blob(1, { lastUsedAt: now - touchEveryMillis })],
          orphans: [condemned(1), condemned(2)]
        })
        const live = yield* adopt(now, [], { pins: [pin("a", 1), pin("b", 2)] })
        assert.deepStrictEqual([...live], digests(1))
        const after = yield* rows
        assert.deepStrictEqual(after.pins, [pin("a", 1)])
        assert.deepStrictEqual(after.blobs, [blob(1, { lastUsedAt: now })])
        assert.deepStrictEqual(after.orphans, [condemned(2)])
      })
    )

    promised("does the same when it is done again, and never shortens a pin", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({ blobs: blobs(1) })
        for (const expiresAt of [now + hour, now + hour, now + minute]) {
          yield* adopt(now, [], { pins: [pin("a", 1, expiresAt)] })
        }
        assert.deepStrictEqual((yield* rows).pins, [pin("a", 1, now + hour)])
      })
    )

    promised("releases pins with the references that replace them", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({ blobs: blobs(1, 2), pins: [pin("a", 1), pin("b", 2), pin("c", 2)] })
        yield* adopt(now, [artifact("x", 1), artifact("y", 2)], { release: ["a", "b", "unknown"] })
        const after = yield* rows
        assert.deepStrictEqual(after.references, [artifact("x", 1), artifact("y", 2)])
        assert.deepStrictEqual(after.pins, [pin("c", 2)])
      })
    )

    promised("releases none when one of the references came too late", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({ blobs: blobs(1), pins: [pin("a", 1)] })
        const live = yield* adopt(now, [artifact("x", 1), artifact("y", 2)], { release: ["a"] })
        assert.deepStrictEqual([...live], digests(1))
        const after = yield* rows
        assert.deepStrictEqual(after.references, [artifact("x", 1)])
        assert.deepStrictEqual(after.pins, [pin("a", 1)])
      })
    )

    promised("adds nothing of all or nothing unless every blob lives", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({ blobs: blobs(1, 2), pins: [pin("a", 1)] })
        const holds = { release: ["a"], pins: [pin("b", 1)], allOrNothing: true }
        const live = yield* adopt(now, [artifact("x", 1), artifact("y", 3)], holds)
        assert.deepStrictEqual([...live], digests(1))
        const during = yield* rows
        assert.deepStrictEqual(during.references, [])
        assert.deepStrictEqual(during.pins, [pin("a", 1)])

        yield* adopt(now, [artifact("x", 1), artifact("y", 2), artifact("z", 1)], holds)
        const after = yield* rows
        assert.lengthOf(after.references, 3)
        assert.deepStrictEqual(after.pins, [pin("b", 1)])
      })
    )

    promised("of nothing but pins to be released releases them", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({ blobs: blobs(1), pins: [pin("a", 1)] })
        yield* adopt(now, [], { release: ["a"], allOrNothing: true })
        assert.deepStrictEqual((yield* rows).pins, [])
      })
    )
  })

  describe("publish with pins", () => {
    promised("keeps the new blob, and the one that lived already, by them", () =>
      Effect.gen(function* () {
        const { blobs: verbs, orphans } = yield* Database
        yield* write({ blobs: blobs(2), intents: [intent(1), intent(2)] })
        const outcomes = yield* verbs.publish(now, [
          { ...upload(1), pins: [pin("a", 1)] },
          { ...upload(2), pins: [pin("b", 2), pin("c", 2)] }
        ])
        assert.deepStrictEqual(outcomes, ["published", "deduplicated"])
        assert.deepStrictEqual((yield* rows).pins, [pin("a", 1), pin("b", 2), pin("c", 2)])
        assert.deepStrictEqual(yield* orphans.find(everything), [])
      })
    )

    promised("pins nothing for an upload that was reaped", () =>
      Effect.gen(function* () {
        const { publish } = yield* writers
        yield* write({ blobs: blobs(1) })
        assert.deepStrictEqual(yield* publish(now, [{ ...upload(1), pins: [pin("a", 1)] }]), ["expired"])
        assert.deepStrictEqual((yield* rows).pins, [])
      })
    )
  })

  describe("an intent", () => {
    promised("need not know the digest, and is published and reaped like any other", () =>
      Effect.gen(function* () {
        const { blobs: verbs, journal } = yield* Database
        const unnamed = (n: number) => ({ key: intent(n).key, digest: null, expiresAt: now + hour })
        yield* verbs.intend([unnamed(1), unnamed(2)])
        assert.deepStrictEqual(
          (yield* rows).intents,
          [1, 2].map((n) => ({ ...unnamed(n), uploadId: null }))
        )
        assert.deepStrictEqual(yield* verbs.publish(now, [upload(1)]), ["published"])
        assert.strictEqual(yield* journal.reapIntents(now + hour, now + 2 * hour, 10), 1)
        const after = yield* rows
        assert.deepStrictEqual(after.journal, [
          dead(2, {
            key: intent(2).key,
            digest: null,
            sizeBytes: 0,
            reason: "reaped",
            notBefore: now + 2 * hour
          })
        ])
      })
    )

    promised("is renewed while it is there, and never made to expire sooner", () =>
      Effect.gen(function* () {
        const { blobs: verbs, journal } = yield* Database
        yield* write({ intents: [intent(1), intent(2), intent(3, now + 9 * hour)], blobs: blobs(4) })
        const asked = [intent(2).key, intent(3).key, key(4), key("unknown")]
        const renewed = yield* verbs.renew(asked, now + 3 * hour)
        assert.deepStrictEqual([...renewed].sort(), [intent(2).key, intent(3).key])
        assert.deepStrictEqual(yield* verbs.renew([], now), new Set())
        assert.deepStrictEqual((yield* rows).intents, [
          intent(1),
          intent(2, now + 3 * hour),
          intent(3, now + 9 * hour)
        ])
        assert.strictEqual(yield* journal.reapIntents(now + 2 * hour, now, 10), 1)
        assert.deepStrictEqual(yield* verbs.renew([intent(1).key], now + 9 * hour), new Set())
      })
    )

    promised("takes the id of its multipart upload to the journal, for the sweep that aborts it", () =>
      Effect.gen(function* () {
        const { blobs: verbs, journal } = yield* Database
        yield* write({ intents: [intent(1), intent(2)] })
        assert.isTrue(yield* verbs.recordMultipart(intent(1).key, "parts"))
        assert.isFalse(yield* verbs.recordMultipart(key("unknown"), "parts"))
        assert.deepStrictEqual((yield* rows).intents, [{ ...intent(1), uploadId: "parts" }, intent(2)])
        yield* verbs.renew([intent(1).key], now + hour)
        yield* journal.reapIntents(now + hour, now, 10)
        const { entries } = yield* journal.claim(now, now + hour, 10)
        assert.deepStrictEqual(entries.map(({ uploadId }) => uploadId).sort(), ["parts", null].sort())
      })
    )
  })
}
