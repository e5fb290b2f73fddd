import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { BlobDatabase, CollectorDatabase } from "../../src/database/Database.ts"
import * as MemoryDatabase from "../../src/database/Memory.ts"
import { Digest } from "../../src/domain/Digest.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { fails, lands } from "../../src/testing/Faults.ts"
import * as FaultyDatabase from "../../src/testing/FaultyDatabase.ts"
import { databaseContract } from "../database/Database.contract.ts"
import { faulty, script } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"

databaseContract(
  "memory, with a script that has no faults",
  faulty(script()).pipe(Layer.provideMerge(Databases.memory))
)

const intent = { key: ObjectKey.make("a"), digest: Digest.make("a"), expiresAt: 0 }

describe("a database with a script", () => {
  it.effect("fails a verb by name, without or with effect, and remembers every call", () => {
    const state = MemoryDatabase.emptyState(["attachments"])
    const script = FaultyDatabase.script()
    return Effect.gen(function* () {
      const blobs = yield* BlobDatabase
      const { inspect } = yield* CollectorDatabase
      script.next("blobs.intend", fails("Contended"))
      const refused = yield* Effect.flip(blobs.intend([intent]))
      assert.deepInclude(refused, { _tag: "DatabaseError", operation: "blobs.intend", reason: "Contended" })
      assert.strictEqual(state.intents.size, 0)

      script.next("blobs.intend", lands("Unavailable"))
      assert.strictEqual((yield* Effect.flip(blobs.intend([intent]))).reason, "Unavailable")
      assert.strictEqual(state.intents.size, 1)

      script.next("inspect", fails("Denied"))
      const denied = yield* Effect.flip(inspect)
      assert.deepInclude(denied, { _tag: "DatabaseError", reason: "Denied" })
      assert.isNotEmpty(yield* inspect)
      assert.deepStrictEqual(
        script.calls.map((call) => [call.operation, call.args]),
        [
          ["blobs.intend", [[intent]]],
          ["blobs.intend", [[intent]]],
          ["inspect", []],
          ["inspect", []]
        ]
      )
    }).pipe(Effect.provide(FaultyDatabase.layer(script).pipe(Layer.provide(MemoryDatabase.layerOf(state)))))
  })
})
