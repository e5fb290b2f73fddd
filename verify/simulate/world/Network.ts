/**
 * The network between processes and the database or the store. Every request waits here until the simulator
 * decides its outcome: it works, it fails, its answer is lost, or it takes effect long after its sender
 * stopped waiting.
 *
 * A request takes effect in one synchronous step. So two requests of two processes are ordered and never
 * overlap. Other requests may take effect between any two requests of a process.
 */
import { Effect, Exit } from "effect"
import type * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import type * as Databases from "./Databases.ts"
import type { Process } from "./Process.ts"

/** Names a request. The compiler so finds a verb that was renamed and is still compared with its old name. */
export type Verb =
  | Databases.Verb
  | FaultyStorage.Operation
  | "pause"
  | "begin parts"
  | "complete parts"
  | "adopt without lock"
  | "host.commit"
  | "host.rollback"
  | "unannounced.look"
  | "unannounced.insert"
  | "unannounced.refer"

/** A request under way. */
export interface Request {
  readonly process: Process
  readonly verb: Verb
  readonly args: ReadonlyArray<unknown>
  /** Lets it take effect. May be called more than once, since networks repeat requests. */
  readonly execute: () => Exit.Exit<unknown, unknown>
  /** Wakes the sender. */
  readonly answer: (exit: Exit.Exit<unknown, unknown>) => void
  /** Holds the failure that the sender sees when no answer arrives: the outcome is unknown. */
  readonly unknown: Exit.Exit<never, unknown>
}

/** Identifies a request that has taken effect. */
export type Executed = Pick<Request, "process" | "verb" | "args">

/** Holds the requests under way. */
export interface Network {
  /** Requests whose senders wait. */
  readonly waiting: ReadonlyArray<Request>
  /** Removes a request from those that wait. */
  readonly take: (request: Request) => void
  /** Requests whose senders no longer wait, and which still take effect. */
  readonly late: Array<Request>
  /** Sends a request and waits for its outcome. */
  readonly send: <A, E, R>(
    process: Process,
    verb: Verb,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, E, R>,
    unknown: E
  ) => Effect.Effect<A, E, R>
  /** Makes every later request take effect at once. */
  readonly deliverAtOnce: () => void
}

/** Creates a network without requests. */
export const make = (options: {
  /** Runs the effect of a request, in one step. */
  readonly perform: <A, E>(effect: Effect.Effect<A, E>) => Exit.Exit<A, E>
  /** Is called after each effect. */
  readonly performed: (request: Executed, exit: Exit.Exit<unknown, unknown>) => void
  /** Returns whether a request that its sender withdraws is already on its way. */
  readonly isSent: () => boolean
}): Network => {
  const waiting: Array<Request> = []
  const late: Array<Request> = []
  let deliversAtOnce = false

  const take = (request: Request) => {
    waiting.splice(waiting.indexOf(request), 1)
  }

  const enqueue = <A, E>(
    process: Process,
    verb: Verb,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, E>,
    unknown: E
  ): Effect.Effect<A, E> =>
    Effect.callback<A, E>((resume) => {
      const execute = () => {
        const exit = options.perform(effect)
        options.performed({ process, verb, args }, exit)
        return exit
      }
      if (deliversAtOnce) return resume(execute())
      const request: Request = {
        process,
        verb,
        args,
        execute,
        answer: (exit) => resume(exit as Exit.Exit<A, E>),
        unknown: Exit.fail(unknown)
      }
      waiting.push(request)
      return Effect.sync(() => {
        if (!waiting.includes(request)) return
        take(request)
        if (verb !== "pause" && options.isSent()) late.push(request)
      })
    })

  return {
    waiting,
    take,
    late,
    send: (process, verb, args, effect, unknown) =>
      // The memory services need nothing of the sender's context, and bodies were read before.
      enqueue(process, verb, args, effect as Effect.Effect<never, never>, unknown as never),
    deliverAtOnce: () => {
      deliversAtOnce = true
    }
  }
}
