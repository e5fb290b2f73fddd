/**
 * Scripted faults, for tests of calls that fail, hang, or take effect although they failed.
 *
 * A {@link Script} belongs to one wrapped service (FaultyStorage, FaultyDatabase). It records every call, and
 * decides which fault it suffers. Nothing here sleeps on a clock of its own, so `TestClock` governs all of
 * it.
 */
import { Duration, Effect } from "effect"

/**
 * The fault that a call suffers.
 *
 * - `Fails`: it fails with `reason`, without effect
 * - `Lands`: it fails with `reason`, but takes effect: at once, like a COMMIT whose answer was lost, or
 *   `after` a while, like a request that timed out on its way. By then the caller may have ended
 * - `Hangs`: it waits for `until` before its work, or between its work and its answer. A test that interrupts
 *   the caller meanwhile kills the process at that point
 * - `Dies`: it throws `defect` instead of working
 */
export type Fault<Reason> =
  | { readonly _tag: "Fails"; readonly reason: Reason }
  | { readonly _tag: "Lands"; readonly reason: Reason; readonly after: Duration.Duration }
  | { readonly _tag: "Hangs"; readonly when: "before" | "after"; readonly until: Effect.Effect<unknown> }
  | { readonly _tag: "Dies"; readonly defect: unknown }

/** Makes a call fail without effect. */
export const fails = <Reason>(reason: Reason): Fault<Reason> => ({ _tag: "Fails", reason })

/** Makes a call fail but take effect, at once or `after` a while. */
export const lands = <Reason>(reason: Reason, after: Duration.Input = Duration.zero): Fault<Reason> => ({
  _tag: "Lands",
  reason,
  after: Duration.fromInputUnsafe(after)
})

/**
 * Makes a call wait for `until`, then work and answer. A sleep makes it slow; with `Effect.never` it never
 * ends.
 */
export const hangsBefore = (until: Effect.Effect<unknown>): Fault<never> => ({
  _tag: "Hangs",
  when: "before",
  until
})

/** Makes a call work, then wait for `until` before it answers. */
export const hangsAfter = (until: Effect.Effect<unknown>): Fault<never> => ({
  _tag: "Hangs",
  when: "after",
  until
})

/** Makes a call throw. */
export const dies = (defect: unknown): Fault<never> => ({ _tag: "Dies", defect })

/** A recorded call. */
export interface Call<Operation> {
  /** Name of the operation. */
  readonly operation: Operation
  /** Its arguments. */
  readonly args: ReadonlyArray<unknown>
}

/** The faults of one wrapped service. */
export interface Script<Operation extends string, Reason> {
  /** Every call so far, oldest first. The test may empty it. */
  readonly calls: Array<Call<Operation>>
  /** Returns how many of them were calls of `operation`. */
  readonly count: (operation: Operation) => number
  /**
   * Makes the next `times` calls of `operation` suffer `fault`, after earlier faults. `Infinity` is an
   * outage.
   */
  readonly next: (operation: Operation, fault: Fault<Reason>, times?: number) => void
  /** Asks `rule` about every call. Its fault has priority over those of {@link next}. */
  readonly always: (rule: (call: Call<Operation>) => Fault<Reason> | undefined) => void
  /** Removes all faults and rules. Hanging calls continue to hang, and recorded calls stay. */
  readonly heal: () => void
  /** Records a call and runs `effect` with its fault. Only the wrappers call it. */
  readonly run: <A, E, R>(
    operation: Operation,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, E, R>,
    failure: (reason: Reason) => E
  ) => Effect.Effect<A, E, R>
}

/** Returns a script without faults. */
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
