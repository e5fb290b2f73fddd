/** The doctor on a real S3 server, and behind PgBouncer in transaction mode. */
import { PutBucketLifecycleConfigurationCommand } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { askGroup } from "../../src/doctor/Check.ts"
import { storeGroup } from "../../src/doctor/StoreChecks.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import * as Databases from "../fixtures/Databases.ts"
import { configured, databaseOf, findings, of } from "../fixtures/Doctor.ts"
import { onRealS3, ownBucket } from "../fixtures/s3/RealServer.ts"

const examined = (storage: Storage["Service"], write: boolean) =>
  Effect.flatMap(configured(), (configuration) =>
    Effect.provideService(askGroup(storeGroup(configuration, write)), Storage, storage)
  )

onRealS3("Doctor", (name) => {
  describe(`doctor on S3 (${name})`, () => {
    it.live(
      "writes and deletes in a plain bucket, and finds versions and rules",
      () =>
        Effect.gen(function* () {
          const bucket = yield* ownBucket()
          const plain = yield* examined(yield* bucket.storage(), true)
          assert.deepStrictEqual(of(plain, "writing"), ["ok: An object can be written, read and deleted"])
          assert.deepStrictEqual(of(plain, "versions"), ["ok: A delete frees space"])
          assert.deepStrictEqual(of(plain, "presigned"), ["ok: A signed link works"])
          assert.deepStrictEqual(of(plain, "lifecycle"), [
            "ok: No lifecycle rule touches blobs or uploads under way"
          ])
          assert.deepStrictEqual(yield* bucket.held, [])
          yield* bucket.setVersioning("Enabled")

          yield* Effect.promise(() =>
            bucket.client.send(
              new PutBucketLifecycleConfigurationCommand({
                Bucket: bucket.Bucket,
                LifecycleConfiguration: {
                  Rules: [{ ID: "old", Status: "Enabled", Filter: { Prefix: "" }, Expiration: { Days: 30 } }]
                }
              })
            )
          )
          const ill = yield* examined(yield* bucket.storage(), true)
          assert.deepStrictEqual(of(ill, "versions"), [
            "problem: It is not said what a delete does in a bucket with versions"
          ])
          assert.deepStrictEqual(of(ill, "lifecycle"), [
            'problem: The rule "old" deletes blobs that are in use'
          ])
          assert.deepStrictEqual(of(ill, "writing"), ["note: Writing and deleting were not tried"])
          assert.deepStrictEqual(yield* bucket.held, [])
        }).pipe(Effect.scoped),
      60_000
    )
  })
})

const poolerUrl = process.env.REAL_POOLER_URL ?? ""

describe.skipIf(!Databases.hasReal || poolerUrl === "")("doctor behind a pooler", () => {
  it.live(
    "recognises one that shares connections by transaction, and writes nothing there either",
    () =>
      Effect.gen(function* () {
        const place = yield* Databases.migratedDatabase(Databases.real)
        const url = new URL(poolerUrl)
        url.pathname = new URL(Redacted.value("url" in place ? place.url : Redacted.make(""))).pathname
        const pooled = { url: Redacted.make(url.href) }
        const all = yield* findings(databaseOf(pooled), MemoryStorage.layer)
        assert.deepStrictEqual(of(all, "pooler"), [
          "note: A pooler answers that shares connections by transaction"
        ])
        assert.deepStrictEqual(of(all, "schema"), ["ok: The catalogue is safe to collect"])
        const direct = yield* findings(databaseOf(place), MemoryStorage.layer)
        assert.deepStrictEqual(of(direct, "pooler"), ["ok: The server itself answers"])
      }).pipe(Effect.scoped),
    60_000
  )
})
