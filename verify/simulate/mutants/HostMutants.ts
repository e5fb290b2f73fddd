/** Mutants of what holds beside hosts' transactions and crashes of the database server. */
import { Effect } from "effect"
import { hosted, type Mutant, orphans } from "./Mutant.ts"

/** Removes one protection of hosts each. */
export const hostMutants: ReadonlyArray<Mutant> = [
  {
    name: "joins-the-host",
    lacks: "the verbs' own transactions inside a transaction of the host",
    within: 200,
    world: hosted,
    mutation: () => ({
      prepare: (rows) => {
        rows.everyVerbJoins = true
      }
    })
  },
  {
    name: "locks-unseen",
    lacks: "the lock that a purge takes on a row, so that it skips what a host's transaction refers to",
    from: 240,
    within: 2000,
    world: hosted,
    mutation: () => ({
      rows: (rows, state) =>
        orphans(rows, {
          purge: (request) =>
            Effect.suspend(() => {
              const open = [...state.transactions]
              state.transactions.clear()
              return Effect.ensuring(
                rows.orphans.purge(request),
                Effect.sync(() => {
                  for (const transaction of open) state.transactions.add(transaction)
                })
              )
            })
        })
    })
  },
  {
    name: "commits-late",
    lacks: "commits that wait for the disk (synchronous_commit)",
    within: 1000,
    mutation: () => ({ commitsLate: true })
  }
]
