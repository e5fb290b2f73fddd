/** One catalogue and one store in memory, which processes reach only through the network. */

import { Context, Duration, Effect, Layer } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { KeyNonce } from "../../../src/domain/ObjectKey.ts"
import { registryPhases } from "../../../src/oci/RegistryPhases.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { ReferenceSource } from "../../../src/sweep/ReferenceSource.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import type { Network, Process, Rng, Simulator, Time } from "../../../src/testing/simulation/Simulation.ts"
import * as BackendAccess from "./Backends.ts"
import { traitsOf } from "./Buckets.ts"
import { bytesOf } from "./Contents.ts"
import type { Count } from "./Counts.ts"
import * as Databases from "./Databases.ts"
import * as Durability from "./Durability.ts"
import * as Elsewhere from "./Elsewhere.ts"
import type { Backends, Mutation } from "./Mutation.ts"
import * as Oracle from "./Oracle.ts"
import type { WorldParameters } from "./Parameters.ts"

/** The services that a process uses. */
export type Services = Sweep | BlobStore | Databases.Services | Storage | Uploads | Repositories

/** Holds everything that the processes of a run share. */
export interface World extends BackendAccess.BackendState {
  readonly simulator: Simulator
  /** Draws the choices of an actor's process, or of events. */
  readonly rng: Rng
  readonly parameters: WorldParameters
  readonly time: Time
  readonly network: Network
  readonly durability: Durability.Durability
  readonly oracle: Oracle.Oracle
  readonly elsewhere: Elsewhere.Elsewhere
  readonly count: Count
  /** Returns the services of a process. */
  readonly services: (process: Process) => Context.Context<Services>
}

/** Creates a world without processes. */
export const make = (simulator: Simulator, parameters: WorldParameters, mutation: Mutation): World => {
  const { count, network, rng, time } = simulator
  const state = BackendAccess.emptyState()
  state.rows.watched = parameters.watched
  state.store.traits = traitsOf(parameters.bucket, parameters.locks > 0)
  if (parameters.processes.unannounced > 0)
    Object.assign(state.rows.installation, { catalogueExisted: true, unannouncedWritersGuarded: true })
  mutation.prepare?.(state.rows, state.store)
  const durability = Durability.make(state.rows, rng, mutation.commitsLate ?? false)
  const oracle = Oracle.make({
    ...state,
    time,
    parameters,
    bytesOf,
    report: (what) => simulator.report(what)
  })
  const elsewhere = Elsewhere.make(simulator, state, mutation)
  const sourcesOf = (process: Process) =>
    parameters.processes.external > 0 ? [elsewhere.sourceOf(process)] : []
  const backendsOf = BackendAccess.make(state, simulator, mutation, durability)
  return {
    ...state,
    simulator,
    rng,
    parameters,
    time,
    network,
    durability,
    oracle,
    elsewhere,
    count,
    services: (process) => {
      const built = simulator.perform(
        Effect.scoped(
          Layer.build(layerOf(process, backendsOf(process), sourcesOf(process), parameters, mutation))
        )
      )
      if (built._tag === "Failure") throw new Error("the services cannot be built")
      const own = Context.merge(built.value, simulator.contextOf(process))
      return mutation.nonce === undefined ? own : Context.add(own, KeyNonce, mutation.nonce)
    }
  }
}

/** Roles that use the registry. The services of the others are built in half of the time. */
const clients: ReadonlySet<string> = new Set(["pusher", "retagger"])

const layerOf = (
  process: Process,
  { database, storage }: Backends,
  sources: ReadonlyArray<ReferenceSource>,
  parameters: WorldParameters,
  mutation: Mutation
) => {
  const settings = { ...parameters.settings, collectorId: process.name, ...mutation.settings }
  const { hold, uploadLease } = parameters
  const backends = Layer.mergeAll(Databases.services(database), Layer.succeed(Storage, storage))
  const collecting = Layer.provideMerge(
    Layer.mergeAll(
      Sweep.layerUnchecked({ ...settings, sources, phases: registryPhases }),
      BlobStore.layer({ uploadLease, pin: Duration.minutes(1) })
    ),
    backends
  )
  if (!clients.has(process.role)) return collecting as Layer.Layer<Services>
  const registry = Layer.mergeAll(Repositories.layer({ hold }), Uploads.layer({ hold, uploadLease }))
  return Layer.provideMerge(registry, collecting)
}
