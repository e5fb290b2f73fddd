/** Statements of a host in the transaction of a verb, in memory. They run in a {@link HostTransaction}. */
import { Effect } from "effect"
import type { Blobs, HostStatements, PinChange } from "../Database.ts"
import { withTransaction } from "./HostTransactions.ts"
import type { State } from "./State.ts"

/**
 * Returns the writers' verbs. Those with statements of a host run in a transaction by `inside`, whose verbs
 * join it. All others are those of `plain`.
 */
export const withHostStatements = (state: State, plain: Blobs, inside: Blobs): Blobs => ({
  ...plain,
  adopt: (now, references, change = {}) => {
    const { commit, ...rest } = change as PinChange & HostStatements<never>
    if (commit === undefined) return plain.adopt(now, references, change)
    const wanted = new Set([
      ...(rest.digests ?? []),
      ...[...references, ...(rest.pins ?? [])].map(({ digest }) => digest)
    ])
    return withTransaction(
      state,
      Effect.tap(inside.adopt(now, references, rest), (live) =>
        live.size === 0 || (rest.allOrNothing === true && live.size < wanted.size)
          ? Effect.void
          : commit(live)
      ),
      true
    )
  },
  publish: (now, publications, statements = {}) => {
    const { commit } = statements
    if (commit === undefined) return plain.publish(now, publications)
    return withTransaction(
      state,
      Effect.tap(inside.publish(now, publications, statements), (outcomes) => {
        const stored = publications.filter((_, index) => outcomes[index] !== "expired")
        return stored.length === 0 ? Effect.void : commit(new Set(stored.map(({ digest }) => digest)))
      }),
      true
    )
  }
})
