/**
 * The seeded simulation: the real sweep and the real blob store, in several processes, over memory, in an order and
 * with accidents that one number decides. After every step the invariants must hold; in the end, when nothing fails
 * any more and time has passed, nothing may be left over and everything must read back.
 *
 * ```ts
 * const { broken } = Simulation.run({ seed: 42 })
 * if (broken !== null) console.log(Simulation.run({ seed: 42, trace: true }).trace.join("\n"))
 * ```
 *
 * It is synchronous and knows nothing but its options, so the same seed gives the same run.
 */
import * as Chaos from "./Chaos.ts"
import * as Plan from "./Plan.ts"
import * as Crew from "./Processes.ts"
import * as Rest from "./Quiesce.ts"
import * as Requests from "./Requests.ts"
import * as Dice from "./Rng.ts"
import * as Trace from "./Trace.ts"
import * as World from "./World.ts"

export type { Reached, Tampering } from "./World.ts"

export interface Options {
  /** A whole number from 0. */
  readonly seed: number
  /** About how many steps before faults end. Default 200; another number makes another run of the same seed. */
  readonly steps?: number
  /** Keeps a line for each step. Default false, which is faster. */
  readonly trace?: boolean
  /** Takes a protection away, to see that it is missed. */
  readonly tampering?: World.Tampering
}

export interface Outcome {
  readonly seed: number
  readonly steps: number
  /** What went wrong; null when nothing did. */
  readonly broken: string | null
  /** How often what happened, by name. */
  readonly counts: Readonly<Record<string, number>>
  readonly trace: ReadonlyArray<string>
}

/** Plays one world to its end, or to the first thing that is wrong. */
export const run = (options: Options): Outcome => {
  // Half of the time would go into stack traces that nobody reads.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return play(options)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const play = ({ seed, steps = 200, trace = false, tampering = {} }: Options): Outcome => {
  const dice = Dice.make(seed)
  const world = World.make(dice, Plan.draw(dice, steps), tampering)
  const log = trace ? Trace.make() : Trace.silent
  const crew = Crew.make(world, log)
  const requests = Requests.make(world, crew)
  const broken = Chaos.run(world, crew, requests) ?? Rest.run(world, crew, requests)
  if (broken !== null) crew.note(null, () => `BROKEN: ${broken}`)
  return {
    seed,
    steps: crew.step,
    broken: broken === null ? null : Trace.short(broken),
    counts: world.counts,
    trace: log.lines
  }
}
