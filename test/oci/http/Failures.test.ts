/** Every failure behind the routes: the response that a client gets, and the line in the log. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import {
  BlobUnknown,
  DigestMismatch,
  DigestUnsupported,
  SizeMismatch,
  UploadExpired
} from "../../../src/blobs/errors.ts"
import { DatabaseError, DatabaseFailure } from "../../../src/domain/DatabaseError.ts"
import { StorageError, StorageFailure } from "../../../src/domain/StorageError.ts"
import type { Failure } from "../../../src/oci/http/ErrorMapping.ts"
import {
  BlobNeeded,
  ManifestInvalid,
  ManifestMissingBlobs,
  ManifestNeeded,
  ManifestUnknown,
  Repositories,
  RepositoryUnknown
} from "../../../src/oci/Repositories.ts"
import { OffsetMismatch, UploadBusy, Uploads, UploadUnknown } from "../../../src/oci/Uploads.ts"
import { ask, codesOf, site } from "../../fixtures/oci/Site.ts"
import { digestOf } from "../../fixtures/oci/Stored.ts"

const digest = digestOf("x")
const database = (reason: DatabaseFailure) =>
  new DatabaseError({ operation: "sessions.claim", reason, detail: "SECRET host is down" })
const storage = (reason: StorageFailure) =>
  new StorageError({ operation: "put", subject: "SECRET/key", reason, detail: "SECRET host is down" })

const failures: ReadonlyArray<readonly [string, Failure, number, string]> = [
  ["an unknown session", new UploadUnknown({ repository: "a", id: "x" }), 404, "BLOB_UPLOAD_UNKNOWN"],
  ["an upload that was reaped", new UploadExpired({ digest, attempts: 1 }), 404, "BLOB_UPLOAD_UNKNOWN"],
  ["a session that is being finished", new UploadBusy({ id: "x" }), 503, "UNAVAILABLE"],
  [
    "an offset mismatch",
    new OffsetMismatch({ id: "x", startByte: 5, receivedBytes: 7 }),
    416,
    "BLOB_UPLOAD_INVALID"
  ],
  [
    "a digest mismatch",
    new DigestMismatch({ declared: digest, actual: digestOf("y") }),
    400,
    "DIGEST_INVALID"
  ],
  ["an unsupported digest", new DigestUnsupported({ digest }), 400, "DIGEST_INVALID"],
  ["a size mismatch", new SizeMismatch({ declared: 1, actual: 2 }), 400, "SIZE_INVALID"],
  ["an unknown blob", new BlobUnknown({ digests: [digest] }), 404, "BLOB_UNKNOWN"],
  ["a needed blob", new BlobNeeded({ repository: "a", digest }), 405, "UNSUPPORTED"],
  ["an invalid manifest", new ManifestInvalid({ problem: "no" }), 400, "MANIFEST_INVALID"],
  [
    "a manifest without its blobs",
    new ManifestMissingBlobs({ digests: [digest] }),
    404,
    "MANIFEST_BLOB_UNKNOWN"
  ],
  ["an unknown manifest", new ManifestUnknown({ repository: "a", reference: "v1" }), 404, "MANIFEST_UNKNOWN"],
  [
    "a needed manifest",
    new ManifestNeeded({ repository: "a", digest, indexes: [{ digest, untaggedSince: null }] }),
    405,
    "UNSUPPORTED"
  ],
  ["an unknown repository", new RepositoryUnknown({ repository: "a" }), 404, "NAME_UNKNOWN"],
  ["a database that cannot be reached", database("Unavailable"), 503, "UNAVAILABLE"],
  ["a database that is busy", database("Contended"), 503, "UNAVAILABLE"],
  ["a database whose statement takes too long", database("TimedOut"), 503, "UNAVAILABLE"],
  ["a database that accepts no writes", database("Misdirected"), 500, "UNKNOWN"],
  ["a database that refuses", database("Denied"), 500, "UNKNOWN"],
  ["a database without tables", database("NotInstalled"), 500, "UNKNOWN"],
  ["a database whose pool is too small", database("PoolTooSmall"), 500, "UNKNOWN"],
  ["a store that answers with another's page", storage("Misbehaved"), 500, "UNKNOWN"],
  ["a store that cannot be reached", storage("Unavailable"), 503, "UNAVAILABLE"],
  ["a store that is busy", storage("Throttled"), 503, "UNAVAILABLE"],
  ["a store that does not answer", storage("TimedOut"), 503, "UNAVAILABLE"],
  ["a store that refuses", storage("AccessDenied"), 500, "UNKNOWN"],
  ["a store that has lost the bytes", storage("NotFound"), 500, "UNKNOWN"],
  ["a body that the store finds too large", storage("TooLarge"), 413, "SIZE_INVALID"],
  ["a body of another length than the store was told", storage("Truncated"), 400, "SIZE_INVALID"]
]

/** Lets the closing request fail, which has the most errors. */
const failing = (failure: Effect.Effect<never, unknown>, lines: Array<string>) => {
  const finish = () => failure as Effect.Effect<never, UploadBusy>
  const log = Logger.map(Logger.formatJson, (text) => {
    lines.push(text)
  })
  return site().pipe(
    Layer.provide(Layer.merge(Layer.mock(Uploads)({ finish }), Layer.mock(Repositories)({}))),
    Layer.provideMerge(Logger.layer([log]))
  )
}

const close = ask(`/v2/a/blobs/uploads/x?_o=0&digest=${digest}`, { method: "PUT" })

describe("a failure", () => {
  it.live.each(failures)("of %s gets its status and code", ([, failure, status, code]) => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const answer = yield* close
      assert.deepStrictEqual([answer.status, ...codesOf(answer)], [status, code])
      assert.strictEqual(answer.headers.get("content-type"), "application/json")
      assert.strictEqual(answer.headers.get("docker-distribution-api-version"), "registry/2.0")
      assert.strictEqual(answer.headers.get("retry-after"), status === 503 ? "2" : null)
      assert.strictEqual(answer.headers.get("allow"), status === 405 ? "GET, HEAD" : null)
      if (status === 416) {
        assert.strictEqual(answer.headers.get("location"), "/v2/a/blobs/uploads/x?_o=7")
        assert.strictEqual(answer.headers.get("range"), "0-6")
      }
      assert.notMatch(answer.body.toString(), /SECRET/)
      assert.strictEqual(lines.length, status >= 500 ? 1 : 0)
      if (status >= 500) assert.include(JSON.parse(lines[0] ?? "").message, failure.message)
    }).pipe(Effect.provide(failing(Effect.fail(failure), lines)))
  })

  it.live("that is a defect is 500, and the log has its origin", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const answer = yield* close
      assert.deepStrictEqual([answer.status, ...codesOf(answer)], [500, "UNKNOWN"])
      assert.notMatch(answer.body.toString(), /SECRET/)
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0] ?? "", /SECRET defect/)
      assert.match(lines[0] ?? "", /Failures\.test\.ts/)
    }).pipe(Effect.provide(failing(Effect.die(new Error("SECRET defect")), lines)))
  })

  it("of every kind of database and store is in this table", () => {
    const told = failures.flatMap(([, failure]) => ("reason" in failure ? [failure.reason] : []))
    // Failures of verbs that no route uses.
    const elsewhere = ["StillReferenced", "SchemaChanged", "Rejected", "Unknown"]
    assert.sameMembers(
      [...new Set([...told, ...elsewhere])],
      [...new Set<string>([...DatabaseFailure.literals, ...StorageFailure.literals])]
    )
  })
})
