/**
 * The contract against a real server, named by `REAL_S3_*` in the environment (`scripts/servers.mjs` sets it).
 * Without it these tests are skipped, and say so.
 */
import { randomUUID } from "node:crypto"
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import * as S3 from "../../src/storage/S3.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { type ContractOptions, storageContract } from "./contract.ts"

const {
  REAL_S3_ENDPOINT: endpoint,
  REAL_S3_REGION: region = "us-east-1",
  REAL_S3_ACCESS_KEY_ID: accessKeyId = "",
  REAL_S3_SECRET_ACCESS_KEY: secretAccessKey = "",
  REAL_S3_BUCKET: bucket = "artifact-gc-test",
  REAL_S3_SERVER: server = ""
} = process.env

/** What servers are known to do differently, by `REAL_S3_SERVER`. None of it meets the keys that we make. */
const dialects: Record<string, ContractOptions> = {
  minio: {
    hidesNested: "the walk of its directories stops at an object",
    refused: [
      {
        why: "segments become directories of the server",
        keys: (key) =>
          // The contract's keys follow a "/".
          /^\/|\/\/|(^|\/)\.\.?(\/|$)/.test(key) ||
          key.split("/").some((segment) => Buffer.byteLength(segment) > 255) ||
          // A name is longer on disk when it ends in "/".
          (key.endsWith("/") && Buffer.byteLength(key.split("/").at(-2) ?? "") > 240)
      }
    ]
  }
}

/** Servers that the contract cannot be asked of. */
const unfit: Record<string, string> = {
  versitygw: "v1.8.0 (posix) stores a//b as a/b and fails puts (409) into a directory that a delete empties"
}

const options: S3.S3Options = {
  bucket,
  region,
  endpoint,
  credentials: { accessKeyId: Redacted.make(accessKeyId), secretAccessKey: Redacted.make(secretAccessKey) },
  // Few connections, so that one that is lost is missed; few bytes, so that the contract's bodies take all ways in.
  maxConnections: 8,
  multipartAboveBytes: 5 * 1024 * 1024
}

/** The SDK itself, for what `Storage` does not show. */
const sdk = Effect.acquireRelease(
  Effect.sync(
    () =>
      new S3Client({
        region,
        forcePathStyle: true,
        credentials: { accessKeyId, secretAccessKey },
        ...(endpoint === undefined ? {} : { endpoint })
      })
  ),
  (client) => Effect.sync(() => client.destroy())
)

/** Makes the bucket if it is not there; it stays, since it may be somebody's. */
const bucketThere = Layer.effectDiscard(
  Effect.gen(function* () {
    const client = yield* sdk
    yield* Effect.promise(() =>
      client.send(new CreateBucketCommand({ Bucket: bucket })).catch(() => undefined)
    )
  })
)
const layer = S3.layer(options).pipe(Layer.provide(bucketThere))

const storageOf = (options: S3.S3Options) => Effect.map(Layer.build(S3.layer(options)), Context.get(Storage))

if (endpoint === undefined) {
  describe("Storage on a real S3", () => {
    it.skip("needs REAL_S3_ENDPOINT", () => undefined)
  })
} else if (unfit[server] !== undefined) {
  describe(`Storage on ${server}`, () => {
    it.skip(`is not for this server: ${unfit[server]}`, () => undefined)
  })
} else {
  storageContract(`S3 (${server || endpoint})`, layer, { timeout: 30_000, ...dialects[server] })

  describe(`S3 (${server || endpoint})`, () => {
    const unfinished = Effect.fnUntraced(function* (key: ObjectKey) {
      const client = yield* sdk
      // The whole key, because MinIO knows no shorter prefix here.
      const command = new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: key })
      return (yield* Effect.promise(() => client.send(command))).Uploads ?? []
    })

    it.live(
      "leaves no unfinished upload of a body that fails or is interrupted",
      () =>
        Effect.gen(function* () {
          const storage = yield* Storage
          const prefix = `unfinished-${randomUUID()}/`
          const [a, b] = [ObjectKey.make(`${prefix}a`), ObjectKey.make(`${prefix}b`)]
          const half = Stream.make(Buffer.alloc(8 * 1024 * 1024), Buffer.alloc(1024))
          const failing = Stream.concat(half, Stream.fail("broken" as const))
          const exit = yield* Effect.exit(storage.put(a, failing, 20_000_000))
          assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === "broken")

          const reached = yield* Deferred.make<void>()
          const hanging = half.pipe(
            Stream.concat(Stream.fromEffectDrain(Deferred.succeed(reached, undefined))),
            Stream.concat(Stream.never)
          )
          const fiber = yield* Effect.forkChild(storage.put(b, hanging, 20_000_000))
          yield* Deferred.await(reached)
          assert.strictEqual((yield* unfinished(b)).length, 1, "the control: there was an upload")
          yield* Fiber.interrupt(fiber)

          assert.deepStrictEqual([...(yield* unfinished(a)), ...(yield* unfinished(b))], [])
          assert.deepStrictEqual(yield* Stream.runCollect(storage.list(prefix)), [])
        }).pipe(Effect.provide(layer)),
      30_000
    )

    it.live(
      "tells wrong credentials from a bucket that is not there",
      () =>
        Effect.gen(function* () {
          const wrong = yield* storageOf({
            ...options,
            credentials: {
              accessKeyId: Redacted.make(accessKeyId),
              secretAccessKey: Redacted.make("wrong-secret")
            }
          })
          const denied = yield* Effect.flip(wrong.probe)
          assert.strictEqual(denied.reason, "AccessDenied")
          assert.notInclude(`${denied.message}${denied.stack}`, "wrong-secret")
          const absent = yield* storageOf({ ...options, bucket: `absent-${randomUUID()}` })
          const key = ObjectKey.make("a")
          assert.strictEqual((yield* Effect.flip(absent.probe)).reason, "NotFound")
          assert.strictEqual((yield* Effect.flip(absent.delete([key]))).reason, "NotFound")
          assert.strictEqual((yield* Effect.flip(Stream.runDrain(absent.list("")))).reason, "NotFound")
          assert.strictEqual((yield* Effect.flip(absent.put(key, Stream.empty, 0))).reason, "NotFound")
        }),
      30_000
    )
  })
}
