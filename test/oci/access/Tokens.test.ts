/** Tokens of this registry and of a token service: which count, and what they allow. */
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { SignJWT } from "jose"
import * as OwnTokens from "../../../src/oci/access/OwnTokens.ts"
import { make, parseKeys } from "../../../src/oci/access/TokenService.ts"

const secret = (text: string) => Effect.succeed(Buffer.from(text.padEnd(32)))

describe("a token of this registry", () => {
  it.effect("names its subject on every replica with the same key, for five minutes", () =>
    Effect.gen(function* () {
      const { token, expiresInSeconds } = yield* OwnTokens.make("one.lan", secret("a")).issue("user:ann")
      const replica = OwnTokens.make("one.lan", secret("a"))
      assert.strictEqual(expiresInSeconds, 300)
      assert.strictEqual(yield* replica.verify(token), "user:ann")
      yield* TestClock.adjust("6 minutes")
      assert.isNull(yield* replica.verify(token))
    })
  )

  it.effect("counts nowhere else, and no other text counts", () =>
    Effect.gen(function* () {
      const own = OwnTokens.make("one.lan", secret("a"))
      const { token } = yield* own.issue("operator")
      assert.isNull(yield* OwnTokens.make("one.lan", secret("b")).verify(token))
      assert.isNull(yield* OwnTokens.make("two.lan", secret("a")).verify(token))
      const [head = "", , signature = ""] = token.split(".")
      const forged = Buffer.from('{"sub":"operator","exp":99999999999}').toString("base64url")
      const unsigned = Buffer.from('{"alg":"none"}').toString("base64url")
      for (const text of [
        "",
        "x",
        "a.b.c",
        `${head}.${forged}.${signature}`,
        `${unsigned}.${forged}.`,
        token.slice(0, -2)
      ])
        assert.isNull(yield* own.verify(text), text)
    })
  )
})

const pairs = {
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ec: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  other: generateKeyPairSync("rsa", { modulusLength: 2048 })
}

const pem = (key: KeyObject): string => key.export({ format: "pem", type: "spki" }) as string

const keysOf = (text: string) => Result.getOrThrow(parseKeys(text))

/** A token of the service, with these changes to what it says. */
const issued = (
  key: KeyObject,
  change: {
    readonly alg?: string
    readonly iss?: string
    readonly aud?: string
    readonly exp?: number
    readonly kid?: string
    readonly access?: unknown
  } = {}
) =>
  Effect.promise(() =>
    new SignJWT({
      access: change.access ?? [
        { type: "repository", name: "team/app", actions: ["pull", "push"] },
        { type: "repository", name: "team/all", actions: ["*"] }
      ]
    })
      .setProtectedHeader({
        alg: change.alg ?? "RS256",
        ...(change.kid === undefined ? {} : { kid: change.kid })
      })
      .setIssuer(change.iss ?? "issuer")
      .setAudience(change.aud ?? "registry")
      .setSubject("ann")
      .setExpirationTime(change.exp ?? 600)
      .sign(key)
  )

const service = (text: string) =>
  make({
    realm: "https://auth.lan/token",
    service: "registry",
    issuer: "issuer",
    keys: Effect.succeed(keysOf(text))
  })

describe("a token of a token service", () => {
  it.effect("gives the rights that it names, in the repositories that it names", () =>
    Effect.gen(function* () {
      const verify = service(pem(pairs.rsa.publicKey))
      const grant = yield* verify(yield* issued(pairs.rsa.privateKey))
      if (typeof grant === "string") return assert.fail(grant)
      assert.strictEqual(grant.user, "ann")
      assert.isTrue(grant.allow("push", "team/app"))
      assert.isFalse(grant.allow("delete", "team/app"))
      assert.isTrue(grant.allow("delete", "team/all"))
      assert.isFalse(grant.allow("pull", "team/other"))
      assert.isFalse(grant.catalog)
    })
  )

  it.effect("may be signed by any of its keys, under any name", () =>
    Effect.gen(function* () {
      const jwks = JSON.stringify({
        keys: [
          { ...pairs.other.publicKey.export({ format: "jwk" }), kid: "other" },
          { ...pairs.ec.publicKey.export({ format: "jwk" }), kid: "ec" }
        ]
      })
      for (const text of [pem(pairs.other.publicKey) + pem(pairs.ec.publicKey), jwks]) {
        const verify = service(text)
        for (const kid of ["ec", "AAAA:BBBB", undefined]) {
          const change = { alg: "ES256", ...(kid === undefined ? {} : { kid }) }
          const grant = yield* verify(yield* issued(pairs.ec.privateKey, change))
          assert.notStrictEqual(grant, "wrong", kid)
        }
        // It names a key of the service, and another signed it.
        const borrowed = { alg: "ES256", kid: "other" }
        if (text === jwks)
          assert.strictEqual(yield* verify(yield* issued(pairs.ec.privateKey, borrowed)), "wrong")
      }
    })
  )

  it.effect("does not count if anything of it is wrong", () =>
    Effect.gen(function* () {
      const text = pem(pairs.rsa.publicKey)
      const verify = service(text)
      const good = pairs.rsa.privateKey
      const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from('{"iss":"issuer","aud":"registry","exp":600}').toString("base64url")}.`
      const symmetric = yield* Effect.promise(() =>
        new SignJWT({})
          .setProtectedHeader({ alg: "HS256" })
          .setIssuer("issuer")
          .setAudience("registry")
          .setExpirationTime(600)
          .sign(Buffer.from(text))
      )
      for (const token of [
        yield* issued(pairs.other.privateKey),
        yield* issued(good, { iss: "another" }),
        yield* issued(good, { aud: "another" }),
        yield* issued(good, { exp: -61 }),
        unsigned,
        symmetric,
        ""
      ])
        assert.strictEqual(yield* verify(token), "wrong", token)
    })
  )

  it.effect("with rights that cannot be read gives none", () =>
    Effect.gen(function* () {
      const verify = service(pem(pairs.rsa.publicKey))
      for (const access of ["all", [null, 1, { type: "repository", name: "team/app", actions: "pull" }]]) {
        const grant = yield* verify(yield* issued(pairs.rsa.privateKey, { access }))
        assert.isTrue(typeof grant === "object" && !grant.allow("pull", "team/app"))
      }
    })
  )
})

describe("the keys of a token service", () => {
  it("are refused by name where they are none, or where one is private", () => {
    const problem = (text: string) => {
      const parsed = parseKeys(text)
      return Result.isFailure(parsed) ? parsed.failure.join() : ""
    }
    assert.match(problem(""), /has no key/)
    assert.match(problem("{"), /not a JSON Web Key Set/)
    assert.match(problem('{"keys":[{"kty":"oct","k":"AAAA"}]}'), /not a JSON Web Key Set of public keys/)
    const key = pairs.rsa.privateKey.export({ format: "pem", type: "pkcs8" }) as string
    assert.match(problem(key), /private key/)
    assert.notInclude(problem(key), key.slice(40, 80))
  })
})
