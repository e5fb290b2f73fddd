/** The parameters of a world, drawn from its seed: processes, waits, page sizes, and how often what fails. */
import { Duration } from "effect"
import { defaultSettings, type SweepSettings } from "../../../src/sweep/Settings.ts"
import { type FaultRates, faultOutcomes, type Rng } from "../../../src/testing/simulation/Simulation.ts"
import { type Bucket, draw as drawBucket } from "./Buckets.ts"

/** Names what a process does. */
export type Role =
  | "writer"
  | "collector"
  | "deleter"
  | "reader"
  | "stager"
  | "operator"
  | "host"
  | "pusher"
  | "retagger"
  | "unannounced"
  | "external"

/** Describes a world. All rates are probabilities. */
export interface WorldParameters {
  /** Number of different contents. Few, so that all processes want the same ones. */
  readonly contents: number
  /** Number of processes by role. */
  readonly processes: Readonly<Record<Role, number>>
  /** Number of steps before faults end. */
  readonly steps: number
  /** Settings of every collector. */
  readonly settings: Partial<SweepSettings>
  /** True if losses of references are recorded, from the beginning. */
  readonly watched: boolean
  readonly uploadLease: Duration.Duration
  /** How long a repository holds a blob to which no manifest refers. */
  readonly hold: Duration.Duration
  /** Of a request: it has another outcome than success. */
  readonly faults: number
  /** Of a step: a process is killed. */
  readonly kills: number
  /** Of a step: a process is paused. */
  readonly pauses: number
  /** Of a step: time leaps. */
  readonly leaps: number
  /** Of a step: a clock is displaced. */
  readonly skews: number
  /** Of a step, while requests are late: one of them takes effect. */
  readonly lateEffects: number
  /** Of a request: the next one is of the same process, if it has one. */
  readonly sameProcess: number
  /** Of a request: a collector's is chosen, if one waits. */
  readonly collectorFirst: number
  /** Of an answer to a read: its receiver is paused before it can act on it. */
  readonly pausesAfterRead: number
  /** Of a process: its clock is off by minutes or hours. */
  readonly wrongClocks: number
  /** Of a step: the database server crashes. */
  readonly crashes: number
  /** The step at which the database is backed up, or 0. */
  readonly backupAt: number
  /** The step at which it is restored from that backup, or 0. */
  readonly restoreAt: number
  /** Of a step: an object is locked against deletion until faults end. */
  readonly locks: number
  /** Of a step: the store where external writers keep their references has an outage. */
  readonly outages: number
  readonly bucket: Bucket
  /** By how much the other clocks differ from each other at most. */
  readonly skewMillis: number
}

const minutes = Duration.minutes

/** Worlds with few roles meet more often what these roles do to each other. */
const kinds = [
  ...([
    "plain",
    "plain",
    "plain",
    "plain",
    "plain",
    "hosts",
    "hosts",
    "registry",
    "registry",
    "registry"
  ] as const),
  ...(["unannounced", "unannounced", "restored", "all"] as const)
]

/**
 * Draws the parameters of a world.
 *
 * Waits are often zero, since no proof may rest on them. Pages and batches are small: what is one request for
 * a small catalogue becomes several.
 */
