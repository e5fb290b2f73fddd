/**
 * `artifact-gc/testing`: for tests of programs that embed the collector. In milliseconds, weeks pass, stores
 * fail and processes die. Provide `MemoryDatabase.layer` and `MemoryStorage.layer` (from `artifact-gc`), wrap
 * them with these modules, move `TestClock`, and check `Facts` after each step.
 */

export * as FaultyDatabase from "../exports/FaultyDatabase.ts"
export * as Simulation from "../exports/Simulation.ts"
export * as Facts from "./Facts.ts"
export * as Faults from "./Faults.ts"
export * as FaultyStorage from "./FaultyStorage.ts"
export * as StorageContract from "./StorageContract.ts"
export * as Time from "./Time.ts"
