/** What retention rules ask of the database. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Database } from "../../../fixtures/Database.ts"
import { blobs, digest, hour, now, type Promised, rows, write } from "../../../fixtures/samples.ts"
import { app, child, manifest, manifestRow, manifests, tagRow, untaggedAt } from "./Manifests.ts"

const retention = Effect.map(Database, (database) => database.retention)

const use = (
  name: string,
  n: number,
  pushedAt: number | null,
  pulledAt: number | null = null,
  repository = app
) => ({
  ...tagRow(name, n, repository),
  pushedAt,
  pulledAt
})

const none = { accepted: null, proposed: null, proposedAt: null, judgedAt: null, pullsSince: null }

const remembering = (promised: Promised): void => {
  promised("remembers rules that wait since they were first seen, until they are settled", () =>
    Effect.gen(function* () {
      const { propose, settle, state } = yield* retention
      assert.deepStrictEqual(yield* state, none)
      assert.strictEqual(yield* propose(now, "a"), now)
      assert.strictEqual(yield* propose(now + 1, "a"), now)
      assert.strictEqual(yield* propose(now + 2, "b"), now + 2)
      assert.deepStrictEqual(yield* state, { ...none, proposed: "b", proposedAt: now + 2 })
      yield* settle(now + 3, "b")
      yield* settle(now + 4, "b")
      assert.deepStrictEqual(yield* state, { ...none, accepted: "b", judgedAt: now + 4 })
      assert.strictEqual(yield* propose(now + 5, "b"), now + 5)
      assert.strictEqual((yield* state)?.accepted, "b")
    })
  )
}

const dating = (promised: Promised): void => {
  promised("dates a tag with each push, also of the manifest that it names, and never backwards", () =>
    Effect.gen(function* () {
      const { put } = yield* manifests
      const { tags } = yield* retention
      yield* write({ blobs: blobs(1, 2) })
      yield* put(now, manifest(1), [], { tags: ["a", "b"] })
      yield* put(now + 1, manifest(1), [], { tags: ["b"] })
      yield* put(now + 2, manifest(2), [], { tags: ["a"] })
      yield* put(now - hour, manifest(2), [], { tags: ["a"] })
      assert.deepStrictEqual(yield* tags([app], null, 9), [use("a", 2, now + 2), use("b", 1, now + 1)])
      // Moved by a replica whose clock is behind: its date is another, so that it is not taken for one of an older version.
      yield* put(now - hour, manifest(1), [], { tags: ["a"] })
      assert.deepStrictEqual(yield* tags([app], null, 1), [use("a", 1, now + 3)])
    })
  )

  promised("lists tags of repositories by name, page by page", () =>
    Effect.gen(function* () {
      const { tags } = yield* retention
      yield* write({
        blobs: blobs(1),
        manifests: ["A", "b", "c"].map((repository) => manifestRow(1, null, [], { repository })),
        tags: [tagRow("z", 1, "A"), tagRow("a", 1, "b"), tagRow("B", 1, "b"), tagRow("a", 1, "c")]
      })
      const all = [use("z", 1, null, null, "A"), use("B", 1, null, null, "b"), use("a", 1, null, null, "b")]
      assert.deepStrictEqual(yield* tags(["b", "A", "x"], null, 2), all.slice(0, 2))
      assert.deepStrictEqual(yield* tags(["b", "A", "x"], all[1] ?? null, 2), all.slice(2))
      assert.deepStrictEqual(yield* tags([], null, 2), [])
    })
  )

  promised("gives a date to tags without one, or with one ahead, and to no other", () =>
    Effect.gen(function* () {
      const { date, tags } = yield* retention
      yield* write({
        blobs: blobs(1),
        manifests: [manifestRow(1, null)],
        tags: [
          tagRow("unknown", 1),
          { ...tagRow("ahead", 1), pushedAt: now + 2 * hour },
          { ...tagRow("known", 1), pushedAt: now - hour },
          tagRow("another", 1)
        ]
      })
      const named = ["unknown", "ahead", "known", "missing"].map((name) => ({ repository: app, name }))
      assert.strictEqual(yield* date(now, now + hour, named), 2)
      assert.strictEqual(yield* date(now + 1, now + hour, named), 0)
      assert.deepStrictEqual(yield* tags([app], null, 9), [
        use("ahead", 1, now),
        use("another", 1, null),
        use("known", 1, now - hour),
        use("unknown", 1, now)
      ])
    })
  )
}

const recording = (promised: Promised): void => {
  const options = { everyMillis: hour, isComplete: true }
  const ofTag = (tag: string, at: number) => ({ repository: app, name: { _tag: "Tag", tag } as const, at })
  const ofDigest = (n: number, at: number, repository = app) => ({
    repository,
    name: { _tag: "Digest", digest: digest(n) } as const,
    at
  })

  /** When each tag was pulled. */
  const pulledAt = Effect.gen(function* () {
    const found = yield* (yield* retention).tags([app, "other"], null, 99)
    return Object.fromEntries(found.map((tag) => [tag.name, tag.pulledAt]))
  })

  promised("records a pull of a tag, and of a manifest for its tags and those of indexes that list it", () =>
    Effect.gen(function* () {
      const { record, state } = yield* retention
      yield* write({
        blobs: blobs(1, 2, 3),
        manifests: [
          manifestRow(1, null),
          manifestRow(2, null),
          manifestRow(3, null, [child(1)]),
          manifestRow(1, null, [], { repository: "other" })
        ],
        tags: [
          ...["a", "b"].map((name) => tagRow(name, 1)),
          tagRow("c", 2),
          tagRow("d", 2),
          tagRow("index", 3),
          tagRow("x", 1, "other")
        ]
      })
      yield* record(now, [ofTag("c", now - 1), ofTag("missing", now), ofDigest(9, now)], options)
      assert.deepStrictEqual(yield* pulledAt, { a: null, b: null, c: now - 1, d: null, index: null, x: null })
      yield* record(now + 1, [ofDigest(1, now), ofDigest(1, now - 5)], options)
      assert.deepStrictEqual(yield* pulledAt, { a: now, b: now, c: now - 1, d: null, index: now, x: null })
      assert.deepStrictEqual((yield* state)?.pullsSince, now)
    })
  )

  promised("writes a tag again only when its record is older than asked, and never backwards", () =>
    Effect.gen(function* () {
      const { record } = yield* retention
      yield* write({ blobs: blobs(1), manifests: [manifestRow(1, null)], tags: [tagRow("a", 1)] })
      for (const [at, expected] of [
        [now, now],
        [now + hour - 1, now],
        [now + hour, now + hour],
        [now, now + hour]
      ] as const) {
        yield* record(now, [ofTag("a", at)], options)
        assert.deepStrictEqual(yield* pulledAt, { a: expected })
      }
    })
  )

  promised("counts pulls as recorded since the first, and anew after one was lost", () =>
    Effect.gen(function* () {
      const { record, settle, state } = yield* retention
      yield* settle(now, "rules")
      yield* record(now, [], options)
      yield* record(now + 1, [], options)
      assert.strictEqual((yield* state)?.pullsSince, now)
      yield* record(now + 2, [], { ...options, isComplete: false })
      assert.deepInclude(yield* state, { accepted: "rules", pullsSince: now + 2 })
    })
  )

  promised("counts pulls as recorded anew after a tag without a date, which an older version moved", () =>
    Effect.gen(function* () {
      const { date, record, state } = yield* retention
      yield* write({
        blobs: blobs(1),
        manifests: [manifestRow(1, null)],
        tags: [tagRow("a", 1), { ...tagRow("ahead", 1), pushedAt: now + 9 * hour }]
      })
      yield* date(now - 2, now, [{ repository: app, name: "missing" }])
      yield* record(now, [], options)
      yield* date(now + 1, now + hour, [{ repository: app, name: "ahead" }])
      assert.strictEqual((yield* state)?.pullsSince, now)
      yield* date(now + 2, now + hour, [{ repository: app, name: "a" }])
      assert.strictEqual((yield* state)?.pullsSince, now + 2)
    })
  )
}

