/** The process that a fiber belongs to, and what an actor may ask of the simulation. */
import { Context, Effect } from "effect"
import type { Sending, Traits } from "./Network.ts"
import type { Process } from "./Process.ts"
import type { Rng } from "./Rng.ts"

/** A process, and the parts of its simulation that its code may reach. */
export interface Calling {
  readonly process: Process
  readonly send: <A, E>(sending: Sending<A, E>) => Effect.Effect<A, E>
  readonly pause: Effect.Effect<void>
  readonly note: (process: Process, what: () => string) => void
  readonly count: (what: string, times?: number) => void
  readonly report: (message: string, invariant?: string) => void
  /** Replaces the services of a caller in the work of a server: one clock, and no calls of its own. */
  readonly onServer: <R>(context: Context.Context<R>) => Context.Context<R>
}

/** The process of the present fiber. Null outside of a simulation, and in the work of a server. */
export const Caller: Context.Reference<Calling | null> = Context.Reference<Calling | null>(
  "artifact-gc/testing/simulation/Caller",
  { defaultValue: () => null }
)

const withCaller = (use: (calling: Calling) => void): Effect.Effect<void> =>
  Effect.map(Caller, (calling) => {
    if (calling !== null) use(calling)
  })

/**
 * Waits until the simulator chooses the process again. Other processes run meanwhile, and time passes. Put it
 * between two steps of an actor that share nothing, e.g. where a user thinks. Does nothing outside of a
 * simulation.
 */
export const pause: Effect.Effect<void> = Effect.flatMap(Caller, (calling) =>
  calling === null ? Effect.void : calling.pause
)

/** Breaks the run with a message, as an invariant does. Does nothing outside of a simulation. */
export const report = (message: string, invariant?: string): Effect.Effect<void> =>
  withCaller((calling) => calling.report(`${calling.process.name}: ${message}`, invariant))

/** Adds a line to the trace. */
export const note = (text: string): Effect.Effect<void> =>
  withCaller((calling) => calling.note(calling.process, () => text))

/** Counts a situation, so that a test can ask whether its seeds met it. */
export const count = (what: string): Effect.Effect<void> => withCaller((calling) => calling.count(what))

/** Returns the present process. A defect outside of a simulation. */
export const self: Effect.Effect<Process> = Effect.flatMap(Caller, (calling) =>
  calling === null
    ? Effect.die(new Error("This Effect is an actor's: run it with Simulation.run."))
    : Effect.succeed(calling.process)
)

/** Returns the random numbers of the present process. Effect's own `Random` draws from them, too. */
export const rng: Effect.Effect<Rng> = Effect.map(self, (process) => process.rng)

/** Sends a call of a host's service through the network, if a process makes it. */
export const call = <A, E, R>(
  verb: string,
  args: ReadonlyArray<unknown>,
  effect: Effect.Effect<A, E, R>,
  { traits, unknown }: { readonly unknown: E | undefined; readonly traits: Traits }
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Caller, (calling) => {
    if (calling === null) return effect
    return Effect.contextWith((context: Context.Context<R>) =>
      calling.send<A, E>({
        process: calling.process,
        verb,
        args,
        effect: Effect.provideContext(effect, calling.onServer(context)),
        ...(unknown === undefined ? {} : { unknown }),
        traits
      })
    )
  })
