/** Judges all tags at once, as a dry run shows them. A sweep comes to the same result by what changed (Judge.ts). */
import { Effect } from "effect"
import type { Exposure } from "../../database/Database.ts"
import type { JudgedSums, RetentionState } from "../database/RegistryDatabase.ts"
import type { RetentionRules } from "./RetentionRules.ts"
import { forEachRepository, type JudgeOptions } from "./Tags.ts"
import { acceptedOf, addKept, type KeptCounts, noneKept, removedOf, weigh } from "./Weigh.ts"

/** Names of tags that a plan remembers. */
const namesMax = 20

/** What a sweep would remove. */
export interface Plan {
  /** Tags that were judged, those that no rule keeps, and what the breaker makes of these. */
  readonly sums: JudgedSums
  /** Tags that were pushed since the rules last judged, or since a person last confirmed. */
  readonly pushed: number
  /** How many tags are kept, by reason. */
  readonly kept: Readonly<KeptCounts>
  /** Some of the tags that no rule keeps, as `repository:tag`. */
  readonly names: ReadonlyArray<string>
}

/** What a plan is made from. */
export interface PlanOptions extends JudgeOptions {
  /** The rules in force. */
  readonly rules: RetentionRules
  /** What is remembered between sweeps. */
  readonly state: RetentionState
  /** When a person last confirmed the breaker; null if that never happened. */
  readonly confirmedAt: number | null
}

/** Makes the plan, or returns null if `mayContinue` ended it: a part of the tags cannot be judged by a breaker. */
export const make = Effect.fnUntraced(function* (options: PlanOptions) {
  const { confirmedAt, rules, state } = options
  const against = { ...options, accepted: acceptedOf(state) }
  const since = pushedSince(state, confirmedAt)
  const kept = noneKept()
  const names: Array<string> = []
  const sums = { tags: 0, removable: 0, stricter: 0, confirmed: 0 }
  let pushed = 0
  const isComplete = yield* forEachRepository(rules, options, (one) =>
    Effect.sync(() => {
      const weight = weigh(one, against)
      addKept(kept, one)
      sums.tags += weight.tags
      sums.removable += weight.removable
      sums.stricter += weight.stricter
      sums.confirmed += weight.confirmed
      pushed += one.tags.filter(({ pushedAt }) => pushedAt > since).length
      for (const { name } of removedOf(one).slice(0, namesMax - names.length))
        names.push(`${one.repository}:${name}`)
    })
  )
  return isComplete ? ({ sums, pushed, kept, names } satisfies Plan as Plan) : null
})

/** Returns since when pushes replace tags that are removed. */
export const pushedSince = ({ judgedAt }: RetentionState, confirmedAt: number | null): number =>
  Math.max(judgedAt ?? Number.POSITIVE_INFINITY, confirmedAt ?? Number.NEGATIVE_INFINITY)

/** Returns what the breaker judges: what is removed without a confirmation, less what pushes replaced. */
export const exposureOf = ({ confirmed, removable, tags }: JudgedSums, pushed: number): Exposure => {
  const counted = removable - confirmed
  const remaining = Math.max(0, tags - removable)
  // Where none would remain, no push has replaced what is removed.
  const blobs = remaining === 0 ? counted : Math.max(0, counted - pushed)
  return { blobs, bytes: 0, totalBlobs: remaining + blobs, totalBytes: 0 }
}