const removing = (promised: Promised): void => {
  const one = { blobs: blobs(1, 2), manifests: [manifestRow(1, null), manifestRow(2, null)] }

  promised("removes the tags that are as they were read, and untags manifests without another", () =>
    Effect.gen(function* () {
      const { tags, untag } = yield* retention
      const dated = (name: string, n: number) => ({ ...tagRow(name, n), pushedAt: now - hour })
      yield* write({ ...one, tags: [dated("a", 1), dated("b", 1), dated("c", 2), tagRow("d", 2)] })
      const read = yield* tags([app], null, 9)
      const removed = yield* untag(
        now,
        app,
        read.filter(({ name }) => name !== "b")
      )
      assert.deepStrictEqual(removed, ["a", "c", "d"])
      assert.deepStrictEqual((yield* rows).tags, [tagRow("b", 1)])
      assert.deepStrictEqual(yield* untaggedAt, { 1: null, 2: now })
      assert.deepStrictEqual(
        yield* untag(
          now,
          app,
          read.filter(({ name }) => name === "a")
        ),
        []
      )
    })
  )

  promised("keeps a tag that was moved, pushed again or deleted since it was read", () =>
    Effect.gen(function* () {
      const { tags, untag } = yield* retention
      const { put, untag: remove } = yield* manifests
      yield* write({ ...one, tags: ["again", "deleted", "moved"].map((name) => tagRow(name, 1)) })
      const read = yield* tags([app], null, 9)
      yield* put(now, manifest(2), [], { tags: ["moved"] })
      yield* put(now, manifest(1), [], { tags: ["again"] })
      yield* remove(now, app, "deleted")
      assert.deepStrictEqual(yield* untag(now, app, read), [])
      assert.deepStrictEqual((yield* rows).tags, [tagRow("again", 1), tagRow("moved", 2)])
      assert.deepStrictEqual(yield* untag(now, "other", yield* tags([app], null, 9)), [])
    })
  )

  promised("keeps a tag of which a pull was recorded since it was read", () =>
    Effect.gen(function* () {
      const { record, tags, untag } = yield* retention
      yield* write({ ...one, tags: [tagRow("a", 1)] })
      const read = yield* tags([app], null, 9)
      const pull = { repository: app, name: { _tag: "Tag", tag: "a" } as const, at: now }
      yield* record(now, [pull], { everyMillis: hour, isComplete: true })
      assert.deepStrictEqual(yield* untag(now, app, read), [])
      assert.deepStrictEqual(yield* untag(now, app, yield* tags([app], null, 9)), ["a"])
    })
  )

  promised(
    "keeps a tag while an index that lists its manifest has a tag which stays, through further indexes",
    () =>
      Effect.gen(function* () {
        const { tags, untag } = yield* retention
        const { put } = yield* manifests
        yield* write({
          blobs: blobs(1, 2, 3, 4, 5),
          manifests: [
            manifestRow(1, null),
            manifestRow(2, null, [child(1)]),
            manifestRow(3, null, [child(2)]),
            manifestRow(4, null, [child(1)]),
            manifestRow(5, null),
            manifestRow(4, null, [child(5)], { repository: "other" })
          ],
          tags: [...[1, 2, 3, 5].map((n) => tagRow(`t${n}`, n)), tagRow("other", 4, "other")]
        })
        const read = yield* tags([app], null, 9)
        const chain = read.filter(({ name }) => name !== "t5")
        yield* put(now, manifest(3), [child(2)], { tags: ["v1"] })
        assert.deepStrictEqual(yield* untag(now, app, chain), ["t3"])
        assert.deepStrictEqual(yield* untag(now, app, read), ["t5"])
        yield* (yield* manifests).untag(now, app, "v1")
        assert.deepStrictEqual(yield* untag(now, app, chain.slice(0, 1)), [])
        assert.deepStrictEqual(yield* untag(now, app, chain), ["t1", "t2"])
      })
  )

  promised("does not count what it untags for the breaker of manifests", () =>
    Effect.gen(function* () {
      const { tags, untag } = yield* retention
      yield* write({ ...one, tags: [tagRow("a", 1)] })
      yield* untag(now, app, yield* tags([app], null, 9))
      const { untagged } = yield* (yield* manifests).exposure(null, now, 0)
      assert.strictEqual(untagged, 0)
      assert.strictEqual(yield* (yield* manifests).untagged(now), 1)
    })
  )

  promised("names the indexes that list manifests", () =>
    Effect.gen(function* () {
      const { listed } = yield* retention
      yield* write({
        blobs: blobs(1, 2, 3, 4),
        manifests: [
          manifestRow(1, null),
          manifestRow(2, null),
          manifestRow(3, null, [child(1), child(2)]),
          manifestRow(4, null, [child(1)]),
          manifestRow(1, null, [], { repository: "other" }),
          manifestRow(4, null, [child(2)], { repository: "other" })
        ]
      })
      const pair = (n: number, index: number, repository = app) => ({
        repository,
        digest: digest(n),
        index: digest(index)
      })
      const one = (n: number, repository = app) => ({ repository, digest: digest(n) })
      assert.deepStrictEqual(yield* listed([one(1), one(1), one(3)]), [pair(1, 3), pair(1, 4)])
      assert.deepStrictEqual(yield* listed([one(1, "other")]), [])
      assert.deepStrictEqual(yield* listed([one(2, "other"), one(1, "other"), one(2)]), [
        pair(2, 3),
        pair(2, 4, "other")
      ])
      assert.deepStrictEqual(yield* listed([]), [])
    })
  )
}

