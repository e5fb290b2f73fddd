import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as S3 from "../../../src/storage/S3.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { signed } from "../../../src/storage/s3/Presign.ts"

const credentials = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
}
const at = Date.parse("2013-05-24T00:00:00Z")

describe("an address with a signature", () => {
  it("is that of AWS's own example", () => {
    // https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    const address = { origin: "https://examplebucket.s3.amazonaws.com", path: "/test.txt" }
    assert.strictEqual(
      signed(address, { region: "us-east-1", credentials }, at, 86_400),
      "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
  })

  const presigned = (options: Partial<S3.S3Options>, key = "blobs/sha256/ab") =>
    Effect.gen(function* () {
      yield* TestClock.setTime(at)
      const { presign } = yield* Storage
      const address = yield* presign?.(ObjectKey.make(key), Duration.minutes(10)) ?? Effect.die("it has none")
      return new URL(address)
    }).pipe(
      Effect.provide(
        Layer.fresh(
          S3.layer({
            bucket: "images",
            region: "eu-west-1",
            credentials: {
              accessKeyId: Redacted.make(credentials.accessKeyId),
              secretAccessKey: Redacted.make(credentials.secretAccessKey)
            },
            ...options
          })
        )
      )
    )

  it.effect("names the bucket as requests do, on AWS and elsewhere", () =>
    Effect.gen(function* () {
      const aws = yield* presigned({})
      assert.strictEqual(
        aws.origin + aws.pathname,
        "https://images.s3.eu-west-1.amazonaws.com/blobs/sha256/ab"
      )
      const ceph = yield* presigned({ endpoint: "http://ceph.lan:8080" })
      assert.strictEqual(ceph.origin + ceph.pathname, "http://ceph.lan:8080/images/blobs/sha256/ab")
      assert.deepStrictEqual(
        [ceph.searchParams.get("X-Amz-Expires"), ceph.searchParams.get("X-Amz-Date")],
        ["600", "20130524T000000Z"]
      )
    })
  )

  it.effect("is at the endpoint of clients if they have one of their own", () =>
    Effect.gen(function* () {
      const options = { endpoint: "http://10.0.0.1:8080", readersEndpoint: "https://objects.example" }
      const address = yield* presigned(options)
      assert.strictEqual(address.origin + address.pathname, "https://objects.example/images/blobs/sha256/ab")
    })
  )

  it.effect("encodes a key once, and keeps its dots", () =>
    Effect.gen(function* () {
      const { presign } = yield* Storage
      const address = yield* presign?.(ObjectKey.make("a/../b c+é"), Duration.minutes(1)) ??
        Effect.die("none")
      assert.match(address, /^http:\/\/h\/images\/a\/\.\.\/b%20c%2B%C3%A9\?/)
    }).pipe(
      Effect.provide(
        S3.layer({
          bucket: "images",
          region: "r",
          endpoint: "http://h",
          credentials: { accessKeyId: Redacted.make("a"), secretAccessKey: Redacted.make("s") }
        })
      )
    )
  )

  it.effect("carries the token of temporary credentials", () =>
    Effect.gen(function* () {
      const address = yield* presigned({
        credentials: {
          accessKeyId: Redacted.make("a"),
          secretAccessKey: Redacted.make("s"),
          sessionToken: Redacted.make("to/ken=")
        }
      })
      assert.strictEqual(address.searchParams.get("X-Amz-Security-Token"), "to/ken=")
    })
  )
})
