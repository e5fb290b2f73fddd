/** What is read for people only is bounded by a time-out of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"

describe("sizes and numbers for people", () => {
  it.live("are given up after a time of their own, and can be asked for again", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { audit, sizes } = yield* Database
      const errors = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE artifact_registry.manifests, public.blobs IN ACCESS EXCLUSIVE MODE`
          return [yield* Effect.flip(sizes.largest(20, 100)), yield* Effect.flip(audit.stock(100))]
        })
      )
      // Without one they would end by the time-out of locks, which has another code.
      for (const { message } of errors) assert.include(message, "57014")
      assert.deepStrictEqual(yield* sizes.largest(20, 20_000), [])
      assert.deepStrictEqual(yield* audit.stock(20_000), { blobs: 0, bytes: 0 })
    }).pipe(Effect.provide(Databases.postgres(Databases.embedded)))
  )
})