const following = (promised: Promised): void => {
  const withReferrers = { withReferrers: true }
  const nameOf = (n: number) => digest(n).replace(":", "-").slice(0, 71)
  const subject = digest(1)
  const signed = {
    blobs: blobs(1, 2, 3, 4, 5, 6),
    manifests: [
      manifestRow(1, now),
      // A tagged referrer, one with two names, and one without.
      manifestRow(2, null, [], { subject }),
      manifestRow(3, null, [], { subject }),
      manifestRow(4, now, [], { subject }),
      // By their tags alone.
      manifestRow(5, null),
      manifestRow(6, null),
      manifestRow(6, null, [], { repository: "other", subject })
    ],
    tags: [
      tagRow("sbom", 2),
      tagRow("a", 3),
      tagRow("b", 3),
      ...["", ".sig", ".att", ".sbom"].map((suffix) => tagRow(`${nameOf(1)}${suffix}`, 5)),
      tagRow(`${nameOf(1)}.zip`, 6),
      tagRow(`${nameOf(2)}.sig`, 6),
      tagRow(`${nameOf(1)}.sig`, 6, "other")
    ]
  }
  const left = [
    tagRow(`${nameOf(1)}.zip`, 6),
    tagRow(`${nameOf(2)}.sig`, 6),
    tagRow(`${nameOf(1)}.sig`, 6, "other")
  ]
  const untagged = { 2: now + 1, 3: now + 1, 4: now + 1, 5: now + 1, 6: null }

  promised("removes the tags about a manifest with it when a client deletes it, and no other", () =>
    Effect.gen(function* () {
      const verbs = yield* manifests
      yield* write(signed)
      assert.strictEqual(yield* verbs.delete(now + 1, app, subject, withReferrers), "deleted")
      assert.deepStrictEqual((yield* rows).tags, left)
      assert.deepStrictEqual(yield* untaggedAt, untagged)
      const { untagged: counted } = yield* verbs.exposure(null, now + 1, 0)
      assert.strictEqual(counted, 4)
    })
  )

  promised("removes the tags about a manifest with it when it expires, and no other", () =>
    Effect.gen(function* () {
      const verbs = yield* manifests
      yield* write(signed)
      assert.strictEqual(yield* verbs.expire(now + 1, now, 10, withReferrers), 1)
      assert.deepStrictEqual((yield* rows).tags, left)
      assert.deepStrictEqual(yield* untaggedAt, untagged)
      const { untagged: counted } = yield* verbs.exposure(null, now + 1, 0)
      assert.strictEqual(counted, 0)
    })
  )

  promised("keeps the tags about a manifest by default, and where the manifest stays", () =>
    Effect.gen(function* () {
      const verbs = yield* manifests
      yield* write({ ...signed, tags: [...signed.tags, tagRow("v1", 1)] })
      assert.strictEqual(yield* verbs.expire(now + 1, now, 10, withReferrers), 0)
      assert.strictEqual((yield* rows).tags.length, 11)
      yield* verbs.untag(now + 1, app, "v1")
      assert.strictEqual(yield* verbs.expire(now + 2, now + 1, 10), 1)
      assert.strictEqual((yield* rows).tags.length, 10)
      assert.strictEqual(yield* verbs.delete(now + 3, app, digest(2)), "deleted")
      assert.include((yield* rows).tags.map(({ name }) => name).join(), `${nameOf(2)}.sig`)
    })
  )

  promised("keeps a tag that is pushed after the manifest was deleted, and what a pushed one kept", () =>
    Effect.gen(function* () {
      const verbs = yield* manifests
      yield* write(signed)
      yield* verbs.expire(now + 1, now, 10, withReferrers)
      yield* verbs.put(now + 2, manifest(2, { subject }), [], { tags: ["late"] })
      yield* verbs.put(now + 2, manifest(1), [], { tags: ["again"] })
      yield* verbs.expire(now + 9 * hour, now + 8 * hour, 10, withReferrers)
      const after = (yield* rows).manifests.filter(({ repository }) => repository === app)
      // The referrers by subject are found again, those by their names are not.
      assert.deepStrictEqual(
        after.map((row) => row.digest),
        [1, 2, 3, 4, 6].map((n) => digest(n))
      )
      assert.include((yield* rows).tags.map(({ name }) => name).join(), "late")
    })
  )
}

/** Rules, dates and removals of tags. */
export const retaining = (promised: Promised): void => {
  describe("retention", () => {
    remembering(promised)
    dating(promised)
    recording(promised)
    removing(promised)
    following(promised)
  })
}
