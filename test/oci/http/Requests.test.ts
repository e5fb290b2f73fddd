/** Requests outside the API, and the headers of every response. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ask, codesOf, line, site, untouched } from "../../fixtures/oci/Site.ts"
import { digestOf, jsonOf } from "../../fixtures/oci/Stored.ts"

const digest = digestOf("x")
const alone = Layer.provide(site(), untouched)

it.live("the API answers at its base, with and without a slash", () =>
  Effect.gen(function* () {
    for (const path of ["/v2/", "/v2", "/v2/?x=y"]) {
      const answer = yield* ask(path)
      assert.deepStrictEqual([answer.status, jsonOf(answer)], [200, {}])
      assert.strictEqual(answer.headers.get("docker-distribution-api-version"), "registry/2.0")
      const head = yield* ask(path, { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.body.length], [200, 0])
    }
  }).pipe(Effect.provide(alone))
)

describe("a method that an address does not have", () => {
  it.live.each([
    ["POST", "/v2/", "GET, HEAD"],
    ["DELETE", "/v2/_catalog", "GET, HEAD"],
    ["PUT", "/v2/a/tags/list", "GET, HEAD"],
    ["POST", `/v2/a/referrers/${digest}`, "GET, HEAD"],
    ["PUT", `/v2/a/blobs/${digest}`, "GET, HEAD, DELETE"],
    ["POST", "/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"],
    ["PATCH", "/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"],
    ["GET", "/v2/a/blobs/uploads/", "POST"],
    ["POST", "/v2/a/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"],
    ["MKCOL", "/v2/a/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"],
    ["PROPFIND", "/v2/", "GET, HEAD"]
  ] as const)("is 405, and those that it has are named: %s %s", ([method, path, allow]) =>
    Effect.gen(function* () {
      const answer = yield* ask(path, { method })
      assert.deepStrictEqual([answer.status, ...codesOf(answer)], [405, "UNSUPPORTED"])
      assert.strictEqual(answer.headers.get("allow"), allow)
    }).pipe(Effect.provide(alone))
  )
})

describe("an address that no client sends", () => {
  it.live.each([
    ["/v2/a/../b/tags/list", 400, "NAME_INVALID"],
    ["/v2/..%2F..%2Fetc/tags/list", 400, "NAME_INVALID"],
    ["/v2/a/%2e%2e/tags/list", 400, "NAME_INVALID"],
    ["/v2//a/tags/list", 400, "NAME_INVALID"],
    [`/v2/${"a".repeat(2000)}/tags/list`, 400, "NAME_INVALID"],
    ["/v2/a/tags/list/", 404, "UNSUPPORTED"],
    [`/v2/a/blobs/..%2f${digest}`, 400, "DIGEST_INVALID"],
    ["/v2/a/blobs/uploads/../../x", 404, "UNSUPPORTED"]
  ] as const)("is refused: %s", ([path, status, code]) =>
    Effect.gen(function* () {
      const client = yield* line()
      yield* client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      const answer = yield* client.closed
      assert.strictEqual(answer.split(" ")[1], String(status))
      assert.include(answer, `"code":"${code}"`)
    }).pipe(Effect.scoped, Effect.provide(alone))
  )

  it.live.each(["/v2/%/tags/list", "/v2/%zz/tags/list", "/v2/a;b/tags/list", "/v3/", "/", "/v2a/"])(
    "is not served: %s",
    (path) =>
      Effect.gen(function* () {
        const client = yield* line()
        yield* client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
        const [head = "", body = ""] = (yield* client.closed).split("\r\n\r\n")
        assert.match(head, /^HTTP\/1.1 40[04] /)
        assert.match(head, /docker-distribution-api-version: registry\/2.0/i)
        assert.isArray(JSON.parse(body).errors)
      }).pipe(Effect.scoped, Effect.provide(alone))
  )
})
