/** The registry's catalogue, its writers' side: put, find, touch, untag, delete. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { ManifestRow } from "../../../../src/oci/database/Memory.ts"
import type { Manifest, ManifestReference } from "../../../../src/oci/database/RegistryDatabase.ts"
import { Database } from "../../../fixtures/Database.ts"
import {
  blob,
  blobs,
  condemned,
  digest,
  digests,
  everything,
  hour,
  key,
  now,
  type Promised,
  pin,
  rows,
  write
} from "../../../fixtures/samples.ts"

export const app = "library/app"

/** Manifest `n`, whose bytes are blob `n`. */
export const manifest = (n: number, change: Partial<Manifest> = {}): Manifest => ({
  repository: app,
  digest: digest(n),
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  sizeBytes: n,
  artifactType: null,
  annotations: null,
  subject: null,
  ...change
})

export const config = (n: number): ManifestReference => ({ digest: digest(n), kind: "config" })
export const layer = (n: number): ManifestReference => ({ digest: digest(n), kind: "layer" })
export const child = (n: number): ManifestReference => ({ digest: digest(n), kind: "manifest" })

export const manifestRow = (
  n: number,
  untaggedAt: number | null,
  references: ReadonlyArray<ManifestReference> = [],
  change: Partial<Manifest> = {}
): ManifestRow => ({ ...manifest(n, change), untaggedAt, references })

export const tagRow = (name: string, n: number, repository = app) => ({
  repository,
  name,
  digest: digest(n)
})

export const manifests = Effect.map(Database, (database) => database.manifests)

const stored = { _tag: "stored" } as const
const missing = (...ns: ReadonlyArray<number>) => ({ _tag: "missing", digests: digests(...ns) }) as const

/** What is untagged, and since when. */
export const untaggedAt = Effect.map(rows, ({ manifests: all }) =>
  Object.fromEntries(all.map((row) => [Number.parseInt(row.digest.slice(-6), 16), row.untaggedAt]))
)

