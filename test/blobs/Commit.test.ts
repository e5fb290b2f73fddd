import { Effect, Layer } from "effect"
import * as MemoryDatabase from "../../src/database/Memory.ts"
import * as RegistryMemory from "../../src/oci/database/Memory.ts"
import { commitServices, memoryAttachments } from "../fixtures/Attachments.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { inMemory } from "../fixtures/Tables.ts"
import { commitContract } from "./Commit.contract.ts"

const layer = () =>
  Layer.unwrap(
    Effect.sync(() => {
      const state = RegistryMemory.emptyState(["attachments"])
      state.remembered.held = true
      return commitServices(
        memoryAttachments.pipe(
          Layer.provideMerge(Layer.mergeAll(AllDatabases.inMemory(state), inMemory(state))),
          Layer.provide(MemoryDatabase.layerOf(state))
        )
      )
    })
  )

commitContract("memory", layer)
