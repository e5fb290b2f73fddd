/**
 * How often which fault happens in a simulation. Rates that are not given are drawn from the seed: worlds with
 * few kinds of faults meet more often what these kinds do to each other.
 */
import type { Rng } from "./Rng.ts"

/** What happens to a request that does not simply work, by weight. */
export interface FaultOutcomes {
  /** It fails without effect. Default 1. */
  readonly fails: number
  /** It takes effect, and its answer is lost. Default 1. */
  readonly answerLost: number
  /** It gets no answer, and takes effect many steps later, perhaps after its sender died. Default 1. */
  readonly late: number
  /** It works, and takes effect once more later. Only for requests that a client may repeat. Default 1. */
  readonly twice: number
  /** The store refuses one of several keys. Only for deletes. Default 2. */
  readonly refused: number
}

/** Rates of faults. All are probabilities, unless they name another unit. */
export interface FaultRates {
  /** Of a request: it has another outcome than success. Default 0, 0.01, 0.03 or 0.08. */
  readonly requests: number
  /** What such a request suffers. */
  readonly outcomes: FaultOutcomes
  /**
   * Of a step: a process is killed between two of its requests. Half as often one is asked to end. Default 0 or
   * a third of `requests`.
   */
  readonly kills: number
  /** Of a step: a process is paused for up to 65 steps, as its machine may be. Default 0, 0.01 or 0.05. */
  readonly pauses: number
  /**
   * Of an answer on which a process acts next: its receiver is paused before. Default 0, 0.2, 0.5 or 0.8. Of
   * `Simulation.pause`, too, which then lasts for up to 300 steps.
   */
  readonly pausesAfterRead: number
  /** Of a step: time leaps by 5 seconds to 4.5 hours. Default 0.02, 0.05 or 0.15. */
  readonly leaps: number
  /** Of a step: the clock of a process is displaced. Default 0 or 0.01. */
  readonly skews: number
  /**
   * By how much displaced clocks differ from each other at most, in milliseconds. Default 15 seconds, which is
   * a quarter of what the clock guard tolerates.
   */
  readonly skewMillis: number
  /** Of a process: its clock is off by minutes or hours. Default 0: such a host breaks its own promises. */
  readonly wrongClocks: number
  /** Of a step, while requests are late: one of them takes effect. Default 0.004, 0.02 or 0.1. */
  readonly lateEffects: number
  /**
   * Of a request: the next one is of the same process, if it has one. Default 0, 0.5, 0.8 or 0.95. With equal
   * chances no sweep would end while writers wait.
   */
  readonly sameProcess: number
  /** Of a request: a collector's is chosen, if one waits. Default 0, 0.3 or 0.6. */
  readonly collectorFirst: number
}

/** The weights of a simulation that names none. */
export const outcomes: FaultOutcomes = { fails: 1, answerLost: 1, late: 1, twice: 1, refused: 2 }

/** Rates without any fault: requests work, processes take turns, and time leaps. */
export const none: FaultRates = {
  requests: 0,
  outcomes,
  kills: 0,
  pauses: 0,
  pausesAfterRead: 0,
  leaps: 0.05,
  skews: 0,
  skewMillis: 0,
  wrongClocks: 0,
  lateEffects: 0,
  sameProcess: 0.8,
  collectorFirst: 0.3
}

/** Draws the rates that are not given. */
export const draw = (rng: Rng, given: Partial<FaultRates>): FaultRates => {
  const requests = rng.pick([0, 0.01, 0.03, 0.08])
  return {
    requests,
    outcomes,
    kills: rng.pick([0, requests / 3]),
    pauses: rng.pick([0, 0.01, 0.05]),
    pausesAfterRead: rng.pick([0, 0.2, 0.5, 0.8]),
    leaps: rng.pick([0.02, 0.05, 0.15]),
    skews: rng.pick([0, 0.01]),
    skewMillis: 15_000,
    wrongClocks: 0,
    lateEffects: rng.pick([0.004, 0.02, 0.1]),
    sameProcess: rng.pick([0, 0.5, 0.8, 0.95]),
    collectorFirst: rng.pick([0, 0.3, 0.6]),
    ...given
  }
}
