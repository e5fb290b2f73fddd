/** Runs a simulation of an app. */
import { Effect, Schema } from "effect"
import * as FaultRates from "./FaultRates.ts"
import type { Provided } from "./MemoryAccess.ts"
import * as MemoryWorld from "./MemoryWorld.ts"
import { type Broken, type Held, type Outcome, type PlayOptions, playSeed } from "./Outcome.ts"
import type { Scenario } from "./Play.ts"
import type { Rng } from "./Rng.ts"
import type { Actor } from "./World.ts"

/** Describes a simulation of an app. */
export interface SimulationOptions<S, R> extends MemoryWorld.WorldOptions<S, R> {
  /** The processes. */
  readonly actors: ReadonlyArray<Actor<S | R | Provided>>
  /**
   * How often which fault happens. Rates that are not given are drawn from the seed. `Simulation.noFaults` has
   * none.
   */
  readonly faults?: Partial<FaultRates.FaultRates> | undefined
  /** Number of steps before faults end. Default 400. Another number gives another run of the same seed. */
  readonly steps?: number | undefined
}

/** Selects one seed. */
export interface RunOptions<S, R> extends SimulationOptions<S, R>, PlayOptions {
  /** A whole number from 0. The same seed gives the same run. */
  readonly seed: number
}

/**
 * Plays one seed: the actors run as processes of one catalogue and one store in memory, the seed decides their
 * order and their accidents, and the invariants are checked after every step. Then faults end, processes
 * finish or die, a collector sweeps for days, and no garbage may be left.
 *
 * Never fails: `Held` or `Broken`, with the step, the invariant, a trace, and the shortest run that breaks the
 * same invariant. Runs without real time, promises or I/O, and at once.
 */
export const run = <S = never, R = never>(options: RunOptions<S, R>): Effect.Effect<Outcome> =>
  Effect.sync(() => playSeed(options.seed, (rng) => scenarioOf(rng, options), options))

/** An invariant broke. The message has the seed and the trace of the shortest run. */
export class SimulationBroken extends Schema.TaggedError<SimulationBroken>()("SimulationBroken", {
  /** Replays the run. */
  seed: Schema.Finite,
  /** Name of the invariant. */
  invariant: Schema.String,
  /** What broke, and the steps that led to it. */
  report: Schema.String
}) {
  override get message(): string {
    return this.report
  }
}

/** Selects seeds. */
export interface SeedsOptions<S, R> extends SimulationOptions<S, R>, PlayOptions {
  /** How many seeds are played. */
  readonly seeds: number
  /** The first one. Default 1. */
  readonly from?: number | undefined
}

/** What the seeds of a simulation did together. */
export interface Totals {
  /** How many seeds were played. */
  readonly seeds: number
  /** How many steps they had, in all. */
  readonly steps: number
  /** How often each event happened. Ask it whether the situations that matter were met. */
  readonly counts: Readonly<Record<string, number>>
}

/**
 * Plays seeds one after the other. Fails with `SimulationBroken` at the first that breaks an invariant, with
 * its seed and a readable trace. Other fibers run between two seeds.
 */
export const runSeeds = Effect.fnUntraced(function* <S = never, R = never>(
  options: SeedsOptions<S, R>
): Effect.fn.Return<Totals, SimulationBroken> {
  const { from = 1, seeds } = options
  const counts: Record<string, number> = {}
  let steps = 0
  for (let seed = from; seed < from + seeds; seed++) {
    const held = yield* heldOrFail(yield* run({ ...options, seed }))
    steps += held.steps
    for (const [what, times] of Object.entries(held.counts)) counts[what] = (counts[what] ?? 0) + times
    yield* Effect.yieldNow
  }
  return { seeds, steps, counts }
})

/** Returns an outcome that held. Fails with `SimulationBroken` otherwise. */
export const heldOrFail = (outcome: Outcome): Effect.Effect<Held, SimulationBroken> =>
  outcome._tag === "Held"
    ? Effect.succeed(outcome)
    : Effect.fail(
        new SimulationBroken({
          seed: outcome.seed,
          invariant: outcome.invariant,
          report: describe(outcome)
        })
      )

/** Returns the lines that a reader needs: what broke, how to replay it, and the shortest run. */
export const describe = ({ invariant, message, seed, shrunk, step, trace }: Broken): string =>
  [
    `Seed ${seed} broke at step ${step}: ${invariant}`,
    `  ${message}`,
    ...(shrunk === null
      ? ["", ...trace]
      : [
          "",
          `The shortest run of ${shrunk.runs} that break it has ${shrunk.steps} steps:`,
          `  ${shrunk.message}`,
          "",
          ...shrunk.trace
        ])
  ].join("\n")

const scenarioOf = <S, R>(
  random: Rng,
  { actors, faults = {}, steps = 400, ...options }: SimulationOptions<S, R>
): Scenario<S | R | Provided> => ({
  actors,
  steps,
  faults: FaultRates.draw(random, faults),
  world: (simulator) => MemoryWorld.make(simulator, options)
})
