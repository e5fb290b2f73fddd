/**
 * What a simulation plays: actors, the services that they share, what must hold, and what must be left when
 * faults have ended.
 */
import type { Context, Effect, Exit } from "effect"
import type { Executed } from "./Network.ts"
import type { Process } from "./Process.ts"

/** A kind of process. */
export interface Actor<R = never> {
  /** Names the actor in traces; its processes have numbers beside it. */
  readonly name: string
  /** How many processes of it run at a time. Another one starts where one was killed. */
  readonly count: number
  /** Returns the work of a process, which the process repeats for as long as it runs. */
  readonly work: (process: Process) => Effect.Effect<unknown, unknown, R>
  /** True if `collectorFirst` is about its processes. Default: an actor named `collector`. */
  readonly isCollector?: boolean
  /** Most steps for which a process is paused after an answer on which it acts next. Default 40. */
  readonly pauseStepsMax?: number
}

/** Returns in words what is broken, or null. */
export type Check = () => string | null

/** Something that must hold after every step. */
export interface Invariant {
  readonly name: string
  readonly check: Check
}

/** Something that happens to the world beside the faults of processes and requests. */
export interface Event {
  /** Of a step: the event happens. 0 asks for no choice. */
  readonly rate: () => number
  readonly happen: () => void
}

/** The end of a run: faults have ended, no request is under way, and days pass. */
export interface Closing<R> {
  /** Is called before the first day. */
  readonly prepare?: () => void
  /** What happens once a day. Its answer is in the trace. */
  readonly day: Effect.Effect<unknown, unknown, R>
  /** Most days. */
  readonly daysMax: number
  /** Returns in words what is left and should not be, or null. Days end as soon as it returns null. */
  readonly left: Check
  /** Is asked last. Returns in words what is broken, or null. */
  readonly last: Effect.Effect<string | null, unknown, R>
}

/** The shared part of a simulation, and how its processes reach it. */
export interface World<R> {
  /** Returns the services of a process. Each of its requests waits in the network. */
  readonly services: (process: Process) => Context.Context<R>
  /** Runs the repeated work of a process, e.g. with services that live as long as the process. */
  readonly around?: (
    process: Process,
    life: Effect.Effect<never, unknown, R>
  ) => Effect.Effect<never, unknown, R>
  readonly invariants: ReadonlyArray<Invariant>
  readonly closing: Closing<R>
  readonly events?: ReadonlyArray<Event>
  /** Is called at the beginning of each step. */
  readonly beforeStep?: () => void
  /** Is called after the effect of each request. */
  readonly performed?: (request: Executed, exit: Exit.Exit<unknown, unknown>) => void
  /** Is called after the effect of a request whose sender no longer waits. */
  readonly executedLate?: (request: Executed) => void
  /** Is called when a process has ended or was killed. */
  readonly ended?: (process: Process) => void
  /** Makes lines of the trace shorter. */
  readonly shorten?: (text: string) => string
}
