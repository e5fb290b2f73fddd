/** Access control of the routes: rights by repository, logging in for a token, and what rights mean for mounts and manifests. */
import { assert, describe, it } from "@effect/vitest"
import { hash } from "bcryptjs"
import { Effect, Layer, Redacted, Result } from "effect"
import * as Passwords from "../../../src/oci/access/Passwords.ts"
import * as Rules from "../../../src/oci/access/Rules.ts"
import type { RoutesOptions } from "../../../src/oci/http/Routes.ts"
import { ask, codesOf } from "../../fixtures/oci/Site.ts"
import { digestOf, imageType, jsonOf, registry } from "../../fixtures/oci/Stored.ts"

const rules = Effect.succeed(
  Result.getOrThrow(
    Rules.parse(`
      anonymous  pull            public/**
      ci         pull,push       team/**
      reader     pull            team/**
      ann        all             **`)
  )
)

/** Users whose password is their name. */
const users = Effect.promise(async () => {
  const lines = await Promise.all(
    ["ci", "reader", "ann"].map(async (name) => `${name}:${await hash(name, 4)}`)
  )
  return Result.getOrThrow(Passwords.parse(lines.join("\n")))
})

/** A registry with these users and rules. */
const guarded = (options: RoutesOptions = {}, replicas = 1) =>
  Layer.unwrap(
    Effect.map(users, (file) => registry({ passwords: Effect.succeed(file), rules, ...options }, replicas))
  )

