import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Answer, ask, codesOf, line } from "../../fixtures/oci/Site.ts"
import { begin, digestOf, pushBlob, registry, Stored, withDigest } from "../../fixtures/oci/Stored.ts"

const said = ({ status, headers }: Answer) => [status, headers.get("range")]
const octets = { "content-type": "application/octet-stream" }

/** Returns all sessions and chunks that are left. */
const sessions = Effect.map(Stored, ({ state }) =>
  [...state.sessions.values()].map((session) => session.state)
)

describe("a blob that is pushed", () => {
  it.live("in chunks, each to the other replica, is the same from both", () =>
    Effect.gen(function* () {
      const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * at) % 251))
      const digest = digestOf(bytes)
      let location = yield* begin("some/repo")
      assert.match(location, /^\/v2\/some\/repo\/blobs\/uploads\/[^?]+\?_o=0$/)
      const chunk = 70_000
      for (let start = 0, replica = 1; start < bytes.length; start += chunk, replica = 1 - replica) {
        const body = bytes.subarray(start, start + chunk)
        const last = start + body.length - 1
        const patched = yield* ask(
          location,
          { method: "PATCH", body, headers: { ...octets, "content-range": `${start}-${last}` } },
          replica
        )
        assert.deepStrictEqual(said(patched), [202, `0-${last}`])
        const status = yield* ask(location, {}, 1 - replica)
        assert.deepStrictEqual(said(status), [204, `0-${last}`])
        assert.strictEqual(patched.headers.get("location"), status.headers.get("location"))
        assert.isNotNull(patched.headers.get("docker-upload-uuid"))
        location = patched.headers.get("location") ?? ""
      }
      const put = yield* ask(withDigest(location, digest), { method: "PUT" }, 1)
      assert.strictEqual(put.status, 201)
      assert.strictEqual(put.headers.get("location"), `/v2/some/repo/blobs/${digest}`)
      assert.strictEqual(put.headers.get("docker-content-digest"), digest)
      assert.strictEqual(put.headers.get("content-length"), "0")
      for (const replica of [0, 1]) {
        const got = yield* ask(`/v2/some/repo/blobs/${digest}`, {}, replica)
        assert.strictEqual(got.status, 200)
        assert.isTrue(got.body.equals(bytes))
      }
      assert.deepStrictEqual(yield* sessions, ["done"])
    }).pipe(Effect.provide(registry({}, 2)))
  )

  it.live("as Docker does, in one PATCH of unknown length, moves each byte once", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const client = yield* line()
      yield* client.send(
        `PATCH ${location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
      )
      const answer = yield* client.until(/\r\n\r\n/)
      assert.match(answer, /^HTTP\/1.1 202 Accepted\r\n/)
      assert.match(answer, /\r\nrange: 0-4\r\n/i)
      const { bucket, state } = yield* Stored
      const staged = [...bucket.objects.keys()]
      const put = yield* ask(withDigest(location, digestOf("hello")), { method: "PUT" })
      assert.strictEqual(put.status, 201)
      assert.deepStrictEqual([...bucket.objects.keys()], staged)
      assert.deepStrictEqual(
        [...state.blobs.values()].map(({ key }) => key),
        staged
      )
    }).pipe(Effect.provide(registry()))
  )

  it.live("as containerd does, in the closing request, is stored", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const digest = digestOf("hello")
      const put = yield* ask(withDigest(location, digest), { method: "PUT", body: "hello", headers: octets })
      assert.strictEqual(put.status, 201)
      assert.strictEqual((yield* ask(`/v2/a/blobs/${digest}`)).body.toString(), "hello")
    }).pipe(Effect.provide(registry()))
  )

  it.live("in chunks of which the last is in the closing request is stored", () =>
    Effect.gen(function* () {
      const digest = digestOf("hello world")
      const patched = yield* ask(yield* begin("a"), {
        method: "PATCH",
        body: "hello ",
        headers: { "content-range": "0-5" }
      })
      const put = yield* ask(withDigest(patched.headers.get("location") ?? "", digest), {
        method: "PUT",
        body: "world",
        headers: { "content-range": "6-10" }
      })
      assert.strictEqual(put.status, 201)
      assert.strictEqual((yield* ask(`/v2/a/blobs/${digest}`)).body.toString(), "hello world")
    }).pipe(Effect.provide(registry()))
  )

  it.live("whole in one request is stored, also without bytes", () =>
    Effect.gen(function* () {
      for (const bytes of ["hello", ""]) {
        const digest = digestOf(bytes)
        const posted = yield* ask(`/v2/a/blobs/uploads/?digest=${digest}`, { method: "POST", body: bytes })
        assert.deepStrictEqual(
          [posted.status, posted.headers.get("location")],
          [201, `/v2/a/blobs/${digest}`]
        )
        const got = yield* ask(`/v2/a/blobs/${digest}`)
        assert.deepStrictEqual([got.status, got.body.toString()], [200, bytes])
        assert.strictEqual(got.headers.get("content-length"), String(bytes.length))
      }
    }).pipe(Effect.provide(registry()))
  )

  it.live("of no bytes in a session, with and without an empty chunk, is stored", () =>
    Effect.gen(function* () {
      const digest = digestOf("")
      const bare = yield* ask(withDigest(yield* begin("a"), digest), { method: "PUT" })
      assert.strictEqual(bare.status, 201)
      const location = yield* begin("b")
      assert.deepStrictEqual(said(yield* ask(location, { method: "PATCH", body: "" })), [202, "0-0"])
      assert.strictEqual((yield* ask(withDigest(location, digest), { method: "PUT" })).status, 201)
      assert.strictEqual((yield* ask(`/v2/b/blobs/${digest}`)).headers.get("content-length"), "0")
    }).pipe(Effect.provide(registry()))
  )

  it.live("under a SHA-512 digest is stored under it", () =>
    Effect.gen(function* () {
      const digest = digestOf("hello", "sha512")
      const begun = yield* ask("/v2/a/blobs/uploads/?digest-algorithm=sha512", { method: "POST" })
      const location = begun.headers.get("location") ?? ""
      const patched = yield* ask(location, { method: "PATCH", body: "hello" })
      assert.strictEqual(patched.status, 202)
      assert.strictEqual((yield* ask(withDigest(location, digest), { method: "PUT" })).status, 201)
      assert.strictEqual((yield* ask(`/v2/a/blobs/${digest}`)).body.toString(), "hello")
      assert.strictEqual((yield* ask(`/v2/a/blobs/${digestOf("hello")}`)).status, 404)
    }).pipe(Effect.provide(registry()))
  )

  it.live("by a repeated closing request gets the same response", () =>
    Effect.gen(function* () {
      const location = withDigest(yield* begin("a"), digestOf("hello"))
      yield* ask(location, { method: "PATCH", body: "hello" })
      for (const replica of [0, 1]) {
        assert.strictEqual((yield* ask(location, { method: "PUT" }, replica)).status, 201)
      }
    }).pipe(Effect.provide(registry({}, 2)))
  )
})

describe("an upload", () => {
  it.live("that is cancelled is unknown afterwards", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      yield* ask(location, { method: "PATCH", body: "hello" })
      assert.strictEqual((yield* ask(location, { method: "DELETE" })).status, 204)
      for (const init of [{}, { method: "PATCH", body: "x" }, { method: "DELETE" }]) {
        const answer = yield* ask(location, init)
        assert.deepStrictEqual([answer.status, ...codesOf(answer)], [404, "BLOB_UPLOAD_UNKNOWN"])
      }
      const { state } = yield* Stored
      assert.deepStrictEqual([state.sessions.size, state.chunks.size, state.journal.size], [0, 0, 1])
    }).pipe(Effect.provide(registry()))
  )

  it.live("of one repository does not exist in another", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const answer = yield* ask(location.replace("/v2/a/", "/v2/b/"), { method: "PATCH", body: "x" })
      assert.deepStrictEqual([answer.status, ...codesOf(answer)], [404, "BLOB_UPLOAD_UNKNOWN"])
    }).pipe(Effect.provide(registry()))
  )

  it.live("refuses a chunk twice, by range and by the address of the first", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      yield* ask(location, { method: "PATCH", body: "hello" })
      const again = [
        { body: "hello" },
        { body: "hello", headers: { "content-range": "0-4" } },
        { body: "hello", headers: { "content-range": "6-10" } }
      ]
      for (const init of again) {
        const refused = yield* ask(location, { method: "PATCH", ...init })
        assert.deepStrictEqual(said(refused), [416, "0-4"])
        assert.deepStrictEqual(codesOf(refused), ["BLOB_UPLOAD_INVALID"])
        assert.strictEqual(refused.headers.get("location"), location.replace("_o=0", "_o=5"))
      }
      const put = yield* ask(withDigest(location, digestOf("hellohello")), {
        method: "PUT",
        body: "hello",
        headers: { "content-range": "0-4" }
      })
      assert.deepStrictEqual(said(put), [416, "0-4"])
      assert.strictEqual((yield* Stored).state.chunks.size, 1)
    }).pipe(Effect.provide(registry()))
  )

  it.live("continues at its end if a chunk names no offset", () =>
    Effect.gen(function* () {
      const [path = ""] = (yield* begin("a")).split("?")
      yield* ask(path, { method: "PATCH", body: "hello " })
      assert.deepStrictEqual(said(yield* ask(path, { method: "PATCH", body: "world" })), [202, "0-10"])
    }).pipe(Effect.provide(registry()))
  )

  it.live.each([
    ["whose Content-Range has a unit", { "content-range": "bytes 0-4/5" }, 400, "BLOB_UPLOAD_INVALID"],
    ["whose Content-Range ends before it begins", { "content-range": "4-0" }, 400, "BLOB_UPLOAD_INVALID"],
    ["that is longer than its Content-Range", { "content-range": "0-3" }, 400, "SIZE_INVALID"],
    ["that is shorter than its Content-Range", { "content-range": "0-5" }, 400, "SIZE_INVALID"]
  ] as const)("takes no chunk %s", ([, headers, status, code]) =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const refused = yield* ask(location, { method: "PATCH", body: "hello", headers })
      assert.deepStrictEqual([refused.status, ...codesOf(refused)], [status, code])
      assert.deepStrictEqual(said(yield* ask(location)), [204, "0-0"])
    }).pipe(Effect.provide(registry()))
  )

  it.live("refuses a chunk of unknown length that does not have the length of its Content-Range", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      for (const range of ["0-3", "0-5"]) {
        const client = yield* line()
        yield* client.send(
          `PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Range: ${range}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
        )
        assert.match(yield* client.until(/SIZE_INVALID/), /^HTTP\/1.1 400 /)
      }
      assert.deepStrictEqual(said(yield* ask(location)), [204, "0-0"])
    }).pipe(Effect.provide(registry()))
  )

  it.live("that is closed with a wrong, missing or malformed digest stays open", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      yield* ask(location, { method: "PATCH", body: "hello" })
      for (const path of [
        location,
        withDigest(location, "sha256:abc"),
        withDigest(location, `md5:${"0".repeat(32)}`),
        withDigest(location, digestOf("other"))
      ]) {
        const refused = yield* ask(path, { method: "PUT" })
        assert.deepStrictEqual([refused.status, ...codesOf(refused)], [400, "DIGEST_INVALID"])
      }
      assert.strictEqual((yield* ask(`/v2/a/blobs/${digestOf("other")}`)).status, 404)
      assert.strictEqual((yield* ask(withDigest(location, digestOf("hello")), { method: "PUT" })).status, 201)
    }).pipe(Effect.provide(registry()))
  )

  it.live("whole with a wrong digest stores nothing visible", () =>
    Effect.gen(function* () {
      const posted = yield* ask(`/v2/a/blobs/uploads/?digest=${digestOf("other")}`, {
        method: "POST",
        body: "hello"
      })
      assert.deepStrictEqual([posted.status, ...codesOf(posted)], [400, "DIGEST_INVALID"])
      assert.strictEqual((yield* Stored).state.blobs.size, 0)
    }).pipe(Effect.provide(registry()))
  )

  it.live("by an unknown algorithm is refused", () =>
    Effect.gen(function* () {
      const begun = yield* ask("/v2/a/blobs/uploads/?digest-algorithm=md5", { method: "POST" })
      assert.deepStrictEqual([begun.status, ...codesOf(begun)], [400, "DIGEST_INVALID"])
      assert.deepStrictEqual(yield* sessions, [])
    }).pipe(Effect.provide(registry()))
  )
})

