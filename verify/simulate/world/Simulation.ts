/**
 * The seeded simulation. The real sweep and the real blob store run in several processes on memory layers.
 * One number, the seed, decides the order of their requests and all faults. The invariants must hold after
 * every step. After faults have ended and days have passed, no garbage may be left and every referenced blob
 * must read back.
 *
 * ```ts
 * const { broken } = Simulation.run({ seed: 42 })
 * if (broken !== null) console.log(Simulation.run({ seed: 42, trace: true }).trace.join("\n"))
 * ```
 *
 * It is synchronous and depends on nothing but its options, so the same seed gives the same run.
 */
import * as Rngs from "../../../src/testing/simulation/Rng.ts"
import { playSeed, type Rng, type Scenario, type Shrunk } from "../../../src/testing/simulation/Simulation.ts"
import { actors } from "./Actors.ts"
import type { Mutation } from "./Mutation.ts"
import * as Parameters from "./Parameters.ts"
import * as SimulatedWorld from "./SimulatedWorld.ts"
import * as World from "./World.ts"

/** Selects a run. */
export interface Options {
  /** A whole number from 0. */
  readonly seed: number
  /**
   * About how many steps before faults end, default 200. Another number gives another run of the same seed.
   */
  readonly steps?: number
  /** True keeps a line for each step. Default false, which is faster. */
  readonly trace?: boolean
  /** Changes the parameters that the seed draws. */
  readonly world?: (parameters: Parameters.WorldParameters) => Parameters.WorldParameters
  /** Removes a protection, to show that the simulation notices. */
  readonly mutation?: () => Mutation
  /** Most runs that look for a shorter one after an invariant broke. Default 0. */
  readonly shrinkRuns?: number
}

/** Reports a run. */
export interface Outcome {
  readonly seed: number
  readonly steps: number
  /** The invariant that broke, or null. */
  readonly broken: string | null
  /** How often each event happened. */
  readonly counts: Readonly<Record<string, number>>
  readonly trace: ReadonlyArray<string>
  /** The shortest run that breaks the same invariant, or null if none was looked for. */
  readonly shrunk: Shrunk | null
}

/** Plays one world to its end, or to the first invariant that breaks. */
export const run = ({ seed, shrinkRuns = 0, trace = false, ...options }: Options): Outcome => {
  const outcome = playSeed(seed, (rng) => scenarioOf(rng, { seed, ...options }), { trace, shrinkRuns })
  const isBroken = outcome._tag === "Broken"
  return {
    seed,
    steps: isBroken ? outcome.step : outcome.steps,
    broken: isBroken ? outcome.message : null,
    counts: outcome.counts,
    trace: outcome.trace,
    shrunk: isBroken ? outcome.shrunk : null
  }
}

/** Tells the numbers for external writers from those of a run with the same seed. */
const externalSeed = 2 ** 44

const scenarioOf = (
  rng: Rng,
  {
    mutation = () => ({}),
    seed,
    steps = 200,
    world: changed
  }: Pick<Options, "seed" | "steps" | "mutation" | "world">
): Scenario<World.Services> => {
  const drawn = Parameters.withExternal(Parameters.draw(rng, steps), Rngs.make(seed + externalSeed))
  const parameters = changed === undefined ? drawn : changed(drawn)
  const made: { world: World.World | null } = { world: null }
  return {
    actors: actors(parameters, made),
    steps: parameters.steps,
    faults: Parameters.faultsOf(parameters),
    world: (simulator) => {
      const world = World.make(simulator, parameters, mutation())
      made.world = world
      return SimulatedWorld.make(world)
    }
  }
}
