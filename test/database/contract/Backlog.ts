/** What waits for a later sweep, and what the guard answers of our own catalogue. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blobs,
  condemned,
  dead,
  hour,
  intent,
  now,
  orphan,
  type Promised,
  pin,
  write
} from "../../fixtures/samples.ts"
import { Tables } from "../../fixtures/Tables.ts"

export const backlog = (promised: Promised): void => {
  describe("backlog", () => {
    promised("is empty where nothing waits", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2) })
        assert.deepStrictEqual(yield* (yield* Database).backlog(now), {
          waiting: 0,
          candidates: 0,
          condemned: 0,
          condemnedBytes: 0,
          journaled: 0,
          journaledBytes: 0,
          journalDue: 0,
          journalDueBytes: 0,
          deadLetters: 0,
          intents: 0,
          pins: 0,
          oldestSeenAt: null,
          oldestCondemnedAt: null,
          nextJournalAt: null,
          oldestDeadAt: null,
          nextIntentAt: null,
          nextPinAt: null
        })
      })
    )

    promised("counts and dates what waits, what is condemned and what is journaled", () =>
      Effect.gen(function* () {
        yield* write({
          blobs: blobs(1, 2, 3, 4),
          orphans: [
            orphan(1, now - 2 * hour),
            orphan(2, now - hour),
            condemned(3, now - hour + 1),
            condemned(4, now - hour),
            condemned(5, now - 1)
          ],
          journal: [
            dead(10, { notBefore: now }),
            dead(20, { notBefore: now + 1 }),
            dead(30, { notBefore: now - hour, claimedUntil: now }),
            dead(40, { notBefore: now - hour, claimedUntil: now + 1 }),
            dead(50, { notBefore: now - 2 * hour, deadAt: now - hour })
          ],
          intents: [intent(1), intent(2)],
          pins: [pin("a", 1), pin("b", 1), pin("c", 2)]
        })
        assert.deepStrictEqual(yield* (yield* Database).backlog(now), {
          waiting: 2,
          candidates: 0,
          condemned: 3,
          condemnedBytes: 7,
          journaled: 4,
          journaledBytes: 100,
          journalDue: 2,
          journalDueBytes: 40,
          deadLetters: 1,
          intents: 2,
          pins: 3,
          oldestSeenAt: now - 2 * hour,
          oldestCondemnedAt: now - hour,
          nextJournalAt: now,
          oldestDeadAt: now - hour,
          nextIntentAt: now + hour,
          nextPinAt: now + hour
        })
      })
    )

    promised("counts the candidates of watched references", () =>
      Effect.gen(function* () {
        yield* write({ blobs: blobs(1, 2), references: [artifact("a", 1), artifact("b", 2)] })
        yield* (yield* Tables).watch
        const database = yield* Database
        yield* database.inspect
        yield* database.blobs.unreference([artifact("a", 1), artifact("b", 2)])
        assert.strictEqual((yield* database.backlog(now)).candidates, 2)
        yield* database.candidates.review(now, 10)
        assert.strictEqual((yield* database.backlog(now)).candidates, 0)
      })
    )

    promised("calls due exactly what a claim then hands out", () =>
      Effect.gen(function* () {
        const database = yield* Database
        yield* write({
          journal: [
            dead(1, { notBefore: now }),
            dead(2, { notBefore: now + 1 }),
            dead(3, { claimedUntil: now }),
            dead(4, { claimedUntil: now + 1 }),
            dead(5, { deadAt: now })
          ]
        })
        const { journalDue } = yield* database.backlog(now)
        const { entries } = yield* database.journal.claim(now, now + hour, 100)
        assert.strictEqual(journalDue, entries.length)
        assert.strictEqual((yield* database.backlog(now)).journalDue, 0)
      })
    )
  })

  describe("inspect", () => {
    promised("names all tables that keep blobs alive", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(
          (yield* (yield* Database).inspect).map(({ table, column, constraint }) => [
            table.replace(/^(public|artifact_registry)\./, ""),
            column,
            constraint
          ]),
          [
            ["manifest_references", "digest", "manifest_references_digest_fkey"],
            ["manifests", "digest", "manifests_digest_fkey"],
            ["artifacts", "digest", "artifacts_digest_fkey"],
            ["local_files", "digest", "local_files_digest_fkey"]
          ]
        )
      })
    )
  })
}
