/** Statements of a host in the transaction of a verb, in memory. They run in a {@link HostTransaction}. */
import { Effect } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { Blobs, HostStatements, PinChange } from "../Database.ts"
import { withTransaction } from "./HostTransactions.ts"
import type { State } from "./State.ts"

/**
 * Returns the writers' verbs. Those with statements of a host run in a transaction by `inside`, whose verbs
 * join it. All others are those of `plain`.
 */
export const withHostStatements = (state: State, plain: Blobs, inside: Blobs): Blobs => ({
  ...plain,
  adopt: (now, digests, change = {}) => {
    const { commit, ...rest } = change as PinChange & HostStatements<ReadonlySet<Digest>, never>
    if (commit === undefined) return plain.adopt(now, digests, change)
    const all = new Set([...digests, ...(rest.pins ?? []).map(({ digest }) => digest)])
    const runs = (live: ReadonlySet<Digest>) =>
      live.size > 0 && (rest.allOrNothing !== true || live.size === all.size)
    return withTransaction(
      state,
      Effect.tap(inside.adopt(now, digests, rest), (live) => (runs(live) ? commit(live) : Effect.void)),
      true
    )
  },
  publish: (now, publications, options = {}) => {
    const { adopts = [], commit } = options
    if (commit === undefined && adopts.length === 0) return plain.publish(now, publications)
    return withTransaction(
      state,
      Effect.gen(function* () {
        const adopted = adopts.length === 0 ? [] : yield* inside.adopt(now, adopts)
        const outcomes = yield* inside.publish(now, publications, options)
        const stored = publications.filter((_, index) => outcomes[index] !== "expired")
        const live = new Set([...adopted, ...stored.map(({ digest }) => digest)])
        if (commit !== undefined && live.size > 0) yield* commit({ outcomes, live })
        return outcomes
      }),
      true
    )
  }
})
