/** The writers' side: adopt, intend, publish, unreference, locate, owned. */

import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import { touchEveryMillis } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import type { Referring } from "../../fixtures/Referring.ts"
import {
  artifact,
  blob,
  blobs,
  chunk,
  condemned,
  dead,
  digest,
  digests,
  everything,
  file,
  hour,
  intent,
  key,
  now,
  orphan,
  type Promised,
  rows,
  session,
  write
} from "../../fixtures/samples.ts"

const writers = Effect.map(Database, (database) => database.blobs)

/** What was uploaded under the key of `intent(n)`. */
const upload = (n: number, change: Partial<Referring> = {}): Referring => ({
  key: intent(n).key,
  digest: digest(n),
  sizeBytes: n,
  references: [],
  ...change
})

const duplicate = (n: number) =>
  dead(n, { key: intent(n).key, reason: "duplicate", notBefore: now, sizeBytes: n })

export const writing = (promised: Promised): void => {
  describe("adopt", () => {
    promised("refers to the blobs that live and answers which do", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({ blobs: blobs(1, 2) })
        const live = yield* adopt(now, [artifact("a", 2), artifact("b", 3), file("f", 1), file("g", 2)])
        assert.deepStrictEqual([...live].sort(), digests(1, 2))
        const { references } = yield* rows
        assert.deepStrictEqual(references, [artifact("a", 2), file("f", 1), file("g", 2)])
        assert.deepStrictEqual(yield* adopt(now, []), new Set())
      })
    )

    promised("marks a blob used, but not again within a quarter of an hour", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        const recent = blob(2, { lastUsedAt: now - touchEveryMillis + 1 })
        yield* write({ blobs: [blob(1, { lastUsedAt: now - touchEveryMillis }), recent, blob(3)] })
        yield* adopt(now, [artifact("a", 1), artifact("b", 2)])
        assert.deepStrictEqual((yield* rows).blobs, [blob(1, { lastUsedAt: now }), recent, blob(3)])
      })
    )

    promised("ends the sightings and the condemnation of what it refers to", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({
          blobs: blobs(1, 2, 3),
          orphans: [orphan(1), condemned(2), condemned(3), condemned(4)]
        })
        yield* adopt(now, [artifact("a", 1), artifact("b", 2), artifact("c", 4)])
        assert.deepStrictEqual((yield* rows).orphans, [condemned(3), condemned(4)])
      })
    )

    promised("moves a tag: what it referred to before is an orphan", () =>
      Effect.gen(function* () {
        const database = yield* Database
        yield* write({ blobs: blobs(1, 2), references: [artifact("latest", 1)] })
        yield* database.blobs.adopt(now, [artifact("latest", 2)])
        assert.deepStrictEqual((yield* rows).references, [artifact("latest", 2)])
        assert.deepStrictEqual(
          (yield* database.orphans.find(everything)).map((found) => found.digest),
          digests(1)
        )
      })
    )

    promised("does the same when it is done again", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({ blobs: blobs(1) })
        const first = yield* adopt(now, [artifact("a", 1)])
        const before = yield* rows
        assert.deepStrictEqual(yield* adopt(now, [artifact("a", 1)]), first)
        assert.deepStrictEqual(yield* rows, before)
      })
    )

    promised("lets the last of several references of one name win, of those to blobs that live", () =>
      Effect.gen(function* () {
        const { adopt } = yield* writers
        yield* write({ blobs: blobs(1, 2) })
        const all = [artifact("a", 1), artifact("a", 2), artifact("a", 3), file("f", 2), file("f", 1)]
        assert.deepStrictEqual([...(yield* adopt(now, all))].sort(), digests(1, 2))
        assert.deepStrictEqual((yield* rows).references, [artifact("a", 2), file("f", 1)])
      })
    )
  })

  describe("intend", () => {
    promised("inserts intents; inserting one again moves its expiry", () =>
      Effect.gen(function* () {
        const { intend } = yield* writers
        yield* intend([])
        yield* intend([intent(2), intent(1)])
        yield* intend([intent(1, now + 2 * hour)])
        assert.deepStrictEqual((yield* rows).intents, [intent(1, now + 2 * hour), intent(2)])
      })
    )
  })

  describe("publish", () => {
    promised("turns an upload into a blob with references", () =>
      Effect.gen(function* () {
        const { publish } = yield* writers
        yield* write({ intents: [intent(1), intent(2)] })
        const large = upload(1, {
          sizeBytes: 5_000_000_000_000,
          references: [artifact("a", 1), file("f", 1)]
        })
        assert.deepStrictEqual(yield* publish(now, [large]), ["published"])
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, [
          { digest: digest(1), key: large.key, sizeBytes: large.sizeBytes, createdAt: now, lastUsedAt: now }
        ])
        assert.deepStrictEqual(after.references, large.references)
        assert.deepStrictEqual(after.intents, [intent(2)])
        assert.deepStrictEqual(after.journal, [])
      })
    )

    promised("keeps the blob that lives already, marks it used, and journals the key that was uploaded", () =>
      Effect.gen(function* () {
        const { publish } = yield* writers
        yield* write({ blobs: blobs(1), intents: [intent(1)], orphans: [condemned(1), condemned(2)] })
        const outcome = yield* publish(now, [upload(1, { references: [artifact("a", 1)] })])
        assert.deepStrictEqual(outcome, ["deduplicated"])
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, [blob(1, { lastUsedAt: now })])
        assert.deepStrictEqual(after.journal, [duplicate(1)])
        assert.deepStrictEqual(after.references, [artifact("a", 1)])
        assert.deepStrictEqual(after.orphans, [condemned(2)])
        assert.deepStrictEqual(after.intents, [])
      })
    )

    promised("never makes a blob look older than it is", () =>
      Effect.gen(function* () {
        const { publish } = yield* writers
        yield* write({ blobs: [blob(1, { lastUsedAt: now + hour })], intents: [intent(1)] })
        yield* publish(now, [upload(1)])
        assert.deepStrictEqual((yield* rows).blobs, [blob(1, { lastUsedAt: now + hour })])
      })
    )

    promised("changes nothing for an upload that was reaped or never had an intent", () =>
      Effect.gen(function* () {
        const { publish } = yield* writers
        yield* write({ blobs: blobs(2), orphans: [condemned(2)] })
        const before = yield* rows
        const late = [upload(1, { references: [artifact("a", 1)] }), upload(2)]
        assert.deepStrictEqual(yield* publish(now, late), ["expired", "expired"])
        assert.deepStrictEqual(yield* publish(now, []), [])
        assert.deepStrictEqual(yield* rows, before)
      })
    )

    promised("answers in the order given", () =>
      Effect.gen(function* () {
        const { publish } = yield* writers
        yield* write({ blobs: blobs(2), intents: [intent(1), intent(2), intent(4)] })
        const outcome = yield* publish(now, [upload(4), upload(3), upload(2), upload(1)])
        assert.deepStrictEqual(outcome, ["published", "expired", "deduplicated", "published"])
        const after = yield* rows
        assert.deepStrictEqual(
          after.blobs.map((row) => row.digest),
          digests(1, 2, 4)
        )
        assert.deepStrictEqual(after.journal, [duplicate(2)])
      })
    )

    promised("publishes the first of two uploads of one blob and journals the second", () =>
      Effect.gen(function* () {
        const { publish } = yield* writers
        const again = { ...intent(1), key: key("a second upload") }
        yield* write({ intents: [intent(1), again] })
        const outcome = yield* publish(now, [
          upload(1, { key: again.key, references: [artifact("a", 1)] }),
          upload(1, { references: [artifact("b", 1)] })
        ])
        assert.deepStrictEqual(outcome, ["published", "deduplicated"])
        const after = yield* rows
        assert.deepStrictEqual(
          after.blobs.map((row) => row.key),
          [again.key]
        )
        assert.deepStrictEqual(after.journal, [duplicate(1)])
        assert.deepStrictEqual(after.references, [artifact("a", 1), artifact("b", 1)])
      })
    )

    promised("takes an intent once, also within a batch", () =>
      Effect.gen(function* () {
        const { publish } = yield* writers
        yield* write({ intents: [intent(1)] })
        assert.deepStrictEqual(yield* publish(now, [upload(1), upload(1)]), ["published", "expired"])
        assert.deepStrictEqual(yield* publish(now, [upload(1)]), ["expired"])
        const after = yield* rows
        assert.lengthOf(after.blobs, 1)
        assert.deepStrictEqual(after.journal, [])
      })
    )
  })

  describe("unreference", () => {
    promised("removes the references that are there and counts them", () =>
      Effect.gen(function* () {
        const { unreference } = yield* writers
        const kept = [artifact("b", 1), file("g", 2)]
        yield* write({ blobs: blobs(1, 2), references: [artifact("a", 1), file("f", 1), ...kept] })
        assert.strictEqual(yield* unreference([artifact("a", 1), file("f", 1), file("h", 1)]), 2)
        assert.strictEqual(yield* unreference([artifact("a", 1)]), 0)
        assert.strictEqual(yield* unreference([]), 0)
        assert.deepStrictEqual((yield* rows).references, kept)
      })
    )

    promised("leaves a name alone that refers to another blob by now", () =>
      Effect.gen(function* () {
        const { unreference } = yield* writers
        yield* write({ blobs: blobs(1, 2), references: [artifact("latest", 2), file("f", 2)] })
        assert.strictEqual(yield* unreference([artifact("latest", 1), file("f", 1)]), 0)
        assert.lengthOf((yield* rows).references, 2)
      })
    )

    promised("counts a reference once that is named twice", () =>
      Effect.gen(function* () {
        const { unreference } = yield* writers
        yield* write({ blobs: blobs(1), references: [artifact("a", 1), file("f", 1)] })
        const twice = [artifact("a", 1), file("f", 1), artifact("a", 1), file("f", 1)]
        assert.strictEqual(yield* unreference(twice), 2)
      })
    )
  })

  describe("locate", () => {
    promised("says where a blob's bytes are and how many, or that there is none", () =>
      Effect.gen(function* () {
        const { locate } = yield* writers
        yield* write({ blobs: [blob(1, { sizeBytes: 5_000_000_000_000 })], intents: [intent(2)] })
        const place = { key: key(1), sizeBytes: 5_000_000_000_000 }
        assert.deepStrictEqual(yield* locate(digest(1)), Option.some(place))
        assert.deepStrictEqual(yield* locate(digest(2)), Option.none())
      })
    )
  })

  describe("owned", () => {
    promised("names the keys of blobs, intents and staged chunks, not dead or unknown ones", () =>
      Effect.gen(function* () {
        const { owned } = yield* writers
        yield* write({
          blobs: blobs(1, 2),
          intents: [intent(3)],
          journal: [dead(4)],
          sessions: [session("s", { receivedBytes: 6 })],
          chunks: [chunk(6, "s", 0)]
        })
        const asked = [key(1), intent(3).key, key(4), key(5), key(1), chunk(6, "s", 0).key]
        const expected = [key(1), intent(3).key, chunk(6, "s", 0).key]
        assert.deepStrictEqual([...(yield* owned(asked))].sort(), expected.sort())
        assert.deepStrictEqual(yield* owned([]), new Set())
      })
    )
  })
}