const putting = (promised: Promised): void => {
  promised("stores a manifest with what it refers to and its tags, and releases pins", () =>
    Effect.gen(function* () {
      const { put } = yield* manifests
      yield* write({ blobs: blobs(1, 2, 3), pins: [pin("mine", 1), pin("other", 2)] })
      const one = manifest(1, {
        sizeBytes: 5_000_000_000,
        artifactType: "application/vnd.example",
        annotations: { "": "", zulu: "ž", alpha: '"\\\n\u0001', __proto__x: "1" },
        subject: digest(9)
      })
      const references = [config(2), layer(3), layer(2)]
      const options = { tags: ["latest", "1.0", "latest"], release: ["mine", "unknown"] }
      assert.deepStrictEqual(yield* put(now, one, references, options), stored)
      const after = yield* rows
      assert.deepStrictEqual(after.manifests, [
        { ...one, untaggedAt: null, references: [config(2), layer(2), layer(3)] }
      ])
      assert.deepStrictEqual(after.tags, [tagRow("1.0", 1), tagRow("latest", 1)])
      assert.deepStrictEqual(
        after.pins.map(({ id }) => id),
        ["other"]
      )
    })
  )

  promised("marks all it needs used, and ends their sightings and condemnations", () =>
    Effect.gen(function* () {
      const { put } = yield* manifests
      yield* write({ blobs: blobs(1, 2, 3, 4), orphans: [1, 2, 3, 4].map((n) => condemned(n)) })
      yield* put(now, manifest(1), [config(2), layer(3)])
      const after = yield* rows
      const used = { lastUsedAt: now }
      assert.deepStrictEqual(after.blobs, [blob(1, used), blob(2, used), blob(3, used), blob(4)])
      assert.deepStrictEqual(after.orphans, [condemned(4)])
    })
  )

  promised("names the blobs that do not live, and changes nothing but that the others are used", () =>
    Effect.gen(function* () {
      const { put } = yield* manifests
      yield* write({
        blobs: blobs(2, 3, 5),
        orphans: [condemned(2)],
        suspects: [{ digest: digest(5), key: key(5) }],
        pins: [pin("mine", 2)]
      })
      const references = [layer(5), layer(4), config(2), layer(4), layer(3)]
      const options = { tags: ["latest"], release: ["mine"] }
      assert.deepStrictEqual(yield* put(now, manifest(1), references, options), missing(1, 5, 4))
      const after = yield* rows
      assert.deepStrictEqual([after.manifests, after.tags, after.orphans], [[], [], []])
      assert.lengthOf(after.pins, 1)
      assert.deepStrictEqual(after.blobs, [
        blob(2, { lastUsedAt: now }),
        blob(3, { lastUsedAt: now }),
        blob(5)
      ])
    })
  )

  promised("wants the children of an index to be manifests of the same repository", () =>
    Effect.gen(function* () {
      const { put } = yield* manifests
      yield* write({
        blobs: blobs(1, 2, 3, 4, 5),
        manifests: [manifestRow(2, now), manifestRow(3, now, [], { repository: "library/other" })]
      })
      // A layer of an index need not be a manifest.
      const index = [child(2), child(3), child(4), layer(5)]
      assert.deepStrictEqual(yield* put(now, manifest(1), index), missing(3, 4))
      assert.deepStrictEqual(yield* put(now, manifest(1), [child(2), layer(5)]), stored)
      assert.deepStrictEqual((yield* rows).manifests[0]?.references, [child(2), layer(5)])
    })
  )

  promised("does the same when it is done again, and takes what it refers to anew", () =>
    Effect.gen(function* () {
      const { put } = yield* manifests
      yield* write({ blobs: blobs(1, 2, 3) })
      const again = put(now, manifest(1), [config(2), layer(3)], { tags: ["a"] })
      assert.deepStrictEqual(yield* again, stored)
      const before = yield* rows
      assert.deepStrictEqual(yield* again, stored)
      assert.deepStrictEqual(yield* rows, before)
      yield* put(now, manifest(1, { artifactType: "x" }), [config(2)], { tags: ["b"] })
      const after = yield* rows
      assert.deepStrictEqual(after.manifests, [manifestRow(1, null, [config(2)], { artifactType: "x" })])
      assert.deepStrictEqual(after.tags, [tagRow("a", 1), tagRow("b", 1)])
    })
  )

  promised("without tags is untagged from now on, also when it was already; with one it is not", () =>
    Effect.gen(function* () {
      const { put } = yield* manifests
      yield* write({ blobs: blobs(1) })
      yield* put(now, manifest(1), [])
      assert.deepStrictEqual(yield* untaggedAt, { 1: now })
      yield* put(now + 1, manifest(1), [])
      assert.deepStrictEqual(yield* untaggedAt, { 1: now + 1 })
      yield* put(now + 2, manifest(1), [], { tags: ["a"] })
      assert.deepStrictEqual(yield* untaggedAt, { 1: null })
      yield* put(now + 3, manifest(1), [])
      assert.deepStrictEqual(yield* untaggedAt, { 1: null })
    })
  )

  promised("moves a tag; who loses the last one is untagged from now on", () =>
    Effect.gen(function* () {
      const { put } = yield* manifests
      yield* write({
        blobs: blobs(1, 2, 3, 4),
        manifests: [1, 2, 3].map((n) => manifestRow(n, null)),
        tags: [tagRow("a", 1), tagRow("b", 2), tagRow("b2", 2), tagRow("c", 3)]
      })
      yield* put(now, manifest(4), [], { tags: ["d", "b", "a"] })
      assert.deepStrictEqual(yield* untaggedAt, { 1: now, 2: null, 3: null, 4: null })
      assert.deepStrictEqual((yield* rows).tags, [
        tagRow("a", 4),
        tagRow("b", 4),
        tagRow("b2", 2),
        tagRow("c", 3),
        tagRow("d", 4)
      ])
    })
  )

  promised("keeps repositories apart: the same manifest and the same tag in another are others", () =>
    Effect.gen(function* () {
      const { put, find } = yield* manifests
      yield* write({ blobs: blobs(1, 2) })
      yield* put(now, manifest(1), [], { tags: ["a"] })
      yield* put(now, manifest(2, { repository: "other" }), [], { tags: ["a"] })
      yield* put(now, manifest(1, { repository: "other" }), [])
      const tag = { _tag: "Tag", tag: "a" } as const
      assert.strictEqual(Option.getOrThrow(yield* find(app, tag)).digest, digest(1))
      assert.strictEqual(Option.getOrThrow(yield* find("other", tag)).digest, digest(2))
      assert.lengthOf((yield* rows).manifests, 3)
    })
  )
}

