/** Error codes of S3, and the reasons that they mean for a single key. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { type DeleteFailureReason, isStoreTrouble } from "../../../src/storage/DeleteFailure.ts"
import { keyReason } from "../../../src/storage/s3/Failure.ts"
import { type Answer, deleteXml, errorXml, reply } from "../../fixtures/s3/StubServer.ts"
import { a, b, storeThat } from "../../fixtures/s3/StubStore.ts"

const reasonOfCode: Record<string, DeleteFailureReason> = {
  SlowDown: "throttled",
  TooManyRequests: "throttled",
  RequestLimitExceeded: "throttled",
  Throttling: "throttled",
  ThrottlingException: "throttled",
  ServiceUnavailable: "unavailable",
  RequestTimeout: "timedOut",
  AccessDenied: "denied",
  AllAccessDisabled: "denied",
  ExpiredToken: "denied",
  InvalidAccessKeyId: "denied",
  InvalidToken: "denied",
  SignatureDoesNotMatch: "denied",
  NoSuchBucket: "missing",
  InternalError: "internal",
  InvalidArgument: "rejected",
  InvalidRequest: "rejected",
  KeyTooLongError: "rejected",
  MethodNotAllowed: "rejected",
  NotImplemented: "rejected",
  OperationAborted: "rejected",
  SomethingNew: "unknown"
}

const locked = {
  AWS: ["AccessDenied", 403, "Access Denied because object protected by object lock."],
  Ceph: ["AccessDenied", 403, "forbidden by object lock"],
  MinIO: ["InvalidRequest", 400, "Object is WORM protected and cannot be overwritten"],
  "a store with a code for it": ["ObjectLocked", 409, "no"],
  "a store with another code": ["MethodNotAllowed", 405, "The object is protected by object lock"],
  "a legal hold": ["AccessDenied", 403, "The object is under a legal hold"]
} as const

const notLocked = {
  "a policy": ["AccessDenied", "Access Denied"],
  "a missing permission": [
    "AccessDenied",
    "User: x is not authorized to perform: s3:BypassGovernanceRetention because of object lock"
  ],
  "a malformed request": ["InvalidRequest", "Missing required header"],
  "another code": ["InternalError", "object lock service failed"]
} as const

/** A store without batches that gives each delete this answer. */
const oneByOne = (answer: Answer) =>
  Effect.map(storeThat([reply(501, errorXml("NotImplemented")), answer]), ({ storage }) => storage)

describe("the reason of a key that was not deleted", () => {
  it.live("follows from the code in the answer to a batch", () =>
    Effect.gen(function* () {
      const codes = Object.keys(reasonOfCode)
      const keys = codes.map((code) => ObjectKey.make(code))
      const { storage } = yield* storeThat([
        reply(
          200,
          deleteXml(
            [],
            codes.map((code) => [code, code] as const)
          )
        )
      ])
      const { failed } = yield* storage.delete(keys)
      assert.deepStrictEqual(
        Object.fromEntries(failed.map(({ code, reason }) => [code, reason])),
        reasonOfCode
      )
    })
  )

  for (const [store, [code, status, text]] of Object.entries(locked)) {
    it.live(`is a lock by the text of ${store}, in a batch and alone`, () =>
      Effect.gen(function* () {
        const error = `<Error><Key>a</Key><Code>${code}</Code><Message>${text}</Message></Error>`
        const batch = yield* storeThat([reply(200, `<DeleteResult>${error}</DeleteResult>`)])
        assert.deepStrictEqual((yield* batch.storage.delete([a])).failed, [
          { key: a, reason: "locked", code, detail: text }
        ])
        const single = yield* oneByOne(reply(status, errorXml(code, text)))
        assert.deepInclude((yield* single.delete([a])).failed[0], { key: a, reason: "locked", code })
      }).pipe(Effect.provide(Logger.layer([])))
    )
  }

  for (const [what, [code, text]] of Object.entries(notLocked)) {
    it(`is not a lock for ${what}`, () => {
      assert.notStrictEqual(keyReason(code, text), "locked")
    })
  }

  for (const [status, code, reason] of [
    [403, "AccessDenied", "denied"],
    [404, "NoSuchBucket", "missing"],
    [409, "SomethingNew", "rejected"],
    [429, "SomethingNew", "throttled"],
    [500, "InternalError", "internal"],
    [500, "SomethingNew", "internal"],
    [502, "BadGateway", "unavailable"],
    [503, "ServiceUnavailable", "unavailable"],
    [503, "SlowDown", "throttled"],
    [504, "SomethingNew", "timedOut"]
  ] as const) {
    it.live(`is ${reason} for a single delete that is answered with ${status} ${code}`, () =>
      Effect.gen(function* () {
        const storage = yield* oneByOne(reply(status, errorXml(code)))
        assert.deepInclude((yield* storage.delete([a])).failed[0], { key: a, reason, code })
      }).pipe(Effect.provide(Logger.layer([])))
    )
  }

  it.live("is the store's trouble when the connection breaks", () =>
    Effect.gen(function* () {
      const storage = yield* oneByOne((_, response) => void response.destroy())
      const { failed } = yield* storage.delete([a])
      assert.deepInclude(failed[0], { key: a, reason: "unavailable", code: "ECONNRESET" })
      assert.isTrue(failed.every(({ reason }) => isStoreTrouble(reason)))
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("is another key's time-out if its own delete was not sent", () =>
    Effect.gen(function* () {
      const keys = [a, b, ...Array.from({ length: 40 }, (_, n) => ObjectKey.make(`${n}`))]
      const storage = yield* oneByOne(reply(408, errorXml("RequestTimeout")))
      const { failed } = yield* storage.delete(keys)
      assert.strictEqual(failed.length, keys.length)
      assert.deepStrictEqual([...new Set(failed.map(({ reason }) => reason))], ["timedOut"])
      assert.sameMembers([...new Set(failed.map(({ code }) => code))], ["RequestTimeout", "TimedOut"])
    }).pipe(Effect.provide(Logger.layer([])))
  )
})
