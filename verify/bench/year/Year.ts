/** Sweeps every hour of a year over the memory layers, in virtual time. */
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import * as MemoryDatabase from "../../../src/database/Memory.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { runVariant } from "../harness/Variant.ts"

/** Describes the work. */
export interface YearTask {
  readonly hours: number
  /** A writer puts a blob each hour, and moves one of {@link names} names to it. */
  readonly writes: boolean
}

/** Reports the work. */
export interface YearOutcome {
  /** Sweeps that were complete. */
  readonly complete: number
  readonly deleted: number
  /** Blobs, and objects, at the end. */
  readonly blobs: number
  readonly objects: number
}

/** Names that the writer moves. */
const names = 50

await runVariant<YearTask, YearOutcome>(async ({ hours, writes }) => {
  const state = MemoryDatabase.emptyState(["names"])
  const store = MemoryStorage.emptyState()
  const services = Layer.merge(Sweep.layer(), BlobStore.layer()).pipe(
    Layer.provideMerge(Layer.merge(MemoryDatabase.layerOf(state), MemoryStorage.layerOf(store))),
    Layer.provideMerge(TestClock.layer())
  )
  const year = Effect.gen(function* () {
    const sweep = yield* Sweep
    const blobs = yield* BlobStore
    const tables = yield* MemoryDatabase.HostTables
    let complete = 0
    let deleted = 0
    for (let hour = 0; hour < hours; hour++) {
      yield* TestClock.adjust("1 hour")
      if (writes) {
        yield* blobs.put(Stream.make(Buffer.from(`blob ${hour}`)), {
          commit: ({ digest }) => tables.upsert("names", { id: `name-${hour % names}`, digest })
        })
      }
      const { outcome, totals } = yield* sweep.once()
      if (outcome === "complete") complete += 1
      deleted += totals.deleted
    }
    return { complete, deleted, blobs: state.blobs.size, objects: store.objects.size }
  })
  return { run: () => Effect.runPromise(Effect.provide(year, services)), close: async () => {} }
})
