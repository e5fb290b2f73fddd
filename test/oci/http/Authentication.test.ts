import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted, References } from "effect"
import { ask, codesOf } from "../../fixtures/oci/Site.ts"
import { pushBlob, registry } from "../../fixtures/oci/Stored.ts"

const credentials = { username: "ann", password: Redacted.make("pä:ss") }
const token = Redacted.make("T0KEN")

const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`

/** Returns the statuses of a read and of a write with this `authorization`. */
const tried = (authorization: string | null) =>
  Effect.gen(function* () {
    const headers: Record<string, string> = authorization === null ? {} : { authorization }
    const read = yield* ask("/v2/", { headers })
    const write = yield* ask("/v2/a/blobs/uploads/", { method: "POST", headers })
    return [read.status, write.status]
  })

describe("a registry with a password and a token", () => {
  it.live.each([
    ["the right name and password", basic("ann:pä:ss"), 200, 202],
    ["the token", "Bearer T0KEN", 200, 202],
    ["the token, with the scheme in another case", "bearer T0KEN", 200, 202],
    ["the token as the password of any user", basic("any:T0KEN"), 200, 202],
    ["a wrong password", basic("ann:pass"), 401, 401],
    ["the beginning of the password", basic("ann:pä:s"), 401, 401],
    ["a wrong name", basic("bob:pä:ss"), 401, 401],
    ["no password", basic("ann:"), 401, 401],
    ["no colon", basic("ann"), 401, 401],
    ["the password as a token", "Bearer pä:ss".replace("ä", "a"), 401, 401],
    ["a wrong token", "Bearer T0KEN2", 401, 401],
    ["an empty token", "Bearer ", 401, 401],
    ["another scheme", "Digest T0KEN", 401, 401],
    ["no credentials", null, 401, 401],
    ["an empty name and password", basic(":"), 401, 401]
  ] as const)("admits or refuses a client with %s", ([, authorization, read, write]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* tried(authorization), [read, write])
    }).pipe(Effect.provide(registry({ credentials, token })))
  )

  it.live("responds with a challenge, the API's version and an error body at every address", () =>
    Effect.gen(function* () {
      for (const path of ["/v2/", "/v2/a/tags/list", "/v2/no/such", "/v2/INVALID/tags/list"]) {
        const answer = yield* ask(path)
        assert.deepStrictEqual([answer.status, ...codesOf(answer)], [401, "UNAUTHORIZED"])
        assert.match(answer.headers.get("www-authenticate") ?? "", /^Basic realm="/)
        assert.strictEqual(answer.headers.get("docker-distribution-api-version"), "registry/2.0")
      }
    }).pipe(Effect.provide(registry({ credentials })))
  )

  it.live("with only one of them accepts only that", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* tried("Bearer T0KEN"), [200, 202])
      assert.deepStrictEqual(yield* tried(basic(":")), [401, 401])
      assert.deepStrictEqual(yield* tried(basic("ann:pä:ss")), [401, 401])
    }).pipe(Effect.provide(registry({ token })))
  )

  it.live("without a token accepts no empty password", () =>
    Effect.gen(function* () {
      for (const text of ["ann:", "any:", "any", ""]) {
        assert.deepStrictEqual(yield* tried(basic(text)), [401, 401])
      }
    }).pipe(Effect.provide(registry({ credentials })))
  )

  it.live("with anonymous pull refuses anonymous pushes and wrong passwords", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* tried(null), [200, 401])
      // Podman and skopeo send this if they have no credentials.
      assert.deepStrictEqual(yield* tried(basic(":")), [200, 401])
      assert.deepStrictEqual(yield* tried(basic("ann:wrong")), [401, 401])
      // The challenge by which podman and skopeo learn that they can authenticate.
      assert.match((yield* ask("/v2/")).headers.get("www-authenticate") ?? "", /^Basic /)
      for (const method of ["PUT", "PATCH", "DELETE", "POST"]) {
        assert.strictEqual((yield* ask("/v2/a/manifests/v1", { method })).status, 401)
      }
    }).pipe(Effect.provide(registry({ credentials, anonymousPull: true })))
  )

  it.live("logs no secret", () => {
    const lines: Array<string> = []
    const logger = Logger.layer([
      Logger.map(Logger.formatJson, (text) => {
        lines.push(text)
      })
    ])
    return Effect.gen(function* () {
      yield* tried(basic("ann:pä:ss"))
      yield* tried("Bearer T0KEN")
      yield* tried(basic("ann:WR0NG"))
      assert.isNotEmpty(lines)
      assert.notMatch(lines.join("\n"), /pä:ss|T0KEN|WR0NG|cMOkOnNz|YW5u/)
      assert.isTrue(lines.some((line) => line.includes('"path":"/v2/a/blobs/uploads/"')))
    }).pipe(
      Effect.provide(
        registry({ credentials, token }).pipe(
          Layer.provideMerge(logger),
          Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "All"))
        )
      )
    )
  })
})

it.live("a registry without a password serves all clients", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* tried(null), [200, 202])
    assert.deepStrictEqual(yield* tried(basic("any:any")), [200, 202])
    assert.isNull((yield* ask("/v2/")).headers.get("www-authenticate"))
    yield* pushBlob("a", "x")
  }).pipe(Effect.provide(registry()))
)
