/** A change to the code under test, to show that the simulation notices it. */
import type { Effect } from "effect"
import type { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import type { RegistryState as State } from "../../../src/oci/database/Memory.ts"
import type { State as StoreState } from "../../../src/storage/Memory.ts"
import type { Storage } from "../../../src/storage/Storage.ts"
import type { ReferenceSource } from "../../../src/sweep/ReferenceSource.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import type { Databases } from "./Databases.ts"
import type { Verb } from "./Verb.ts"

/** The database and the store as a process reaches them. */
export interface Backends {
  readonly database: Databases
  readonly storage: Storage["Service"]
}

/** Sends any other request to the database, as a step of its own. */
export type Step = <A>(
  verb: Verb,
  args: ReadonlyArray<unknown>,
  effect: Effect.Effect<A, DatabaseError>
) => Effect.Effect<A, DatabaseError>

/** Describes the change. */
export interface Mutation {
  /** Replaces what a request does, within its one step. */
  readonly rows?: (rows: Databases, state: State, objects: StoreState["objects"]) => Databases
  /** Replaces what a process asks for. Each request that it sends is a step of its own. */
  readonly backends?: (backends: Backends & { readonly step: Step }, state: State) => Backends
  /** Replaces the random part of object keys. */
  readonly nonce?: () => string
  /** Replaces the reference source of every collector. */
  readonly source?: (source: ReferenceSource) => ReferenceSource
  /** True makes external writers end their pin before they write the reference that it protects. */
  readonly unpinsFirst?: boolean
  /** Replaces settings of every collector. */
  readonly settings?: Partial<SweepSettings>
  /** Changes the state of the database and the store before the run begins. */
  readonly prepare?: (rows: State, store: StoreState) => void
  /** True makes no commit wait for the disk, so that a crash of the database takes the latest ones back. */
  readonly commitsLate?: boolean
}