export const draw = (rng: Rng, steps: number): WorldParameters => {
  const hasNoWaits = rng.chance(0.6)
  const wait = () => (hasNoWaits ? Duration.zero : rng.pick([Duration.zero, minutes(10), minutes(60)]))
  const faults = rng.pick([0, 0.01, 0.03, 0.08])
  const contents = rng.pick([1, 1, 1, 2, 2, 3, 4])
  const kind = rng.pick(kinds)
  const isRegistry = kind === "registry"
  const stepsMax = Math.ceil(steps * (kind === "plain" || kind === "hosts" ? 1 : 1.3) * (0.5 + rng.next()))
  const isRestored = kind === "restored"
  const isUnannounced = kind === "unannounced"
  const bucket = drawBucket(rng)
  return {
    contents,
    processes: {
      writer: isRegistry || isUnannounced ? rng.pick([0, 0, 1]) : 1 + rng.below(3),
      collector: isRegistry ? rng.pick([1, 1, 2]) : rng.pick([1, 2, 2, 3]),
      deleter: isRegistry ? 0 : rng.pick([1, 1, 2]),
      reader: isRegistry ? 0 : rng.below(2),
      stager: isRegistry ? 0 : rng.below(2),
      operator: rng.below(2),
      host: kind === "hosts" || kind === "all" ? 1 + rng.below(2) : 0,
      pusher: isRegistry ? 1 + rng.below(2) : kind === "all" ? 1 : 0,
      retagger: isRegistry || kind === "all" ? 1 : 0,
      unannounced: isUnannounced ? 1 + rng.below(2) : kind === "all" ? 1 : 0,
      external: 0
    },
    steps: stepsMax,
    settings: {
      grace: wait(),
      quarantine: wait(),
      deleteDelay: rng.pick([Duration.zero, Duration.zero, minutes(10)]),
      unannouncedWriters: isUnannounced || kind === "all" ? "guarded" : "none",
      writerPatience: rng.pick([null, minutes(2), minutes(30)]),
      untaggedGrace: hasNoWaits ? Duration.zero : minutes(30),
      uploadGrace: minutes(60),
      leftoverEvery: rng.pick([Duration.zero, minutes(30)]),
      leftoverCutFrom: contents > 2 ? 0 : defaultSettings.leftoverCutFrom,
      leftoverGrace: wait(),
      lease: minutes(5),
      scanEvery: rng.pick([minutes(60), Duration.days(7)]),
      scanPage: rng.pick([1, 2, 1000]),
      batchMax: rng.pick([1, 2, 1000]),
      maxDuration: minutes(600),
      deleteConcurrency: rng.pick([1, 2]),
      attemptsMax: rng.pick([2, 12]),
      breakerBlobs: rng.pick([1000, 1000, 1000, 1000, 1, 0]),
      breakerPercent: rng.pick([20, 60]),
      clockTolerance: defaultSettings.clockTolerance
    },
    bucket,
    watched: rng.chance(0.4),
    hold: rng.pick([minutes(10), minutes(60)]),
    uploadLease: rng.pick([minutes(2), minutes(60)]),
    faults,
    kills: rng.pick([0, faults / 3]),
    pauses: rng.pick([0, 0.01, 0.05]),
    leaps: rng.pick([0.02, 0.05, 0.15]),
    sameProcess: rng.pick([0, 0.5, 0.8, 0.95]),
    collectorFirst: rng.pick([0, 0.3, 0.6]),
    lateEffects: rng.pick([0.004, 0.02, 0.1]),
    pausesAfterRead: rng.pick([0, 0.2, 0.5, 0.8]),
    skews: rng.pick([0, 0.01]),
    backupAt: isRestored ? Math.ceil(stepsMax * rng.pick([0.2, 0.4])) : 0,
    restoreAt: isRestored ? Math.ceil(stepsMax * rng.pick([0.5, 0.7])) : 0,
    crashes: rng.pick([0, 0, faults / 5]),
    locks: bucket === "versions" ? rng.pick([0, 0.02]) : 0,
    outages: 0,
    wrongClocks: rng.pick([0, 0, 0, 0, 0.2]),
    skewMillis: rng.pick([0, Duration.toMillis(defaultSettings.clockTolerance) / 4])
  }
}

/**
 * Adds external writers to some worlds. `rng` is not that of the run: so a seed without external writers plays what it
 * played before they existed.
 */
export const withExternal = (parameters: WorldParameters, rng: Rng): WorldParameters => {
  if (!rng.chance(0.15)) return parameters
  return {
    ...parameters,
    processes: { ...parameters.processes, external: 1 + rng.below(2) },
    outages: rng.pick([0, 0.01, 0.03])
  }
}

/** Returns the rates of the faults that every simulation has. */
export const faultsOf = (parameters: WorldParameters): FaultRates => ({
  requests: parameters.faults,
  outcomes: faultOutcomes,
  kills: parameters.kills,
  pauses: parameters.pauses,
  pausesAfterRead: parameters.pausesAfterRead,
  leaps: parameters.leaps,
  skews: parameters.skews,
  skewMillis: parameters.skewMillis,
  wrongClocks: parameters.wrongClocks,
  lateEffects: parameters.lateEffects,
  sameProcess: parameters.sameProcess,
  collectorFirst: parameters.collectorFirst
})
