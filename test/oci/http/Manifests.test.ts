import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Answer, ask, codesOf, line } from "../../fixtures/oci/Site.ts"
import {
  digestOf,
  image,
  imageType,
  indexType,
  jsonOf,
  putManifest,
  registry,
  Stored
} from "../../fixtures/oci/Stored.ts"

const refusal = (answer: Answer) => [answer.status, ...codesOf(answer)]

describe("a manifest that is pushed", () => {
  it.live("to one replica is pulled from the other, by tag and by digest, byte for byte", () =>
    Effect.gen(function* () {
      const manifest = yield* image("a/b", "layer")
      const digest = digestOf(manifest)
      const put = yield* putManifest("a/b", "v1", manifest)
      assert.strictEqual(put.status, 201)
      assert.strictEqual(put.headers.get("location"), `/v2/a/b/manifests/${digest}`)
      assert.strictEqual(put.headers.get("docker-content-digest"), digest)
      for (const reference of ["v1", digest]) {
        const got = yield* ask(`/v2/a/b/manifests/${reference}`, {}, 1)
        const head = yield* ask(`/v2/a/b/manifests/${reference}`, { method: "HEAD" }, 1)
        assert.deepStrictEqual([got.status, got.body.toString()], [200, manifest])
        assert.deepStrictEqual([head.status, head.body.length], [200, 0])
        for (const { headers } of [got, head]) {
          assert.strictEqual(headers.get("content-type"), imageType)
          assert.strictEqual(headers.get("content-length"), String(manifest.length))
          assert.strictEqual(headers.get("docker-content-digest"), digest)
          assert.strictEqual(headers.get("etag"), `"${digest}"`)
        }
      }
    }).pipe(Effect.provide(registry({}, 2)))
  )

  it.live("by digest with tags gets them, and the response names them", () =>
    Effect.gen(function* () {
      const manifest = yield* image("a", "layer")
      const put = yield* putManifest("a", `${digestOf(manifest)}?tag=1.2&tag=1&tag=latest`, manifest)
      assert.deepStrictEqual([put.status, put.headers.get("oci-tag")], [201, "1.2, 1, latest"])
      for (const tag of ["1.2", "1", "latest"]) {
        assert.strictEqual((yield* ask(`/v2/a/manifests/${tag}`)).body.toString(), manifest)
      }
    }).pipe(Effect.provide(registry()))
  )

  it.live("by a SHA-512 digest is stored under it", () =>
    Effect.gen(function* () {
      const manifest = yield* image("a", "layer")
      const digest = digestOf(manifest, "sha512")
      assert.strictEqual((yield* putManifest("a", digest, manifest)).status, 201)
      const got = yield* ask(`/v2/a/manifests/${digest}`)
      assert.strictEqual(got.headers.get("docker-content-digest"), digest)
    }).pipe(Effect.provide(registry()))
  )

  it.live("with a type with parameters, or without a type, keeps its own", () =>
    Effect.gen(function* () {
      const manifest = yield* image("a", "layer")
      const put = yield* putManifest("a", "v1", manifest, `${imageType}; charset=utf-8`)
      assert.strictEqual(put.status, 201)
      const client = yield* line()
      yield* client.send(
        `PUT /v2/a/manifests/v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${manifest.length}\r\n\r\n${manifest}`
      )
      assert.match(yield* client.closed, /^HTTP\/1.1 201 /)
      for (const tag of ["v1", "v2"]) {
        assert.strictEqual((yield* ask(`/v2/a/manifests/${tag}`)).headers.get("content-type"), imageType)
      }
    }).pipe(Effect.provide(registry()))
  )

  it.live("with a subject has it in the response, whether or not the subject exists", () =>
    Effect.gen(function* () {
      const subject = digestOf("a manifest that comes later")
      const put = yield* putManifest(
        "a",
        "about",
        yield* image("a", "layer", { subject: { mediaType: imageType, digest: subject, size: 3 } })
      )
      assert.deepStrictEqual([put.status, put.headers.get("oci-subject")], [201, subject])
      const other = yield* putManifest("a", "not", yield* image("a", "layer"))
      assert.isNull(other.headers.get("oci-subject"))
    }).pipe(Effect.provide(registry()))
  )

  it.live("without its blobs is refused, and the response names each", () =>
    Effect.gen(function* () {
      const manifest = yield* image("a", "layer")
      const other = manifest
        .replaceAll(digestOf("layer"), digestOf("lost"))
        .replaceAll(digestOf("{}"), digestOf("no"))
      const put = yield* putManifest("a", "v1", other)
      assert.deepStrictEqual(refusal(put), [404, "MANIFEST_BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"])
      const { errors } = jsonOf(put) as { errors: ReadonlyArray<{ detail: { digest: string } }> }
      assert.sameMembers(
        errors.map(({ detail }) => detail.digest),
        [digestOf("lost"), digestOf("no")]
      )
      assert.deepStrictEqual(refusal(yield* ask("/v2/a/manifests/v1")), [404, "MANIFEST_UNKNOWN"])
    }).pipe(Effect.provide(registry()))
  )

  it.live.each([
    ["that is not JSON", "v1", "{", imageType, 400, "MANIFEST_INVALID"],
    ["that is empty", "v1", "", imageType, 400, "MANIFEST_INVALID"],
    ["of an unknown type", "v1", "{}", "text/plain", 400, "MANIFEST_INVALID"],
    ["under a malformed tag", ".v1", "{}", imageType, 400, "MANIFEST_INVALID"],
    ["with a malformed tag", "v1?tag=%20", "{}", imageType, 400, "MANIFEST_INVALID"],
    ["under another digest than its own", digestOf("other"), "{}", imageType, 400, "DIGEST_INVALID"],
    ["under a malformed digest", "sha256:baddigeststring", "{}", imageType, 400, "DIGEST_INVALID"],
    ["that is too long", "v1", " ".repeat(101), imageType, 413, "SIZE_INVALID"]
  ] as const)("%s is refused", ([, reference, bytes, type, status, code]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(refusal(yield* putManifest("a", reference, bytes, type)), [status, code])
      assert.strictEqual((yield* Stored).state.blobs.size, 0)
    }).pipe(Effect.provide(registry({ manifestMaxBytes: 100 })))
  )

  it.live("and exceeds the limit is refused at once, whatever length was declared", () =>
    Effect.gen(function* () {
      const client = yield* line()
      yield* client.send(
        `PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n${" ".repeat(101)}\r\n`
      )
      // The body never ends.
      assert.match(yield* client.until(/SIZE_INVALID/), /^HTTP\/1.1 413 /)
    }).pipe(Effect.provide(registry({ manifestMaxBytes: 100 })))
  )
})

