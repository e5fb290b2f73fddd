import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Answer, ask, codesOf } from "../../fixtures/oci/Site.ts"
import {
  digestOf,
  image,
  imageType,
  indexType,
  jsonOf,
  putManifest,
  registry
} from "../../fixtures/oci/Stored.ts"

/** Returns the address of the next page. */
const nextOf = ({ headers }: Answer): string | null => {
  const [, path = null] = /^<([^>]+)>; rel="next"$/.exec(headers.get("link") ?? "") ?? []
  return path
}

/** Returns every page from `path` on. */
const pages = Effect.fnUntraced(function* (path: string) {
  const answers: Array<Answer> = []
  for (let next: string | null = path; next !== null; next = nextOf(answers.at(-1) as Answer)) {
    answers.push(yield* ask(next))
  }
  return answers
})

const names = (answer: Answer) => jsonOf(answer) as { name: string; tags: ReadonlyArray<string> }

describe("tags", () => {
  const tagged = Effect.gen(function* () {
    const manifest = yield* image("a/b", "layer")
    for (const tag of ["b", "B", "10", "9", "a"]) yield* putManifest("a/b", tag, manifest)
  })

  it.live("are listed in the order of their bytes", () =>
    Effect.gen(function* () {
      yield* tagged
      const listed = yield* ask("/v2/a/b/tags/list")
      assert.strictEqual(listed.headers.get("content-type"), "application/json")
      assert.isNull(listed.headers.get("link"))
      assert.deepStrictEqual(names(listed), { name: "a/b", tags: ["10", "9", "B", "a", "b"] })
    }).pipe(Effect.provide(registry()))
  )

  it.live("are listed in pages that link to the next", () =>
    Effect.gen(function* () {
      yield* tagged
      assert.deepStrictEqual(
        (yield* pages("/v2/a/b/tags/list?n=2")).map((answer) => names(answer).tags),
        [["10", "9"], ["B", "a"], ["b"]]
      )
      assert.deepStrictEqual(names(yield* ask("/v2/a/b/tags/list?last=9")).tags, ["B", "a", "b"])
      // `last` need not be an existing tag.
      assert.deepStrictEqual(names(yield* ask("/v2/a/b/tags/list?last=C&n=1")).tags, ["a"])
    }).pipe(Effect.provide(registry()))
  )

  it.live("are an empty last page if a client asks for none", () =>
    Effect.gen(function* () {
      yield* tagged
      const none = yield* ask("/v2/a/b/tags/list?n=0")
      assert.deepStrictEqual([none.status, names(none).tags, none.headers.get("link")], [200, [], null])
    }).pipe(Effect.provide(registry()))
  )

  it.live("of a repository that does not exist are 404", () =>
    Effect.gen(function* () {
      for (const query of ["", "?n=0"]) {
        const answer = yield* ask(`/v2/a/b/tags/list${query}`)
        assert.deepStrictEqual([answer.status, ...codesOf(answer)], [404, "NAME_UNKNOWN"])
      }
    }).pipe(Effect.provide(registry()))
  )

  it.live.each(["-1", "1.5", "x", "", "1e3"])("of which %s are wanted are refused", (n) =>
    Effect.gen(function* () {
      yield* tagged
      const answer = yield* ask(`/v2/a/b/tags/list?n=${n}`)
      assert.deepStrictEqual([answer.status, ...codesOf(answer)], [400, "UNSUPPORTED"])
    }).pipe(Effect.provide(registry()))
  )

  it.live("are listed up to the longest page if a client asks for more", () =>
    Effect.gen(function* () {
      yield* tagged
      assert.lengthOf(names(yield* ask(`/v2/a/b/tags/list?n=${"9".repeat(30)}`)).tags, 5)
    }).pipe(Effect.provide(registry()))
  )
})