describe("a blob that is mounted", () => {
  const mount = (query: string) => ask(`/v2/to/blobs/uploads/?${query}`, { method: "POST" })

  it.live.each([
    ["from a repository that has it", (digest: string) => `mount=${digest}&from=from/it`],
    ["from any repository", (digest: string) => `mount=${digest}`]
  ] as const)("%s is found", ([, query]) =>
    Effect.gen(function* () {
      const digest = yield* pushBlob("from/it", "hello")
      assert.strictEqual((yield* ask(`/v2/to/blobs/${digest}`)).status, 404)
      const mounted = yield* mount(query(digest))
      assert.deepStrictEqual(
        [mounted.status, mounted.headers.get("location")],
        [201, `/v2/to/blobs/${digest}`]
      )
      assert.strictEqual(mounted.headers.get("docker-content-digest"), digest)
      assert.strictEqual((yield* ask(`/v2/to/blobs/${digest}`)).body.toString(), "hello")
    }).pipe(Effect.provide(registry()))
  )

  it.live.each([
    ["that no repository has", `mount=${digestOf("nothing")}&from=from`],
    ["from a repository without it", `mount=${digestOf("hello")}&from=elsewhere`],
    ["from a malformed name", `mount=${digestOf("hello")}&from=../from`]
  ] as const)("%s is not, and an upload begins instead", ([, query]) =>
    Effect.gen(function* () {
      yield* pushBlob("from", "hello")
      const begun = yield* mount(query)
      assert.deepStrictEqual(said(begun), [202, "0-0"])
      const put = yield* ask(withDigest(begun.headers.get("location") ?? "", digestOf("x")), {
        method: "PUT",
        body: "x"
      })
      assert.strictEqual(put.status, 201)
    }).pipe(Effect.provide(registry()))
  )

  it.live("by a malformed digest is refused", () =>
    Effect.gen(function* () {
      const refused = yield* mount("mount=sha256:abc&from=from")
      assert.deepStrictEqual([refused.status, ...codesOf(refused)], [400, "DIGEST_INVALID"])
    }).pipe(Effect.provide(registry()))
  )
})