describe("an existing manifest", () => {
  const change = (init: RequestInit) => ask("/v2/a/manifests/v1", init)

  it.live("is not sent to a client that has it, nor to one that wants another", () =>
    Effect.gen(function* () {
      const manifest = yield* image("a", "layer")
      yield* putManifest("a", "v1", manifest)
      const tag = `"${digestOf(manifest)}"`
      const had = yield* change({ headers: { "if-none-match": tag } })
      assert.deepStrictEqual([had.status, had.body.length, had.headers.get("etag")], [304, 0, tag])
      assert.strictEqual((yield* change({ headers: { "if-match": '"x"' } })).status, 412)
    }).pipe(Effect.provide(registry()))
  )

  it.live("is replaced and deleted by a client that knows its digest, and by no other", () =>
    Effect.gen(function* () {
      const one = yield* image("a", "one")
      const two = yield* image("a", "two")
      yield* putManifest("a", "v1", one)
      const body = { method: "PUT", body: two }
      const put = (headers: Record<string, string>) =>
        change({ ...body, headers: { "content-type": imageType, ...headers } })
      assert.strictEqual((yield* put({ "if-none-match": "*" })).status, 412)
      assert.strictEqual((yield* put({ "if-match": `"${digestOf(two)}"` })).status, 412)
      assert.strictEqual((yield* change({ method: "DELETE", headers: { "if-match": '"x"' } })).status, 412)
      assert.strictEqual((yield* change({})).body.toString(), one)
      assert.strictEqual((yield* put({ "if-match": `"${digestOf(one)}"` })).status, 201)
      assert.strictEqual((yield* change({})).body.toString(), two)
      const deleted = yield* change({ method: "DELETE", headers: { "if-match": `"${digestOf(two)}"` } })
      assert.strictEqual(deleted.status, 202)
      assert.strictEqual((yield* put({ "if-match": "*" })).status, 412)
      assert.strictEqual((yield* put({ "if-none-match": "*" })).status, 201)
    }).pipe(Effect.provide(registry()))
  )

  it.live("loses a tag, and stays under its digest until it is deleted", () =>
    Effect.gen(function* () {
      const manifest = yield* image("a", "layer")
      const path = `/v2/a/manifests/${digestOf(manifest)}`
      yield* putManifest("a", "v1", manifest)
      assert.strictEqual((yield* change({ method: "DELETE" })).status, 202)
      assert.deepStrictEqual(refusal(yield* change({})), [404, "MANIFEST_UNKNOWN"])
      assert.deepStrictEqual(refusal(yield* change({ method: "DELETE" })), [404, "MANIFEST_UNKNOWN"])
      assert.strictEqual((yield* ask(path)).status, 200)
      assert.strictEqual((yield* ask(path, { method: "DELETE" })).status, 202)
      assert.deepStrictEqual(refusal(yield* ask(path)), [404, "MANIFEST_UNKNOWN"])
    }).pipe(Effect.provide(registry()))
  )

  it.live("is not deleted while an index lists it, nor are its blobs", () =>
    Effect.gen(function* () {
      const manifest = yield* image("a", "layer")
      const digest = digestOf(manifest)
      yield* putManifest("a", digest, manifest)
      const index = JSON.stringify({
        schemaVersion: 2,
        mediaType: indexType,
        manifests: [{ mediaType: imageType, digest, size: manifest.length }]
      })
      assert.strictEqual((yield* putManifest("a", "v1", index, indexType)).status, 201)
      for (const path of [`/v2/a/manifests/${digest}`, `/v2/a/blobs/${digestOf("layer")}`]) {
        const refused = yield* ask(path, { method: "DELETE" })
        assert.deepStrictEqual(refusal(refused), [405, "UNSUPPORTED"])
        assert.strictEqual(refused.headers.get("allow"), "GET, HEAD")
        assert.strictEqual((yield* ask(path)).status, 200)
      }
      // Without its tag the index has no other name.
      yield* ask("/v2/a/manifests/v1", { method: "DELETE" })
      const { body } = yield* ask(`/v2/a/manifests/${digest}`, { method: "DELETE" })
      assert.include(body.toString(), `${digestOf(index)} (without a tag since `)
      assert.strictEqual((yield* ask(`/v2/a/manifests/${digestOf(index)}`, { method: "DELETE" })).status, 202)
      assert.strictEqual((yield* ask(`/v2/a/manifests/${digest}`, { method: "DELETE" })).status, 202)
    }).pipe(Effect.provide(registry()))
  )
})

it.live("a manifest of another repository, or of none, is not found", () =>
  Effect.gen(function* () {
    yield* putManifest("a", "v1", yield* image("a", "layer"))
    for (const path of [
      "/v2/b/manifests/v1",
      "/v2/a/manifests/v2",
      "/v2/a/manifests/.v",
      `/v2/a/manifests/${digestOf("x")}`
    ]) {
      assert.deepStrictEqual(refusal(yield* ask(path)), [404, "MANIFEST_UNKNOWN"])
      const head = yield* ask(path, { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.body.length], [404, 0])
    }
  }).pipe(Effect.provide(registry()))
)