it.live("repositories with a manifest are listed in pages", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(jsonOf(yield* ask("/v2/_catalog")), { repositories: [] })
    yield* image("empty", "layer")
    for (const name of ["b", "a/z", "a"]) yield* putManifest(name, "v1", yield* image(name, "layer"))
    assert.deepStrictEqual((yield* pages("/v2/_catalog?n=2")).map(jsonOf), [
      { repositories: ["a", "a/z"] },
      { repositories: ["b"] }
    ])
    yield* ask("/v2/a/manifests/v1", { method: "DELETE" })
    assert.deepStrictEqual((yield* pages("/v2/_catalog?n=2&untagged=true")).map(jsonOf), [
      { repositories: ["a", "a/z"], untagged: ["a"] },
      { repositories: ["b"], untagged: [] }
    ])
  }).pipe(Effect.provide(registry()))
)

describe("referrers", () => {
  const subject = digestOf("a subject that is not there")
  const about = (artifactType: string | undefined, note: string) =>
    image("a", "layer", {
      subject: { mediaType: imageType, digest: subject, size: 3 },
      annotations: { note },
      ...(artifactType === undefined ? {} : { artifactType })
    })
  const list = (query = "") => ask(`/v2/a/referrers/${subject}${query}`)
  const manifestsOf = (answer: Answer) =>
    (jsonOf(answer) as { manifests: ReadonlyArray<Readonly<Record<string, unknown>>> }).manifests

  it.live("of an unreferenced digest are an empty index, also in a repository that does not exist", () =>
    Effect.gen(function* () {
      const listed = yield* list()
      assert.deepStrictEqual([listed.status, listed.headers.get("content-type")], [200, indexType])
      assert.deepStrictEqual(jsonOf(listed), { schemaVersion: 2, mediaType: indexType, manifests: [] })
    }).pipe(Effect.provide(registry()))
  )

  it.live("are described, and filtered by type on request", () =>
    Effect.gen(function* () {
      const sbom = yield* about("application/sbom+x", "one")
      const plain = yield* about(undefined, "two")
      yield* putManifest("a", digestOf(sbom), sbom)
      yield* putManifest("a", digestOf(plain), plain)
      assert.sameDeepMembers(
        [...manifestsOf(yield* list())],
        [
          {
            mediaType: imageType,
            digest: digestOf(sbom),
            size: sbom.length,
            artifactType: "application/sbom+x",
            annotations: { note: "one" }
          },
          {
            mediaType: imageType,
            digest: digestOf(plain),
            size: plain.length,
            artifactType: "application/vnd.oci.image.config.v1+json",
            annotations: { note: "two" }
          }
        ]
      )
      assert.isNull((yield* list()).headers.get("oci-filters-applied"))
      // A plus in a query is a space, unless it is encoded.
      const filtered = yield* list(`?artifactType=${encodeURIComponent("application/sbom+x")}`)
      assert.strictEqual(filtered.headers.get("oci-filters-applied"), "artifactType")
      assert.deepStrictEqual(
        manifestsOf(filtered).map(({ digest }) => digest),
        [digestOf(sbom)]
      )
      assert.deepStrictEqual(manifestsOf(yield* list("?artifactType=other")), [])
    }).pipe(Effect.provide(registry()))
  )

  it.live("are listed in pages that keep the filter", () =>
    Effect.gen(function* () {
      for (const note of ["1", "2", "3"]) yield* putManifest("a", note, yield* about("x+y", note))
      yield* putManifest("a", "4", yield* about("other", "4"))
      const answers = yield* pages(`/v2/a/referrers/${subject}?n=2&artifactType=x%2By`)
      assert.deepStrictEqual(
        answers.map((answer) => manifestsOf(answer).length),
        [2, 1]
      )
      assert.deepStrictEqual(
        answers.flatMap(manifestsOf).map(({ artifactType }) => artifactType),
        ["x+y", "x+y", "x+y"]
      )
    }).pipe(Effect.provide(registry()))
  )

  it.live("of a malformed digest are 400", () =>
    Effect.gen(function* () {
      const answer = yield* ask("/v2/a/referrers/latest")
      assert.deepStrictEqual([answer.status, ...codesOf(answer)], [400, "DIGEST_INVALID"])
    }).pipe(Effect.provide(registry()))
  )
})
