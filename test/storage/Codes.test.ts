/** Every code of a store that we know, with the sentence that an operator reads at two in the morning. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { StorageError, StorageFailure } from "../../src/domain/StorageError.ts"
import * as FileFailure from "../../src/storage/files/Failure.ts"
import * as Codes from "../../src/storage/s3/Codes.ts"
import { fromClient } from "../../src/storage/s3/Failure.ts"
import { errorXml, reply, stubServer } from "../fixtures/s3/StubServer.ts"
import { a, slowDown, storeThat } from "../fixtures/s3/StubStore.ts"

/** A code, the status of its answer or null without one, its reason, what is said, and what to do. */
type Row = readonly [code: string, status: number | null, reason: StorageFailure, says: string, next: RegExp]

const again = /Check that the store is up|tries again/
const denied = /Grant these credentials s3:ListBucket and/

const s3: ReadonlyArray<Row> = [
  ["NoSuchBucket", 404, "NotFound", "the bucket does not exist", /Check S3_BUCKET and S3_ENDPOINT/],
  ["InvalidBucketName", 400, "Rejected", "this is not the name of a bucket", /without s3:\/\//],
  ["NoSuchKey", 404, "NotFound", "the object does not exist", /Check S3_BUCKET/],
  ["NotFound", 404, "NotFound", "the bucket or the object does not exist", /Check S3_BUCKET/],
  ["AccessDenied", 403, "AccessDenied", "the credentials do not permit it", denied],
  ["Forbidden", 403, "AccessDenied", "the credentials do not permit it", denied],
  [
    "AccountProblem",
    403,
    "AccessDenied",
    "the store has a problem with this account",
    /Ask the store's operator/
  ],
  [
    "AllAccessDisabled",
    403,
    "AccessDenied",
    "the store has disabled this bucket",
    /Ask the store's operator/
  ],
  [
    "InvalidAccessKeyId",
    403,
    "AccessDenied",
    "the store does not know this access key",
    /Check S3_ACCESS_KEY_ID/
  ],
  [
    "SignatureDoesNotMatch",
    403,
    "AccessDenied",
    "the secret key is not the access key's, or the request was changed on its way",
    /Check S3_SECRET_ACCESS_KEY .* proxy .* Host header/
  ],
  ["ExpiredToken", 400, "AccessDenied", "the temporary credentials are over", /Set new S3_ACCESS_KEY_ID/],
  ["TokenRefreshRequired", 400, "AccessDenied", "the temporary credentials are over", /S3_SESSION_TOKEN/],
  ["InvalidToken", 400, "AccessDenied", "the session token is not valid", /Check S3_SESSION_TOKEN/],
  ["CredentialsProviderError", null, "AccessDenied", "there are no credentials", /Set S3_ACCESS_KEY_ID and/],
  [
    "RequestTimeTooSkewed",
    403,
    "Unavailable",
    "the clocks of this machine and of the store differ by more than the store allows",
    /Synchronize both clocks/
  ],
  ["SlowDown", 503, "Throttled", "the store asks for fewer requests", /Lower GC_DELETE_CONCURRENCY/],
  ["RequestLimitExceeded", 503, "Throttled", "the store asks for fewer requests", /sends fewer/],
  ["Throttling", 400, "Throttled", "the store asks for fewer requests", /sends fewer/],
  ["ThrottlingException", 400, "Throttled", "the store asks for fewer requests", /sends fewer/],
  ["TooManyRequests", 429, "Throttled", "the store asks for fewer requests", /sends fewer/],
  ["ServiceUnavailable", 503, "Unavailable", "the store is overloaded or restarts", again],
  ["InternalError", 500, "Unavailable", "the store failed within", /Look into the store's own log/],
  [
    "RequestTimeout",
    400,
    "TimedOut",
    "the store waited too long for the request's bytes",
    /S3_REQUEST_TIMEOUT/
  ],
  ["PermanentRedirect", 301, "Rejected", "the bucket is in another region", /Set S3_REGION/],
  ["TemporaryRedirect", 307, "Rejected", "the bucket is in another region", /Set S3_REGION/],
  ["AuthorizationHeaderMalformed", 400, "Rejected", "the bucket is in another region", /Set S3_REGION/],
  ["IllegalLocationConstraintException", 400, "Rejected", "the bucket is in another region", /Set S3_REGION/],
  ["EntityTooLarge", 400, "TooLarge", "the object is larger than the store allows", /Nothing was stored/],
  ["KeyTooLongError", 400, "Rejected", "the key is longer than the store allows", /refused the request/],
  ["NotImplemented", 501, "Rejected", "the store does not support this request", /refused the request/],
  ["MethodNotAllowed", 405, "Rejected", "the store does not allow this request", /refused the request/],
  ["InvalidObjectState", 403, "AccessDenied", "the object is archived", /Restore it/],
  ["NoSuchUpload", 404, "Rejected", "another client ended the upload in parts", /refused the request/],
  ["QuotaExceeded", 403, "Unavailable", "the store is full", /more space/],
  ["XMinioStorageFull", 507, "Unavailable", "the store is full", /more space/]
]

const noAnswer = (says: string) => `the store does not answer: ${says}`
const authority = noAnswer("its certificate has an unknown authority")

const way: ReadonlyArray<Row> = [
  ["ECONNREFUSED", null, "Unavailable", noAnswer("nothing listens at its address"), /Check S3_ENDPOINT/],
  ["ECONNRESET", null, "Unavailable", noAnswer("the connection was reset"), /network/],
  ["ECONNABORTED", null, "Unavailable", noAnswer("the connection was closed"), /network/],
  ["EPIPE", null, "Unavailable", noAnswer("the connection was closed"), /network/],
  [
    "ERR_STREAM_PREMATURE_CLOSE",
    null,
    "Unavailable",
    noAnswer("the connection was closed in the middle of the answer"),
    /network/
  ],
  [
    "ENOTFOUND",
    null,
    "Unavailable",
    noAnswer("its host name does not exist"),
    /S3_ENDPOINT.*S3_FORCE_PATH_STYLE/
  ],
  ["EAI_AGAIN", null, "Unavailable", noAnswer("the name server does not answer"), /DNS/],
  ["EHOSTUNREACH", null, "Unavailable", noAnswer("there is no way to its address"), /network/],
  ["ENETUNREACH", null, "Unavailable", noAnswer("there is no way to its network"), /network/],
  ["ETIMEDOUT", null, "Unavailable", noAnswer("no connection in time"), /firewall/],
  ["TimeoutError", null, "Unavailable", noAnswer("no connection in time"), /firewall/],
  ["CERT_HAS_EXPIRED", null, "Unavailable", noAnswer("its certificate has expired"), /Renew the certificate/],
  ["CERT_NOT_YET_VALID", null, "Unavailable", noAnswer("its certificate is not valid yet"), /certificate/],
  [
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    null,
    "Unavailable",
    noAnswer("its certificate is signed by itself"),
    /NODE_EXTRA/
  ],
  ["SELF_SIGNED_CERT_IN_CHAIN", null, "Unavailable", authority, /Set S3_TLS_CA .* NODE_EXTRA_CA_CERTS/],
  ["UNABLE_TO_GET_ISSUER_CERT", null, "Unavailable", authority, /Set S3_TLS_CA .* NODE_EXTRA_CA_CERTS/],
  [
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    null,
    "Unavailable",
    authority,
    /Set S3_TLS_CA .* NODE_EXTRA_CA_CERTS/
  ],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", null, "Unavailable", authority, /Set S3_TLS_CA .* NODE_EXTRA_CA_CERTS/],
  [
    "ERR_TLS_CERT_ALTNAME_INVALID",
    null,
    "Unavailable",
    noAnswer("its certificate is for another host name"),
    /Write a host in S3_ENDPOINT that the certificate names/
  ],
  ["EPROTO", null, "Unavailable", noAnswer("it does not speak TLS"), /http:\/\//],
  ["ERR_SSL_WRONG_VERSION_NUMBER", null, "Unavailable", noAnswer("it does not speak TLS"), /http:\/\//]
]

const files: ReadonlyArray<Row> = [
  [
    "EACCES",
    null,
    "AccessDenied",
    "the file system's permissions forbid it",
    /read and write FILES_DIRECTORY/
  ],
  ["EPERM", null, "AccessDenied", "the file system forbids it", /FILES_DIRECTORY/],
  ["EROFS", null, "AccessDenied", "the file system is read-only", /Mount it for writing/],
  ["ENOENT", null, "NotFound", "the directory or the object does not exist", /FILES_DIRECTORY.*mounted/],
  ["EAGAIN", null, "Unavailable", "the file system is busy", again],
  ["EBUSY", null, "Unavailable", "another program uses the file", /Another program/],
  ["EDQUOT", null, "Unavailable", "the disk quota is used up", /Free space/],
  ["EIO", null, "Unavailable", "the disk failed", /Check the disk/],
  ["EMFILE", null, "Unavailable", "this process has too many open files", /ulimit -n/],
  ["ENFILE", null, "Unavailable", "this machine has too many open files", /ulimit -n/],
  ["ENOMEM", null, "Unavailable", "this machine has no memory left", again],
  ["ENOSPC", null, "Unavailable", "the disk is full", /Free space on the file system of FILES_DIRECTORY/],
  ["ESTALE", null, "Unavailable", "the mounted file system was replaced", /mounted/],
  ["ETIMEDOUT", null, "Unavailable", "the mounted file system does not answer", /mounted/],
  ["EEXIST", null, "Rejected", "the name exists", /Another program/],
  ["EFBIG", null, "TooLarge", "the file is larger than the file system allows", /Nothing was stored/],
  ["EINVAL", null, "Rejected", "the file system refuses the name or the request", /does not fit/],
  ["EISDIR", null, "Rejected", "a directory has the object's name", /Another program/],
  ["ELOOP", null, "Rejected", "symbolic links form a circle", /Another program/],
  ["ENAMETOOLONG", null, "Rejected", "the name is longer than the file system allows", /does not fit/],
  ["ENOTDIR", null, "Rejected", "a file has the name of a directory", /Another program/],
  ["EXDEV", null, "Rejected", "FILES_DIRECTORY spans two file systems", /Keep .incoming/]
]

const coded = (code: string) => Object.assign(new Error("node's own text"), { code, name: code })

const check = (error: StorageError, [code, , reason, says, next]: Row) => {
  const { detail, message } = error
  assert.strictEqual(error.reason, reason, message)
  assert.include(detail, says)
  assert.include(message, says)
  assert.match(message.slice(message.indexOf(detail) + detail.length), next)
  assert.notInclude(message, "UnknownError")
  assert.notMatch(message, /slow down/)
  assert.notMatch(message, /\.\.|: \./)
  return code
}

describe("every code of a store that we know", () => {
  it("is in one of these tables, and no other", () => {
    const codes = (rows: ReadonlyArray<Row>) => rows.map(([code]) => code)
    assert.sameMembers(codes([...s3, ...way]), Object.keys(Codes.meanings))
    assert.sameMembers(codes(files), Object.keys(FileFailure.meanings))
  })

  for (const row of s3.filter(([, status]) => status !== null)) {
    it.live(`${row[0]} of an S3 store says: ${row[3]}`, () =>
      Effect.gen(function* () {
        // The SDK's word for an empty text is UnknownError.
        for (const text of ["", "the store's own text", "UnknownError"]) {
          const { storage } = yield* storeThat([reply(row[1] ?? 0, errorXml(row[0], text))])
          const error = yield* Effect.flip(storage.probe)
          check(error, row)
          assert.include(error.detail, `${row[0]} (HTTP ${row[1]}): `)
          if (text === "the store's own text") assert.include(error.detail, `(${text})`)
        }
      })
    )
  }

  for (const row of [...s3.filter(([, status]) => status === null), ...way]) {
    it(`${row[0]} on the way to an S3 store says: ${row[3]}`, () => {
      check(
        fromClient("probe", "bucket", coded(row[0]), (text) => text),
        row
      )
    })
  }

  for (const row of files) {
    it(`${row[0]} of a directory says: ${row[3]}`, () => {
      const error = FileFailure.fromFileSystem("put", "a", coded(row[0]))
      check(error, row)
      assert.notMatch(error.message, /S3_ACCESS_KEY_ID|S3_BUCKET/)
    })
  }
})

describe("a failure of the network, in earnest", () => {
  it.live("of a closed port names the address, of an unknown host the name", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* Effect.scoped(stubServer(slowDown))
      const { storage } = yield* storeThat([slowDown], { endpoint })
      assert.match(
        (yield* Effect.flip(storage.probe)).message,
        /does not answer: nothing listens at its address/
      )
      const nowhere = yield* storeThat([slowDown], { endpoint: "http://store.invalid" })
      assert.match(
        (yield* Effect.flip(nowhere.storage.probe)).message,
        /does not answer: (its host name does not exist|the name server does not answer)/
      )
      const plain = yield* stubServer(slowDown)
      const tls = yield* storeThat([slowDown], { endpoint: plain.endpoint.replace("http:", "https:") })
      assert.match((yield* Effect.flip(tls.storage.probe)).message, /does not answer: it does not speak TLS/)
    })
  )
})

describe("credentials that do not suffice", () => {
  it.live("are told which permission each operation needs", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat([reply(403, errorXml("AccessDenied"))])
      const needs = {
        "s3:DeleteObject": storage.delete([a]),
        "s3:GetObject and s3:ListBucket": storage.head(a),
        "s3:AbortMultipartUpload": storage.abortMultipart({ key: a, uploadId: "U" }),
        "s3:GetObject and s3:PutObject": storage.copy(a, ObjectKey.make("b"))
      }
      for (const [permission, call] of Object.entries(needs)) {
        const error = yield* Effect.flip(call as Effect.Effect<unknown, StorageError>)
        assert.include(error.message, `Grant these credentials ${permission}`)
      }
    })
  )
})
