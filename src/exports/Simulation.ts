/**
 * The module `Simulation` of `artifact-gc/testing`: what a test of an app needs. A world of one's own, as the simulation of
 * this project has, is not exported.
 */

export type {
  AccessOptions,
  Actor,
  ActorOptions,
  Broken,
  CollectorOptions,
  ErrorsOf,
  Facts,
  FaultOutcomes,
  FaultRates,
  GateOptions,
  Held,
  HostInvariant,
  Outcome,
  PlayOptions,
  Process,
  Provided,
  ReferenceFact,
  Rng,
  RunOptions,
  SeedsOptions,
  Shrunk,
  SimulationOptions,
  Totals,
  WorldOptions
} from "../testing/simulation/Simulation.ts"
export {
  actor,
  atEnd,
  collector,
  count,
  faultOutcomes,
  gate,
  invariant,
  noFaults,
  note,
  pause,
  report,
  rng,
  run,
  runSeeds,
  SimulationBroken,
  self
} from "../testing/simulation/Simulation.ts"