const finding = (promised: Promised): void => {
  promised("is by digest or by tag, with the place of its bytes", () =>
    Effect.gen(function* () {
      const { find } = yield* manifests
      const change = { annotations: { a: "1" }, subject: digest(7), artifactType: "t" }
      yield* write({
        blobs: [blob(1, { sizeBytes: 99 }), blob(2)],
        manifests: [manifestRow(1, null, [], change), manifestRow(2, now)],
        tags: [tagRow("a", 1)]
      })
      const one = { ...manifest(1, change), key: key(1), untaggedAt: null }
      assert.deepStrictEqual(yield* find(app, { _tag: "Tag", tag: "a" }), Option.some(one))
      assert.deepStrictEqual(yield* find(app, { _tag: "Digest", digest: digest(1) }), Option.some(one))
      const two = { ...manifest(2), key: key(2), untaggedAt: now }
      assert.deepStrictEqual(yield* find(app, { _tag: "Digest", digest: digest(2) }), Option.some(two))
      for (const name of [
        { _tag: "Tag", tag: "A" },
        { _tag: "Tag", tag: digest(1) },
        { _tag: "Digest", digest: digest(3) }
      ] as const) {
        assert.deepStrictEqual(yield* find(app, name), Option.none())
      }
      assert.deepStrictEqual(yield* find("other", { _tag: "Tag", tag: "a" }), Option.none())
    })
  )

  promised("and being given it puts off the end of an untagged one", () =>
    Effect.gen(function* () {
      const { touch } = yield* manifests
      yield* write({ blobs: blobs(1, 2), manifests: [manifestRow(1, now), manifestRow(2, null)] })
      assert.isTrue(yield* touch(now + 5, app, digest(1)))
      assert.isTrue(yield* touch(now + 5, app, digest(2)))
      assert.isFalse(yield* touch(now + 5, app, digest(3)))
      assert.isFalse(yield* touch(now + 5, "other", digest(1)))
      assert.deepStrictEqual(yield* untaggedAt, { 1: now + 5, 2: null })
      yield* touch(now, app, digest(1))
      assert.deepStrictEqual(yield* untaggedAt, { 1: now + 5, 2: null })
    })
  )
}

const taking = (promised: Promised): void => {
  promised("takes a tag away, and says whether there was one", () =>
    Effect.gen(function* () {
      const { untag } = yield* manifests
      yield* write({
        blobs: blobs(1),
        manifests: [manifestRow(1, null)],
        tags: [tagRow("a", 1), tagRow("b", 1)]
      })
      assert.isTrue(yield* untag(now, app, "a"))
      assert.isFalse(yield* untag(now, app, "a"))
      assert.isFalse(yield* untag(now, "other", "b"))
      assert.deepStrictEqual(yield* untaggedAt, { 1: null })
      assert.isTrue(yield* untag(now + 1, app, "b"))
      assert.deepStrictEqual(yield* untaggedAt, { 1: now + 1 })
      assert.deepStrictEqual((yield* rows).tags, [])
    })
  )

  promised("deletes a manifest with its tags; what it referred to is an orphan then", () =>
    Effect.gen(function* () {
      const { orphans, manifests: verbs } = yield* Database
      yield* write({ blobs: blobs(1, 2, 3) })
      yield* verbs.put(now, manifest(1), [config(2), layer(3)], { tags: ["a", "b"] })
      const found = Effect.map(orphans.find(everything), (all) => all.map((orphan) => orphan.digest))
      assert.deepStrictEqual(yield* found, [])
      assert.strictEqual(yield* verbs.delete(now, "other", digest(1)), "unknown")
      assert.strictEqual(yield* verbs.delete(now, app, digest(1)), "deleted")
      assert.strictEqual(yield* verbs.delete(now, app, digest(1)), "unknown")
      const after = yield* rows
      assert.deepStrictEqual([after.manifests, after.tags], [[], []])
      assert.deepStrictEqual(yield* found, digests(1, 2, 3))
    })
  )

  promised("leaves a manifest that an index of the repository lists, with its tags", () =>
    Effect.gen(function* () {
      const verbs = yield* manifests
      yield* write({
        blobs: blobs(1, 2, 3),
        manifests: [
          manifestRow(1, null, [child(2), layer(3)]),
          manifestRow(2, null),
          manifestRow(3, null),
          manifestRow(2, null, [], { repository: "other" })
        ],
        tags: [tagRow("a", 2)]
      })
      const before = yield* rows
      assert.strictEqual(yield* verbs.delete(now, app, digest(2)), "listed")
      assert.deepStrictEqual(yield* rows, before)
      assert.strictEqual(yield* verbs.delete(now, "other", digest(2)), "deleted")
      assert.strictEqual(
        yield* verbs.delete(now, app, digest(3)),
        "deleted",
        "as a layer it needs its blob only"
      )
    })
  )

  promised("names the indexes of the repository that list a manifest, and since when they have no tag", () =>
    Effect.gen(function* () {
      const { listing } = yield* manifests
      yield* write({
        blobs: blobs(1, 2, 3, 4),
        manifests: [
          manifestRow(4, null, [child(1), child(2)]),
          manifestRow(3, now, [child(2)]),
          manifestRow(2, null, [layer(1)]),
          manifestRow(1, null),
          manifestRow(1, null, [], { repository: "other" })
        ]
      })
      assert.deepStrictEqual(yield* listing(app, digest(2), 10), [
        { digest: digest(3), untaggedAt: now },
        { digest: digest(4), untaggedAt: null }
      ])
      assert.deepStrictEqual(
        (yield* listing(app, digest(2), 1)).map((index) => index.digest),
        [digest(3)]
      )
      assert.lengthOf(yield* listing(app, digest(1), 10), 1, "as a layer it is not listed")
      assert.deepStrictEqual(yield* listing("other", digest(1), 10), [])
    })
  )

  promised("tells what an index listed, and what was about a subject, since when they are on their own", () =>
    Effect.gen(function* () {
      const verbs = yield* manifests
      const about = { subject: digest(1) }
      yield* write({
        blobs: blobs(1, 2, 3, 4, 5),
        manifests: [
          manifestRow(1, null, [child(2), child(3)]),
          manifestRow(2, null),
          manifestRow(3, null),
          manifestRow(4, null, [], about),
          manifestRow(5, null, [], about),
          manifestRow(4, null, [], { ...about, repository: "other" })
        ],
        tags: [tagRow("b", 3), tagRow("c", 5)]
      })
      assert.strictEqual(yield* verbs.delete(now, app, digest(1)), "deleted")
      const since = (yield* rows).manifests.map((row) => [row.repository, row.digest, row.untaggedAt])
      assert.deepStrictEqual(since, [
        [app, digest(2), now],
        [app, digest(3), null],
        [app, digest(4), now],
        [app, digest(5), null],
        ["other", digest(4), null]
      ])
    })
  )
}

