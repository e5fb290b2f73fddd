/** Many seeds, and what they add up to. */

import { named } from "./Mutants.ts"
import * as Simulation from "./world/Simulation.ts"

export interface Range {
  readonly from: number
  readonly seeds: number
  readonly steps: number | null
  /** The mutant to run instead of the code as it is. */
  readonly mutant: string | null
}

export interface Failure {
  readonly seed: number
  readonly broken: string
}

export interface Sum {
  readonly seeds: number
  readonly steps: number
  readonly counts: Readonly<Record<string, number>>
  readonly failures: ReadonlyArray<Failure>
}

export const nothing: Sum = { seeds: 0, steps: 0, counts: {}, failures: [] }

export const add = (a: Sum, b: Sum): Sum => {
  const counts = { ...a.counts }
  for (const [name, times] of Object.entries(b.counts)) counts[name] = (counts[name] ?? 0) + times
  return {
    seeds: a.seeds + b.seeds,
    steps: a.steps + b.steps,
    counts,
    failures: [...a.failures, ...b.failures].sort((x, y) => x.seed - y.seed)
  }
}

export const play = (
  seed: number,
  { steps, mutant }: Pick<Range, "steps" | "mutant">,
  trace = false
): Simulation.Outcome =>
  Simulation.run({
    seed,
    trace,
    ...(steps === null ? {} : { steps }),
    ...(mutant === null ? {} : { tampering: named(mutant)?.tampering() ?? {} })
  })

export const run = (range: Range): Sum => {
  let sum = nothing
  for (let seed = range.from; seed < range.from + range.seeds; seed++) {
    const { steps, counts, broken } = play(seed, range)
    sum = add(sum, { seeds: 1, steps, counts, failures: broken === null ? [] : [{ seed, broken }] })
  }
  return sum
}
