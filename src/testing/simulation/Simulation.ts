/**
 * An open simulation: an app's writers, deleters, readers and invariants beside real collectors, on a catalogue
 * and a store in memory. One number, the seed, decides the order of all calls and all accidents: processes
 * are killed and paused, calls fail, lose their answers or take effect later, and time leaps by hours.
 *
 * ```ts
 * const outcome = yield* Simulation.run({
 *   seed: 42,
 *   actors: [
 *     Simulation.actor("uploader", upload, { count: 2 }),
 *     Simulation.actor("deleter", removeSome),
 *     Simulation.collector({ count: 2 })
 *   ],
 *   servers: Attachments.inMemory,
 *   invariants: [Simulation.invariant("every attachment has its blob", everyAttachmentHasItsBlob)]
 * })
 * ```
 *
 * `run` plays one seed, `runSeeds` many. The simulation of this project itself is written on `playSeed`, with a
 * world of its own.
 */

// What a test of an app needs.

export type { ActorOptions, CollectorOptions } from "./Actors.ts"
export { actor, collector } from "./Actors.ts"
export { count, note, pause, report, rng, self } from "./Caller.ts"
export type { FaultOutcomes, FaultRates } from "./FaultRates.ts"
export { none as noFaults, outcomes as faultOutcomes } from "./FaultRates.ts"
export { type ErrorsOf, type GateOptions, gate } from "./Gate.ts"
export { atEnd, type Facts, type HostInvariant, invariant, type ReferenceFact } from "./Invariant.ts"
export type { AccessOptions, Provided } from "./MemoryAccess.ts"
export type { WorldOptions } from "./MemoryWorld.ts"
export type { Broken, Held, Outcome, PlayOptions } from "./Outcome.ts"
export * from "./Run.ts"
export type { Shrunk } from "./Shrink.ts"

// What a world of one's own needs: playSeed gives it a Simulator, and it gives services, events and invariants.

export { gateDatabase, type OnServer } from "./DatabaseGate.ts"
export { noncePrefix } from "./Kernel.ts"
export type { Executed, Network, Request, Traits } from "./Network.ts"
export { playSeed } from "./Outcome.ts"
export type { Draw, Scenario } from "./Play.ts"
export type { Process } from "./Process.ts"
export type { Rng } from "./Rng.ts"
export type { Simulator } from "./Simulator.ts"
export { make as gateStorage, simulated } from "./StorageGate.ts"
export type { Time } from "./Time.ts"
export { showExit } from "./Trace.ts"
export type { Actor, Closing, Event, Invariant, World } from "./World.ts"
