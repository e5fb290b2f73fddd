/**
 * The network between processes and the services that they share: the database, the store, and a host's own.
 * Every request waits here until the simulator decides its outcome: it works, it fails, its answer is lost, or
 * it takes effect long after its sender stopped waiting.
 *
 * A request takes effect in one synchronous step. So two requests of two processes are ordered and never
 * overlap. Other requests may take effect between any two requests of a process.
 */
import { Effect, Exit } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Process } from "./Process.ts"

/** What a network may do to a request beside losing it. */
export interface Traits {
  /** True if a network or a client may send the request twice. */
  readonly isRepeatable?: boolean
  /** True if the process often waits between the answer and its next request. */
  readonly isReadThenAct?: boolean
  /** How much more often than others the request fails. Default 1. */
  readonly faultFactor?: number
  /** The keys that a request deletes; the store may refuse some of them. */
  readonly keys?: ReadonlyArray<ObjectKey>
}

/** A request under way. */
export interface Request {
  readonly process: Process
  /** Names the service and its method. */
  readonly verb: string
  readonly args: ReadonlyArray<unknown>
  readonly traits: Traits
  /** Lets it take effect. May be called more than once, since networks repeat requests. */
  readonly execute: () => Exit.Exit<unknown, unknown>
  /** Wakes the sender. */
  readonly answer: (exit: Exit.Exit<unknown, unknown>) => void
  /**
   * Holds the failure that the sender sees when no answer arrives: the outcome is unknown. Null for a request
   * that always works.
   */
  readonly unknown: Exit.Exit<never, unknown> | null
}

/** Identifies a request that has taken effect. */
export type Executed = Pick<Request, "process" | "verb" | "args">

/** Describes a request that is sent. */
export interface Sending<A, E> {
  readonly process: Process
  readonly verb: string
  readonly args: ReadonlyArray<unknown>
  /** The work of the server. */
  readonly effect: Effect.Effect<A, E>
  /** The failure that the sender sees when no answer arrives. Absent: the request always works. */
  readonly unknown?: E
  readonly traits?: Traits
}

/** Holds the requests under way. */
export interface Network {
  /** Requests whose senders wait. */
  readonly waiting: ReadonlyArray<Request>
  /** Removes a request from those that wait. */
  readonly take: (request: Request) => void
  /** Requests whose senders no longer wait, and which still take effect. */
  readonly late: Array<Request>
  /** Sends a request and waits for its outcome. */
  readonly send: <A, E>(sending: Sending<A, E>) => Effect.Effect<A, E>
  /** Waits until the simulator chooses the process again. */
  readonly pause: (process: Process) => Effect.Effect<void>
  /** Makes every later request take effect at once. */
  readonly deliverAtOnce: () => void
}

/** The verb of a request that only waits for its turn. */
export const pause = "pause"

/** Creates a network without requests. */
export const make = (options: {
  /** Runs the effect of a request, in one step. */
  readonly perform: <A, E>(effect: Effect.Effect<A, E>) => Exit.Exit<A, E>
  /** Is called after each effect. */
  readonly performed: (request: Executed, exit: Exit.Exit<unknown, unknown>) => void
  /** Returns the traits of a request that names none. */
  readonly traitsOf: (verb: string, args: ReadonlyArray<unknown>) => Traits
}): Network => {
  const waiting: Array<Request> = []
  const late: Array<Request> = []
  let deliversAtOnce = false

  const take = (request: Request) => {
    const at = waiting.indexOf(request)
    if (at !== -1) waiting.splice(at, 1)
  }

  const send = <A, E>(sending: Sending<A, E>): Effect.Effect<A, E> =>
    Effect.callback<A, E>((resume) => {
      const { args, effect, process, verb } = sending
      const execute = () => {
        const exit = options.perform(effect)
        options.performed({ process, verb, args }, exit)
        return exit
      }
      if (deliversAtOnce) return resume(execute())
      // A fiber of a dead process, which another process woke, reaches no server.
      if (process.state === "ended") return
      const request: Request = {
        process,
        verb,
        args,
        traits: sending.traits ?? options.traitsOf(verb, args),
        execute,
        answer: (exit) => resume(exit as Exit.Exit<A, E>),
        unknown: sending.unknown === undefined ? null : Exit.fail(sending.unknown)
      }
      waiting.push(request)
      return Effect.sync(() => {
        if (!waiting.includes(request)) return
        take(request)
        // The request may be on its way already when its sender withdraws it.
        if (verb !== pause && process.rng.chance(0.5)) late.push(request)
      })
    })

  return {
    waiting,
    take,
    late,
    send,
    pause: (process) => send({ process, verb: pause, args: [], effect: Effect.void }),
    deliverAtOnce: () => {
      deliversAtOnce = true
    }
  }
}
