/** An app that only collects: no table, service or phase of the registry exists, in memory and on PostgreSQL. */

import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, Stream } from "effect"
import { Artifacts, tables } from "../../src/artifacts/Artifacts.ts"
import { type BlobDatabase, CollectorDatabase } from "../../src/database/Database.ts"
import * as MemoryDatabase from "../../src/database/Memory.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as FaultyDatabase from "../../src/testing/FaultyDatabase.ts"
import * as Databases from "../fixtures/Databases.ts"
import { BlobStore } from "../fixtures/Referring.ts"

type Core = BlobDatabase | CollectorDatabase | Artifacts

const onPostgres: Layer.Layer<Core> = Layer.unwrap(
  Effect.gen(function* () {
    const client = Databases.client(yield* Databases.emptyDatabase(Databases.embedded))
    return Layer.provideMerge(Artifacts.layer(), Postgres.layer()).pipe(
      Layer.provideMerge(
        Layer.effectDiscard(Effect.orDie(Postgres.migrate(defaultNames, { createCatalog: "artifacts" })))
      ),
      Layer.provide(client)
    )
  })
)

const inMemory = Layer.provideMerge(Artifacts.layerMemory, MemoryDatabase.layer({ tables }))

const backends: ReadonlyArray<readonly [string, Layer.Layer<Core>]> = [
  ["memory", inMemory],
  ["memory with a script", FaultyDatabase.layer(FaultyDatabase.script()).pipe(Layer.provideMerge(inMemory))],
  ["PostgreSQL", onPostgres]
]

const bytes = Stream.make(new Uint8Array([1, 2, 3]))
const impatient = { grace: Duration.zero, quarantine: Duration.zero }

describe("a collector without a registry", () => {
  for (const [name, database] of backends) {
    it.effect(`deletes an orphan on ${name}, and reports no phase of the registry's`, () =>
      Effect.gen(function* () {
        const storage = yield* Storage
        const sweep = yield* Sweep
        const { digest } = yield* (yield* BlobStore).put(bytes, {
          references: [{ _tag: "LocalFile", path: "kept" }]
        })
        const { unreference } = yield* Artifacts
        assert.strictEqual(yield* unreference([{ _tag: "LocalFile", path: "kept", digest }]), 1)
        for (let n = 0; n < 3; n++) {
          const { left, outcome, phases } = yield* sweep.once()
          assert.strictEqual(outcome, "complete")
          assert.notProperty(phases, "manifests")
          assert.strictEqual(left?.sessions, 0)
        }
        const { backlog } = yield* CollectorDatabase
        assert.strictEqual((yield* backlog(yield* Clock.currentTimeMillis)).waiting, 0)
        assert.deepStrictEqual((yield* Stream.runCollect(storage.list(""))).flat(), [])
      }).pipe(
        Effect.provide(
          Layer.mergeAll(Sweep.layerUnchecked(impatient), BlobStore.layer()).pipe(
            Layer.provideMerge(Layer.merge(database, MemoryStorage.layer))
          )
        )
      )
    )
  }
})
