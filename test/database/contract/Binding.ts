/** The binding: one row, a lost time, what a rebinding forgets, and the rows that are looked up in the store. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blobs,
  condemned,
  dead,
  digest,
  hour,
  intent,
  key,
  minute,
  now,
  type Promised,
  rows,
  write
} from "../../fixtures/samples.ts"

const here = { server: "1/1", timeline: "00000001" }
const lost = { from: now - 24 * hour, to: now, foundAt: now, why: "a test says so" }

const bound = Effect.gen(function* () {
  const { binding } = yield* Database
  return (yield* binding.read).bound
})

export const binding = (promised: Promised): void => {
  describe("the binding", () => {
    promised("is that of the first that binds", () =>
      Effect.gen(function* () {
        const { binding } = yield* Database
        assert.isNull(yield* bound)
        yield* binding.bind(now, "one", { S3_BUCKET: "a" }, here)
        yield* binding.bind(now + hour, "two", { S3_BUCKET: "b" }, here)
        assert.deepStrictEqual(yield* bound, {
          id: "one",
          boundAt: now,
          identity: { S3_BUCKET: "a" },
          ...here,
          sweptAt: null,
          usualGapMillis: null,
          foundShareMin: 0.9,
          lost: null
        })
        yield* binding.remember(now + minute, { server: "1/1", timeline: null }, 1000.5)
        assert.deepInclude(yield* bound, { sweptAt: now + minute, timeline: null, usualGapMillis: 1000.5 })
      })
    )

    promised("remembers a lost time, joined with an earlier one, until it is released", () =>
      Effect.gen(function* () {
        const { binding } = yield* Database
        yield* binding.bind(now, "one", {}, here)
        yield* binding.suspect(lost, here, null)
        const later = { from: now - hour, to: now + hour, foundAt: now + hour, why: "again" }
        yield* binding.suspect(later, here, 7)
        assert.deepInclude(yield* bound, {
          lost: { ...later, from: lost.from },
          sweptAt: later.to,
          usualGapMillis: 7
        })
        yield* binding.release(lost.foundAt)
        assert.isNotNull((yield* bound)?.lost)
        yield* binding.release(later.foundAt)
        assert.isNull((yield* bound)?.lost)
      })
    )

    promised(
      "takes leftovers back that were journaled before the lost time was found, and nothing else",
      () =>
        Effect.gen(function* () {
          const { binding } = yield* Database
          yield* binding.bind(now, "one", {}, here)
          yield* write({
            journal: [
              dead(1, { reason: "leftover" }),
              dead(2, { reason: "leftover", claimedUntil: now + hour }),
              dead(3, { reason: "purged" })
            ]
          })
          yield* binding.suspect(lost, here, null)
          assert.deepStrictEqual(
            (yield* rows).journal.map((row) => row.key),
            [key(2), key(3)]
          )
        })
    )

    promised("forgets the journal and the uploads of a former store, and keeps those of the same", () =>
      Effect.gen(function* () {
        const { binding } = yield* Database
        yield* binding.bind(now, "one", { S3_BUCKET: "a" }, here)
        yield* write({ blobs: blobs(1), orphans: [condemned(1)], intents: [intent(2)], journal: [dead(3)] })
        const next = { S3_BUCKET: "b" }
        const same = yield* binding.rebind(now, next, here, 0.5, { store: false, catalogue: false })
        assert.deepStrictEqual(same, { journaled: 0, uploads: 0, orphans: 0 })
        assert.deepInclude(yield* bound, { id: "one", identity: next, foundShareMin: 0.5 })
        const other = yield* binding.rebind(now, next, here, 0.9, { store: true, catalogue: false })
        assert.deepStrictEqual(other, { journaled: 1, uploads: 1, orphans: 0 })
        const left = yield* rows
        assert.deepStrictEqual([left.journal, left.intents, left.orphans.length], [[], [], 1])
      })
    )

    promised("forgets the marks on the blobs of a former catalogue", () =>
      Effect.gen(function* () {
        const { binding } = yield* Database
        yield* binding.bind(now, "one", {}, here)
        yield* write({ blobs: blobs(1), orphans: [condemned(1)], journal: [dead(3)] })
        const forgotten = yield* binding.rebind(now, {}, here, 0.9, { store: false, catalogue: true })
        assert.deepStrictEqual(forgotten, { journaled: 0, uploads: 0, orphans: 1 })
        assert.strictEqual((yield* rows).journal.length, 1)
      })
    )

    promised("forgets that the references of a former catalogue held a row", () =>
      Effect.gen(function* () {
        const { binding, references } = yield* Database
        yield* write({ blobs: blobs(1), references: [artifact("v1", 1)] })
        yield* references.check(now, true)
        assert.isFalse((yield* references.check(now, true)).firstHeld)
        yield* binding.rebind(now, {}, here, 0.9, { store: false, catalogue: true })
        assert.deepInclude(yield* references.check(now, true), { missing: [], dropped: [], firstHeld: true })
      })
    )
  })

  describe("a sample", () => {
    promised("is of referenced rows, where there are any, and of old ones", () =>
      Effect.gen(function* () {
        const { binding } = yield* Database
        const drawn = Effect.map(binding.sample(now, 10), (sample) => sample.map((row) => row.digest).sort())
        assert.deepStrictEqual(yield* drawn, [])
        yield* write({ blobs: blobs(1, 2, 3) })
        assert.deepStrictEqual(yield* drawn, [digest(1), digest(2), digest(3)])
        yield* write({ references: [artifact("v1", 2)] })
        assert.deepStrictEqual(yield* binding.sample(now, 10), [
          { digest: digest(2), key: key(2), referenced: true }
        ])
        assert.deepStrictEqual(yield* binding.sample(0, 10), [])
      })
    )

    promised("of what is about to be deleted begins with what was condemned first", () =>
      Effect.gen(function* () {
        const { binding } = yield* Database
        yield* write({ blobs: blobs(1, 2), orphans: [condemned(2, now - hour), condemned(1, now - minute)] })
        assert.deepStrictEqual(
          (yield* binding.due(1)).map((row) => row.digest),
          [digest(2)]
        )
        assert.strictEqual((yield* binding.due(10)).length, 2)
      })
    )
  })
}
