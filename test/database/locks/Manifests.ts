/** Manifests that are put, tagged and deleted while others expire: the second waits and then sees the result. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { type Arena, arena, before, later, ownArena, purgeStatement } from "../../fixtures/Arena.ts"
import type { Database } from "../../fixtures/Database.ts"
import type { Server } from "../../fixtures/Databases.ts"
import { blobs, condemned, digest, digests, hour, key, minute, now } from "../../fixtures/samples.ts"
import {
  app,
  child,
  config,
  layer,
  manifest,
  manifestRow,
  tagRow
} from "../../oci/database/contract/Manifests.ts"

type Manifests = Database["Service"]["manifests"]

/** The statements of the verbs, each once they hold what they lock. */
const once = {
  candidatesAreLocked: /SET untagged_at = NULL FROM/,
  manifestsAreLocked: /INSERT INTO "artifact_registry"\."manifests"/,
  tagsAreWritten: /INSERT INTO "artifact_registry"\."manifest_references"/,
  tagIsTaken: /SET untagged_at = \$\d+::timestamptz, untagged_by = \$\d+::text FROM/,
  tagsAreDeleted: /DELETE FROM "artifact_registry"\."manifest_references" r USING/
}

const stored = { _tag: "stored" } as const
const missing = (...ns: ReadonlyArray<number>) => ({ _tag: "missing", digests: digests(...ns) }) as const

/** Runs `first` and, once it is at `statement`, starts `second`, which must wait for it. Both answers. */
const whileAt = Effect.fnUntraced(function* <A, B>(
  a: Arena,
  statement: RegExp,
  first: Effect.Effect<A, unknown>,
  second: Effect.Effect<B, unknown>
) {
  const contender = later(second)
  const answer = yield* first.pipe(before(statement, Effect.andThen(contender.start, a.waiting())))
  return [answer, yield* contender.outcome] as const
})

/** Runs `first` and, once it is at `statement`, all of `second`, which must not wait for it. Both answers. */
const throughout = Effect.fnUntraced(function* <A, B>(
  statement: RegExp,
  first: Effect.Effect<A, unknown>,
  second: Effect.Effect<B, unknown>
) {
  const beside = later(second)
  const answer = yield* first.pipe(before(statement, Effect.andThen(beside.start, beside.outcome)))
  return [answer, yield* beside.outcome] as const
})

/** Two processes on manifests 1 to 4, of which 1 is untagged for an hour. */
const stage = Effect.fnUntraced(function* (server: Server, own = false) {
  const a = yield* own ? ownArena(server) : arena(server)
  const other = (yield* a.process()).manifests
  yield* a.tables.write({ blobs: blobs(1, 2, 3, 4), manifests: [manifestRow(1, now - hour)] })
  return { a, own: a.database.manifests, other }
})

const expireAll = ({ expire }: Manifests) => expire(now, now - hour, 10)

const state = ({ tables }: Arena) => Effect.map(tables.rows, ({ manifests, tags }) => ({ manifests, tags }))

/** Tags and children that lead to no manifest. */
const dangling = `
  SELECT 'tag ' || name AS what FROM artifact_registry.tags t WHERE NOT EXISTS (
    SELECT FROM artifact_registry.manifests m WHERE m.repository = t.repository AND m.digest = t.digest)
  UNION ALL
  SELECT 'child ' || right(r.digest, 1) FROM artifact_registry.manifest_references r WHERE kind = 'manifest'
    AND NOT EXISTS (SELECT FROM artifact_registry.manifests m WHERE m.repository = r.repository AND m.digest = r.digest)
  UNION ALL
  SELECT 'blob ' || right(r.digest, 1) FROM artifact_registry.manifest_references r
    WHERE NOT EXISTS (SELECT FROM blobs b WHERE b.digest = r.digest)`

