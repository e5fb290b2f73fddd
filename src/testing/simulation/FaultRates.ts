/** How often which fault happens in a simulation. */

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
  /** Of a request: it has another outcome than success. Default 0.03. */
  readonly requests: number
  /** What such a request suffers. */
  readonly outcomes: FaultOutcomes
  /** Of a step: a process is killed between two of its requests. Half as often one is asked to end. Default 0.01. */
  readonly kills: number
  /** Of a step: a process is paused, as its machine may be. Default 0.01. */
  readonly pauses: number
  /** Of an answer on which a process acts next: its receiver is paused before. Default 0.2. */
  readonly pausesAfterRead: number
  /** Of a step: time leaps by up to hours. Default 0.05. */
  readonly leaps: number
  /** Of a step: the clock of a process is displaced. Default 0. */
  readonly skews: number
  /** By how much displaced clocks differ from each other at most, in milliseconds. Default 0. */
  readonly skewMillis: number
  /** Of a process: its clock is off by minutes or hours. Default 0. */
  readonly wrongClocks: number
  /** Of a step, while requests are late: one of them takes effect. Default 0.02. */
  readonly lateEffects: number
  /**
   * Of a request: the next one is of the same process, if it has one. Default 0.8. With equal chances no sweep
   * would end while writers wait.
   */
  readonly sameProcess: number
  /** Of a request: a collector's is chosen, if one waits. Default 0.3. */
  readonly collectorFirst: number
}

/** The rates of a simulation that names none. */
export const defaults: FaultRates = {
  requests: 0.03,
  outcomes: { fails: 1, answerLost: 1, late: 1, twice: 1, refused: 2 },
  kills: 0.01,
  pauses: 0.01,
  pausesAfterRead: 0.2,
  leaps: 0.05,
  skews: 0,
  skewMillis: 0,
  wrongClocks: 0,
  lateEffects: 0.02,
  sameProcess: 0.8,
  collectorFirst: 0.3
}

/** Rates without any fault: requests work, and processes only take turns. */
export const none: FaultRates = {
  ...defaults,
  requests: 0,
  kills: 0,
  pauses: 0,
  pausesAfterRead: 0,
  lateEffects: 0
}
