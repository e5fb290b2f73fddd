/** What a mutant is, and how its parts are put together. */

import { Duration, Effect } from "effect"
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
  /** The seed at which the test begins, a little before the first that fails, where earlier ones take it long. Default 1. */
  readonly from?: number
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

const noWaits = { grace: Duration.zero, quarantine: Duration.zero, deleteDelay: Duration.zero }

/** Native writers and collectors of one blob, without waits. */
export const busy: NonNullable<Mutant["world"]> = (parameters) => ({
  ...parameters,
  contents: 1,
  processes: {
    ...{ reader: 0, stager: 0, operator: 0, host: 0, pusher: 0, retagger: 0, unannounced: 0, external: 0 },
    ...{ writer: 3, collector: 2, deleter: 1 }
  },
  bucket: "plain",
  backupAt: 0,
  restoreAt: 0,
  settings: { ...parameters.settings, ...noWaits, breakerBlobs: 1000, unannouncedWriters: "none" },
  pausesAfterRead: 0.5,
  outages: 0,
  wrongClocks: 0
})

/** {@link busy}, with hosts. */
export const hosted: NonNullable<Mutant["world"]> = (parameters) => {
  const world = busy(parameters)
  return { ...world, processes: { ...world.processes, writer: 1, host: 2 } }
}

/** {@link busy}, with external writers and collectors, and nothing else. */
export const external: NonNullable<Mutant["world"]> = (parameters) => {
  const world = busy(parameters)
  return {
    ...world,
    processes: { ...world.processes, writer: 0, deleter: 0, external: 3 },
    outages: 0.03
  }
}

/** {@link external}, with one quick collector that sweeps often. */
export const sweeping: NonNullable<Mutant["world"]> = (parameters) => {
  const world = external(parameters)
  return {
    ...world,
    contents: 2,
    processes: { ...world.processes, collector: 1 },
    steps: 800,
    settings: { ...world.settings, leftoverEvery: Duration.hours(12), scanPage: 1000, batchMax: 1000 },
    outages: 0,
    faults: 0,
    kills: 0,
    pauses: 0,
    leaps: 0.02,
    pausesAfterRead: 0.1,
    sameProcess: 0,
    collectorFirst: 0.8
  }
}

/** {@link busy}, with writers that pause between two requests, and a collector that is quick meanwhile. */
export const paused: NonNullable<Mutant["world"]> = (parameters) => {
  const world = busy(parameters)
  return {
    ...world,
    processes: { ...world.processes, writer: 3, collector: 1 },
    steps: 400,
    settings: { ...world.settings, leftoverEvery: Duration.hours(12), scanPage: 1000, batchMax: 1000 },
    watched: false,
    faults: 0,
    kills: 0,
    pausesAfterRead: 0.9,
    sameProcess: 0.8,
    collectorFirst: 0.9
  }
}
