/** How a simulation ended. */
import { drawn, recorded } from "./Choices.ts"
import { type Draw, play } from "./Play.ts"
import { type Shrunk, shrink } from "./Shrink.ts"

/** No invariant broke. */
export interface Held {
  readonly _tag: "Held"
  /** Replays the run. */
  readonly seed: number
  /** Number of steps, with those after the end of faults. */
  readonly steps: number
  /** How often each event happened. */
  readonly counts: Readonly<Record<string, number>>
  /** A line for each step, or none if they were not asked for. */
  readonly trace: ReadonlyArray<string>
}

/** An invariant broke. */
export interface Broken {
  readonly _tag: "Broken"
  /** Replays the run. */
  readonly seed: number
  /** The step at which it broke. */
  readonly step: number
  /** Name of the invariant. */
  readonly invariant: string
  /** What is broken, in words. */
  readonly message: string
  /** How often each event happened. */
  readonly counts: Readonly<Record<string, number>>
  /** A line for each step, or none if neither they nor a shorter run were asked for. */
  readonly trace: ReadonlyArray<string>
  /** The shortest run that breaks the same invariant, or null if none was asked for. */
  readonly shrunk: Shrunk | null
}

/** How a simulation ended. */
export type Outcome = Held | Broken

/** Selects what is kept of a run. */
export interface PlayOptions {
  /** True keeps a line for each step. Default false, which is faster; a broken run that is shortened has one. */
  readonly trace?: boolean
  /** Most runs that look for a shorter one after an invariant broke. Default 300. 0 looks for none. */
  readonly shrinkRuns?: number
}

/**
 * Plays the scenario that is drawn from a seed. Synchronous, and a function of its arguments: the same seed
 * gives the same outcome.
 */
export const playSeed = <R>(seed: number, draw: Draw<R>, options: PlayOptions = {}): Outcome => {
  const { shrinkRuns = 300, trace = false } = options
  const { broken, isAtEnd, ...played } = play(drawn(seed), draw, { isTraced: trace })
  if (broken === null) return { _tag: "Held", seed, ...played }
  const { counts, steps } = played
  const found = { _tag: "Broken", seed, step: steps, ...broken, counts } as const
  if (shrinkRuns === 0) return { ...found, trace: played.trace, shrunk: null }
  const choices = recorded(seed)
  const again = play(choices, draw, { isTraced: true })
  return {
    ...found,
    trace: again.trace,
    shrunk: shrink(draw, { tape: choices.tape(), invariant: broken.invariant, isAtEnd }, shrinkRuns)
  }
}
