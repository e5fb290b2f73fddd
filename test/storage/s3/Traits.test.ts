import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { S3Options } from "../../../src/storage/S3.ts"
import { type Answer, errorXml, reply } from "../../fixtures/s3/StubServer.ts"
import { slowDown, storeThat, whileTimePasses } from "../../fixtures/s3/StubStore.ts"

const versioning = (status: string) =>
  reply(200, `<VersioningConfiguration>${status && `<Status>${status}</Status>`}</VersioningConfiguration>`)
const locks = reply(
  200,
  "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
)
const noLocks = reply(404, errorXml("ObjectLockConfigurationNotFoundError"))

const bucketThat = (versions: Answer, lock: Answer, options: Partial<S3Options> = {}) =>
  storeThat(
    [(asked, ...rest) => (asked.url.includes("object-lock") ? lock : versions)(asked, ...rest)],
    options
  )

describe("traits", () => {
  const cases: ReadonlyArray<readonly [string, Answer, S3Options["versionedDelete"], string, string]> = [
    ["was never versioned", versioning(""), undefined, "off", "objects"],
    ["was never versioned", versioning(""), "versions", "off", "objects"],
    ["is versioned", versioning("Enabled"), undefined, "on", "markers"],
    ["is versioned", versioning("Enabled"), "markers", "on", "markers"],
    ["is versioned", versioning("Enabled"), "versions", "on", "versions"],
    ["was versioned", versioning("Suspended"), undefined, "suspended", "markers"],
    ["was versioned", versioning("Suspended"), "versions", "suspended", "versions"],
    ["knows no versions (501)", reply(501, errorXml("NotImplemented")), "versions", "off", "objects"],
    ["knows no versions (400)", reply(400, errorXml("NotImplemented")), undefined, "off", "objects"],
    ["knows no versions (405)", reply(405, errorXml("MethodNotAllowed")), undefined, "off", "objects"]
  ]
  for (const [what, answer, versionedDelete, status, deletes] of cases) {
    it.live(`of a bucket that ${what}, with S3_VERSIONED_DELETE=${versionedDelete ?? ""}`, () =>
      Effect.gen(function* () {
        const { storage } = yield* bucketThat(answer, noLocks, { versionedDelete })
        assert.deepStrictEqual<unknown>(yield* storage.traits, {
          versioning: status,
          objectLock: false,
          deletes,
          chosen: status === "off" || versionedDelete !== undefined
        })
      })
    )
  }

  for (const [what, answer, objectLock] of [
    ["has them", locks, true],
    ["has none", noLocks, false],
    ["does not know them (501)", reply(501, errorXml("NotImplemented")), false],
    ["does not know them (405)", reply(405), false]
  ] as const) {
    it.live(`include locks if the bucket ${what}`, () =>
      Effect.gen(function* () {
        const { storage } = yield* bucketThat(versioning("Enabled"), answer)
        assert.strictEqual((yield* storage.traits).objectLock, objectLock)
      })
    )
  }

  it.live("are not guessed if the permission to ask is missing, and the failure names it", () =>
    Effect.gen(function* () {
      const denied = reply(403, errorXml("AccessDenied"))
      for (const [versions, lock, permission] of [
        [denied, noLocks, "s3:GetBucketVersioning"],
        [versioning(""), denied, "s3:GetBucketObjectLockConfiguration"]
      ] as const) {
        const { storage } = yield* bucketThat(versions, lock)
        const error = yield* Effect.flip(storage.traits)
        assert.deepInclude(error, { operation: "probe", subject: "bucket", reason: "AccessDenied" })
        assert.include(error.message, permission)
      }
    })
  )

  it.live("are not guessed if the answer is invalid or missing", () =>
    Effect.gen(function* () {
      for (const [versions, lock, reason] of [
        [versioning("Perhaps"), noLocks, "Misbehaved"],
        [reply(500, errorXml("InternalError")), noLocks, "Unavailable"],
        [reply(404, errorXml("NoSuchBucket")), noLocks, "NotFound"],
        [versioning(""), reply(404, errorXml("NoSuchBucket")), "NotFound"]
      ] as const) {
        const { storage } = yield* bucketThat(versions, lock)
        assert.deepInclude(yield* Effect.flip(storage.traits), { operation: "probe", reason })
      }
    })
  )

  it.effect("are requested each time, and again if a request fails", () =>
    Effect.gen(function* () {
      const answers = [slowDown, versioning(""), versioning("Enabled")]
      const { storage } = yield* bucketThat((...args) => answers.shift()?.(...args), noLocks, { retries: 1 })
      assert.strictEqual((yield* whileTimePasses(storage.traits)).versioning, "off")
      assert.strictEqual((yield* whileTimePasses(storage.traits)).versioning, "on")
    })
  )
})
