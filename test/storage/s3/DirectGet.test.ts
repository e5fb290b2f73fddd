import { Readable } from "node:stream"
import { S3Client } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { callsOf } from "../../../src/storage/s3/Commands.ts"
import { formOf } from "../../../src/storage/s3/DirectGet.ts"
import { keyOf, scopeOf, signatureOf } from "../../../src/storage/s3/Signature.ts"
import { type Answer, type Asked, errorXml, hangUp, reply } from "../../fixtures/s3/StubServer.ts"
import {
  a,
  anObject,
  b,
  bytesOf,
  secret,
  session,
  storeThat,
  whileTimePasses
} from "../../fixtures/s3/StubStore.ts"

const own = new Set(["x-amz-date", "amz-sdk-invocation-id", "authorization"])

/** The headers that do not differ from request to request. */
const common = ({ headers }: Asked) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !own.has(name)))

const signedNames = ({ headers }: Asked) => /SignedHeaders=([^,]+)/.exec(headers.authorization ?? "")?.[1]

/** Recomputes the signature from what a server received, with AWS's rules. */
const isSigned = ({ headers, url }: Asked, key = secret): boolean => {
  const [path, query] = url.split("?")
  const names = signedNames({ headers } as Asked)?.split(";") ?? []
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join("")
  const canonical = ["GET", path, query, lines, names.join(";"), headers["x-amz-content-sha256"]].join("\n")
  const at = String(headers["x-amz-date"])
  const scope = scopeOf(at, "us-east-1")
  return headers.authorization?.endsWith(signatureOf(keyOf(key, scope), at, scope, canonical)) === true
}

