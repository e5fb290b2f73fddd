/** The requests of this simulation by name. */
import type { Effect } from "effect"
import type { FaultyStorage } from "../../../src/testing/index.ts"
import type { Network, Process, Traits } from "../../../src/testing/simulation/Simulation.ts"
import type * as Databases from "./Databases.ts"

/** Names a request. The compiler so finds a verb that was renamed and is still compared with its old name. */
export type Verb =
  | Databases.Verb
  | FaultyStorage.Operation
  | "pause"
  | "begin parts"
  | "complete parts"
  | "adopt without lock"
  | "host.commit"
  | "host.rollback"
  | "host.unreference"
  | "unannounced.look"
  | "unannounced.insert"
  | "unannounced.refer"
  | "elsewhere.ask"
  | "elsewhere.write"
  | "elsewhere.remove"

/** Identifies a request that has taken effect. */
export interface Executed {
  readonly process: Process
  readonly verb: Verb
  readonly args: ReadonlyArray<unknown>
}

/** Sends a request that is neither a verb of a database nor a method of the store. */
export const send = <A, E>(
  network: Network,
  process: Process,
  verb: Verb,
  args: ReadonlyArray<unknown>,
  effect: Effect.Effect<A, E>,
  unknown: E,
  traits: Traits = {}
): Effect.Effect<A, E> => network.send({ process, verb, args, effect, unknown, traits })
