/**
 * Scripted faults, for tests that ask what happens when a call fails, hangs, or takes effect although it failed.
 *
 * A {@link Script} belongs to one wrapped service (FaultyStorage, FaultyDatabase): it records every call and says
 * what shall become of it. Nothing here sleeps on a clock of its own, so `TestClock` governs all of it.
 */
import { Duration, Effect } from "effect"

/**
 * What becomes of a call.
 *
 * - `Fails`: it fails with `reason`, and nothing has happened
 * - `Lands`: it fails with `reason` and takes effect all the same: at once, like a COMMIT whose answer was lost, or
 *   `after` a while, like a request that timed out on its way; by then the caller may be gone
 * - `Hangs`: it waits for `until` before its work, or between its work and its answer. Whoever interrupts the caller
 *   meanwhile has killed the process at that point
 * - `Dies`: it throws `defect` instead of working
 */
export type Fault<Reason> =
  | { readonly _tag: "Fails"; readonly reason: Reason }
  | { readonly _tag: "Lands"; readonly reason: Reason; readonly after: Duration.Duration }
  | { readonly _tag: "Hangs"; readonly when: "before" | "after"; readonly until: Effect.Effect<unknown> }
  | { readonly _tag: "Dies"; readonly defect: unknown }

/** It fails, and nothing has happened. */
export const fails = <Reason>(reason: Reason): Fault<Reason> => ({ _tag: "Fails", reason })

/** It fails and takes effect all the same, at once or `after` a while. */
export const lands = <Reason>(reason: Reason, after: Duration.Input = Duration.zero): Fault<Reason> => ({
  _tag: "Lands",
  reason,
  after: Duration.fromInputUnsafe(after)
})

/** It waits for `until`, then works and answers. A sleep makes it slow; `Effect.never` makes it hang for good. */
export const hangsBefore = (until: Effect.Effect<unknown>): Fault<never> => ({
  _tag: "Hangs",
  when: "before",
  until
})

/** It works, then waits for `until` before it answers. */
export const hangsAfter = (until: Effect.Effect<unknown>): Fault<never> => ({
  _tag: "Hangs",
  when: "after",
  until
})

/** It throws. */
export const dies = (defect: unknown): Fault<never> => ({ _tag: "Dies", defect })

export interface Call<Operation> {
  readonly operation: Operation
  readonly args: ReadonlyArray<unknown>
}

export interface Script<Operation extends string, Reason> {
  /** Every call so far, oldest first. Yours to empty. */
  readonly calls: Array<Call<Operation>>
  /** How many of them were calls of `operation`. */
  readonly count: (operation: Operation) => number
  /** The next `times` calls of `operation` that no earlier fault takes suffer `fault`. `Infinity` is an outage. */
  readonly next: (operation: Operation, fault: Fault<Reason>, times?: number) => void
  /** Asks `rule` about every call first; what it answers comes before what {@link next} has lined up. */
  readonly always: (rule: (call: Call<Operation>) => Fault<Reason> | undefined) => void
  /** Forgets all faults and rules; what is hanging goes on hanging. Recorded calls stay. */
  readonly heal: () => void
  /** For the wrappers: records a call and runs `effect` as the script has it. */
  readonly run: <A, E, R>(
    operation: Operation,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, E, R>,
    failure: (reason: Reason) => E
  ) => Effect.Effect<A, E, R>
}

/** A script without faults. */
export const make = <Operation extends string, Reason>(): Script<Operation, Reason> => {
  const calls: Array<Call<Operation>> = []
  const queued = new Map<Operation, Array<{ readonly fault: Fault<Reason>; left: number }>>()
  let rule: (call: Call<Operation>) => Fault<Reason> | undefined = () => undefined

  const take = (call: Call<Operation>): Fault<Reason> | undefined => {
    const ruled = rule(call)
    if (ruled !== undefined) return ruled
    const queue = queued.get(call.operation) ?? []
    const first = queue[0]
    if (first === undefined) return undefined
    first.left -= 1
    if (first.left <= 0) queue.shift()
    return first.fault
  }

  return {
    calls,
    count: (operation) => calls.filter((call) => call.operation === operation).length,
    next: (operation, fault, times = 1) => {
      queued.set(operation, [...(queued.get(operation) ?? []), { fault, left: times }])
    },
    always: (decide) => {
      rule = decide
    },
    heal: () => {
      queued.clear()
      rule = () => undefined
    },
    run: (operation, args, effect, failure) =>
      Effect.suspend(() => {
        const call = { operation, args }
        calls.push(call)
        const fault = take(call)
        return fault === undefined ? effect : suffer(fault, effect, failure)
      })
  }
}

const suffer = <A, E, R, Reason>(
  fault: Fault<Reason>,
  effect: Effect.Effect<A, E, R>,
  failure: (reason: Reason) => E
): Effect.Effect<A, E, R> => {
  switch (fault._tag) {
    case "Fails":
      return Effect.fail(failure(fault.reason))
    case "Dies":
      return Effect.die(fault.defect)
    case "Hangs":
      return fault.when === "before"
        ? Effect.andThen(fault.until, effect)
        : Effect.tap(effect, () => fault.until)
    case "Lands": {
      const landing = Effect.asVoid(Effect.exit(effect))
      // Detached: a request on its way outlives the process that sent it.
      const later = Effect.asVoid(Effect.forkDetach(Effect.delay(landing, fault.after)))
      return Effect.andThen(
        Duration.isZero(fault.after) ? landing : later,
        Effect.suspend(() => Effect.fail(failure(fault.reason)))
      )
    }
  }
}
