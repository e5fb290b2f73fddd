/** Mutants of the questions to reference sources, and of the pins that external writers take. */
import { Effect, Option } from "effect"
import type { ReferenceSource } from "../../../src/sweep/ReferenceSource.ts"
import { external, type Mutant, orphans, pausedExternal } from "./Mutant.ts"

type Ask = ReferenceSource["ask"]

/** Returns a change of sources that changes what they answer. */
const asking =
  (change: (ask: Ask) => Ask) =>
  (source: ReferenceSource): ReferenceSource => ({ ...source, ask: change(source.ask) })

/** Removes one protection of references that are kept elsewhere each. */
export const sourceMutants: ReadonlyArray<Mutant> = [
  {
    name: "sources-unasked",
    lacks: "the questions to reference sources, before a blob is condemned and before it is purged",
    within: 2000,
    mutation: () => ({ source: asking(() => () => Effect.succeed([])) })
  },
  {
    name: "veto-unseen",
    lacks: "the veto of a reference source right before a purge",
    within: 2000,
    world: pausedExternal,
    mutation: () => ({
      rows: (rows) => orphans(rows, { purge: ({ only: _, ...request }) => rows.orphans.purge(request) })
    })
  },
  {
    name: "source-errors-unseen",
    lacks: "the rule that an error of a reference source keeps the page",
    within: 2000,
    world: external,
    mutation: () => ({
      source: asking((ask) => (digests) => Effect.orElseSucceed(ask(digests), () => []))
    })
  },
  {
    name: "source-timeouts-unseen",
    lacks: "the rule that a page is kept if a reference source does not answer in time",
    within: 2000,
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
    within: 2000,
    world: pausedExternal,
    mutation: () => ({ unpinsFirst: true })
  }
]
