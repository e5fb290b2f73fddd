/** One catalogue and one store in memory, which processes reach only through the network. */

import { Clock, Context, Duration, Effect, Layer, References } from "effect"
import { Random } from "effect/Random"
import { Scheduler } from "effect/Scheduler"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { KeyNonce } from "../../../src/domain/ObjectKey.ts"
import { registryPhases } from "../../../src/oci/RegistryPhases.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as BackendAccess from "./Backends.ts"
import { traitsOf } from "./Buckets.ts"
import { bytesOf, noncePrefix } from "./Contents.ts"
import { type Count, countEffect } from "./Counts.ts"
import * as Databases from "./Databases.ts"
import * as Durability from "./Durability.ts"
import * as ManualScheduler from "./ManualScheduler.ts"
import type { Backends, Mutation } from "./Mutation.ts"
import * as Network from "./Network.ts"
import * as Oracle from "./Oracle.ts"
import type { WorldParameters } from "./Parameters.ts"
import type { Process } from "./Process.ts"
import type { Rng } from "./Rng.ts"
import * as Time from "./Time.ts"

/** The services that a process uses. */
export type Services = Sweep | BlobStore | Databases.Services | Storage | Uploads | Repositories

/** Holds everything that the processes of a run share. */
export interface World extends BackendAccess.BackendState {
  readonly rng: Rng
  readonly parameters: WorldParameters
  readonly time: Time.Time
  readonly scheduler: ManualScheduler.ManualScheduler
  readonly network: Network.Network
  readonly durability: Durability.Durability
  readonly oracle: Oracle.Oracle
  /** Keys whose part of the present delete fails, with the store's error code. */
  readonly refused: Map<string, string>
  /** How often each event happened. */
  readonly counts: Record<string, number>
  readonly count: Count
  /** Returns the services of a process. */
  readonly services: (process: Process) => Context.Context<Services>
}

/** Creates a world without processes. */
export const make = (rng: Rng, parameters: WorldParameters, mutation: Mutation): World => {
  const time = Time.make()
  const scheduler = ManualScheduler.make()
  const state = BackendAccess.emptyState()
  state.rows.watched = parameters.watched
  state.store.traits = traitsOf(parameters.bucket, parameters.locks > 0)
  if (parameters.processes.unannounced > 0)
    Object.assign(state.rows.installation, { catalogueExisted: true, unannouncedWritersGuarded: true })
  mutation.prepare?.(state.rows, state.store)
  const durability = Durability.make(state.rows, rng, mutation.commitsLate ?? false)
  const counts: Record<string, number> = {}
  const count: Count = (what, times = 1) => {
    counts[what] = (counts[what] ?? 0) + times
  }
  const oracle = Oracle.make({ ...state, time, parameters, bytesOf })
  const common = references(rng, scheduler, mutation)
  // The database and the store date what they write by the world's time.
  const servers = Context.add(
    common,
    Clock.Clock,
    time.clock({}, () => 0)
  )
  const perform = Effect.runSyncExitWith(servers)
  const network = Network.make({
    perform: (effect) => perform(effect),
    performed: (request, exit) => {
      countEffect(count, request.verb, exit)
      oracle.performed(request, exit)
    },
    isSent: () => rng.chance(0.5)
  })
  const backends = BackendAccess.make(state, network, mutation, durability)
  return {
    ...state,
    rng,
    parameters,
    time,
    scheduler,
    network,
    durability,
    oracle,
    refused: backends.refused,
    counts,
    count,
    services: (process) => {
      const layer = layerOf(process, backends.of(process), parameters, mutation)
      const built = perform(Effect.scoped(Layer.build(layer)))
      if (built._tag === "Failure") throw new Error("the services cannot be built")
      const clock = time.clock(process, () => process.aheadMillis)
      return Context.mergeAll(common, built.value, Context.make(Clock.Clock, clock))
    }
  }
}

/** Returns what replaces Effect's own sources of order and chance. */
const references = (rng: Rng, scheduler: ManualScheduler.ManualScheduler, mutation: Mutation) => {
  let nonces = 0
  return Context.make(Scheduler, scheduler).pipe(
    Context.add(Random, {
      nextDoubleUnsafe: rng.next,
      nextIntUnsafe: () => rng.below(Number.MAX_SAFE_INTEGER)
    }),
    Context.add(KeyNonce, mutation.nonce ?? (() => `${noncePrefix}${String(++nonces).padStart(12, "0")}`)),
    Context.add(References.MinimumLogLevel, "None"),
    Context.add(References.TracerEnabled, false)
  )
}

/** Roles that use the registry. The services of the others are built in half of the time. */
const clients: ReadonlySet<Process["role"]> = new Set(["pusher", "retagger"])

const layerOf = (
  process: Process,
  { database, storage }: Backends,
  parameters: WorldParameters,
  mutation: Mutation
) => {
  const settings = { ...parameters.settings, collectorId: process.name, ...mutation.settings }
  const { hold, uploadLease } = parameters
  const backends = Layer.mergeAll(Databases.services(database), Layer.succeed(Storage, storage))
  const collecting = Layer.provideMerge(
    Layer.mergeAll(
      Sweep.layerUnchecked({ ...settings, phases: registryPhases }),
      BlobStore.layer({ uploadLease, pin: Duration.minutes(1) })
    ),
    backends
  )
  if (!clients.has(process.role)) return collecting as Layer.Layer<Services>
  const registry = Layer.mergeAll(Repositories.layer({ hold }), Uploads.layer({ hold, uploadLease }))
  return Layer.provideMerge(registry, collecting)
}
