/** How the processes of an app reach the catalogue and the store of a simulation. */
import { Context, Duration, Effect, Exit, Layer } from "effect"
import { BlobStore, type BlobStoreOptions } from "../../blobs/BlobStore.ts"
import { BlobDatabase, CollectorDatabase } from "../../database/Database.ts"
import * as MemoryDatabase from "../../database/Memory.ts"
import * as MemoryStorage from "../../storage/Memory.ts"
import { Storage } from "../../storage/Storage.ts"
import type { ReferenceSource } from "../../sweep/ReferenceSource.ts"
import type { SettingsInput } from "../../sweep/Settings.ts"
import { gateDatabase } from "./DatabaseGate.ts"
import { gateHostTables } from "./HostTablesGate.ts"
import type { MemoryState } from "./MemoryState.ts"
import type { Process } from "./Process.ts"
import type { Simulator } from "./Simulator.ts"
import * as StorageGate from "./StorageGate.ts"
import { showExit } from "./Trace.ts"

/** The services that every process has. */
export type Provided = BlobStore | BlobDatabase | CollectorDatabase | MemoryDatabase.HostTables | Storage

/** Options of what every process has. */
export interface AccessOptions {
  /**
   * Settings of every collector that names none of its own, and of the one that sweeps at the end. Default:
   * those of the product, with 10 hours for a sweep (`maxDuration`), because time leaps.
   */
  readonly settings?: SettingsInput | undefined
  /**
   * The host's tables with a foreign key to blobs. `HostTables` has their rows, and `commit` in `put` reaches
   * them. Default: none.
   */
  readonly tables?: ReadonlyArray<string> | undefined
  /** Options of every process's `BlobStore`. Default: those of the product. */
  readonly blobs?: BlobStoreOptions | undefined
}

/** The settings of collectors that name none of their own. */
export const CollectorSettings: Context.Reference<SettingsInput> = Context.Reference<SettingsInput>(
  "artifact-gc/testing/simulation/CollectorSettings",
  { defaultValue: () => ({}) }
)

/** The reference sources of every collector. They find their services in the context of the process that sweeps. */
export const CollectorSources: Context.Reference<ReadonlyArray<ReferenceSource>> = Context.Reference<
  ReadonlyArray<ReferenceSource>
>("artifact-gc/testing/simulation/CollectorSources", { defaultValue: () => [] })

/** Gives access to the shared state. */
export interface MemoryAccess {
  /** The services of the server itself, without a network. */
  readonly direct: Context.Context<Provided>
  /** Returns the services of a process. Each of its requests waits in the network. */
  readonly of: (process: Process) => Context.Context<Provided>
}

type Backends = Exclude<Provided, BlobStore>

/** Creates the access to a state. */
export const make = (
  { network, perform, refused }: Pick<Simulator, "network" | "perform" | "refused">,
  { rows, store }: MemoryState,
  { blobs, settings = {} }: AccessOptions
): MemoryAccess => {
  const layer = Layer.merge(MemoryDatabase.layerOf(rows), MemoryStorage.layerOf(store))
  const direct: Context.Context<Backends> = Effect.runSync(Effect.scoped(Layer.build(layer)))
  const collector = Context.get(direct, CollectorDatabase)
  const writer = Context.get(direct, BlobDatabase)
  const tables = Context.get(direct, MemoryDatabase.HostTables)
  const storageOf = StorageGate.make({ network, refused }, store)

  const backendsOf = (process: Process): Context.Context<Backends> => {
    const clocked = { ...collector, skew: Effect.sync(() => -process.aheadMillis) }
    const gated = gateDatabase(clocked, process, network)
    return Context.make(CollectorDatabase, { ...gated, installation: collector.installation }).pipe(
      Context.add(BlobDatabase, gateDatabase({ blobs: writer }, process, network).blobs),
      Context.add(MemoryDatabase.HostTables, gateHostTables(tables, rows, process, { network, perform })),
      Context.add(Storage, storageOf(process))
    )
  }

  const withBlobStore = (backends: Context.Context<Backends>): Context.Context<Provided> => {
    const built = perform(
      Effect.scoped(Layer.build(Layer.provide(BlobStore.layer(blobs), Layer.succeedContext(backends))))
    )
    if (Exit.isFailure(built)) throw new Error(`the blob store cannot be built: ${showExit(built)}`)
    return Context.merge(
      Context.add(backends, CollectorSettings, { maxDuration: Duration.hours(10), ...settings }),
      built.value
    )
  }

  return { direct: withBlobStore(direct), of: (process) => withBlobStore(backendsOf(process)) }
}
