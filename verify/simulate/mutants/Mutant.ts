/** What a mutant is, and how its parts are put together. */
import { Effect } from "effect"
import type { Reference } from "../../../src/database/Database.ts"
import { referenceId, type State } from "../../../src/database/Memory.ts"
import type { Databases } from "../world/Databases.ts"
import type { Mutation } from "../world/Mutation.ts"
import type { Options } from "../world/Simulation.ts"

/** Describes a mutant. */
export interface Mutant {
  readonly name: string
  /** The protection that is removed. */
  readonly lacks: string
  /** At least one of this many seeds, counted from 1, must fail. */
  readonly within: number
  /** Changes the worlds of its seeds, where only rare worlds show it. */
  readonly world?: NonNullable<Options["world"]>
  /** Returns the mutation of one world. Some mutations have state, so each world needs its own. */
  readonly mutation: () => Mutation
}

/** Runs `effect` while `map` has the entries of `other`, and restores `map` afterwards. */
export const whileReplaced = <K, V, A, E>(
  map: Map<K, V>,
  other: ReadonlyMap<K, V>,
  effect: Effect.Effect<A, E>
) =>
  Effect.suspend(() => {
    const before = [...map]
    map.clear()
    for (const [key, value] of other) map.set(key, value)
    return Effect.ensuring(
      effect,
      Effect.sync(() => {
        map.clear()
        for (const [key, value] of before) map.set(key, value)
      })
    )
  })

/** Replaces verbs of orphans. */
export const orphans = (rows: Databases, orphans: Partial<Databases["orphans"]>): Databases => ({
  ...rows,
  orphans: { ...rows.orphans, ...orphans }
})
/** Replaces verbs of the journal. */
export const journal = (rows: Databases, journal: Partial<Databases["journal"]>): Databases => ({
  ...rows,
  journal: { ...rows.journal, ...journal }
})
/** Replaces verbs of writers. */
export const blobs = (rows: Databases, blobs: Partial<Databases["blobs"]>): Databases => ({
  ...rows,
  blobs: { ...rows.blobs, ...blobs }
})

/** Writes references without a lock. */
export const referTo = (state: State, references: ReadonlyArray<Reference>) => {
  for (const reference of references) state.references.set(referenceId(reference), reference)
}
