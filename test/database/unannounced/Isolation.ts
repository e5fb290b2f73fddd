/** Unannounced writers whose transactions see the catalogue as it was before a purge. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Server } from "../../fixtures/Databases.ts"
import {
  inserts,
  mutate,
  refers,
  refused,
  type Stage,
  stage,
  unannouncedKey
} from "../../fixtures/database/WriterStage.ts"
import { digest, key } from "../../fixtures/samples.ts"

/** Registers the tests of REPEATABLE READ and SERIALIZABLE. */
export const isolation = (server: Server): void => {
  for (const isolation of ["REPEATABLE READ", "SERIALIZABLE"]) {
    /** A writer whose whole transaction sees the catalogue as it was before the purge. */
    const oldSnapshot = Effect.fnUntraced(function* (s: Stage) {
      yield* s.stores(1, "first")
      const writer = yield* s.another
      yield* writer(`BEGIN ISOLATION LEVEL ${isolation}`)
      assert.lengthOf(yield* writer("SELECT FROM blobs"), 1)
      yield* s.purges
      return writer
    })

    it.live(`a ${isolation} transaction that cannot see the tombstone is refused`, () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        const writer = yield* oldSnapshot(s)
        yield* refused("could not serialize access", inserts(writer, 1))
        yield* writer("ROLLBACK")
        yield* writer(`BEGIN ISOLATION LEVEL ${isolation}`)
        yield* inserts(writer, 1)
        yield* inserts(writer, 2)
        yield* writer("COMMIT")
        assert.deepStrictEqual(yield* s.suspects, [{ digest: digest(1), key: unannouncedKey(1) }])
        assert.lengthOf(yield* s.session("SELECT FROM artifact_gc.tombstones"), 1, "and leaves none")
        const buried = yield* s.session("SELECT object_key FROM artifact_gc.buried_keys")
        assert.deepStrictEqual(buried, [{ object_key: key("1-first") }], "the purged one, and none besides")
      })
    )

    it.live(`control: a ${isolation} transaction that looks as others do inserts a row without bytes`, () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* mutate(s.session, "guard_blobs", "NOT IN ('read committed', 'read uncommitted')", "= ''")
        const writer = yield* oldSnapshot(s)
        yield* inserts(writer, 1)
        yield* writer("COMMIT")
        yield* refers(s.session, "later", 1)
        assert.deepInclude(yield* s.lost, "later")
      })
    )
  }
}
