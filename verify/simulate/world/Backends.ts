/** The database and the store of a world, in memory, and how its processes reach them through the network. */
import { Effect, Option } from "effect"
import { HostTransaction } from "../../../src/database/Memory.ts"
import { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { StorageError } from "../../../src/domain/StorageError.ts"
import * as RegistryMemory from "../../../src/oci/database/Memory.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import * as Faults from "../../../src/testing/Faults.ts"
import * as FaultyDatabase from "../../../src/testing/FaultyDatabase.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import * as Databases from "./Databases.ts"
import type { Durability } from "./Durability.ts"
import type { Backends, Mutation, Step } from "./Mutation.ts"
import type { Network } from "./Network.ts"
import * as PagedStore from "./PagedStore.ts"
import type { Process } from "./Process.ts"

/** Marks the failures that the simulation causes. */
export const simulated = "scripted fault"

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
  rows: withReferencesSeen(RegistryMemory.emptyState()),
  store: MemoryStorage.emptyState()
})

/** Gives processes access to a world's backends. */
export interface BackendAccess {
  /** Keys whose part of the present delete fails, with the store's error code. */
  readonly refused: Map<string, string>
  /** Returns the backends of a process. Each of its requests waits in the network. */
  readonly of: (process: Process) => Backends
}

/** Creates the access to the backends with this state. */
export const make = (
  { rows, store }: BackendState,
  network: Network,
  mutation: Mutation,
  durability: Durability
): BackendAccess => {
  const database = Databases.make(rows)
  const storage = Effect.runSync(Effect.provide(Storage, MemoryStorage.layerOf(store)))
  const mutated = mutation.rows?.(database, rows, store.objects) ?? database
  const databaseScript = Faults.make<Databases.Verb, DatabaseError["reason"]>()
  const storageScript = FaultyStorage.script()

  let uploads = 0
  const timedOut = new StorageError({
    operation: "probe",
    subject: "the store",
    reason: "TimedOut",
    detail: simulated
  })

  const databaseOf = (process: Process, skew: Effect.Effect<number>): Databases.Databases => ({
    ...FaultyDatabase.wrap(
      { ...mutated, skew },
      {
        ...databaseScript,
        run: (verb, args, effect, failure) =>
          Effect.flatMap(Effect.serviceOption(HostTransaction), (open) => {
            // The server does what was asked in the transaction of the connection that it came on.
            const inside = Option.isSome(open)
              ? Effect.provideService(effect, HostTransaction, open.value)
              : effect
            return network.send(process, verb, args, durability.run(verb, inside), failure("Unavailable"))
          })
      }
    ),
    // Never changes in a world, so a request for it would only add steps.
    installation: mutated.installation
  })

  const storageOf = (process: Process, skew: Effect.Effect<number>): Storage["Service"] =>
    PagedStore.make({
      inner: FaultyStorage.wrap(
        { ...storage, skew: Effect.asSome(skew) },
        {
          ...storageScript,
          run: (verb, args, effect, failure) => network.send(process, verb, args, effect, failure("TimedOut"))
        }
      ),
      raw: storage,
      state: store,
      request: (verb, args, effect) => network.send(process, verb, args, effect, timedOut),
      uploadId: () => `u${++uploads}`
    })

  const stepOf =
    (process: Process): Step =>
    (verb, args, effect) => {
      const unknown = new DatabaseError({ operation: verb, reason: "Unavailable", detail: simulated })
      return network.send(process, verb, args, durability.run(verb, effect), unknown)
    }

  return {
    refused: storageScript.refused,
    of: (process) => {
      const skew = Effect.sync(() => -process.aheadMillis)
      const backends = { database: databaseOf(process, skew), storage: storageOf(process, skew) }
      return mutation.backends?.({ ...backends, step: stepOf(process) }, rows) ?? backends
    }
  }
}
