/**
 * Where every request to the database and the store waits until the simulator lets it happen, and where its fate is
 * decided: that it works, fails, works and fails to answer, or works long after everybody stopped waiting for it.
 *
 * A request takes effect in one synchronous step. So two requests of two processes are ordered, never torn; what they
 * may not rely on is that nothing happens between them.
 */
import { Effect, Exit, type Fiber } from "effect"

/** A process of the simulated world: what dies together. */
export interface Process {
  readonly name: string
  readonly role: string
  /** How far its clock is ahead of the world's time. */
  aheadMillis: number
  /** It is off by so much that no collector may delete by it. */
  readonly hasWrongClock: boolean
  /** Nothing of it runs before this step, as if its machine was paused. */
  stalledUntil: number
  state: "running" | "ending" | "ended"
  fibre: Fiber.Fiber<unknown, unknown> | null
}

/** A request under way. */
export interface Call {
  readonly process: Process
  readonly verb: string
  readonly args: ReadonlyArray<unknown>
  /** Lets it take effect; may be done more than once, as networks do. */
  readonly execute: () => Exit.Exit<unknown, unknown>
  /** Wakes the caller. */
  readonly answer: (exit: Exit.Exit<unknown, unknown>) => void
  /** What the caller is told when it is told nothing: the outcome is unknown. */
  readonly unknown: Exit.Exit<never, unknown>
}

export interface Gate {
  /** Requests whose callers wait. */
  readonly waiting: ReadonlyArray<Call>
  /** Takes a request out of those that wait. */
  readonly take: (call: Call) => void
  /** Requests nobody waits for any more and which take effect nevertheless. */
  readonly late: Array<Call>
  /** Makes a request wait for its fate. */
  readonly pass: <A, E, R>(
    process: Process,
    verb: string,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, E, R>,
    unknown: E
  ) => Effect.Effect<A, E, R>
  /** From now on requests happen at once. */
  readonly open: () => void
}

export const make = (options: {
  /** Runs the effect of a request, in one step. */
  readonly perform: <A, E>(effect: Effect.Effect<A, E>) => Exit.Exit<A, E>
  /** Told of each effect. */
  readonly performed: (
    call: Pick<Call, "process" | "verb" | "args">,
    exit: Exit.Exit<unknown, unknown>
  ) => void
  /** Whether a request that its caller withdraws is on its way already. */
  readonly sent: () => boolean
}): Gate => {
  const waiting: Array<Call> = []
  const late: Array<Call> = []
  let isOpen = false

  const take = (call: Call) => {
    waiting.splice(waiting.indexOf(call), 1)
  }

  const enqueue = <A, E>(
    process: Process,
    verb: string,
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
      if (isOpen) return resume(execute())
      const call: Call = {
        process,
        verb,
        args,
        execute,
        answer: (exit) => resume(exit as Exit.Exit<A, E>),
        unknown: Exit.fail(unknown)
      }
      waiting.push(call)
      return Effect.sync(() => {
        if (!waiting.includes(call)) return
        take(call)
        if (verb !== "pause" && options.sent()) late.push(call)
      })
    })

  return {
    waiting,
    take,
    late,
    pass: (process, verb, args, effect, unknown) =>
      // The services behind the gate are in memory and need nothing of the caller's; bodies were read before.
      enqueue(process, verb, args, effect as Effect.Effect<never, never>, unknown as never),
    open: () => {
      isOpen = true
    }
  }
}
