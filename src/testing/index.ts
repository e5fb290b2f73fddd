/**
 * `artifact-gc/testing`: for programs that embed the collector and want to see weeks pass, stores fail and processes
 * die in milliseconds. Provide `MemoryDatabase.layer` and `MemoryStorage.layer` (from `artifact-gc`), wrap them here,
 * let `TestClock` move, and ask `Facts` after each step.
 */

export * as Facts from "./Facts.ts"
export * as Faults from "./Faults.ts"
export * as FaultyDatabase from "./FaultyDatabase.ts"
export * as FaultyStorage from "./FaultyStorage.ts"
