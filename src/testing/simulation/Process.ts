/** A process of the simulated world: the unit that crashes. */
import type { Fiber } from "effect"
import type { Rng } from "./Rng.ts"

/** Holds the state of one process. */
export interface Process {
  /** The name of its actor and a number, e.g. `writer 2`. */
  readonly name: string
  /** The name of its actor. */
  readonly role: string
  /** Whether it sweeps. Its actor is `Simulation.collector`. */
  readonly isCollector: boolean
  /** The random numbers of this process alone. */
  readonly rng: Rng
  /** Milliseconds by which its clock is ahead of the world's time. */
  aheadMillis: number
  /** True if the clock is off by so much that no collector may delete by it. */
  readonly hasWrongClock: boolean
  /** Most steps for which it is paused after an answer on which it acts next. */
  readonly pauseStepsMax: number
  /** The process does not run before this step, as if its machine was paused. */
  pausedUntil: number
  /** What it does at the moment. */
  state: "running" | "ending" | "ended"
  /** True once faults have ended and the process has no work in hand. */
  isIdle: boolean
  /** Its fiber; null while it has none. */
  fiber: Fiber.Fiber<unknown, unknown> | null
  /** Called when the process is killed, e.g. to close its connections later. Null is nothing. */
  onKill: (() => void) | null
}

/** Creates a process that has not started. */
export const make = (
  name: string,
  role: string,
  rng: Rng,
  {
    isCollector = role === "collector",
    pauseStepsMax = 40,
    wrongByMillis = 0
  }: { readonly isCollector?: boolean; readonly pauseStepsMax?: number; readonly wrongByMillis?: number } = {}
): Process => ({
  name,
  role,
  isCollector,
  rng,
  aheadMillis: wrongByMillis,
  hasWrongClock: wrongByMillis !== 0,
  pauseStepsMax,
  pausedUntil: 0,
  state: "running",
  isIdle: false,
  fiber: null,
  onKill: null
})
