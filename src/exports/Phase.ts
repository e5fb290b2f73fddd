/** The module `Phase` of `artifact-gc`: the types of a phase of the host, and of what its context gives it. */

export type { Answer, Sources } from "../sweep/AskSources.ts"
export type { Bounds } from "../sweep/Bounds.ts"
export type { Deletion } from "../sweep/Deletion.ts"
export type { OddRows } from "../sweep/OddRows.ts"
export type { Pace } from "../sweep/Pace.ts"
export type * from "../sweep/Phase.ts"
export type { PhaseCounts } from "../sweep/PhaseCounts.ts"