describe("a signature", () => {
  it("is that of AWS's own example", () => {
    // https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    const canonical = `GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\nx-amz-content-sha256:${empty}\nx-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n${empty}`
    const at = "20130524T000000Z"
    const scope = scopeOf(at, "us-east-1")
    const key = keyOf("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", scope)
    assert.strictEqual(
      signatureOf(key, at, scope, canonical),
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
  })
})

describe("reading without the SDK's middleware", () => {
  it.live("sends what the SDK sends, and signs it", () =>
    Effect.gen(function* () {
      const part = reply(206, "ell", { "content-range": "bytes 1-3/5" })
      const { asked, storage } = yield* storeThat([anObject, anObject, part])
      const key = ObjectKey.make("blobs/sha256/ab.c_d-e")
      assert.strictEqual(yield* bytesOf(storage.get(a)), "hello")
      assert.strictEqual(yield* bytesOf(storage.get(key)), "hello")
      assert.strictEqual(yield* bytesOf(storage.get(b, { start: 1, end: 3 })), "ell")
      const [first, second, third] = asked as [Asked, Asked, Asked]
      assert.deepStrictEqual(
        asked.map(({ url }) => url),
        ["a", key, "b"].map((name) => `/bucket/${name}?x-id=GetObject`)
      )
      assert.deepStrictEqual(common(second), common(first))
      assert.deepStrictEqual(common(third), { ...common(first), range: "bytes=1-3" })
      assert.strictEqual(signedNames(second), signedNames(first))
      assert.isTrue(signedNames(third)?.split(";").includes("range"))
      assert.deepStrictEqual(
        asked.map((request) => isSigned(request)),
        [true, true, true]
      )
      assert.isFalse(isSigned(second, "another secret"), "control")
      assert.notStrictEqual(second.headers["amz-sdk-invocation-id"], first.headers["amz-sdk-invocation-id"])
      assert.strictEqual(second.headers["x-amz-security-token"], session)
    })
  )

  const others: ReadonlyArray<readonly [string, Answer]> = [
    ["404", reply(404, errorXml("NoSuchKey"))],
    ["403", reply(403, errorXml("AccessDenied"))],
    ["503 SlowDown", reply(503, errorXml("SlowDown"))],
    ["502 with a page", reply(502, "<html>Bad Gateway</html>")],
    ["301", reply(301, errorXml("PermanentRedirect"))],
    ["304", reply(304)],
    ["206 without a range", reply(206, "hello")],
    ["no answer", hangUp]
  ]
  for (const [what, answer] of others) {
    it.live(`${what}: the failure is that of the SDK, and costs no further request`, () =>
      Effect.gen(function* () {
        const sdk = yield* storeThat([answer])
        const expected = yield* Effect.exit(bytesOf(sdk.storage.get(a)))
        const { asked, storage } = yield* storeThat([anObject, answer])
        yield* bytesOf(storage.get(a))
        const got = yield* Effect.exit(bytesOf(storage.get(a)))
        assert.deepStrictEqual(JSON.parse(JSON.stringify(got)), JSON.parse(JSON.stringify(expected)))
        assert.strictEqual(asked.length, 2)
      })
    )
  }

  it.effect("repeats a read that was refused because of the clock, with the store's time", () =>
    Effect.gen(function* () {
      const date = "Fri, 01 Jan 2049 00:00:00 GMT"
      const skewed = reply(403, errorXml("RequestTimeTooSkewed"), { date })
      const late = reply(200, "late", { date })
      const { asked, storage } = yield* storeThat([anObject, skewed, late, late], { retries: 1 })
      yield* whileTimePasses(bytesOf(storage.get(a)))
      assert.strictEqual(yield* whileTimePasses(bytesOf(storage.get(a))), "late")
      assert.strictEqual(yield* whileTimePasses(bytesOf(storage.get(a))), "late")
      assert.deepStrictEqual(
        asked.map(({ headers }) => String(headers["x-amz-date"]).startsWith("2049")),
        [false, false, true, true]
      )
    })
  )

  it.live("corrects the clock by an answer that was not refused", () =>
    Effect.gen(function* () {
      const late = reply(200, "late", { date: "Fri, 01 Jan 2049 00:00:00 GMT" })
      const { asked, storage } = yield* storeThat([anObject, late])
      for (const expected of ["hello", "late", "late"]) {
        assert.strictEqual(yield* bytesOf(storage.get(a)), expected)
      }
      assert.include(asked[2]?.headers["x-amz-date"], "2049")
    })
  )

  it.live("signs with the present key, and asks for it again once if the store refuses it", () =>
    Effect.gen(function* () {
      const stale = reply(400, errorXml("ExpiredToken"))
      let id = "one"
      const credentials = (isRefused: boolean) =>
        Effect.sync(() => {
          if (isRefused) id = "three"
          return { accessKeyId: Redacted.make(id), secretAccessKey: Redacted.make(`secret of ${id}`) }
        })
      const { asked, storage } = yield* storeThat([anObject, anObject, stale, anObject], { credentials })
      yield* bytesOf(storage.get(a))
      id = "two"
      yield* bytesOf(storage.get(a))
      assert.strictEqual(yield* bytesOf(storage.get(a)), "hello")
      const signers = asked.map(({ headers }) => /Credential=([^/]+)/.exec(headers.authorization ?? "")?.[1])
      assert.deepStrictEqual(signers, ["one", "two", "two", "three"])
      assert.isTrue(isSigned(asked[1] as Asked, "secret of two"))
      assert.isTrue(isSigned(asked[3] as Asked, "secret of three"))
    })
  )
})

/** Reads keys one after another. Returns the keys that passed the SDK's middleware, and where each request went. */
const passedSdk = async (
  options: Partial<ConstructorParameters<typeof S3Client>[0]>,
  bucket: string,
  keys: ReadonlyArray<string>
) => {
  const client = new S3Client({
    region: "us-east-1",
    credentials: { accessKeyId: "AKID", secretAccessKey: secret },
    maxAttempts: 1,
    ...options
  })
  const passed: Array<string> = []
  const sent: Array<string> = []
  client.middlewareStack.add(
    (next) => (args) => {
      passed.push((args.input as { readonly Key: string }).Key)
      return next(args)
    },
    { step: "initialize" }
  )
  client.config.requestHandler.handle = async (request) => {
    sent.push(`${request.protocol}//${request.hostname}${request.path}`)
    return { response: { statusCode: 200, headers: {}, body: Readable.from(["x"]) } as never }
  }
  const calls = callsOf(client, bucket, client)
  for (const key of keys) await calls.get(ObjectKey.make(key), undefined, new AbortController().signal)
  return { passed, sent }
}

describe("the form of a read", () => {
  it("is learned for each way to name a bucket", async () => {
    const keys = ["x/y", "x/z"]
    const at = async (options: Parameters<typeof passedSdk>[0]) => {
      const { passed, sent } = await passedSdk(options, "images", keys)
      assert.deepStrictEqual(passed, ["x/y"], "the SDK sends the first read alone")
      return sent
    }
    const expected = (before: string) => keys.map((key) => before + key)
    const endpoint = "http://ceph.lan/base"
    assert.deepStrictEqual(await at({}), expected("https://images.s3.us-east-1.amazonaws.com/"))
    assert.deepStrictEqual(
      await at({ endpoint, forcePathStyle: true }),
      expected("http://ceph.lan/base/images/")
    )
    assert.deepStrictEqual(await at({ endpoint }), expected("http://images.ceph.lan/base/"))
  })

  it("is not that of keys with other characters, which the SDK encodes", async () => {
    const keys = ["plain", "a b", "a/../b", "ä", "a//b", "/a", "a+b", "a/", ".a", "plain"]
    const { passed, sent } = await passedSdk({ endpoint: "http://h", forcePathStyle: true }, "b", keys)
    assert.deepStrictEqual(passed, keys.slice(0, -1))
    assert.deepStrictEqual(
      sent,
      ["plain", "a%20b", "a/../b", "%C3%A4", "a//b", "/a", "a%2Bb", "a/", ".a", "plain"].map(
        (path) => `http://h/b/${path}`
      )
    )
  })

  const credentials = { accessKeyId: "AKID", secretAccessKey: secret }
  const request = (authorization: string) => ({
    method: "GET",
    protocol: "https:",
    hostname: "h",
    path: "/b/key",
    headers: {
      host: "h",
      "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
      "x-amz-date": "20130524T000000Z",
      authorization
    }
  })
  const names = "host;x-amz-content-sha256;x-amz-date"
  const signed = (by: string, signature: string) =>
    request(`AWS4-HMAC-SHA256 Credential=${by}, SignedHeaders=${names}, Signature=${signature}`)
  const scope = "20130524/us-east-1/s3/aws4_request"
  const canonical = `GET\n/b/key\n\nhost:h\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20130524T000000Z\n\n${names}\nUNSIGNED-PAYLOAD`
  const signature = signatureOf(keyOf(secret, scope), "20130524T000000Z", scope, canonical)

  it("is used only if its signature is the SDK's", () => {
    assert.isObject(formOf(signed(`AKID/${scope}`, signature), "key", credentials), "control")
    assert.isNull(formOf(signed(`AKID/${scope}`, "0".repeat(64)), "key", credentials))
    assert.isNull(
      formOf(signed("AKID/20130524/us-east-1/s3express/aws4_request", signature), "key", credentials)
    )
    assert.isNull(
      formOf(request("AWS4-ECDSA-P256-SHA256 Credential=AKID/20130524/s3/aws4_request"), "key", credentials)
    )
    assert.isNull(formOf({ ...signed(`AKID/${scope}`, signature), path: "/b/other" }, "key", credentials))
    assert.isUndefined(
      formOf(signed(`OTHER/${scope}`, signature), "key", credentials),
      "the key was replaced while the SDK signed; the next read shows the form"
    )
  })
})
