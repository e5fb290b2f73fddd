/** Plays many seeds and adds up their outcomes. */

import { mutantNamed } from "./Mutants.ts"
import * as Simulation from "./world/Simulation.ts"

/** Selects runs. */
export interface Range {
  readonly from: number
  readonly seeds: number
  readonly steps: number | null
  /** Name of the mutant to run, or null for the unchanged code. */
  readonly mutant: string | null
}

/** A seed whose run broke an invariant. */
export interface Failure {
  readonly seed: number
  readonly broken: string
}

/** Adds up the outcomes of runs. */
export interface Totals {
  readonly seeds: number
  readonly steps: number
  readonly counts: Readonly<Record<string, number>>
  readonly failures: ReadonlyArray<Failure>
}

/** The totals of no runs. */
export const noTotals: Totals = { seeds: 0, steps: 0, counts: {}, failures: [] }

/** Adds two totals. */
export const add = (a: Totals, b: Totals): Totals => {
  const counts = { ...a.counts }
  for (const [name, times] of Object.entries(b.counts)) counts[name] = (counts[name] ?? 0) + times
  return {
    seeds: a.seeds + b.seeds,
    steps: a.steps + b.steps,
    counts,
    failures: [...a.failures, ...b.failures].sort((x, y) => x.seed - y.seed)
  }
}

/** Plays one seed. */
export const play = (
  seed: number,
  { steps, mutant }: Pick<Range, "steps" | "mutant">,
  trace = false,
  shrinkRuns = 0
): Simulation.Outcome =>
  Simulation.run({
    seed,
    trace,
    shrinkRuns,
    ...(steps === null ? {} : { steps }),
    ...worldOf(mutant),
    ...(mutant === null ? {} : { mutation: mutantNamed(mutant)?.mutation ?? (() => ({})) })
  })

const worldOf = (mutant: string | null): Pick<Simulation.Options, "world"> => {
  const world = mutant === null ? undefined : mutantNamed(mutant)?.world
  return world === undefined ? {} : { world }
}

/** Plays the seeds of a range, one after the other. */
export const run = (range: Range): Totals => {
  let totals = noTotals
  for (let seed = range.from; seed < range.from + range.seeds; seed++) {
    const { steps, counts, broken } = play(seed, range)
    totals = add(totals, { seeds: 1, steps, counts, failures: broken === null ? [] : [{ seed, broken }] })
  }
  return totals
}
