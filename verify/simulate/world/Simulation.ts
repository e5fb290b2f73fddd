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
import * as Delivery from "./Delivery.ts"
import * as Events from "./Events.ts"
import type { Mutation } from "./Mutation.ts"
import * as Parameters from "./Parameters.ts"
import * as Processes from "./Processes.ts"
import * as Quiesce from "./Quiesce.ts"
import * as Rng from "./Rng.ts"
import * as Trace from "./Trace.ts"
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
  readonly mutation?: Mutation
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
}

/** Plays one world to its end, or to the first invariant that breaks. */
export const run = (options: Options): Outcome => {
  // Stack traces, which no caller reads, would take half of the time.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return play(options)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const play = ({ seed, steps = 200, trace = false, mutation = {}, world: changed }: Options): Outcome => {
  const rng = Rng.make(seed)
  const drawn = Parameters.draw(rng, steps)
  const world = World.make(rng, changed === undefined ? drawn : changed(drawn), mutation)
  const log = trace ? Trace.make() : Trace.silent
  const processes = Processes.make(world, log)
  const delivery = Delivery.make(world, processes)
  const broken = Events.run(world, processes, delivery) ?? Quiesce.run(world, processes, delivery)
  if (broken !== null) processes.note(null, () => `BROKEN: ${broken}`)
  return {
    seed,
    steps: processes.step,
    broken: broken === null ? null : Trace.short(broken),
    counts: world.counts,
    trace: log.lines
  }
}
