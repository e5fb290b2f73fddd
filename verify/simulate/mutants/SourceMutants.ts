/** Mutants of the questions to reference sources, and of the pins that external writers take. */
import { Effect, Option } from "effect"
import type { ReferenceSource } from "../../../src/sweep/ReferenceSource.ts"
import { external, type Mutant, sweeping } from "./Mutant.ts"

type Ask = ReferenceSource["ask"]

/** Returns a change of sources that changes what they answer. */
const asking =
  (change: (ask: Ask) => Ask) =>
  (source: ReferenceSource): ReferenceSource => ({ ...source, ask: change(source.ask) })

/** Removes one protection of references that are kept elsewhere each. */
export const sourceMutants: ReadonlyArray<Mutant> = [
  {
    name: "vetoes-unseen",
    lacks: "the vetoes of a reference source, before a blob is condemned and before it is purged",
    within: 200,
    world: external,
    mutation: () => ({ source: asking((ask) => (digests) => Effect.as(ask(digests), [])) })
  },
  {
    name: "source-errors-unseen",
    lacks: "the rule that an error of a reference source keeps the page",
    within: 500,
    world: external,
    mutation: () => ({
      source: asking((ask) => (digests) => Effect.orElseSucceed(ask(digests), () => []))
    })
  },
  {
    name: "source-timeouts-unseen",
    lacks: "the rule that a page is kept if a reference source does not answer in time",
    within: 500,
    world: external,
    mutation: () => ({
      // Shorter than the limit of the sweep, which then gets an answer.
      source: asking(
        (ask) => (digests) =>
          Effect.map(
            Effect.timeoutOption(ask(digests), "9 seconds"),
            Option.getOrElse((): Iterable<string> => [])
          )
      )
    })
  },
  {
    name: "unpinned-first",
    lacks: "the pin that an external writer keeps until its reference is written",
    within: 500,
    world: sweeping,
    mutation: () => ({ unpinsFirst: true })
  }
]