const basic = (user: string, password = user) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`
})

const as = (user: string | null): Record<string, string> => (user === null ? {} : basic(user))

const push = (user: string, repository: string, bytes: string) =>
  Effect.map(
    ask(`/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`, {
      method: "POST",
      headers: as(user),
      body: bytes
    }),
    ({ status }) => status
  )

const imageOf = (layer: string) =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: imageType,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: digestOf("{}"),
      size: 2
    },
    layers: [
      { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf(layer), size: layer.length }
    ]
  })

const putImage = (user: string, repository: string, layer: string) =>
  ask(`/v2/${repository}/manifests/v1`, {
    method: "PUT",
    headers: { ...as(user), "content-type": imageType },
    body: imageOf(layer)
  })

describe("a registry with users and rules", () => {
  it.live("serves each right by repository, and says what is missing", () =>
    Effect.gen(function* () {
      const statuses = Effect.fnUntraced(function* (user: string | null, repository: string) {
        const headers = as(user)
        const pull = yield* ask(`/v2/${repository}/tags/list`, { headers })
        const begin = yield* ask(`/v2/${repository}/blobs/uploads/`, { method: "POST", headers })
        const remove = yield* ask(`/v2/${repository}/manifests/v1`, { method: "DELETE", headers })
        return [pull.status, begin.status, remove.status]
      })
      assert.deepStrictEqual(yield* statuses("ann", "team/app"), [404, 202, 404])
      assert.deepStrictEqual(yield* statuses("ci", "team/app"), [404, 202, 403])
      assert.deepStrictEqual(yield* statuses("reader", "team/app"), [404, 403, 403])
      assert.deepStrictEqual(yield* statuses("reader", "other"), [403, 403, 403])
      assert.deepStrictEqual(yield* statuses("reader", "public/x"), [404, 403, 403])
      assert.deepStrictEqual(yield* statuses(null, "public/x"), [404, 401, 401])
      assert.deepStrictEqual(yield* statuses(null, "team/app"), [401, 401, 401])
      const denied = yield* ask("/v2/team/app/manifests/v1", { method: "DELETE", headers: as("ci") })
      assert.deepStrictEqual(codesOf(denied), ["DENIED"])
      assert.include(denied.body.toString(), "The user ci may not delete from team/app. Nothing was changed.")
    }).pipe(Effect.provide(guarded()))
  )

  it.live("keeps the state of an upload from those who may not push", () =>
    Effect.gen(function* () {
      const begun = yield* ask("/v2/team/app/blobs/uploads/", { method: "POST", headers: as("ci") })
      const location = begun.headers.get("location") ?? ""
      assert.strictEqual((yield* ask(location, { headers: as("ci") })).status, 204)
      assert.strictEqual((yield* ask(location, { headers: as("reader") })).status, 403)
      assert.strictEqual((yield* ask(location, { method: "DELETE", headers: as("reader") })).status, 403)
      assert.strictEqual((yield* ask(location, { method: "DELETE", headers: as("ci") })).status, 204)
    }).pipe(Effect.provide(guarded()))
  )

  it.live("lists all repositories only for those who may pull from all", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* ask("/v2/_catalog", { headers: as("ann") })).status, 200)
      assert.strictEqual((yield* ask("/v2/_catalog", { headers: as("ci") })).status, 403)
      assert.strictEqual((yield* ask("/v2/_catalog")).status, 401)
    }).pipe(Effect.provide(guarded()))
  )

  it.live("mounts no blob from where the client may not read, and takes its bytes instead", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* push("ann", "secret/app", "layer"), 201)
      const mount = (user: string, from: string) =>
        Effect.map(
          ask(`/v2/team/app/blobs/uploads/?mount=${digestOf("layer")}${from}`, {
            method: "POST",
            headers: as(user)
          }),
          ({ status }) => status
        )
      assert.strictEqual(yield* mount("ci", "&from=secret/app"), 202)
      assert.strictEqual(yield* mount("ci", ""), 202)
      assert.strictEqual(yield* push("ci", "team/app", "layer"), 201)
      assert.strictEqual(yield* mount("ci", "&from=team/app"), 201)
      assert.strictEqual(yield* mount("ann", "&from=secret/app"), 201)
      assert.strictEqual(yield* mount("ann", ""), 201)
    }).pipe(Effect.provide(guarded()))
  )

  it.live("stores no manifest that would give a repository blobs that the client may not read", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* push("ann", "secret/app", "secret"), 201)
      assert.strictEqual(yield* push("ci", "team/app", "{}"), 201)
      const refused = yield* putImage("ci", "team/app", "secret")
      assert.deepStrictEqual([refused.status, ...codesOf(refused)], [404, "MANIFEST_BLOB_UNKNOWN"])
      const read = yield* ask(`/v2/team/app/blobs/${digestOf("secret")}`, { headers: as("ci") })
      assert.strictEqual(read.status, 404)
      // The bytes prove that the client has them.
      assert.strictEqual(yield* push("ci", "team/app", "secret"), 201)
      assert.strictEqual((yield* putImage("ci", "team/app", "secret")).status, 201)
      // Who may read everything may refer to everything.
      assert.strictEqual((yield* putImage("ann", "secret/copy", "secret")).status, 201)
    }).pipe(Effect.provide(guarded()))
  )
})

const url = "http://registry.lan:5000"

const tokenOf = (headers: Record<string, string>, replica = 0) =>
  Effect.map(
    ask("/token?service=registry.lan:5000&scope=repository:team/app:pull", { headers }, replica),
    (answer) => ({
      status: answer.status,
      ...(answer.status === 200
        ? (jsonOf(answer) as { token: string; expires_in: number })
        : { token: "", expires_in: 0 })
    })
  )

describe("a registry that issues tokens", () => {
  it.live(
    "sends clients to log in, refuses wrong passwords there, and takes its tokens on every replica",
    () =>
      Effect.gen(function* () {
        const base = yield* ask("/v2/")
        assert.strictEqual(base.status, 401)
        assert.strictEqual(
          base.headers.get("www-authenticate"),
          `Bearer realm="${url}/token",service="registry.lan:5000"`
        )
        assert.strictEqual((yield* tokenOf(basic("ci", "wrong"))).status, 401)
        assert.strictEqual((yield* tokenOf(basic("eve"))).status, 401)
        const { expires_in, token } = yield* tokenOf(as("ci"))
        assert.strictEqual(expires_in, 300)
        for (const replica of [0, 1]) {
          const headers = { authorization: `Bearer ${token}` }
          assert.strictEqual((yield* ask("/v2/", { headers }, replica)).status, 200)
          assert.strictEqual(
            (yield* ask("/v2/team/app/blobs/uploads/", { method: "POST", headers }, replica)).status,
            202
          )
          assert.strictEqual((yield* ask("/v2/other/tags/list", { headers }, replica)).status, 403)
        }
        // A client that sends name and password with each request is served as well.
        assert.strictEqual((yield* ask("/v2/", { headers: as("ci") })).status, 200)
      }).pipe(Effect.provide(guarded({ url, signingKey: Effect.succeed(Buffer.alloc(32, 1)) }, 2)))
  )

  it.live("gives clients without credentials a token with which they may do what they may without", () =>
    Effect.gen(function* () {
      const { status, token } = yield* tokenOf({})
      assert.strictEqual(status, 200)
      const headers = { authorization: `Bearer ${token}` }
      assert.strictEqual((yield* ask("/v2/public/x/tags/list", { headers })).status, 404)
      assert.strictEqual((yield* ask("/v2/team/app/tags/list", { headers })).status, 401)
      const challenge = (yield* ask("/v2/team/app/blobs/uploads/", { method: "POST" })).headers
      assert.include(challenge.get("www-authenticate") ?? "", 'scope="repository:team/app:pull,push"')
    }).pipe(Effect.provide(guarded({ url })))
  )

  it.live("gives none where clients without credentials may do nothing", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* tokenOf({})).status, 401)
      assert.strictEqual((yield* tokenOf(as("ann"))).status, 200)
    }).pipe(Effect.provide(guarded({ url, rules: Effect.succeed(Rules.everyUser("none")) })))
  )

  it.live("keeps the operator's token apart from a user of that name", () =>
    Effect.gen(function* () {
      const { token } = yield* tokenOf(basic("any", "T0KEN"))
      const headers = { authorization: `Bearer ${token}` }
      assert.strictEqual((yield* ask("/v2/secret/tags/list", { headers })).status, 404)
      assert.strictEqual((yield* ask("/v2/secret/tags/list", { headers: as("ci") })).status, 403)
    }).pipe(Effect.provide(guarded({ url, token: Redacted.make("T0KEN") })))
  )

  it.live("has no address for tokens without a URL of its own", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* ask("/token")).status, 404)
    }).pipe(Effect.provide(guarded()))
  )
})
