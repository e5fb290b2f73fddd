/** Plays a scenario once, with given choices. */
import type { Choices } from "./Choices.ts"
import * as Events from "./Events.ts"
import type { FaultRates } from "./FaultRates.ts"
import * as Kernel from "./Kernel.ts"
import * as Quiesce from "./Quiesce.ts"
import type { Rng } from "./Rng.ts"
import * as Simulator from "./Simulator.ts"
import { withTimes } from "./Trace.ts"
import type { Actor, World } from "./World.ts"

/** What a seed plays. */
export interface Scenario<R> {
  readonly actors: ReadonlyArray<Actor<R>>
  /** Number of steps before faults end. */
  readonly steps: number
  readonly faults: FaultRates
  /** Makes the shared part. Each run needs its own. */
  readonly world: (simulator: Simulator.Simulator) => World<R>
}

/** Draws a scenario. */
export type Draw<R> = (rng: Rng) => Scenario<R>

/** Selects what is kept of a run, and where it ends. */
export interface PlayedOptions {
  /** True keeps a line for each step. */
  readonly isTraced: boolean
  /** True ends the run with its faults, for a search after what broke before. */
  readonly endsWithFaults?: boolean
}

/** Reports one run. */
export interface Played {
  readonly steps: number
  /** The invariant that broke, or null. */
  readonly broken: Kernel.Broken | null
  /** True if faults had ended when it broke. */
  readonly isAtEnd: boolean
  /** How often each event happened. */
  readonly counts: Readonly<Record<string, number>>
  /** A line for each step, or none if they are not asked for. */
  readonly trace: ReadonlyArray<string>
}

/** Plays to the end, or to the first invariant that breaks. */
export const play = <R>(choices: Choices, draw: Draw<R>, options: PlayedOptions): Played => {
  // Stack traces, which no caller reads, would take half of the time.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return playScenario(choices, draw(choices.scenario), options)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const playScenario = <R>(
  choices: Choices,
  scenario: Scenario<R>,
  { endsWithFaults = false, isTraced }: PlayedOptions
): Played => {
  let world: World<R> | null = null
  const present = (): World<R> => {
    if (world === null) throw new Error("the world of the simulation is used before it is made")
    return world
  }
  const { kernel, trace } = Kernel.make({ choices, faults: scenario.faults, hooks: present, isTraced })
  const simulator = Simulator.make(kernel, scenario.actors, present)
  const made = scenario.world(simulator)
  world = made
  const early = Events.run(simulator, made, scenario.steps)
  const broken = early ?? (endsWithFaults ? null : Quiesce.run(simulator, made))
  if (broken !== null) simulator.note(null, () => `BROKEN: ${broken.message}`)
  const shorten = made.shorten ?? ((text: string) => text)
  return {
    steps: simulator.step,
    broken: broken === null ? null : { ...broken, message: withTimes(shorten(broken.message)) },
    isAtEnd: early === null,
    counts: simulator.counts,
    trace: trace.lines
  }
}
