/** Tags that are pushed, pulled or listed while retention removes them, and collectors that do so at once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Arena, arena, before, later } from "../../fixtures/Arena.ts"
import type { Database } from "../../fixtures/Database.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { blobs, digest, hour, now } from "../../fixtures/samples.ts"
import { app, child, manifest, manifestRow, tagRow } from "../../oci/database/contract/Manifests.ts"

type Verbs = Database["Service"]

/** A statement of a removal that holds its tags and manifests, and one of a push that holds its tag. */
const removing = /DELETE FROM "artifact_registry"\."tags" WHERE repository/
const pushing = /INSERT INTO "artifact_registry"\."manifest_references"/

/** Two processes, and tags of the manifests 1 and 2. */
const stage = Effect.fnUntraced(function* (server: Server) {
  const a = yield* arena(server)
  const other = yield* a.process()
  const pushedAt = now - hour
  yield* a.tables.write({
    blobs: blobs(1, 2, 3),
    manifests: [manifestRow(1, null), manifestRow(2, null)],
    tags: [
      { ...tagRow("a", 1), pushedAt },
      { ...tagRow("b", 2), pushedAt }
    ]
  })
  const judged = yield* a.database.retention.tags([app], null, 9)
  return { a, other, judged }
})

const push = ({ manifests }: Verbs, n: number, tag: string) =>
  manifests.put(now, manifest(n), [], { tags: [tag] })

const pull = ({ retention }: Verbs, tag: string) =>
  retention.record(now, [{ repository: app, name: { _tag: "Tag", tag }, at: now }], {
    everyMillis: hour,
    isComplete: true
  })

/** Before this statement of a record, the tags are locked. */
const recording = /INSERT INTO "artifact_registry"\."retention" AS r \(id, pulls_since/

const pushIndex = ({ manifests }: Verbs) => manifests.put(now, manifest(3), [child(1)], { tags: ["v1"] })

/** Removes tags by name, as they were chosen. */
const careless = Effect.fnUntraced(function* (a: Arena, names: ReadonlyArray<string>) {
  const session = yield* a.session
  yield* session("DELETE FROM artifact_registry.tags WHERE repository = $1 AND name = ANY($2::text[])", [
    app,
    names
  ])
})

/** Runs `effect` and, once it is at `statement`, `hook`. */
const at = <A, E>(statement: RegExp, effect: Effect.Effect<A, E>, hook: Effect.Effect<unknown, unknown>) =>
  effect.pipe(before(statement, hook))

const namesOf = ({ tables }: Arena) => Effect.map(tables.rows, ({ tags }) => tags.map(({ name }) => name))

/** What is at work, and all of the removal while it is under way and after it. */
const beside =
  (statement: RegExp, work: (verbs: Verbs) => Effect.Effect<unknown, unknown>) => (server: Server) =>
    Effect.gen(function* () {
      const { a, judged, other } = yield* stage(server)
      const removal = later(a.database.retention.untag(now, app, judged))
      yield* at(statement, work(other), Effect.andThen(removal.start, removal.outcome))
      const during = yield* removal.outcome
      const after = yield* a.database.retention.untag(now, app, judged)
      return { a, during, after }
    })

export const retention = (server: Server): void => {
  describe("tags that no rule keeps", () => {
    it.live("stay if a push is under way, and after it; the others are removed without a wait", () =>
      Effect.gen(function* () {
        const { a, after, during } = yield* beside(pushing, (verbs) => push(verbs, 2, "a"))(server)
        assert.deepStrictEqual(during, [])
        assert.deepStrictEqual(after, ["b"])
        assert.deepStrictEqual(yield* namesOf(a), ["a"])
      })
    )

    it.live("stay if a pull is being recorded, and after it", () =>
      Effect.gen(function* () {
        const { a, after, during } = yield* beside(recording, (verbs) => pull(verbs, "a"))(server)
        assert.include(during as ReadonlyArray<string>, "b")
        assert.deepStrictEqual(after, [])
        assert.deepStrictEqual(yield* namesOf(a), ["a"])
      })
    )

    it.live("stay if an index that lists their manifest is being pushed, and after it", () =>
      Effect.gen(function* () {
        const { a, after, during } = yield* beside(pushing, pushIndex)(server)
        assert.deepStrictEqual(during, ["b"])
        assert.deepStrictEqual(after, [])
        assert.deepStrictEqual(yield* namesOf(a), ["a", "v1"])
      })
    )

    it.live("control: removed by name, all of these lose their tags", () =>
      Effect.gen(function* () {
        const { a, other } = yield* stage(server)
        yield* push(other, 2, "a")
        yield* pull(other, "b")
        yield* pushIndex(other)
        yield* careless(a, ["a", "b"])
        assert.deepStrictEqual(yield* namesOf(a), ["v1"])
      })
    )

    it.live("a push that meets a removal waits, and its tag is there after it", () =>
      Effect.gen(function* () {
        const { a, judged, other } = yield* stage(server)
        const pushed = later(push(other, 1, "a"))
        const removed = yield* at(
          removing,
          a.database.retention.untag(now, app, judged),
          Effect.andThen(pushed.start, a.waiting())
        )
        assert.deepStrictEqual(removed, ["a", "b"])
        assert.deepStrictEqual(yield* pushed.outcome, { _tag: "stored" })
        assert.deepStrictEqual(yield* namesOf(a), ["a"])
        const { manifests } = yield* a.tables.rows
        assert.deepStrictEqual(
          manifests.map((row) => [row.digest, row.untaggedAt]),
          [
            [digest(1), null],
            [digest(2), now]
          ]
        )
      })
    )

    it.live("are removed once by two collectors, of which none waits", () =>
      Effect.gen(function* () {
        const { a, judged, other } = yield* stage(server)
        const second = later(other.retention.untag(now, app, judged))
        const first = yield* at(
          removing,
          a.database.retention.untag(now, app, judged),
          Effect.andThen(second.start, second.outcome)
        )
        assert.deepStrictEqual([first, yield* second.outcome], [["a", "b"], []])
        assert.strictEqual(yield* a.deadlocks, 0)
      })
    )

    it.live("are not settled by a collector whose judgements another one has replaced", () =>
      Effect.gen(function* () {
        const { a, other } = yield* stage(server)
        const { begin, note, removable, settle, state, sums } = a.database.retention
        const looked = { from: 0, to: now }
        const row = { repository: app, dueAt: now, tags: 2, removable: 1, stricter: 1, confirmed: 0 }
        yield* begin(now, "own", looked)
        // The other collector begins while the note holds the row, and so after it.
        const begun = later(other.retention.begin(now, "other", looked))
        const noted = yield* at(
          /INSERT INTO "artifact_registry"\."retention_repositories"/,
          note(now, "own", [row]),
          Effect.andThen(begun.start, a.waiting())
        )
        assert.isTrue(noted)
        assert.deepStrictEqual(yield* begun.outcome, { listedTo: "", lookedAt: now })
        assert.isNull(yield* sums("own"))
        assert.deepStrictEqual(yield* sums("other"), { tags: 0, removable: 0, stricter: 0, confirmed: 0 })
        assert.deepStrictEqual(yield* removable("own", "", 9), [])
        assert.isFalse(yield* note(now, "own", [row]))
        yield* settle(now, "own rules", { before: "own", after: "settled" })
        assert.strictEqual((yield* state)?.accepted, null)
      })
    )
  })
}
