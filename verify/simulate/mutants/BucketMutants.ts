/** Mutants of what a collector does in buckets with versions. */
import { Effect } from "effect"
import type { Mutant } from "./Mutant.ts"

/** Removes one protection of buckets each. */
export const bucketMutants: ReadonlyArray<Mutant> = [
  {
    name: "versions-left",
    lacks: "the deletion of all versions of a key where the operator chose it",
    within: 100,
    mutation: () => ({
      prepare: (_rows, store) => {
        if (store.traits.deletes === "versions") store.traits = { ...store.traits, deletes: "markers" }
      }
    })
  },
  {
    name: "bucket-unasked",
    lacks: "the guard against buckets with versions about which no operator decided",
    within: 200,
    mutation: () => ({
      backends: ({ database, storage }) => ({
        database,
        storage: {
          ...storage,
          traits: Effect.map(storage.traits, (traits) => ({ ...traits, chosen: true }))
        }
      })
    })
  }
]