const tagging = (server: Server): void => {
  const tagged = ({ put }: Manifests) => put(now, manifest(1), [], { tags: ["a"] })
  const lives = { manifests: [manifestRow(1, null)], tags: [tagRow("a", 1)] }

  it.live("a tag that comes while its manifest expires waits, and then the manifest is there again", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      const answers = yield* whileAt(a, once.candidatesAreLocked, expireAll(own), tagged(other))
      assert.deepStrictEqual(answers, [1, stored])
      assert.deepStrictEqual(yield* state(a), lives)
    })
  )

  it.live("a manifest that is being tagged is passed over by its expiry", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      const answers = yield* throughout(once.tagsAreWritten, tagged(own), expireAll(other))
      assert.deepStrictEqual(answers, [stored, 0])
      assert.deepStrictEqual(yield* state(a), lives)
    })
  )

  it.live("control: chosen first and deleted without another look, the tagged manifest is lost", () =>
    Effect.gen(function* () {
      const { a, own } = yield* stage(server, true)
      const naive = yield* a.session
      const key = "ALTER TABLE artifact_registry.tags DROP CONSTRAINT tags_repository_digest_fkey"
      const remove = "DELETE FROM artifact_registry.manifests WHERE digest = $1"
      const [chosen] = yield* naive(
        "SELECT digest FROM artifact_registry.manifests WHERE untagged_at <= now()"
      )
      assert.deepStrictEqual(yield* tagged(own), stored)
      const refused = yield* Effect.result(naive(remove, [chosen?.digest]))
      assert.isTrue(Result.isFailure(refused), "the foreign key of the tags would have refused")
      yield* naive(key)
      yield* naive(remove, [chosen?.digest])
      assert.deepStrictEqual(yield* naive(dangling), [{ what: "tag a" }])
    })
  )

  it.live(
    "being given a manifest that expires waits, and then learns that it is gone; the other way it stays",
    () =>
      Effect.gen(function* () {
        const { a, own, other } = yield* stage(server)
        const touch = ({ touch: verb }: Manifests) => verb(now, app, digest(1))
        const late = yield* whileAt(a, once.candidatesAreLocked, expireAll(own), touch(other))
        assert.deepStrictEqual(late, [1, false])
        yield* a.tables.write({ manifests: [manifestRow(1, now - hour)] })
        const session = yield* a.session
        yield* session("BEGIN")
        yield* session("UPDATE artifact_registry.manifests SET untagged_at = now()")
        assert.strictEqual(yield* expireAll(own), 0)
        yield* session("COMMIT")
        assert.strictEqual(yield* expireAll(own), 0)
      })
  )

  it.live("two that move one tag at once both succeed; the one that lost it is untagged since then", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      const move = ({ put }: Manifests, n: number) => put(now + n, manifest(n), [], { tags: ["a"] })
      // The tag is new, then it is one that both know.
      for (const [first, second] of [
        [2, 3],
        [3, 4]
      ] as const) {
        const answers = yield* whileAt(a, once.tagsAreWritten, move(own, first), move(other, second))
        assert.deepStrictEqual(answers, [stored, stored])
        const { manifests, tags } = yield* state(a)
        assert.deepStrictEqual(tags, [tagRow("a", second)])
        assert.deepStrictEqual(manifests.slice(first - 1), [
          manifestRow(first, now + second),
          manifestRow(second, null)
        ])
      }
    })
  )

  it.live("two that take away the last two tags leave the manifest untagged", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      yield* own.put(now, manifest(1), [], { tags: ["a", "b"] })
      const untag = ({ untag: verb }: Manifests, tag: string) => verb(now + minute, app, tag)
      const answers = yield* whileAt(a, once.tagIsTaken, untag(own, "a"), untag(other, "b"))
      assert.deepStrictEqual(answers, [true, true])
      assert.deepStrictEqual(yield* state(a), { manifests: [manifestRow(1, now + minute)], tags: [] })
    })
  )

  it.live("control: without a lock on the manifest each leaves it to the other, and it stays for ever", () =>
    Effect.gen(function* () {
      const { a, own } = yield* stage(server)
      yield* own.put(now, manifest(1), [], { tags: ["a", "b"] })
      const sessions = [yield* a.session, yield* a.session] as const
      for (const session of sessions) yield* session("BEGIN")
      for (const [n, session] of sessions.entries()) {
        yield* session("DELETE FROM artifact_registry.tags WHERE name = $1", ["ab".charAt(n)])
      }
      for (const session of sessions) {
        yield* session(
          "UPDATE artifact_registry.manifests SET untagged_at = now() WHERE NOT EXISTS (SELECT FROM artifact_registry.tags)"
        )
      }
      for (const session of sessions) yield* session("COMMIT")
      assert.deepStrictEqual(yield* state(a), { manifests: [manifestRow(1, null)], tags: [] })
      assert.strictEqual(yield* own.expire(now + hour, now + hour, 10), 0)
    })
  )
}

