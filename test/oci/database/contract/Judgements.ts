/** What the rules last made of each repository. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Database } from "../../../fixtures/Database.ts"
import { blobs, hour, now, type Promised, write } from "../../../fixtures/samples.ts"
import { manifestRow, tagRow } from "./Manifests.ts"

const retention = Effect.map(Database, (database) => database.retention)

const looked = { from: now - hour, to: now + hour }

const judgement = (repository: string, row: { readonly [name: string]: number } = {}) => ({
  repository,
  dueAt: now + hour,
  tags: 5,
  removable: 0,
  stricter: 0,
  confirmed: 0,
  ...row
})

const due = (at: number, changedAt: number | null = null, limit = 9) =>
  Effect.flatMap(retention, (verbs) => verbs.due({ now: at, changedAt }, limit))

/** Tags of repositories, pushed at these instants. */
const pushed = (tags: ReadonlyArray<readonly [repository: string, name: string, pushedAt: number | null]>) =>
  write({
    blobs: blobs(1),
    manifests: [...new Set(tags.map(([repository]) => repository))].map((repository) =>
      manifestRow(1, null, [], { repository })
    ),
    tags: tags.map(([repository, name, pushedAt]) => ({
      ...tagRow(name, 1, repository),
      ...(pushedAt === null ? {} : { pushedAt })
    }))
  })

const beginning = (promised: Promised): void => {
  promised("begins with no repository, and continues where the rules ended", () =>
    Effect.gen(function* () {
      const { begin, note } = yield* retention
      assert.deepStrictEqual(yield* begin(now, "k", looked), { listedTo: "", lookedAt: now })
      assert.isTrue(yield* note(now, "k", [judgement("a")], { listedTo: "a", lookedAt: now }))
      assert.deepStrictEqual(yield* begin(now + 1, "k", looked), { listedTo: "a", lookedAt: now })
      yield* note(now + 2, "k", [], { listedTo: null, lookedAt: now + 2 })
      assert.deepStrictEqual(yield* begin(now + 3, "k", looked), { listedTo: null, lookedAt: now + 2 })
    })
  )

  promised("begins anew for other rules, whose judgements do not mix", () =>
    Effect.gen(function* () {
      const { begin, note, removable, settle, state, sums } = yield* retention
      yield* settle(now, "rules")
      yield* begin(now, "k", looked)
      yield* note(now, "k", [judgement("a", { removable: 2 })], { listedTo: null, lookedAt: now })
      assert.deepStrictEqual(yield* begin(now + 1, "other", looked), { listedTo: "", lookedAt: now + 1 })
      assert.isNull(yield* sums("k"))
      assert.deepStrictEqual(yield* removable("k", "", 9), [])
      assert.strictEqual((yield* sums("other"))?.tags, 0)
      assert.isFalse(yield* note(now + 2, "k", [judgement("a")], { listedTo: null, lookedAt: now }))
      assert.strictEqual((yield* sums("other"))?.tags, 0)
      assert.deepStrictEqual(yield* begin(now + 3, "other", looked), { listedTo: "", lookedAt: now + 1 })
      assert.deepInclude(yield* state, { accepted: "rules", judgedAt: now })
    })
  )

  promised("begins anew if pushes were last looked for long ago, or later than any clock may say", () =>
    Effect.gen(function* () {
      const { begin, note, sums } = yield* retention
      for (const lookedAt of [now - hour - 1, now + hour + 1]) {
        yield* begin(now, "k", looked)
        yield* note(now, "k", [judgement("a")], { listedTo: null, lookedAt })
        assert.deepStrictEqual(yield* begin(now, "k", looked), { listedTo: "", lookedAt: now })
        assert.strictEqual((yield* sums("k"))?.tags, 0)
      }
      for (const lookedAt of [now - hour, now + hour]) {
        yield* note(now, "k", [], { listedTo: null, lookedAt })
        assert.deepStrictEqual(yield* begin(now, "k", looked), { listedTo: null, lookedAt })
      }
    })
  )

  promised("keeps the judgements by rules that are settled, and settles none without their judgements", () =>
    Effect.gen(function* () {
      const { begin, note, settle, state, sums } = yield* retention
      yield* begin(now, "new", looked)
      yield* note(now, "new", [judgement("a")], { listedTo: null, lookedAt: now })
      yield* settle(now + 1, "rules", { before: "old", after: "settled" })
      assert.strictEqual((yield* begin(now, "new", looked)).listedTo, null)
      assert.strictEqual((yield* state)?.accepted, null)
      yield* settle(now + 1, "rules", { before: "new", after: "settled" })
      assert.strictEqual((yield* state)?.accepted, "rules")
      assert.deepStrictEqual(yield* begin(now, "settled", looked), { listedTo: null, lookedAt: now })
      assert.strictEqual((yield* sums("settled"))?.tags, 5)
    })
  )
}

