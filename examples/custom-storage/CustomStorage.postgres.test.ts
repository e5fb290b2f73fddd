/** The app works on its store, and the store keeps the contract. One PostgreSQL serves all cases. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, layer as sharing } from "@effect/vitest"
import { Postgres } from "artifact-gc"
import { Embedded } from "artifact-gc/embedded"
import { StorageContract } from "artifact-gc/testing"
import { Effect, Layer } from "effect"
import { run } from "./Notes.ts"
import * as TableStorage from "./TableStorage.ts"

const database = Layer.unwrap(
  Effect.gen(function* () {
    const dataDirectory = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "custom-storage-"))),
      (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
    )
    return Postgres.layerClient(yield* Embedded.start({ dataDirectory, durable: false }))
  })
)

sharing(database, { excludeTestServices: true, timeout: 60_000 })("custom-storage", (it) => {
  it.effect("deletes the text of a deleted note, and keeps the other", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* run, { deleted: 1, objects: 1 })
    })
  )

  for (const { effect, name, timeoutMillis } of StorageContract.casesFor({ timeLimit: "60 seconds" }))
    it.effect(name, () => Effect.provide(effect, TableStorage.layer), timeoutMillis)
})
