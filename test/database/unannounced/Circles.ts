/**
 * Rows of the journal and buried keys of one key: statements that lock both take the journal's row first, so that no
 * two of them wait for each other.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { later } from "../../fixtures/Arena.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { inserts, type Stage, stage, unannouncedKey } from "../../fixtures/database/WriterStage.ts"
import { digest, key } from "../../fixtures/samples.ts"

/** Blob 1 is suspect. Its key is buried, and in the journal as after a DELETE without an answer. */
const journaledSuspect = Effect.fnUntraced(function* (s: Stage) {
  yield* s.puts(1)
  yield* inserts(s.session, 1)
  yield* s.purges
  yield* s.puts(1)
  yield* inserts(s.session, 1)
  yield* s.session(
    `INSERT INTO artifact_gc.journal (object_key, digest, size_bytes, reason, journaled_at, not_before, leases)
     VALUES ($1, $2, 1, 'purged', now(), now(), 2)`,
    [unannouncedKey(1), digest(1)]
  )
})

/**
 * Runs `verb` between the two locks that striking off a key takes: its row of the journal, then its buried key, which
 * lasts if a DELETE may still take effect.
 */
const whileStruckOff = Effect.fnUntraced(function* <A, E>(s: Stage, verb: Effect.Effect<A, E>) {
  const striking = yield* s.another
  yield* striking("BEGIN")
  yield* striking("SELECT FROM artifact_gc.journal WHERE object_key = $1 FOR UPDATE", [unannouncedKey(1)])
  const running = later(verb)
  yield* running.start
  yield* s.waiting()
  yield* striking("UPDATE artifact_gc.buried_keys SET lasting = true WHERE object_key = $1", [
    unannouncedKey(1)
  ])
  yield* striking("COMMIT")
  return yield* running.outcome
})

export const circles = (server: Server): void => {
  describe("no circle of the journal and buried keys", () => {
    it.live("where the bytes of a suspect are moved while its key is struck off", () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* journaledSuspect(s)
        const [suspect] = yield* s.database.suspects.page(null, 1)
        if (suspect === undefined) return assert.fail("there is no suspect")
        const [now, to] = [Date.now(), key("fresh")]
        yield* s.database.blobs.intend([{ key: to, digest: digest(1), expiresAt: now + 60_000 }])
        const outcome = yield* whileStruckOff(s, s.database.suspects.rekey(now, suspect, to, now))
        assert.strictEqual(outcome, "adopted")
        assert.strictEqual(yield* s.keyOf(1), to)
        assert.strictEqual(yield* s.deadlocks, 0)
      })
    )

    it.live("where a blob is purged while its key is struck off", () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* journaledSuspect(s)
        yield* s.session("DELETE FROM artifact_gc.suspects")
        yield* s.session("UPDATE blobs SET last_used_at = NULL")
        const now = Date.now() + 1000
        const marks = { now, seen: [digest(1)], condemned: [digest(1)], sweep: "s" }
        yield* s.database.orphans.record(yield* s.database.orphans.readSlice(null, 100), marks)
        const due = { now, condemnedCutoff: now, seenCutoff: now, usedCutoff: now, deleteNotBefore: now }
        const purge = s.database.orphans.purge({ ...due, after: null, limit: 10, leaseUntil: null })
        const { purged } = yield* whileStruckOff(s, purge)
        assert.deepStrictEqual(
          purged.map((blob) => blob.key),
          [unannouncedKey(1)]
        )
        assert.strictEqual(yield* s.deadlocks, 0)
      })
    )
  })
}
