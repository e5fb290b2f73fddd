/** What kind of world a seed makes: how many take part, how long waits are, how much goes wrong. */
import { Duration } from "effect"
import { defaultSettings, type SweepSettings } from "../../../src/sweep/Settings.ts"
import type { Role } from "./Actors.ts"
import type { Dice } from "./Rng.ts"

export interface Plan {
  /** Blobs of different content. Few, so that everybody wants the same ones. */
  readonly contents: number
  /** Processes by their role. */
  readonly crew: Readonly<Record<Role, number>>
  /** Steps before faults end and the world comes to rest. */
  readonly steps: number
  readonly settings: Partial<SweepSettings>
  /** Losses of references are noted, from the beginning. */
  readonly watched: boolean
  readonly uploadLease: Duration.Duration
  /** Of a request: that something becomes of it other than success. */
  readonly faults: number
  /** Of a step: that it is a process's end, a machine's pause, a leap of time, a displaced clock. */
  readonly kills: number
  readonly stalls: number
  readonly leaps: number
  readonly skews: number
  /** Of a step, when requests are on their way that nobody waits for: that one of them takes effect. */
  readonly landings: number
  /** Of a request: that the next one is of the same process, if it has one. */
  readonly persistence: number
  /** Of a request: that it is a collector's, if one has any. */
  readonly diligence: number
  /** Of an answer: that whoever got it is paused before it can act on it. */
  readonly malice: number
  /** Of a process: that its clock is off by minutes or hours. */
  readonly wrongClocks: number
  /** How far the other clocks differ from each other at most. */
  readonly skewMillis: number
}

const minutes = Duration.minutes

/**
 * Waits are sometimes nothing at all, since nothing may rest on them, and pages and batches are small, so that what
 * is done in one request in a small world is done in several here.
 */
export const draw = (dice: Dice, steps: number): Plan => {
  const hasty = dice.chance(0.6)
  const wait = () => (hasty ? Duration.zero : dice.pick([Duration.zero, minutes(10), minutes(60)]))
  const rough = dice.pick([0, 0.01, 0.03, 0.08])
  const contents = dice.pick([1, 1, 1, 2, 2, 3, 4])
  return {
    contents,
    crew: {
      writer: 1 + dice.below(3),
      collector: dice.pick([1, 2, 2, 3]),
      deleter: dice.pick([1, 1, 2]),
      reader: dice.below(2),
      stager: dice.below(2),
      operator: dice.below(2)
    },
    steps: Math.ceil(steps * (0.5 + dice.next())),
    settings: {
      grace: wait(),
      quarantine: wait(),
      deleteDelay: dice.pick([Duration.zero, Duration.zero, minutes(10)]),
      uploadGrace: minutes(60),
      leftoverEvery: dice.pick([Duration.zero, minutes(30)]),
      leftoverCutFrom: contents > 2 ? 0 : defaultSettings.leftoverCutFrom,
      leftoverGrace: wait(),
      lease: minutes(5),
      scanEvery: dice.pick([minutes(60), Duration.days(7)]),
      scanPage: dice.pick([1, 2, 1000]),
      batchMax: dice.pick([1, 2, 1000]),
      maxDuration: minutes(600),
      deleteConcurrency: dice.pick([1, 2]),
      attemptsMax: dice.pick([2, 12]),
      breakerBlobs: dice.pick([1000, 1000, 1000, 1000, 1, 0]),
      breakerPercent: dice.pick([20, 60]),
      clockTolerance: defaultSettings.clockTolerance
    },
    watched: dice.chance(0.4),
    uploadLease: dice.pick([minutes(2), minutes(60)]),
    faults: rough,
    kills: dice.pick([0, rough / 3]),
    stalls: dice.pick([0, 0.01, 0.05]),
    leaps: dice.pick([0.02, 0.05, 0.15]),
    persistence: dice.pick([0, 0.5, 0.8, 0.95]),
    diligence: dice.pick([0, 0.3, 0.6]),
    landings: dice.pick([0.02, 0.1]),
    malice: dice.pick([0, 0.2, 0.5, 0.8]),
    skews: dice.pick([0, 0.01]),
    wrongClocks: dice.pick([0, 0, 0, 0, 0.2]),
    skewMillis: dice.pick([0, Duration.toMillis(defaultSettings.clockTolerance) / 4])
  }
}
