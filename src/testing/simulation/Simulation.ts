/** The simulation. */
export type { Choices } from "./Choices.ts"
export { gateDatabase, type OnServer } from "./DatabaseGate.ts"
export {
  defaults as faultDefaults,
  type FaultOutcomes,
  type FaultRates,
  none as noFaults
} from "./FaultRates.ts"
export { noncePrefix } from "./Kernel.ts"
export type { Executed, Network, Request, Traits } from "./Network.ts"
export * from "./Outcome.ts"
export type { Draw, Scenario } from "./Play.ts"
export type { Process } from "./Process.ts"
export type { Rng } from "./Rng.ts"
export type { Shrunk } from "./Shrink.ts"
export type { Simulator } from "./Simulator.ts"
export { make as gateStorage, simulated } from "./StorageGate.ts"
export type { Time } from "./Time.ts"
export { showExit } from "./Trace.ts"
export type { Actor, Closing, Event, Invariant, World } from "./World.ts"
