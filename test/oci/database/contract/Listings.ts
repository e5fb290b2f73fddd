/** The registry's catalogue as it is listed, and what of it expires. */
import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Manifest } from "../../../../src/oci/database/RegistryDatabase.ts"
import { holdId } from "../../../../src/oci/Names.ts"
import { Database } from "../../../fixtures/Database.ts"
import {
  blob,
  blobs,
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
import {
  app,
  child,
  config,
  layer,
  manifest,
  manifestRow,
  manifests,
  tagRow,
  untaggedAt
} from "./Manifests.ts"

const listing = (promised: Promised): void => {
  promised("answers tags by their bytes, page by page, of repositories that have a manifest", () =>
    Effect.gen(function* () {
      const { tags } = yield* manifests
      const names = ["B", "Z-1", "Z.1", "Z_1", "_", "a", "a.b", "a0", "b"]
      yield* write({
        blobs: blobs(1),
        manifests: [manifestRow(1, null), manifestRow(1, now, [], { repository: "bare" })],
        tags: names.map((_, n) => tagRow(names[(n * 4) % names.length] ?? "", 1))
      })
      assert.deepStrictEqual(yield* tags(app, null, 100), Option.some(names))
      assert.deepStrictEqual(yield* tags(app, "Z.1", 3), Option.some(["Z_1", "_", "a"]))
      assert.deepStrictEqual(yield* tags(app, "a.a", 1), Option.some(["a.b"]), "after one that is not there")
      assert.deepStrictEqual(yield* tags(app, "b", 3), Option.some([]))
      assert.deepStrictEqual(yield* tags(app, null, 0), Option.some([]))
      assert.deepStrictEqual(yield* tags("bare", null, 3), Option.some([]))
      assert.deepStrictEqual(yield* tags("unknown", null, 3), Option.none())
    })
  )

  promised("answers repositories with a manifest by their bytes, page by page", () =>
    Effect.gen(function* () {
      const { repositories } = yield* manifests
      assert.deepStrictEqual(yield* repositories(null, 10), [])
      const names = ["a", "a-b", "a.b", "a/b", "a0", "b", "z/y/x"]
      yield* write({
        blobs: blobs(1, 2),
        manifests: names.flatMap((repository) => [
          manifestRow(1, now, [], { repository }),
          manifestRow(2, now, [], { repository })
        ])
      })
      assert.deepStrictEqual(yield* repositories(null, 10), names)
      assert.deepStrictEqual(yield* repositories(null, 2), ["a", "a-b"])
      assert.deepStrictEqual(yield* repositories("a-b", 2), ["a.b", "a/b"])
      assert.deepStrictEqual(yield* repositories("a1", 100), ["b", "z/y/x"], "after one that is not there")
      assert.deepStrictEqual(yield* repositories("z/y/x", 2), [])
      assert.deepStrictEqual(yield* repositories(null, 0), [])
    })
  )

  promised("answers which repositories have no tag, by their bytes", () =>
    Effect.gen(function* () {
      const { withoutTags } = yield* manifests
      yield* write({
        blobs: blobs(1),
        manifests: ["a", "Z", "b"].map((repository) =>
          manifestRow(1, repository === "b" ? null : now, [], { repository })
        ),
        tags: [tagRow("v1", 1, "b")]
      })
      assert.deepStrictEqual(yield* withoutTags(["b", "a", "Z"]), ["Z", "a"])
      assert.deepStrictEqual(yield* withoutTags(["b"]), [])
      assert.deepStrictEqual(yield* withoutTags([]), [])
    })
  )

  promised("answers what is about a subject, which need not exist, by digest, and by type", () =>
    Effect.gen(function* () {
      const { referrers } = yield* manifests
      const about = (artifactType: string | null, change: Partial<Manifest> = {}) => ({
        subject: digest(9),
        artifactType,
        ...change
      })
      yield* write({
        blobs: blobs(1, 2, 3, 4, 5),
        manifests: [
          manifestRow(4, now, [], about("sbom", { annotations: { created: "today" } })),
          manifestRow(1, null, [], about("signature")),
          manifestRow(3, now, [], about(null)),
          manifestRow(2, now, [], about("sbom")),
          manifestRow(5, now, [], { subject: digest(8) }),
          manifestRow(5, now, [], about("sbom", { repository: "other" }))
        ]
      })
      const found = (type: string | null, after: number | null, limit: number) =>
        Effect.map(referrers(app, digest(9), type, after === null ? null : digest(after), limit), (page) =>
          page.map((one) => one.digest)
        )
      assert.deepStrictEqual(yield* found(null, null, 10), digests(1, 2, 3, 4))
      assert.deepStrictEqual(yield* found(null, 1, 2), digests(2, 3))
      assert.deepStrictEqual(yield* found("sbom", null, 10), digests(2, 4))
      assert.deepStrictEqual(yield* found("sbom", 2, 10), digests(4))
      assert.deepStrictEqual(yield* found("Sbom", null, 10), [])
      assert.deepStrictEqual(yield* referrers(app, digest(9), "sbom", digest(3), 1), [
        manifest(4, about("sbom", { annotations: { created: "today" } }))
      ])
      assert.deepStrictEqual(yield* referrers("unknown", digest(9), null, null, 10), [])
    })
  )

  promised("answers a blob as the repository has it: by a manifest, or by its hold", () =>
    Effect.gen(function* () {
      const { blob: of } = yield* manifests
      yield* write({
        blobs: [blob(1), blob(2), blob(3, { sizeBytes: 5_000_000_000_000 }), blob(4)],
        manifests: [
          manifestRow(1, now, [layer(2)]),
          manifestRow(1, now, [layer(4)], { repository: "other" })
        ],
        pins: [
          { id: holdId(app, digest(2)), digest: digest(2), expiresAt: now + hour },
          { id: holdId(app, digest(3)), digest: digest(3), expiresAt: now - hour },
          { id: holdId("other", digest(4)), digest: digest(4), expiresAt: now + hour },
          { id: holdId(app, digest(5)), digest: digest(5), expiresAt: now + hour }
        ]
      })
      const has = (n: number, heldUntil: number | null, isReferenced: boolean, sizeBytes = n) =>
        Option.some({ key: key(n), sizeBytes, heldUntil, isReferenced })
      assert.deepStrictEqual(yield* of(app, digest(1)), has(1, null, true))
      assert.deepStrictEqual(yield* of(app, digest(2)), has(2, now + hour, true))
      assert.deepStrictEqual(yield* of(app, digest(3)), has(3, now - hour, false, 5_000_000_000_000))
      assert.deepStrictEqual(yield* of(app, digest(4)), Option.none(), "it is another's")
      assert.deepStrictEqual(yield* of(app, digest(5)), Option.none(), "it is held and not there")
      assert.deepStrictEqual(yield* of("other", digest(4)), has(4, now + hour, true))
    })
  )
}

const expiring = (promised: Promised): void => {
  promised(
    "answers which of some blobs a repository has, by its manifests and by holds that have not ended",
    () =>
      Effect.gen(function* () {
        const { having } = yield* manifests
        const hold = (n: number, repository: string, expiresAt: number) => ({
          ...pin(holdId(repository, digest(n)), n),
          expiresAt
        })
        yield* write({
          blobs: blobs(1, 2, 3, 4, 5, 6),
          manifests: [
            manifestRow(1, null, [config(2), layer(3)]),
            manifestRow(5, null, [], { repository: "other" })
          ],
          pins: [hold(4, app, now + 1), hold(5, app, now), hold(6, "other", now + hour)]
        })
        const all = digests(1, 2, 3, 4, 5, 6, 7)
        assert.deepStrictEqual(yield* having(now, app, all), new Set(digests(1, 2, 3, 4)))
        assert.deepStrictEqual(yield* having(now, "other", all), new Set(digests(5, 6)))
        assert.deepStrictEqual(yield* having(now, "none", all), new Set())
        assert.deepStrictEqual(yield* having(now, app, []), new Set())
      })
  )

  promised("ends manifests that are untagged for long enough, with what they refer to", () =>
    Effect.gen(function* () {
      const { expire, untagged } = yield* manifests
      yield* write({
        blobs: blobs(1, 2, 3, 4),
        manifests: [
          manifestRow(1, now - hour, [config(4), layer(4)]),
          manifestRow(2, now - hour + 1),
          manifestRow(3, null)
        ],
        tags: [tagRow("a", 3)]
      })
      assert.strictEqual(yield* untagged(now - hour), 1)
      assert.strictEqual(yield* expire(now, now - hour, 100), 1)
      assert.deepStrictEqual(yield* untaggedAt, { 2: now - hour + 1, 3: null })
      assert.strictEqual(yield* untagged(now - hour), 0)
      assert.strictEqual(yield* expire(now, now - hour, 100), 0)
      assert.lengthOf((yield* rows).blobs, 4)
    })
  )

  promised("dates manifests that were untagged in the future to now", () =>
    Effect.gen(function* () {
      const { redate } = yield* manifests
      yield* write({
        blobs: blobs(1, 2, 3, 4),
        manifests: [
          manifestRow(1, now + hour),
          manifestRow(2, now + hour + 1),
          manifestRow(3, null),
          manifestRow(4, now - hour)
        ],
        tags: [tagRow("a", 3)]
      })
      assert.deepStrictEqual(yield* redate(now, now + hour, 100), [`${app}@${digest(2)}`])
      assert.deepStrictEqual(yield* untaggedAt, { 1: now + hour, 2: now, 3: null, 4: now - hour })
      assert.deepStrictEqual(yield* redate(now, now + hour, 100), [])
      assert.lengthOf(yield* redate(now, now, 1), 1)
    })
  )

  promised("keeps what is tagged, what an index lists, and what is about a subject that exists", () =>
    Effect.gen(function* () {
      const { expire, untagged } = yield* manifests
      const about = { subject: digest(1) }
      yield* write({
        blobs: blobs(1, 2, 3, 4, 5, 6),
        manifests: [
          manifestRow(1, null, [child(2), layer(5)]),
          manifestRow(2, now - hour),
          manifestRow(3, now - hour, [], about),
          manifestRow(4, now - hour, [], { subject: digest(6) }),
          manifestRow(5, now - hour),
          manifestRow(6, now - hour, [], { ...about, repository: "other" })
        ],
        tags: [tagRow("a", 1)]
      })
      assert.strictEqual(yield* untagged(now), 3)
      assert.strictEqual(yield* expire(now, now, 100), 3)
      assert.deepStrictEqual(
        (yield* rows).manifests.map((row) => [row.repository, row.digest]),
        [1, 2, 3].map((n) => [app, digest(n)])
      )
      assert.strictEqual(yield* expire(now + hour, now + hour, 100), 0)
    })
  )

  promised("ends an index, and after as long again what it listed and what was about it", () =>
    Effect.gen(function* () {
      const { expire, untag } = yield* manifests
      yield* write({
        blobs: blobs(1, 2, 3),
        manifests: [
          manifestRow(1, null, [child(2)]),
          manifestRow(2, now - 2 * hour),
          manifestRow(3, now - 2 * hour, [], { subject: digest(1) })
        ],
        tags: [tagRow("a", 1)]
      })
      yield* untag(now - hour, app, "a")
      assert.strictEqual(yield* expire(now, now - hour, 100), 1)
      assert.deepStrictEqual(yield* untaggedAt, { 2: now, 3: now })
      assert.strictEqual(yield* expire(now + hour - 1, now - 1, 100), 0)
      assert.strictEqual(yield* expire(now + hour, now, 100), 2)
      assert.deepStrictEqual(yield* untaggedAt, {})
    })
  )

  promised("keeps a child as long as one of several indexes lists it", () =>
    Effect.gen(function* () {
      const verbs = yield* manifests
      yield* write({ blobs: blobs(1, 2, 3) })
      yield* verbs.put(now, manifest(3), [])
      for (const n of [1, 2]) yield* verbs.put(now, manifest(n), [child(3)], { tags: [`t${n}`] })
      yield* verbs.delete(now, app, digest(1))
      assert.strictEqual(yield* verbs.expire(now + hour, now + hour, 100), 0)
      yield* verbs.delete(now + 2 * hour, app, digest(2))
      assert.strictEqual(yield* verbs.expire(now + 3 * hour, now + 2 * hour - 1, 100), 0)
      assert.strictEqual(yield* verbs.expire(now + 3 * hour, now + 2 * hour, 100), 1)
    })
  )

  promised(
    "ends at most as many as it is told, the oldest first, and passes over any number that are needed",
    () =>
      Effect.gen(function* () {
        const { expire } = yield* manifests
        const many = Array.from({ length: 230 }, (_, n) => n + 10)
        yield* write({
          blobs: [...blobs(1, 2, 3, 4, 5), ...many.map((n) => blob(n))],
          manifests: [
            manifestRow(
              1,
              null,
              many.map((n) => child(n))
            ),
            ...many.map((n) => manifestRow(n, now - 2 * hour)),
            ...[2, 3, 4, 5].map((n) => manifestRow(n, now - hour - n))
          ],
          tags: [tagRow("a", 1)]
        })
        assert.strictEqual(yield* expire(now, now - hour, 3), 3)
        const left = (yield* rows).manifests.filter((row) => row.digest <= digest(9))
        assert.deepStrictEqual(
          left.map((row) => row.digest),
          digests(1, 2)
        )
        assert.strictEqual(yield* expire(now, now - hour, 3), 1)
        assert.lengthOf((yield* rows).manifests, 231)
        assert.strictEqual(yield* expire(now, now, 0), 0)
      })
  )

  promised(
    "leaves to what nothing else needs the cause by which the breaker of orphans counts it apart",
    () =>
      Effect.gen(function* () {
        const { journal, manifests: verbs, orphans } = yield* Database
        yield* write({
          blobs: blobs(1, 2, 3, 4, 5),
          manifests: [
            manifestRow(1, now - hour, [layer(3), layer(4), layer(5)]),
            manifestRow(2, null, [layer(5)])
          ],
          tags: [tagRow("a", 2)],
          pins: [pin("held", 4, now + hour)]
        })
        assert.strictEqual(yield* verbs.expire(now, now, 10), 1)
        const causes = Effect.map(orphans.find(everything), (found) =>
          found.map(({ cause, digest, seenAt }) => `${digest} ${cause} ${seenAt}`)
        )
        const expired = [`${digest(1)} expired ${now}`, `${digest(3)} expired ${now}`]
        assert.deepStrictEqual(yield* causes, expired)
        yield* orphans.held(now, true)
        yield* journal.expirePins(now + hour, 10)
        assert.deepStrictEqual(yield* causes, [...expired, `${digest(4)} expired ${now + hour}`])
      })
  )

  promised("subtracts for the breaker what was pushed while tags were deleted, until no tag is left", () =>
    Effect.gen(function* () {
      const verbs = yield* manifests
      yield* write({ blobs: blobs(1, 2, 3, 4, 5, 6) })
      const image = (n: number) => ({
        repository: app,
        digest: digest(n),
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        sizeBytes: n,
        artifactType: null,
        annotations: null,
        subject: null
      })
      for (const n of [1, 2, 3]) yield* verbs.put(now, image(n), [], { tags: [`v${n}`] })
      // Never had a tag, lost it to a push, and lost it to a client.
      yield* verbs.put(now, image(4), [])
      yield* verbs.put(now + 1, image(2), [], { tags: ["v1"] })
      yield* verbs.untag(now + 1, app, "v3")
      const lost = { untagged: 1, total: 2, bytes: 3, totalBytes: 21 }
      assert.deepStrictEqual(yield* verbs.exposure(null, now + 9, 0), lost)
      yield* verbs.put(now + 2, image(5), [], { tags: ["v5"] })
      yield* verbs.put(now + 2, image(6), [])
      assert.deepStrictEqual(yield* verbs.exposure(null, now + 1, 0), { ...lost, total: 3 })
      assert.deepInclude(yield* verbs.exposure(null, now + 9, 0), { untagged: 0, total: 2 })
      for (const tag of ["v1", "v2", "v5"]) yield* verbs.untag(now + 3, app, tag)
      assert.deepInclude(yield* verbs.exposure(null, now + 9, 9), { untagged: 3, total: 3 })
      // What lost its name may be pushed again, and does not become new by that.
      yield* verbs.put(now + 4, image(3), [])
      assert.deepInclude(yield* verbs.exposure(null, now + 9, 0), { untagged: 3, total: 3 })
    })
  )

  promised(
    "counts for the breaker what nothing needs, is untagged for as long as asked, and was not confirmed",
    () =>
      Effect.gen(function* () {
        const { exposure } = yield* manifests
        /** Of what has a name or is counted, and of the 15 bytes of all blobs; nothing of that where it is not read. */
        const counted = (untagged: number, total = 0, bytes = 0) => ({
          untagged,
          total,
          bytes,
          totalBytes: bytes === 0 ? 0 : 15
        })
        yield* write({
          blobs: blobs(1, 2, 3, 4, 5),
          manifests: [
            manifestRow(1, null, [child(2)]),
            manifestRow(2, now),
            manifestRow(3, now),
            manifestRow(4, now - hour),
            manifestRow(5, now - 2 * hour)
          ],
          tags: [tagRow("a", 1)]
        })
        assert.deepStrictEqual(yield* exposure(null, now, 0), counted(3, 4, 12))
        assert.deepStrictEqual(yield* exposure(null, now, 3), counted(3))
        assert.deepStrictEqual(yield* exposure(now - hour, now, 0), counted(1, 2, 3))
        assert.deepStrictEqual(yield* exposure(now, now, 0), counted(0))
        assert.deepStrictEqual(yield* exposure(null, now - 1, 0), counted(2, 3, 9))
        assert.deepStrictEqual(yield* exposure(null, now - hour, 0), counted(2, 3, 9))
        assert.deepStrictEqual(yield* exposure(null, now - hour - 1, 0), counted(1, 2, 5))
        assert.deepStrictEqual(yield* exposure(now - 2 * hour, now - 1, 0), counted(1, 2, 4))
      })
  )
}

export const registry = (promised: Promised): void => {
  describe("the registry's catalogue", () => {
    listing(promised)
    promised("is there", () => Effect.flatMap(manifests, ({ probe }) => probe))
  })
  describe("the expiry of manifests", () => expiring(promised))
}
