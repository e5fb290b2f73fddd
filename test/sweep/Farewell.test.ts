/** A collector that stops says so to the others, if they may know of it. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { CollectorDatabase } from "../../src/database/Database.ts"
import { DatabaseError, type DatabaseFailure } from "../../src/domain/DatabaseError.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as AllDatabases from "../fixtures/Database.ts"

/** Sweeps once on a database that answers the registration so, and returns how often the collector took its leave. */
const leaves = (reason: DatabaseFailure | null) =>
  Effect.gen(function* () {
    let left = 0
    const database = Layer.effect(
      CollectorDatabase,
      Effect.map(CollectorDatabase, (inner) => ({
        ...inner,
        peers: {
          ...inner.peers,
          register: (...args: Parameters<typeof inner.peers.register>) =>
            reason === null
              ? inner.peers.register(...args)
              : Effect.fail(
                  new DatabaseError({ operation: "peers.register", reason, detail: "by the test" })
                ),
          leave: () =>
            Effect.sync(() => {
              left += 1
            })
        }
      }))
    )
    const sweep = Context.get(
      yield* Layer.build(
        Sweep.layerUnchecked().pipe(
          Layer.provide(MemoryStorage.layer),
          Layer.provide(Layer.provideMerge(database, AllDatabases.inMemory()))
        )
      ),
      Sweep
    )
    yield* sweep.once()
    yield* sweep.leave
    return left
  }).pipe(Effect.scoped)

describe("The farewell of a collector", () => {
  it.effect("is said after a registration, and after one whose answer was lost", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* leaves(null), 1)
      assert.strictEqual(yield* leaves("Unavailable"), 1)
    })
  )

  it.effect("is not said where the database refused to register it: there is nothing to take back", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* leaves("Misdirected"), 0)
      assert.strictEqual(yield* leaves("Denied"), 0)
    })
  )
})
