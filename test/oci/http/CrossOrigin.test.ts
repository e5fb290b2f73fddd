/** OPTIONS, and pages of other web sites that an operator allowed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { ask, codesOf, site, untouched } from "../../fixtures/oci/Site.ts"
import { registry } from "../../fixtures/oci/Stored.ts"

const origin = "https://ui.example"
const guarded = Layer.provide(site({ token: Redacted.make("t"), origins: [origin] }), untouched)

describe("OPTIONS", () => {
  it.live.each([
    ["/v2/", "GET, HEAD, OPTIONS"],
    ["/v2/_catalog", "GET, HEAD, OPTIONS"],
    ["/v2/a/tags/list", "GET, HEAD, OPTIONS"],
    ["/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE, OPTIONS"],
    ["/v2/a/blobs/uploads/", "POST, OPTIONS"],
    ["/v2/a/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE, OPTIONS"]
  ] as const)("tells the methods of %s", ([path, allow]) =>
    Effect.gen(function* () {
      const answer = yield* ask(path, { method: "OPTIONS" })
      assert.deepStrictEqual([answer.status, answer.headers.get("allow")], [204, allow])
      assert.isNull(answer.headers.get("access-control-allow-methods"))
    }).pipe(Effect.provide(guarded))
  )

  it.live("names no method that is refused", () =>
    Effect.gen(function* () {
      for (const path of ["/v2/", "/v2/_catalog", "/v2/a/manifests/v1", "/v2/a/blobs/uploads/"]) {
        const named = (yield* ask(path, { method: "OPTIONS" })).headers.get("allow") ?? ""
        for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]) {
          const { status } = yield* ask(path, { method, ...(method === "GET" ? {} : { body: null }) })
          assert.strictEqual(status !== 405, named.split(", ").includes(method), `${method} ${path}`)
        }
      }
    }).pipe(Effect.provide(registry()))
  )
})

describe("a page of a listed origin", () => {
  const preflight = {
    "access-control-request-method": "GET",
    "access-control-request-headers": "authorization"
  }

  it.live("may ask with credentials, and read what it needs", () =>
    Effect.gen(function* () {
      const asked = yield* ask("/v2/_catalog", { method: "OPTIONS", headers: { origin, ...preflight } })
      assert.strictEqual(asked.status, 204)
      assert.strictEqual(asked.headers.get("access-control-allow-origin"), origin)
      assert.strictEqual(asked.headers.get("access-control-allow-credentials"), "true")
      assert.include(asked.headers.get("access-control-allow-headers") ?? "", "authorization")
      const got = yield* ask("/v2/", {
        headers: { origin, "sec-fetch-site": "cross-site", authorization: "Bearer t" }
      })
      assert.deepStrictEqual(
        [got.status, got.headers.get("access-control-allow-origin"), got.headers.get("vary")],
        [200, origin, "origin"]
      )
      assert.include(got.headers.get("access-control-expose-headers") ?? "", "docker-content-digest")
      // Errors are shared as well, or the page could not tell them from a lost connection.
      const refused = yield* ask("/v2/", { headers: { origin } })
      assert.deepStrictEqual(
        [refused.status, refused.headers.get("access-control-allow-origin")],
        [401, origin]
      )
    }).pipe(Effect.provide(guarded))
  )

  it.live.each([
    "https://ui.example.evil",
    "http://ui.example",
    "https://ui.example:8443",
    "https://UI.example",
    "null"
  ])("is told from %s, which may read nothing and change nothing", (other) =>
    Effect.gen(function* () {
      const asked = yield* ask("/v2/", { method: "OPTIONS", headers: { origin: other, ...preflight } })
      const got = yield* ask("/v2/", { headers: { origin: other, authorization: "Bearer t" } })
      for (const { headers } of [asked, got]) {
        assert.isNull(headers.get("access-control-allow-origin"))
        assert.isNull(headers.get("access-control-allow-methods"))
        assert.strictEqual(headers.get("vary"), "origin")
      }
      const changed = yield* ask("/v2/a/manifests/v1", {
        method: "DELETE",
        headers: { origin: other, authorization: "Bearer t" }
      })
      assert.deepStrictEqual([changed.status, ...codesOf(changed)], [403, "DENIED"])
    }).pipe(Effect.provide(guarded))
  )
})
