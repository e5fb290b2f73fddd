/** Blobs in doubt: what writers make of them, and how their doubt ends. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { Suspect } from "../../../src/database/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blob,
  blobs,
  condemned,
  dead,
  digest,
  digests,
  hour,
  intent,
  key,
  minute,
  now,
  type Promised,
  rows,
  write
} from "../../fixtures/samples.ts"

const suspects = Effect.map(Database, (database) => database.suspects)

/** The suspicion of the sample blob `n`. */
const doubt = (...ns: ReadonlyArray<number>) => ns.map((n) => ({ digest: digest(n), key: key(n) }))
const suspect = (n: number): Suspect => ({
  digest: digest(n),
  key: key(n),
  sizeBytes: n,
  settled: false,
  latest: 0
})
/** The page without the numbers of suspicions, which a backend chooses. */
const pageOf = (after: Suspect["digest"] | null, limit: number) =>
  Effect.map(
    Effect.flatMap(suspects, ({ page }) => page(after, limit)),
    (page) => page.map((one) => ({ ...one, latest: 0 }))
  )
const buried = (n: number, notBefore: number, at = key(n)) =>
  dead(n, { key: at, reason: "duplicate", notBefore })

export const doubting = (promised: Promised): void => {
  describe("suspects", () => {
    promised("are the blobs whose rows name a key in doubt, in digest order", () =>
      Effect.gen(function* () {
        const other = { digest: digest(3), key: key("elsewhere") }
        yield* write({ blobs: blobs(1, 2, 3, 4), suspects: [...doubt(4, 2, 1), other, ...doubt(5)] })
        assert.deepStrictEqual(yield* pageOf(null, 2), [suspect(1), suspect(2)])
        assert.deepStrictEqual(yield* pageOf(digest(2), 2), [suspect(4)])
        assert.deepStrictEqual(yield* pageOf(digest(4), 2), [])
      })
    )

    promised("are not there for writers to find, nor restored; their bytes are taken in their place", () =>
      Effect.gen(function* () {
        const { blobs: writers, orphans } = yield* Database
        yield* write({ blobs: blobs(1, 2), suspects: doubt(1), orphans: [condemned(1), condemned(2)] })
        const live = yield* writers.adopt(now, [artifact("a", 1), artifact("b", 2)])
        assert.deepStrictEqual([...live], digests(2))
        assert.deepStrictEqual([...(yield* orphans.restore(now, digests(1), now + hour))], [])
        yield* writers.intend([intent(1)])
        const upload = {
          key: intent(1).key,
          digest: digest(1),
          sizeBytes: 10,
          references: [artifact("a", 1)]
        }
        assert.deepStrictEqual(yield* writers.publish(now, [upload]), ["published"])
        const after = yield* rows
        const moved = blob(1, { key: intent(1).key, sizeBytes: 10, lastUsedAt: now })
        assert.deepInclude(after.blobs, moved)
        assert.deepStrictEqual(after.references, [artifact("a", 1), artifact("b", 2)])
        assert.deepStrictEqual(after.journal, [{ ...buried(1, now), sizeBytes: 10 }])
        assert.deepStrictEqual(after.intents, [])
        assert.deepStrictEqual([...(yield* writers.adopt(now, [artifact("c", 1)]))], digests(1))
      })
    )

    promised("are rekeyed, with all their waits before them; the old key dies", () =>
      Effect.gen(function* () {
        const { rekey } = yield* suspects
        const { blobs: writers } = yield* Database
        yield* write({ blobs: blobs(1), suspects: doubt(1), orphans: [condemned(1)] })
        yield* writers.intend([intent(1)])
        assert.strictEqual(yield* rekey(now, suspect(1), intent(1).key, now + minute), "adopted")
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, [blob(1, { key: intent(1).key })])
        assert.deepStrictEqual(after.journal, [buried(1, now + minute)])
        assert.deepStrictEqual(after.intents, [])
        assert.deepStrictEqual(after.orphans, [])
        assert.deepStrictEqual(yield* pageOf(null, 10), [])
      })
    )

    promised("start their old key's way through the journal afresh", () =>
      Effect.gen(function* () {
        const { rekey } = yield* suspects
        const { blobs: writers } = yield* Database
        const tried = { attempts: 3, lastError: "SlowDown", claimedUntil: now + hour, deadAt: now }
        yield* write({ blobs: blobs(1), suspects: doubt(1), journal: [dead(1, tried)] })
        yield* writers.intend([intent(1)])
        yield* rekey(now, suspect(1), intent(1).key, now + minute)
        assert.deepStrictEqual((yield* rows).journal, [buried(1, now + minute)])
      })
    )

    promised("are left alone when the copy's intent has been reaped", () =>
      Effect.gen(function* () {
        const { rekey } = yield* suspects
        yield* write({ blobs: blobs(1), suspects: doubt(1) })
        const before = yield* rows
        assert.strictEqual(yield* rekey(now, suspect(1), intent(1).key, now), "expired")
        assert.deepStrictEqual(yield* rows, before)
      })
    )

    promised("that are suspect no longer have the copy journaled instead", () =>
      Effect.gen(function* () {
        const { rekey, drop } = yield* suspects
        const { blobs: writers } = yield* Database
        yield* write({ blobs: [blob(1), blob(2, { key: key("moved") })], suspects: doubt(2, 3) })
        yield* writers.intend([intent(1), intent(2), intent(3)])
        const before = yield* rows
        for (const n of [1, 2, 3]) {
          assert.strictEqual(yield* rekey(now, suspect(n), intent(n).key, now + hour), "superseded")
          assert.strictEqual(yield* drop(now, suspect(n)), "superseded")
        }
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, before.blobs)
        assert.deepStrictEqual(
          after.journal,
          [1, 2, 3].map((n) => buried(n, now, intent(n).key))
        )
        assert.deepStrictEqual(after.intents, [])
      })
    )

    promised("are dropped with their sightings, unless something refers to them", () =>
      Effect.gen(function* () {
        const { drop } = yield* suspects
        yield* write({
          blobs: blobs(1, 2, 3),
          suspects: doubt(1, 2, 3),
          orphans: [condemned(1)],
          references: [artifact("a", 2)],
          pins: [{ id: "p", digest: digest(3), expiresAt: now + hour }]
        })
        assert.strictEqual(yield* drop(now, suspect(1)), "dropped")
        assert.strictEqual(yield* drop(now, suspect(2)), "referenced")
        assert.strictEqual(yield* drop(now, suspect(3)), "referenced")
        const after = yield* rows
        assert.deepStrictEqual(after.blobs, blobs(2, 3))
        assert.deepStrictEqual(after.orphans, [])
        assert.deepStrictEqual(after.journal, [])
      })
    )

    promised("are forgotten when no row names their key, and not before", () =>
      Effect.gen(function* () {
        const { forget } = yield* suspects
        yield* write({ blobs: [blob(1), blob(2, { key: key("moved") })], suspects: doubt(1, 2, 3, 4) })
        assert.strictEqual(yield* forget(2), 2)
        assert.strictEqual(yield* forget(2), 1)
        assert.strictEqual(yield* forget(2), 0)
        assert.deepStrictEqual((yield* rows).suspects, doubt(1))
      })
    )
  })
}