const listing = (server: Server): void => {
  const index = ({ put }: Manifests) => put(now, manifest(2), [child(1)], { tags: ["a"] })
  const both = [manifestRow(1, now - hour), manifestRow(2, null, [child(1)])]

  it.live("an index that comes while its child expires waits, and then learns that there is none", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      const answers = yield* whileAt(a, once.candidatesAreLocked, expireAll(own), index(other))
      assert.deepStrictEqual(answers, [1, missing(1)])
      assert.deepStrictEqual(yield* state(a), { manifests: [], tags: [] })
    })
  )

  it.live(
    "a child is passed over by its expiry while an index that lists it is being put, and needed then",
    () =>
      Effect.gen(function* () {
        const { a, own, other } = yield* stage(server)
        const answers = yield* throughout(once.manifestsAreLocked, index(own), expireAll(other))
        assert.deepStrictEqual(answers, [stored, 0])
        assert.deepStrictEqual((yield* state(a)).manifests, both)
        assert.strictEqual(yield* expireAll(other), 0)
        assert.deepStrictEqual((yield* state(a)).manifests[0], manifestRow(1, null))
      })
  )

  it.live("control: an index that looks for its child without locking it lists one that expires", () =>
    Effect.gen(function* () {
      const { a, other } = yield* stage(server)
      const naive = yield* a.session
      yield* naive("BEGIN")
      const found = yield* naive("SELECT FROM artifact_registry.manifests WHERE digest = $1", [digest(1)])
      assert.lengthOf(found, 1)
      assert.strictEqual(yield* expireAll(other), 1)
      yield* naive(
        `INSERT INTO artifact_registry.manifests (repository, digest, media_type, size_bytes) VALUES ('${app}', $1, 'm', 1)`,
        [digest(2)]
      )
      yield* naive(
        `INSERT INTO artifact_registry.manifest_references (repository, manifest, digest, kind)
           VALUES ('${app}', $1, $2, 'manifest')`,
        [digest(2), digest(1)]
      )
      yield* naive("COMMIT")
      assert.deepStrictEqual(yield* naive(dangling), [{ what: "child 1" }])
    })
  )

  it.live("a child that is deleted while an index comes, or after it, is deleted or listed, never both", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      const remove = (verbs: Manifests) => verbs.delete(now, app, digest(1))
      const first = yield* whileAt(a, once.tagsAreDeleted, remove(own), index(other))
      assert.deepStrictEqual(first, ["deleted", missing(1)])
      yield* a.tables.write({ manifests: [manifestRow(1, now - hour)] })
      const second = yield* whileAt(a, once.manifestsAreLocked, index(own), remove(other))
      assert.deepStrictEqual(second, [stored, "listed"])
      assert.deepStrictEqual(yield* state(a), { manifests: both, tags: [tagRow("a", 2)] })
    })
  )

  it.live("an index is passed over by its expiry while one that it lists is in other hands", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      yield* own.put(now - hour, manifest(2), [child(1)])
      const retag = own.put(now, manifest(1), [], { tags: ["b"] })
      assert.deepStrictEqual(yield* throughout(once.tagsAreWritten, retag, expireAll(other)), [stored, 0])
      assert.strictEqual(yield* expireAll(other), 1)
      assert.deepStrictEqual((yield* state(a)).manifests, [manifestRow(1, null)])
    })
  )
}

const about = (server: Server): void => {
  const refer = ({ put }: Manifests) => put(now, manifest(2, { subject: digest(1) }), [])
  const referrer = (untaggedAt: number) => manifestRow(2, untaggedAt, [], { subject: digest(1) })
  const remove = (verbs: Manifests) => verbs.delete(now + minute, app, digest(1))

  it.live("one that comes while its subject is deleted, or before, is on its own since then", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      const first = yield* whileAt(a, once.tagsAreDeleted, remove(own), refer(other))
      assert.deepStrictEqual(first, ["deleted", stored])
      assert.deepStrictEqual((yield* state(a)).manifests, [referrer(now)])
      yield* own.put(now, manifest(1), [])
      const second = yield* whileAt(a, once.manifestsAreLocked, refer(own), remove(other))
      assert.deepStrictEqual(second, [stored, "deleted"])
      assert.deepStrictEqual((yield* state(a)).manifests, [referrer(now + minute)])
    })
  )

  it.live("one that is found needed while its subject is being deleted is on its own since then", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      yield* a.tables.write({ manifests: [referrer(now - hour)] })
      yield* own.put(now, manifest(1), [], { tags: ["a"] })
      const answers = yield* whileAt(a, once.candidatesAreLocked, expireAll(own), remove(other))
      assert.deepStrictEqual(answers, [0, "deleted"])
      assert.deepStrictEqual((yield* state(a)).manifests, [referrer(now + minute)])
    })
  )

  it.live("one whose subject is being deleted is passed over by its expiry", () =>
    Effect.gen(function* () {
      const { a, own, other } = yield* stage(server)
      yield* a.tables.write({ manifests: [referrer(now - hour)] })
      const answers = yield* throughout(once.tagsAreDeleted, remove(own), expireAll(other))
      assert.deepStrictEqual(answers, ["deleted", 0])
      assert.deepStrictEqual((yield* state(a)).manifests, [referrer(now + minute)])
    })
  )
}

