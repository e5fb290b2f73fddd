/** A proxy's page of status 200 in place of the store, as every command and probe meets it. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger } from "effect"
import { HttpRouter } from "effect/http"
import * as Health from "../../src/oci/http/Health.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { audited } from "../fixtures/audit/Auditing.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { type Purpose, tinyS3 } from "../fixtures/incidents/TinyS3.ts"
import { reply } from "../fixtures/s3/StubServer.ts"
import { storeThat } from "../fixtures/s3/StubStore.ts"

const page = reply(200, "<!DOCTYPE html><html><body>Sign in</body></html>", { "content-type": "text/html" })

const quiet = Effect.provide(Logger.layer([]))

describe("a proxy that answers every request with a page of status 200", () => {
  it.live("is no store that is ready", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat([page])
      const { handler, dispose } = HttpRouter.toWebHandler(Health.layer(storage.probe), {
        disableLogger: true
      })
      const response = yield* Effect.promise(() => handler(new Request("http://registry/readyz")))
      assert.strictEqual(response.status, 503)
      yield* Effect.promise(dispose)
    }).pipe(quiet)
  )

  it.live("is no empty store to an audit, which fails and has no summary", () =>
    Effect.gen(function* () {
      const { storage } = yield* storeThat([page])
      const { exit, findings, summary } = yield* audited().pipe(
        Effect.provide(Layer.merge(AllDatabases.inMemory(), Layer.succeed(Storage, storage)))
      )
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.deepInclude(error, { _tag: "StorageError", reason: "Misbehaved" })
      assert.notStrictEqual(summary?.complete, true)
      assert.deepStrictEqual(findings, [])
    })
  )

  for (const purposes of [
    ["list", "uploads", "batch", "single", "begin", "versioning", "lock"],
    ["list"],
    ["uploads"],
    ["versioning"],
    ["batch"]
  ] satisfies ReadonlyArray<ReadonlyArray<Purpose>>) {
    it.live(
      `fails a sweep, in place of the answers to ${purposes.join(", ")}, and frees no byte by itself`,
      () =>
        Effect.gen(function* () {
          const { rows, state, sweep } = yield* tinyS3(3, {
            otherwise: (purpose) =>
              (purposes as ReadonlyArray<Purpose>).includes(purpose) ? page : undefined
          })
          const report = yield* sweep.once()
          assert.strictEqual(report.outcome, "failed")
          assert.strictEqual(
            report.totals.deleted,
            3 - state.objects.size,
            "only objects that are gone count"
          )
          assert.strictEqual(
            rows.journal.size + rows.blobs.size,
            state.objects.size,
            "what is left is remembered"
          )
          const errors = Object.values(report.phases).flatMap(({ error }) => error?.message ?? [])
          const failed = Object.values(report.phases).flatMap(({ failed }) => Object.keys(failed))
          assert.match([...errors, ...failed].join(" "), /an HTML page|Misbehaved/)
        }).pipe(quiet)
    )
  }
})
