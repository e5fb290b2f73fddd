/** The database and the store of a world, in memory, and how its processes reach them through the network. */
import { Effect } from "effect"
import { tables } from "../../../src/artifacts/Artifacts.ts"
import { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import * as RegistryMemory from "../../../src/oci/database/Memory.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import {
  gateDatabase,
  gateStorage,
  type Process,
  type Simulator,
  simulated
} from "../../../src/testing/simulation/Simulation.ts"
import * as Databases from "./Databases.ts"
import type { Durability } from "./Durability.ts"
import type { Backends, Mutation, Step } from "./Mutation.ts"
import { send, type Verb } from "./Verb.ts"

/** The state of the database and the store. */
export interface BackendState {
  readonly rows: RegistryMemory.RegistryState
  readonly store: MemoryStorage.State
}

/** The question whether references are known at all is asked once in the life of a catalogue. */
const withReferencesSeen = <S extends RegistryMemory.RegistryState>(state: S): S => {
  state.remembered.held = true
  return state
}

/** Creates an empty database and an empty store. */
export const emptyState = (): BackendState => ({
  rows: withReferencesSeen(RegistryMemory.emptyState(tables)),
  store: MemoryStorage.emptyState()
})

/** Returns a function that gives each process its backends. Each of its requests waits in the network. */
export const make = (
  { rows, store }: BackendState,
  simulator: Pick<Simulator, "network" | "refused">,
  mutation: Mutation,
  durability: Durability
): ((process: Process) => Backends) => {
  const { network } = simulator
  const database = Databases.make(rows)
  const storageOf = gateStorage(simulator, store)
  const mutated = mutation.rows?.(database, rows, store.objects) ?? database

  const databaseOf = (process: Process): Databases.Databases => ({
    ...gateDatabase(
      { ...mutated, skew: Effect.sync(() => -process.aheadMillis) },
      process,
      network,
      (verb, effect) => durability.run(verb as Verb, effect)
    ),
    // Never changes in a world, so a request for it would only add steps.
    installation: mutated.installation
  })

  const stepOf =
    (process: Process): Step =>
    (verb, args, effect) => {
      const unknown = new DatabaseError({ operation: verb, reason: "Unavailable", detail: simulated })
      return send(network, process, verb, args, durability.run(verb, effect), unknown)
    }

  return (process) => {
    const backends = { database: databaseOf(process), storage: storageOf(process) }
    return mutation.backends?.({ ...backends, step: stepOf(process) }, rows) ?? backends
  }
}