const purgeRequest = {
  now,
  condemnedCutoff: now - hour,
  seenCutoff: 4_000_000_000_000,
  usedCutoff: now - hour,
  limit: 100,
  after: null,
  deleteNotBefore: now + minute,
  leaseUntil: null
}

const needing = (server: Server): void => {
  const image = ({ put }: Manifests) => put(now, manifest(2), [config(3), layer(4)], { tags: ["a"] })

  it.live("a layer that is being purged is waited for, and then named as missing", () =>
    Effect.gen(function* () {
      const { a, other } = yield* stage(server)
      yield* a.tables.write({ orphans: [condemned(4)] })
      const purge = a.database.orphans.purge(purgeRequest)
      const [page, answer] = yield* whileAt(a, purgeStatement.deletes, purge, image(other))
      assert.deepStrictEqual(page.purged, [{ digest: digest(4), key: key(4), sizeBytes: 4 }])
      assert.deepStrictEqual(answer, missing(4))
      assert.deepStrictEqual((yield* state(a)).manifests, [manifestRow(1, now - hour)])
    })
  )

  it.live("its own bytes and all it needs are held while it is put, and needed then", () =>
    Effect.gen(function* () {
      const { a, own } = yield* stage(server)
      const collector = yield* a.process()
      // A collector that looked before condemns them after.
      const condemn = a.tables.write({ orphans: [2, 3, 4].map((n) => condemned(n)) })
      const purge = collector.orphans.purge(purgeRequest)
      const answers = yield* throughout(once.manifestsAreLocked, image(own), Effect.andThen(condemn, purge))
      assert.deepStrictEqual(answers, [stored, { purged: [], absolved: 0, busy: 3, next: null }])
      assert.deepStrictEqual(yield* purge, { purged: [], absolved: 3, busy: 0, next: null })
      assert.lengthOf((yield* a.tables.rows).blobs, 4)
    })
  )

  it.live("control: without a hold it is the foreign key alone that stands between it and a lost layer", () =>
    Effect.gen(function* () {
      const { a } = yield* stage(server, true)
      yield* a.tables.write({ orphans: [condemned(4)] })
      const naive = yield* a.session
      assert.lengthOf(yield* naive("SELECT FROM blobs WHERE digest = $1", [digest(4)]), 1)
      assert.lengthOf((yield* a.database.orphans.purge(purgeRequest)).purged, 1)
      const refer = naive(
        `INSERT INTO artifact_registry.manifest_references (repository, manifest, digest, kind)
           VALUES ('${app}', $1, $2, 'layer')`,
        [digest(1), digest(4)]
      )
      assert.isTrue(Result.isFailure(yield* Effect.result(refer)))
      yield* naive(
        "ALTER TABLE artifact_registry.manifest_references DROP CONSTRAINT manifest_references_digest_fkey"
      )
      yield* refer
      assert.deepStrictEqual(yield* naive(dangling), [{ what: "blob 4" }])
    })
  )

  it.live(
    "a manifest that is put again while it is deleted is there again; put before, it goes with its tag",
    () =>
      Effect.gen(function* () {
        const { a, own, other } = yield* stage(server)
        const tagged = ({ put }: Manifests) => put(now, manifest(1), [layer(4)], { tags: ["a"] })
        const remove = (verbs: Manifests) => verbs.delete(now, app, digest(1))
        const first = yield* whileAt(a, once.tagsAreDeleted, remove(own), tagged(other))
        assert.deepStrictEqual(first, ["deleted", stored])
        assert.deepStrictEqual(yield* state(a), {
          manifests: [manifestRow(1, null, [layer(4)])],
          tags: [tagRow("a", 1)]
        })
        const second = yield* whileAt(a, once.tagsAreWritten, tagged(own), remove(other))
        assert.deepStrictEqual(second, [stored, "deleted"])
        assert.deepStrictEqual(yield* state(a), { manifests: [], tags: [] })
      })
  )
}

export const manifests = (server: Server): void => {
  describe("a manifest's tag", () => tagging(server))
  describe("what an index lists", () => listing(server))
  describe("what is about a subject", () => about(server))
  describe("a manifest that is put", () => needing(server))
}