const keeping = (promised: Promised): void => {
  promised("keeps blobs from being purged as long as a manifest needs them", () =>
    Effect.gen(function* () {
      const { manifests: verbs, orphans } = yield* Database
      yield* write({ blobs: blobs(1, 2, 3, 4) })
      yield* verbs.put(now - 3 * hour, manifest(1), [config(2), layer(3)])
      const purge = Effect.gen(function* () {
        yield* write({ orphans: [1, 2, 3, 4].map((n) => condemned(n)) })
        const page = yield* orphans.purge({
          now: now + hour,
          condemnedCutoff: now,
          seenCutoff: now,
          usedCutoff: now,
          limit: 10,
          after: null,
          deleteNotBefore: now + hour,
          leaseUntil: null
        })
        return page.purged.map((purged) => purged.digest).sort()
      })
      assert.deepStrictEqual(yield* purge, digests(4))
      assert.strictEqual(yield* verbs.delete(now, app, digest(1)), "deleted")
      assert.deepStrictEqual(yield* purge, digests(1, 2, 3))
      assert.deepStrictEqual((yield* rows).blobs, [])
    })
  )

  promised("names the manifests that refer to a blob, and those that are it", () =>
    Effect.gen(function* () {
      const { audit, manifests: verbs } = yield* Database
      yield* write({ blobs: blobs(1, 2) })
      yield* verbs.put(now, manifest(2), [])
      yield* verbs.put(now, manifest(1), [child(2)])
      const found = (yield* audit.referrers(digest(2))).map(({ table, column, rows: n, sample }) => [
        table.replace("artifact_registry.", ""),
        column,
        n,
        sample
      ])
      assert.deepStrictEqual(found, [
        ["manifest_references", "digest", 1, [`${app} ${digest(1)} ${digest(2)} manifest`]],
        ["manifests", "digest", 1, [`${app} ${digest(2)}`]]
      ])
    })
  )
}

export const registering = (promised: Promised): void => {
  describe("a manifest that is put", () => putting(promised))
  describe("a manifest that is looked for", () => finding(promised))
  describe("a manifest or tag that is taken away", () => taking(promised))
  describe("a manifest", () => keeping(promised))
}
