/** The module `Breaker` of `artifact-gc`: what a phase of the host needs to have a breaker. */

export type { Breaker, CountingBreaker } from "../sweep/Breaker.ts"
export { foresee, judge, noteLoss, requireClosed } from "../sweep/Breaker.ts"