const noting = (promised: Promised): void => {
  promised("sums what was noted last, and forgets repositories without tags", () =>
    Effect.gen(function* () {
      const { begin, note, removable, sums } = yield* retention
      yield* begin(now, "k", looked)
      assert.deepStrictEqual(yield* sums("k"), { tags: 0, removable: 0, stricter: 0, confirmed: 0 })
      yield* note(now, "k", [
        judgement("B", { tags: 3, removable: 3, stricter: 2, confirmed: 1 }),
        judgement("a", { tags: 7, removable: 4 }),
        judgement("c", { tags: 2 ** 40 })
      ])
      const sum = { tags: 10 + 2 ** 40, removable: 7, stricter: 2, confirmed: 1 }
      assert.deepStrictEqual(yield* sums("k"), sum)
      assert.deepStrictEqual(yield* removable("k", "", 1), [{ repository: "B", removable: 3 }])
      assert.deepStrictEqual(yield* removable("k", "B", 9), [{ repository: "a", removable: 4 }])
      yield* note(now + 1, "k", [judgement("a", { tags: 1, removable: 0 }), judgement("c", { tags: 0 })])
      assert.deepStrictEqual(yield* sums("k"), { ...sum, tags: 4, removable: 3 })
      assert.deepStrictEqual(yield* removable("k", "B", 9), [])
    })
  )

  promised("finds what is due, the longest due first, and nothing that was judged since", () =>
    Effect.gen(function* () {
      const { begin, note } = yield* retention
      yield* begin(now, "k", looked)
      yield* note(now, "k", [
        judgement("a", { dueAt: now + 3 }),
        judgement("b", { dueAt: now + 2 }),
        judgement("c", { dueAt: now + 2 }),
        judgement("d")
      ])
      assert.deepStrictEqual(yield* due(now + 1), [])
      assert.deepStrictEqual(yield* due(now + 3), ["b", "c", "a"])
      assert.deepStrictEqual(yield* due(now + 3, null, 2), ["b", "c"])
      yield* note(now + 3, "k", [judgement("b", { dueAt: now + 1 })])
      assert.deepStrictEqual(yield* due(now + 3), ["c", "a"])
      assert.deepStrictEqual(yield* due(now + 4), ["b", "c", "a"])
    })
  )

  promised("finds what no rule keeps and was judged before a confirmation", () =>
    Effect.gen(function* () {
      const { begin, note } = yield* retention
      yield* begin(now, "k", looked)
      yield* note(now, "k", [judgement("a", { removable: 1 }), judgement("b")])
      yield* note(now + 1, "k", [
        judgement("c", { removable: 1 }),
        judgement("d", { dueAt: now, removable: 1 })
      ])
      assert.deepStrictEqual(yield* due(now + 9, now - 1), ["d"])
      assert.deepStrictEqual(yield* due(now + 9, now), ["d", "a"])
      assert.deepStrictEqual(yield* due(now + 9, now + 1), ["d", "a", "c"])
      assert.deepStrictEqual(yield* due(now + 9, now + 1, 2), ["d", "a"])
      assert.deepStrictEqual(yield* due(now + 1, now + 1), ["a"])
    })
  )
}

const looking = (promised: Promised): void => {
  promised("finds repositories that were pushed to, and those with a tag without a date", () =>
    Effect.gen(function* () {
      const { begin, note, pushes } = yield* retention
      yield* pushed([
        ["B", "x", now],
        ["B", "y", now - 2],
        ["B", "z", now - 1],
        ["a", "old", now - 1],
        ["a", "older", now - hour],
        ["c", "x", null],
        ["d", "x", null],
        ["d", "y", now + hour]
      ])
      yield* begin(now, "k", looked)
      yield* note(now - 5, "k", [judgement("a"), judgement("d")])
      const one = (
        repository: string,
        count: number,
        lastAt: number | null,
        judgedAt: number | null = null
      ) => ({
        repository,
        pushed: count,
        lastAt,
        judgedAt
      })
      const undated = [one("c", 0, null), one("d", 1, now + hour, now - 5)]
      assert.deepStrictEqual(yield* pushes(now), undated)
      assert.deepStrictEqual(yield* pushes(now - 1), [one("B", 1, now), ...undated])
      assert.deepStrictEqual(yield* pushes(now - 2), [
        one("B", 2, now),
        one("a", 1, now - 1, now - 5),
        ...undated
      ])
    })
  )

  promised("counts the tags that judged repositories have now, page by page", () =>
    Effect.gen(function* () {
      const { begin, count, note } = yield* retention
      yield* pushed([
        ["B", "x", now],
        ["B", "y", now],
        ["a", "x", now],
        ["c", "x", now],
        ["other", "x", now]
      ])
      yield* begin(now, "k", looked)
      yield* note(now, "k", [judgement("B"), judgement("a"), judgement("gone"), judgement("c")])
      assert.deepStrictEqual(yield* count("", 2), { tags: 3, last: "a" })
      assert.deepStrictEqual(yield* count("a", 2), { tags: 1, last: "gone" })
      assert.deepStrictEqual(yield* count("gone", 2), { tags: 0, last: null })
    })
  )
}

/** Judgements of repositories by rules. */
export const judging = (promised: Promised): void => {
  describe("judgements", () => {
    beginning(promised)
    noting(promised)
    looking(promised)
  })
}
